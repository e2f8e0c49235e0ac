"""An environment of its own for each client, kept outside of the checkout for all of them."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcp-mount"
_NODE: Final = "node@22"


class CannotInstall(Exception):
    """A client cannot be installed here; the message says what its installer said last."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client with its pinned packages, e.g. ``Client("FastMCP", "pip", ("fastmcp==4.1.6",))``.

    `loses` names the tools whose answers it is known not to show, with the reason.
    """

    name: str
    installer: str
    packages: tuple[str, ...]
    loses: Mapping[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name of its script and its environment, e.g. ``"mcp_1_x"``."""
        return "".join(each if each.isalnum() else "_" for each in self.name.lower())

    @property
    def folder(self) -> Path:
        return _CACHE / f"interop-{self.slug}"

    @property
    def command(self) -> list[str]:
        """What runs the client's script."""
        if self.installer == "pip":
            return [str(self.folder / "bin/python"), str(HERE / f"clients/{self.slug}_client.py")]
        # Node looks for packages beside the script.
        for name in ("reporting", f"{self.slug}_client"):
            shutil.copy(HERE / f"clients/{name}.mjs", self.folder)
        script = self.folder / f"{self.slug}_client.mjs"
        return [str(self.folder / "node_modules/.bin/node"), str(script)]

    def install(self) -> None:
        """Make the environment, unless it is there with just these packages.

        Raises:
            CannotInstall: the installer failed.
        """
        stamp = self.folder / "installed.json"
        wanted = json.dumps([sys.version_info[:2], self.packages])
        if stamp.exists() and stamp.read_text() == wanted:
            return
        if self.installer == "pip":
            venv.create(self.folder, clear=True, with_pip=True)
            command = [str(self.folder / "bin/python"), "-m", "pip", "install", "--quiet"]
            command += ["--disable-pip-version-check", *self.packages]
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
            command += ["--prefix", str(self.folder), _NODE, *self.packages]
        if shutil.which(command[0]) is None:
            raise CannotInstall(f"{command[0]} is needed, which installs it")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise CannotInstall(said[-1] if said else f"{command[0]} failed")
        stamp.write_text(wanted)


def read_clients() -> list[Client]:
    """Return the clients of ``clients.toml`` in its order."""
    listed = tomllib.loads((HERE / "clients.toml").read_text())
    return [
        Client(name, installer, tuple(entry[installer]), entry.get("loses", {}))
        for name, entry in listed.items()
        for installer in ("pip", "npm")
        if installer in entry
    ]
