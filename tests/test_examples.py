"""The examples serve MCP as they stand."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

CALL = """
import anyio, examples.telemetry
from tests.support import call
reply = anyio.run(lambda: call(examples.telemetry.app, "get_part", {"number": 3}))
assert reply.result["structuredContent"] == {"number": 3}, reply.text
"""


def test_the_example_of_telemetry_shows_spans_and_metrics() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for name in ("look up", "tools/call get_part", "mcp.server.operation.duration"):
        assert f'"name": "{name}"' in done.stdout
