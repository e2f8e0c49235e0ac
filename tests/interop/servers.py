"""MCP servers of others, as ``servers.toml`` describes them."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from starlette.staticfiles import StaticFiles

from tests.interop.environments import HERE, Environment
from tests.interop.processes import CannotStart, free_ports, running
from tests.support import served

FOREIGN: Final = HERE / "foreign"
_ENV: Final = {
    # Who commits, and when: so that both ways make the same commits.
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@parts.example" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
}


@dataclass(frozen=True, slots=True)
class Server:
    """An MCP server.

    Attributes:
        name: What it is called in the page.
        environment: Its packages.
        command: What starts it; `url` tells whether it speaks HTTP or on standard input and output.
        script: Of ours, in the folder `foreign`, instead of a command.
        url: Where it is, if it speaks HTTP.
        env: Variables of the environment.
        prepare: Commands that run before.
        calls: What it is asked, in this order.
        varies: What differs from run to run, as regular expressions.
        differs: What a gateway does differently, and why.
        needs: A program of the machine that it cannot do without.
        state: What it keeps from call to call, and where.
    """

    name: str
    environment: Environment
    command: tuple[str, ...]
    script: str | None
    url: str | None
    env: Mapping[str, str]
    prepare: tuple[tuple[str, ...], ...]
    calls: tuple[Mapping[str, Any], ...]
    varies: tuple[str, ...]
    differs: Mapping[str, str]
    needs: str | None
    state: str

    @property
    def prefix(self) -> str:
        """What stands before its tools in the gateway, e.g. ``"server_memory"``."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower())


@dataclass(frozen=True, slots=True)
class Place:
    """A server that can be reached: its entry in a file of servers, and what it is asked there."""

    entry: Mapping[str, Any]
    calls: Sequence[Mapping[str, Any]]
    values: Mapping[str, str]


@contextmanager
def placed(server: Server, folder: Path) -> Iterator[Place]:
    """Give a server a fresh folder, and start it if it speaks HTTP.

    Programs on standard input and output are started by whoever connects to them.

    Raises:
        CannotStart: it does not, or there is not what it needs.
    """
    if server.needs is not None and shutil.which(server.needs) is None:
        raise CannotStart(f"{server.needs} is needed")
    folder.mkdir()
    [port] = free_ports(1)
    with served(StaticFiles(directory=FOREIGN)) as site:
        values = {
            "folder": str(folder),
            "port": str(port),
            "programs": str(server.environment.programs),
            "site": site,
        }
        # Of several Nodes, the one that was installed.
        env = {"PATH": f"{values['programs']}:/usr/bin:/bin", **_ENV, **fill(server.env, values)}
        for command in server.prepare:
            subprocess.run(command, check=True, capture_output=True, env=env, cwd=folder)
        program, *arguments = _command(server, values)
        calls = fill(server.calls, values)
        if server.url is None:
            yield Place({"command": program, "args": arguments, "env": env}, calls, values)
            return
        url = fill(server.url, values)
        with running([program, *arguments], url, env=env, folder=folder):
            yield Place({"url": url}, calls, values)


def _command(server: Server, values: Mapping[str, str]) -> list[str]:
    if server.script is not None:
        return server.environment.run_script(FOREIGN / server.script)
    command: list[str] = fill(server.command, values)
    return command


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Yield the name of a folder that is to be made."""
    with TemporaryDirectory() as parent:
        yield Path(parent).resolve() / "data"


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """Return a value in whose texts each ``{name}`` is replaced."""
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        return {key: fill(each, values) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [fill(each, values) for each in value]
    return value


def unfill(value: Any, values: Mapping[str, str]) -> Any:
    """Return a value of JSON in which the folder and the port have their names again."""
    text = json.dumps(value)
    for name in ("folder", "site", "port"):
        text = text.replace(values[name], f"{{{name}}}")
    return json.loads(text)


def read_servers() -> list[Server]:
    """Return the servers of ``servers.toml`` in its order."""
    listed = tomllib.loads((HERE / "servers.toml").read_text())
    return [
        _read(name, {**listed.get(entry.get("same_as", name), {}), **entry})
        for name, entry in listed.items()
    ]


def _read(name: str, entry: Mapping[str, Any]) -> Server:
    installer = "pip" if "pip" in entry else "npm"
    environment = Environment(entry.get("same_as", name), installer, tuple(entry[installer]))
    return Server(
        name,
        environment,
        tuple(entry.get("command", ())),
        entry.get("script"),
        entry.get("url"),
        entry.get("env", {}),
        tuple(map(tuple, entry.get("prepare", ()))),
        tuple(entry["calls"]),
        tuple(entry.get("varies", ())),
        entry.get("differs", {}),
        entry.get("needs"),
        entry.get("state", "none"),
    )
