"""Runs the benchmarks: ``python -m benchmarks [--quick] [--only throughput …]``."""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import concurrency, costs, report, scaling, servers, starting, streaming, throughput
from benchmarks.figures import Figure, load
from benchmarks.plot import draw
from benchmarks.targets import reached

_FOLDER = Path(__file__).parent
_VERSIONED = ("fastapi", "fastmcp", "mcp", "starlette", "uvicorn", "uvloop", "httptools")


def _scaling(*, quick: bool) -> Iterator[Figure]:
    for routes in scaling.QUICK_SIZES if quick else scaling.SIZES:
        yield from _in_own_process(Path(sys.executable), str(routes), quick=quick)
    if quick:
        return
    for name, foreign in scaling.FOREIGN.items():
        if foreign.python.exists():
            yield from _in_own_process(foreign.python, name, quick=quick)
        else:
            _say(f"  {foreign.title} is left out: `make {foreign.target}` installs it.")


def _in_own_process(python: Path, what: str, *, quick: bool) -> list[Figure]:
    command = [str(python), "-m", "benchmarks.scaling", what, *(["--quick"] if quick else [])]
    done = subprocess.run(  # noqa: S603 - our own module
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return load(done.stdout.splitlines()[-1])


_PARTS: dict[str, Callable[..., Iterator[Figure]]] = {
    "throughput": throughput.measure,
    "configurations": costs.measure_calls,
    "lists": costs.measure_lists,
    "scaling": _scaling,
    "streaming": streaming.measure,
    "concurrency": concurrency.measure,
    "starting": starting.measure,
}


def main() -> None:
    """Measure, print, and keep the results of a whole run."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=list(_PARTS), metavar="PART")
    options = parser.parse_args()
    _allow_many_connections()
    servers.reserve_processor()
    figures: list[Figure] = []
    for name in options.only:
        begin = time.monotonic()
        _say(f"{name} …")
        own = list(_PARTS[name](quick=options.quick))
        _say(f"  {time.monotonic() - begin:.0f} s")
        _show(*report.tables(own))
        figures += own
    if targets := list(reached(figures)):
        _show(report.table(["Target", "bound", "measured", ""], targets))
    if options.quick or len(options.only) < len(_PARTS):
        _say("Nothing is written: only a whole run, not a quick one, is kept.")
        return
    results = {"machine": _machine(), "figures": [asdict(figure) for figure in figures]}
    _FOLDER.joinpath("results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    draw(figures, _FOLDER)
    _say("Written to benchmarks/: results.json, results.png and configurations.png.")


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        **{name: version(name) for name in _VERSIONED},
    }


def _show(*tables: str) -> None:
    sys.stdout.write("\n".join(("", *tables, "")))
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
