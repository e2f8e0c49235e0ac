"""How long it takes to import, to mount an application, and to list its tools the first time.

Counted are seconds of the processor, which the machine's other work changes less than the clock's.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, alternate
from benchmarks.first_list import ROUTES, WAYS
from benchmarks.servers import PEERS

IMPORTS = "Processor seconds to import"
COMMANDS = "Processor seconds of a command"
FIRST = "Processor seconds from the application to its first tools/list"
MODULES = "FastAPI, and FastMCP's module"
OURS = "those, and mcp_mount"
HELP = "mcp-mount --help"

_PYTHON = Path(sys.executable)
_STATEMENTS = {
    "FastAPI": (_PYTHON, "import fastapi"),
    # It imports next to nothing before one of its names is asked for.
    MODULES: (_PYTHON, "import fastapi, fastmcp"),
    "FastAPI, and FastMCP's server": (_PYTHON, "import fastapi; from fastmcp import FastMCP"),
    OURS: (_PYTHON, "import fastapi, fastmcp; from mcp_mount import mount_mcp"),
    "fastapi-mcp": (PEERS, "from fastapi_mcp import FastApiMCP"),
}
_TIMED = "import time; begin = time.process_time(); {}; print(time.process_time() - begin)"
_COMMANDS = {
    "python -c pass": (_PYTHON, "-c", "pass"),
    HELP: (_PYTHON.with_name("mcp-mount"), "--help"),
}


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run each in fresh processes, in turn."""
    rounds = 2 if quick else 7
    imports = {
        name: partial(_told, python, "-c", _TIMED.format(statement))
        for name, (python, statement) in _STATEMENTS.items()
    }
    yield from _figures(IMPORTS, "", alternate(imports, rounds))
    commands = {name: partial(_taken, *command) for name, command in _COMMANDS.items()}
    yield from _figures(COMMANDS, "", alternate(commands, rounds))
    firsts = {name: partial(_told, _PYTHON, "-m", "benchmarks.first_list", name) for name in WAYS}
    yield from _figures(FIRST, f"{ROUTES:,} routes", alternate(firsts, 1 if quick else 3))


def _figures(table: str, column: str, values: Mapping[str, list[float]]) -> Iterator[Figure]:
    for name, seconds in values.items():
        yield Figure.of(table, name, column, seconds, "s")


def _told(*command: Path | str) -> float:
    """Return the seconds that a command prints."""
    return float(_run(*command))


def _taken(*command: Path | str) -> float:
    """Return the seconds that a command takes, from the start of Python to its end."""
    before = _children()
    _run(*command)
    return _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(*command: Path | str) -> str:
    return subprocess.run(  # noqa: S603 - our own module
        command, check=True, capture_output=True, text=True
    ).stdout
