"""Environments of clients, servers and APIs, kept outside of the checkout for all of them."""

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
    """Packages cannot be installed here; the message says what its installer said last."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Pinned packages in a folder, e.g. ``Environment("FastMCP", "pip", ("fastmcp==4.1.6",))``."""

    name: str
    installer: str
    packages: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The name of its folder and its script, e.g. ``"mcp_1_x"``."""
        return "".join(each if each.isalnum() else "_" for each in self.name.lower())

    @property
    def folder(self) -> Path:
        return _CACHE / f"interop-{self.slug}"

    @property
    def versions(self) -> str:
        """What is installed, as Markdown."""
        return ", ".join(f"`{each}`" for each in self.packages if any(map(str.isdigit, each)))

    @property
    def programs(self) -> Path:
        """Where the programs of the packages are."""
        return self.folder / ("bin" if self.installer == "pip" else "node_modules/.bin")

    def find_program(self, name: str) -> str:
        """Return the path of a program of the packages."""
        return str(self.programs / name)

    def run_script(self, script: Path, *beside: Path) -> list[str]:
        """Return what runs a script with the packages at hand."""
        if self.installer == "pip":
            return [self.find_program("python"), str(script)]
        # Node looks for packages beside the script.
        for each in (script, *beside):
            shutil.copy(each, self.folder)
        return [self.find_program("node"), str(self.folder / script.name)]

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
            command = [self.find_program("python"), "-m", "pip", "install", "--quiet"]
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


@dataclass(frozen=True, slots=True)
class Client(Environment):
    """A client. `loses` names the tools whose answers it is known not to show, with the reason."""

    loses: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """What runs the client's script."""
        if self.installer == "pip":
            return self.run_script(HERE / f"clients/{self.slug}_client.py")
        script = HERE / f"clients/{self.slug}_client.mjs"
        return self.run_script(script, HERE / "clients/reporting.mjs")


def read_clients() -> list[Client]:
    """Return the clients of ``clients.toml`` in its order."""
    listed = tomllib.loads((HERE / "clients.toml").read_text())
    return [
        Client(name, installer, tuple(entry[installer]), entry.get("loses", {}))
        for name, entry in listed.items()
        for installer in ("pip", "npm")
        if installer in entry
    ]
