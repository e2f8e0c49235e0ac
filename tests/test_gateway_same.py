"""Every kind of call is answered through a gateway as directly, but for names and addresses."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mcp_mount import Remote
from tests.others import gateway, handshake_only, parts_server, raw, tool
from tests.support import ERAS, Era, call, rpc, served
from tests.test_gateway_links import linking_server

CALLS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "structure": ("tools/call", {"name": "find", "arguments": {"word": "nut"}}),
    "tool error": ("tools/call", {"name": "fail", "arguments": {"reason": "rust"}}),
    "missing argument": ("tools/call", {"name": "find", "arguments": {}}),
    "progress": ("tools/call", {"name": "count", "arguments": {"to": 3}}),
    "picture": ("tools/call", {"name": "picture", "arguments": {}}),
    "links": ("tools/call", {"name": "links", "arguments": {}}),
    "resource": ("resources/read", {"uri": "data://parts/all"}),
    "resource of a template": ("resources/read", {"uri": "data://bolt/7"}),
    "prompt": ("prompts/get", {"name": "order", "arguments": {"part": "nut"}}),
    "completion": (
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "order"},
            "argument": {"name": "part", "value": "n"},
        },
    ),
}
"""The requests of each kind, as the server's own clients make them."""


def through(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the same request through a gateway, where the server is `one`."""
    moved = json.loads(json.dumps(params))
    if "name" in moved:
        moved["name"] = f"one_{moved['name']}"
    if "ref" in moved:
        moved["ref"]["name"] = f"one_{moved['ref']['name']}"
    if "uri" in moved:
        moved["uri"] = moved["uri"].replace("://", "://one/")
    return dict(moved)


def plain(message: dict[str, Any]) -> Any:
    """Return an answer without the gateway's name, and what each server says of itself."""
    text = json.dumps(message).replace("data://one/", "data://")
    answer = json.loads(text)
    if "result" in answer:
        answer["result"].pop("_meta", None)
        for key in ("ttlMs", "cacheScope"):
            answer["result"].pop(key, None)
    return answer


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("theirs", ["modern", "legacy"])
async def test_a_call_through_a_gateway_is_answered_as_directly(era: Era, theirs: Era) -> None:
    """Gateway: the differential test, for clients and servers of both eras."""
    server = parts_server()
    server.mount(linking_server())
    server.add_completion_handler(lambda *_: ["nut", "nail"])
    app = server.http_app(path="/mcp", stateless_http=True)
    serving = app if theirs == "modern" else handshake_only(app)
    with served(serving, timeout_graceful_shutdown=1) as url:
        async with gateway(Remote("one", url=f"{url}/mcp")) as between:
            for kind, (method, params) in CALLS.items():
                moved = through(params)
                answers = []
                for at, given in ((app, params), (between, moved)):
                    name = given.get("name") or given.get("uri")
                    headers = {"mcp-name": name} if era == "modern" and name else {}
                    reply = await rpc(at, era, method, given, headers=headers, token="p")
                    answers.append([plain(each) for each in reply.messages])
                direct, passed_on = answers
                assert "result" in direct[-1], kind
                assert passed_on == direct, kind


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("modern", [True, False])
async def test_an_error_of_a_server_is_the_same_where_progress_is_asked_for(
    era: Era, caplog: pytest.LogCaptureFixture, *, modern: bool
) -> None:
    """Gateway: it was none of its own then, and a traceback in the log, which took 90 ms."""
    error = {"code": -1, "message": "m", "data": {"k": 1}}
    with raw([tool()], modern=modern, call=error) as (_, url):
        async with gateway(Remote("far", url=url)) as app:
            usual = await call(app, "far_tool", era=era)
            other = await call(app, "far_tool", era=era, token="t")
    assert usual.answer["error"]["code"] == -1
    assert other.answer == usual.answer
    assert [each for each in caplog.records if each.exc_info] == []
