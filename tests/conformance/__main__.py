"""Runs the official conformance suite: ``python -m tests.conformance FOLDER``, as `make` does.

FOLDER is where npm installed the suite. Each revision is run without and with sessions. A file
beside this one names the scenarios that are expected to fail, and why: what fails beyond them, and
what is named there but passes, fails the run. Only scenarios that the revision requires count.
"""

import logging
import subprocess
import sys
from pathlib import Path

from tests.conformance.everything import everything_app
from tests.support import served

REVISIONS = ("2026-07-28", "2025-11-25")


def run_suite(programs: Path, revision: str, *, sessions: bool) -> bool:
    """Return whether everything went as expected."""
    name = f"{revision}-sessions" if sessions else revision
    expected = Path(__file__).with_name(f"{name}.yml")
    sys.stdout.write(f"\n=== {name} ===\n")
    sys.stdout.flush()
    with served(everything_app(sessions=sessions)) as url:
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
        run_suite(programs, revision, sessions=sessions)
        for revision in REVISIONS
        for sessions in (False, True)
    ]
    sys.exit(not all(went))
