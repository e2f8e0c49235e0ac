"""``--stdio`` with a client, or an endpoint elsewhere, that does not do as it should."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
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


class Slow(Broken):
    """Does not answer what `kind` names, until the test ends."""

    asked: Event
    ended: Event
    got: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        self.got.append(asked["method"])
        if asked["method"] == self.kind:
            self.asked.set()
            self.ended.wait(60)
            self.close_connection = True
            return
        self.answer(json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": {}}).encode())


SLOW = {
    "notifications/roots/list_changed": message("notifications/roots/list_changed") * 3,
    "tools/list": "".join(
        message("tools/call", each, name=f"t{each}", arguments={}, _meta=MODERN_META)
        for each in range(2, 5)
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_an_endpoint_that_is_slow_does_not_keep_the_program(kind: str) -> None:
    """Stdio: the end of the input was not seen while something was sent."""
    asked, ended = Event(), Event()
    slow = type("Slowest", (Slow,), {"kind": kind, "asked": asked, "ended": ended, "got": []})
    with endpoint(slow) as url, program("run", url, "--stdio") as (process, stdin, stdout):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        say(stdin, SLOW[kind])
        assert asked.wait(10)
        stdin.close()
        try:
            assert process.wait(8) == 0
        finally:
            ended.set()


def test_a_call_that_waits_for_the_list_keeps_no_other_back() -> None:
    """Stdio: others go on, and it is never sent when it is cancelled."""
    asked, ended = Event(), Event()
    got: list[str] = []
    slow = type(
        "Slowest", (Slow,), {"kind": "tools/list", "asked": asked, "ended": ended, "got": got}
    )
    with endpoint(slow) as url, program("run", url, "--stdio") as (process, stdin, stdout):
        for call, name in ((2, "t"), (4, "u")):
            say(stdin, message("tools/call", call, name=name, arguments={}, _meta=MODERN_META))
        assert asked.wait(10)
        for call in (2, 4):
            say(stdin, message("notifications/cancelled", requestId=call))
        say(stdin, message("prompts/list", 3, _meta=MODERN_META))
        try:
            assert json.loads(stdout.readline())["id"] == 3
            # One after the other, the second call would have asked for a list of its own first.
            assert got == ["tools/list", "prompts/list"]
        finally:
            ended.set()
        stdin.close()
        assert process.wait(10) == 0
        assert stdout.read() == ""
    assert "tools/call" not in got
