"""Runs the official conformance suite: ``python -m tests.conformance FOLDER``, as `make` does.

FOLDER is where npm installed the suite. Each revision is run against each of `VARIANTS`. A file
beside this one names the scenarios that are expected to fail, and why: what fails beyond them, and
what is named there but passes, fails the run. Only scenarios that the revision requires count, and
those of `LONG_WORK`.
"""

import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import anyio
from fastapi import FastAPI
from fastmcp import Client

from tests.conformance.everything import everything_app
from tests.conformance.through import everything_gateway
from tests.support import served

REVISIONS = ("2026-07-28", "2025-11-25")
VARIANTS: dict[str, Callable[[str, ExitStack], FastAPI]] = {
    "": lambda *_: everything_app(),
    "sessions": lambda *_: everything_app(sessions=True),
    "middleware": lambda *_: everything_app(seen_by_middleware=True),
    "gateway": everything_gateway,
}
LONG_WORK = (
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-request-headers",
)
"""Scenarios of the tasks extension, which no revision requires. The others want a task that asks
its client something, or that needs a client of tasks."""


async def list_tools(url: str) -> None:
    async with Client(url) as client:
        await client.list_tools()


def run_long_work(programs: Path) -> bool:
    """Return whether all went well of `LONG_WORK`."""
    sys.stdout.write("\n=== The tasks extension ===\n")
    sys.stdout.flush()
    with served(everything_app(tasks=True)) as url:
        command = (programs / "node", programs / "conformance", "server", "--url", f"{url}/mcp")
        done = [
            subprocess.run([*command, "--scenario", name, "--force"], check=False)
            for name in LONG_WORK
        ]
    return not any(each.returncode for each in done)


def run_suite(programs: Path, revision: str, variant: str) -> bool:
    """Return whether everything went as expected."""
    # What FastMCP answers in place of the quick way is to go as well as that.
    own = f"-{variant}" if variant in {"sessions", "gateway"} else ""
    expected = Path(__file__).with_name(f"{revision}{own}.yml")
    sys.stdout.write(f"\n=== {revision} {variant} ===\n")
    sys.stdout.flush()
    with ExitStack() as stack, served(VARIANTS[variant](revision, stack)) as url:
        # A gateway has then met its server.
        anyio.run(list_tools, f"{url}/mcp")
        done = subprocess.run(
            [
                *(programs / "node", programs / "conformance", "server"),
                *("--url", f"{url}/mcp", "--requirements", revision),
                *(("--expected-failures", expected) if expected.exists() else ()),
            ],
            check=False,
        )
    return done.returncode == 0


if __name__ == "__main__":
    logging.disable()  # The suite lets tools fail.
    programs = Path(sys.argv[1]) / "node_modules" / ".bin"
    went = [
        run_suite(programs, revision, variant) for revision in REVISIONS for variant in VARIANTS
    ]
    sys.exit(not all([*went, run_long_work(programs)]))
