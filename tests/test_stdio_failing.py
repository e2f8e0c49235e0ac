"""``--stdio`` with a client, or an endpoint elsewhere, that does not do as it should."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.test_stdio import MODERN_META, OPENING, folder, message, program, say, words_for

__all__ = ["folder"]

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("request_id", [[1], {}, True, 1.5, None])
def test_a_cancellation_of_no_request_ends_nothing(request_id: object, folder: Path) -> None:
    """Stdio: an id that is a list ended the program with a traceback."""
    with program(*words_for(folder), KEY="alice") as (process, stdin, stdout):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        say(stdin, message("notifications/cancelled", requestId=request_id))
        say(stdin, message("tools/list", 2))
        assert json.loads(stdout.readline())["id"] == 2
        stdin.close()
        assert process.wait(10) == 0


class Broken(BaseHTTPRequestHandler):
    """Answers what `kind` says to ``tools/list``, once, and everything else as it should."""

    protocol_version = "HTTP/1.1"
    kind = "close"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["method"] == "tools/list" and self.kind:
            if self.kind == "no http":
                self.wfile.write(b"hello\r\n\r\n")
            elif self.kind == "half":
                self.answer(b"{", length=100)
            type(self).kind, self.close_connection = "", True
            return
        self.answer(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {}}).encode())

    def answer(self, body: bytes, length: int = 0) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def endpoint(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp"
        finally:
            server.shutdown()


@pytest.mark.parametrize("meta", [{}, MODERN_META], ids=["legacy", "modern"])
@pytest.mark.parametrize("kind", ["close", "no http", "half"])
def test_a_connection_that_breaks_off_ends_one_request(kind: str, meta: dict[str, Any]) -> None:
    """Stdio: `run URL` ended with a traceback."""
    with (
        endpoint(type("Once", (Broken,), {"kind": kind})) as url,
        program("run", url, "--stdio") as (process, stdin, stdout),
    ):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        say(stdin, message("tools/list", 2, _meta=meta))
        answer = json.loads(stdout.readline())
        assert answer["id"] == 2
        assert "cannot be reached" in answer["error"]["message"]
        say(stdin, message("tools/list", 3, _meta=meta))
        assert json.loads(stdout.readline())["result"] == {}
        stdin.close()
        assert process.wait(10) == 0
