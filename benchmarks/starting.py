"""How long it takes to import, to mount an application, and to list its tools the first time."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, alternate
from benchmarks.first_list import ROUTES, WAYS
from benchmarks.servers import PEERS

IMPORTS = "Seconds to import"
FIRST = "Seconds from the application to its first tools/list"

_PYTHON = Path(sys.executable)
_STATEMENTS = {
    "FastAPI": (_PYTHON, "from fastapi import FastAPI"),
    "FastMCP": (_PYTHON, "from fastmcp import FastMCP"),
    "mcp_mount": (_PYTHON, "from mcp_mount import mount_mcp"),
    "fastapi-mcp": (PEERS, "from fastapi_mcp import FastApiMCP"),
}
_TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run each in fresh processes, in turn."""
    rounds = 2 if quick else 5
    imports = {
        name: lambda python=python, statement=statement: _seconds(
            python, "-c", _TIMED.format(statement)
        )
        for name, (python, statement) in _STATEMENTS.items()
    }
    for name, values in alternate(imports, rounds).items():
        yield Figure.of(IMPORTS, name, "", values, "s")
    firsts = {
        name: lambda name=name: _seconds(_PYTHON, "-m", "benchmarks.first_list", name)
        for name in WAYS
    }
    for name, values in alternate(firsts, 1 if quick else 3).items():
        yield Figure.of(FIRST, name, f"{ROUTES:,} routes", values, "s")


def _seconds(python: Path, *arguments: str) -> float:
    done = subprocess.run(  # noqa: S603 - our own module
        [python, *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
