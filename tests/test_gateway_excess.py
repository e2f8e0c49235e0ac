"""A server that sends more than its answer: what is too much is nobody's answer."""

import asyncio
import json
from typing import Any

import anyio
import pytest

from mcp_mount import Remote
from tests.others import gateway, text, tool
from tests.support import ERAS, MODERN, Era, call


class Twice:
    """A server over raw connections that answers a call of ``first`` twice."""

    def __init__(self, *, modern: bool, gap: bool) -> None:
        self.modern = modern
        self.gap = gap

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
                size = int({key.lower(): each for key, each in fields.items()}["content-length"])
                for part in self.answer(json.loads(await reader.readexactly(size))):
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, message: dict[str, Any]) -> list[bytes]:
        if "id" not in message:
            return [b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"]
        method, name = message["method"], message.get("params", {}).get("name")
        said = written(message["id"], self.result(method, name))
        if name != "first":
            return [said]
        # The ids of the next requests, whichever of them comes.
        stolen = [
            written(message["id"] + ahead, self.result("tools/call", "of somebody else"))
            for ahead in range(1, 6)
        ]
        return [said, *stolen] if self.gap else [b"".join([said, *stolen])]

    def result(self, method: str, name: str | None) -> dict[str, Any] | None:
        modern = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        has: dict[str, Any] = {"capabilities": {"tools": {}}}
        results: dict[str, dict[str, Any]] = {
            "tools/list": {"tools": [tool("first"), tool("second")]},
            "tools/call": text(str(name)),
        }
        if self.modern:
            results["server/discover"] = {"supportedVersions": [MODERN], **has}
        else:
            about = {"name": "twice", "version": "1"}
            results["initialize"] = {"protocolVersion": "2025-06-18", "serverInfo": about, **has}
        found = results.get(method)
        return {**modern, **found} if found is not None and self.modern else found


def written(id_: int, result: dict[str, Any] | None) -> bytes:
    """Write an answer with its head."""
    missing = {"error": {"code": -32601, "message": "Method not found"}}
    said = {"result": result} if result is not None else missing
    body = json.dumps({"jsonrpc": "2.0", "id": id_, **said}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("theirs", ERAS)
@pytest.mark.parametrize("era", ERAS)
async def test_the_second_answer_to_a_call_is_never_that_of_the_next_caller(
    *, era: Era, theirs: Era, gap: bool
) -> None:
    """Gateway: the connection is closed with it; its id would be right, too."""
    twice = Twice(modern=theirs == "modern", gap=gap)
    server = await asyncio.start_server(twice.serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        with anyio.fail_after(30):
            async with gateway(Remote("twice", url=url, session="shared")) as app:
                for _ in range(3):
                    assert (await call(app, "twice_first", era=era)).text_content == "first"
                    assert (await call(app, "twice_second", era=era)).text_content == "second"
