"""A server that is told to stop, while calls run."""

import json
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Message

from mcp_mount import MountError, mount_mcp
from tests.support import ERAS, Era, envelope

SCRIPT = """
    import asyncio, contextlib, logging, socket, uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from mcp_mount import mount_mcp

    logging.basicConfig(level="WARNING")
    app = FastAPI()

    @app.get("/lines")
    async def lines() -> StreamingResponse:
        async def endless():
            while True:
                yield "line "
                await asyncio.sleep(0.01)

        return StreamingResponse(endless(), media_type="text/plain")

    @app.get("/silent")
    async def silent() -> None:
        print("begun", flush=True)
        await asyncio.sleep(600)

    @app.get("/soon")
    async def soon() -> str:
        print("begun", flush=True)
        await asyncio.sleep(0.5)
        return "done"

    mount_mcp(app)
    with contextlib.suppress(KeyboardInterrupt):  # As uvicorn's own command does.
        uvicorn.Server(uvicorn.Config(app)).run([socket.socket(fileno={fd})])
"""


@contextmanager
def program() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the app as a program; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT.format(fd=fd))],
            cwd=Path(__file__).parent.parent,
            pass_fds=[fd],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate()


def request(era: Era, tool: str, token: str | None = None) -> dict[str, Any]:
    headers, body = envelope(era, "tools/call", {"name": tool, "arguments": {}}, token=token)
    return {"headers": headers, "json": body}


def result_of(text: str) -> dict[str, Any]:
    """Return the result in an answer, whether it is JSON or an event stream."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    answer = json.loads(data[-1] if data else text)
    result: dict[str, Any] = answer["result"]
    return result


@pytest.mark.parametrize("era", ERAS)
def test_calls_that_run_end_with_the_server_and_say_so(era: Era) -> None:
    """R3: the server does not wait for a stream without an end, and its reader is told why."""
    with program() as (url, process), httpx2.Client(base_url=url, timeout=30) as http:
        with http.stream("POST", "/mcp", **request(era, "lines", "p")) as stream:
            lines = stream.iter_lines()
            seen = [next(line for line in lines if "notifications/progress" in line)]
            process.send_signal(signal.SIGTERM)
            seen += lines
        output, _ = process.communicate(timeout=20)
    result = result_of("\n".join(seen))
    assert result["isError"]
    text, note = (block["text"] for block in result["content"])
    assert text.startswith("line line")
    assert note == (
        "[The response ends here, because the server is shutting down. There may be more.]"
    )
    assert output.count("Shutting down: ended 1 calls") == 1
    assert "Traceback" not in output
    assert process.returncode in {0, -signal.SIGTERM}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["silent", "soon"])
def test_a_call_has_a_moment_to_end_by_itself(era: Era, tool: str) -> None:
    """R3: what ends soon is answered; of what does not, nobody knows how far it has come."""
    with (
        program() as (url, process),
        ThreadPoolExecutor(1) as pool,
        httpx2.Client(base_url=url, timeout=30) as http,
    ):
        reply = pool.submit(http.post, "/mcp", **request(era, tool))
        assert process.stdout is not None
        assert any("begun" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        result = result_of(reply.result().text)
        output, _ = process.communicate(timeout=20)
    (block,) = result["content"]
    if tool == "soon":
        assert (block["text"], result["isError"]) == ('"done"', False)
    else:
        assert block["text"].startswith("The API gave no answer before the server was shut down.")
        assert result["isError"]
    assert "Traceback" not in output


def test_trio_is_refused_at_the_start() -> None:
    """X3: not at the first request, which would take the server down."""
    app = FastAPI()
    mount_mcp(app)

    async def lifespan() -> None:
        messages = [{"type": "lifespan.startup"}]

        async def receive() -> Message:
            return messages.pop()

        async def send(message: Message) -> None:
            assert message["type"] == "lifespan.startup.failed"

        await app({"type": "lifespan", "app": app, "state": {}}, receive, send)

    # Stepped by hand, as another event loop would.
    with pytest.raises(MountError, match="asyncio"):
        lifespan().send(None)
