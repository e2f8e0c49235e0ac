"""Runs the official conformance suite: ``python -m tests.conformance SUITE``, as `make` does.

SUITE is the folder in which npm installed it. Each revision is run in the default and with
sessions; a file beside this one names what is expected to fail, and why. What fails beyond it,
and what is named there but passes, fails the run.
"""

import subprocess
import sys
from pathlib import Path

from tests.conformance.everything import everything_app
from tests.support import served

FOLDER = Path(__file__).parent
RUNS = [
    (revision, sessions) for revision in ("2026-07-28", "2025-11-25") for sessions in (False, True)
]


def run_suite(modules: Path, revision: str, *, sessions: bool) -> bool:
    """Return whether everything went as expected."""
    kind = "sessions" if sessions else "default"
    sys.stdout.write(f"\n== {revision}, {kind} ==\n")
    sys.stdout.flush()
    with served(everything_app(sessions=sessions)) as url:
        done = subprocess.run(
            [
                *(modules / ".bin" / "node", modules / ".bin" / "conformance", "server"),
                *("--url", f"{url}/mcp", "--requirements", revision),
                *("--expected-failures", FOLDER / f"{revision}-{kind}.yml"),
            ],
            check=False,
        )
    return done.returncode == 0


if __name__ == "__main__":
    modules = Path(sys.argv[1]) / "node_modules"
    went = [run_suite(modules, revision, sessions=sessions) for revision, sessions in RUNS]
    sys.exit(not all(went))
