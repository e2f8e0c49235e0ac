"""A server behind the gateway is as good as one that is connected directly."""

from typing import Any

import anyio
import pytest
from starlette.responses import Response

from mcp_mount import Remote, gateway_app
from tests.others import free_port, gateway, heard, raw, text, tool
from tests.starting import started
from tests.support import ERAS, MODERN, Era, call, rpc, tools

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)
modern_or_not = pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])

FORM = {"type": "object", "properties": {}}
CAN_ASK: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


async def never(params: dict[str, Any]) -> dict[str, Any]:
    await anyio.sleep_forever()
    return {}


ODD: dict[str, Any] = {
    "no such method": None,
    "other error": {"code": -32603, "message": "What?"},
    "invalid parameters": {"code": -32602, "message": "What?"},
    "empty": {},
    "null": {"resources": None, "prompts": None, "resourceTemplates": None},
    "not found": Response(status_code=404),
    "bad request": Response("no", 400),
    "failure": Response("no", 500),
    "accepted": Response(status_code=202),
    "not JSON": Response("<html>", media_type="text/html"),
    "half": Response(b'{"jsonrpc"', media_type="application/json"),
    "empty stream": Response(b"", media_type="text/event-stream"),
    "hangs": never,
}


def declaring(**capabilities: Any) -> dict[str, Any]:
    """Return the answers of a server that says what it has."""
    return {
        "discover": {"supportedVersions": [MODERN], "capabilities": capabilities},
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": capabilities,
            "serverInfo": {"name": "raw", "version": "1"},
        },
    }


@modern_or_not
@pytest.mark.parametrize("odd", ODD)
async def test_a_server_is_asked_for_what_it_says_that_it_has(odd: str, modern: bool) -> None:  # noqa: FBT001
    """Gateway: one with tools alone may answer other questions in whichever way."""
    others = ("resources/list", "resources/templates/list", "prompts/list")
    answers = {**dict.fromkeys(others, ODD[odd]), **declaring(tools={})}
    if modern:
        del answers["initialize"]
    else:
        answers["discover"] = None
    with raw([tool()], modern=modern, call=text("done"), **answers) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            assert {*await tools(app)} == {"raw_tool"}
            assert (await call(app, "raw_tool")).text_content == "done"
    assert not {*server.methods} & {*others}


@pytest.mark.parametrize("odd", ["other error", "empty", "failure", "not JSON", "half"])
async def test_a_list_that_fails_hides_itself_and_no_tools(odd: str) -> None:
    """Gateway: a server that has broken prompts has tools all the same; the log tells."""
    with raw([tool()], **{"prompts/list": ODD[odd]}) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            await log.line("'raw' is up")
            assert {*await tools(app)} == {"raw_tool"}
    assert "The remote 'raw': its prompts cannot be listed." in log.lines


async def test_a_server_that_says_nothing_of_itself_is_asked_for_tools() -> None:
    """Gateway: small servers forget to."""
    with raw([tool()], **declaring()) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            assert {*await tools(app)} == {"raw_tool"}


@eras
@modern_or_not
@pytest.mark.parametrize("code", [-32602, -32603, -32000, -32601, 7])
async def test_an_error_that_a_server_wrote_is_passed_on(era: Era, modern: bool, code: int) -> None:  # noqa: FBT001
    """Gateway: with its code and its data; it may be for the client, or say what is wrong."""
    error = {"code": code, "message": "No \x1b[31mpart 7.", "data": {"part": 7}}
    answers: dict[str, Any] = {
        "call": error,
        "resources/list": {"resources": [{"uri": "data://a", "name": "a"}]},
        "resources/read": error,
        "prompts/list": {"prompts": [{"name": "p"}]},
        "prompts/get": error,
    }
    with raw([tool()], modern=modern, **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            headers = {"mcp-name": "data://raw/a"} if era == "modern" else {}
            for reply in (
                await call(app, "raw_tool", era=era),
                await rpc(app, era, "resources/read", {"uri": "data://raw/a"}, headers=headers),
                await rpc(app, era, "prompts/get", {"name": "raw_p", "arguments": {}}),
            ):
                assert reply.answer["error"] == {**error, "message": "No part 7."}


async def test_a_capability_that_a_server_needs_is_passed_on() -> None:
    """Gateway: -32021 with `requiredCapabilities`, by which a client learns what to say."""
    needed: dict[str, Any] = {"requiredCapabilities": {"elicitation": {"form": {}}}}
    error = {"code": -32021, "message": "Elicitation is needed.", "data": needed}
    with raw([tool()], call=error) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await call(app, "raw_tool")
    assert reply.status == 400
    assert reply.answer["error"]["code"] == -32021
    assert reply.answer["error"]["data"] == needed


async def test_what_our_client_says_in_a_servers_place_stays_here() -> None:
    """Gateway: it is told as a server that cannot be reached."""
    for broken in (Response("x", 500), Response(b"", media_type="text/event-stream")):
        with raw([tool()], call=broken) as (_, url):
            async with gateway(Remote("raw", url=url)) as app:
                reply = await call(app, "raw_tool")
        assert reply.text_content == (
            "The server 'raw' cannot be reached now. Try again in a few seconds."
        )


async def test_no_two_requests_to_a_server_have_the_same_id() -> None:
    """Gateway: a retry after ``input_required`` has a new one (MCP "Multi Round-Trip Requests")."""
    params = {"mode": "form", "message": "Who?", "requestedSchema": FORM}
    asked = {
        "resultType": "input_required",
        "inputRequests": {"who": {"method": "elicitation/create", "params": params}},
        "requestState": "theirs",
    }

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        return text("done") if "inputResponses" in params else asked

    with raw([tool()], call=answer) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            first = {"name": "raw_tool", "arguments": {}, "_meta": CAN_ASK}
            question = (await rpc(app, "modern", "tools/call", first)).result
            again = {
                "inputResponses": {"who": {"action": "accept", "content": {}}},
                "requestState": question["requestState"],
            }
            done = await rpc(app, "modern", "tools/call", {**first, **again})
    assert done.text_content == "done"
    ids = [each["id"] for each in server.requests]
    assert len(ids) == len({*ids})


@eras
async def test_a_question_of_a_resource_has_its_servers_name(era: Era) -> None:
    """Gateway: whatever a server asks, its user sees who asks."""
    params = {"mode": "form", "message": "Who?", "requestedSchema": FORM}
    asked = {
        "resultType": "input_required",
        "inputRequests": {"who": {"method": "elicitation/create", "params": params}},
    }
    answers: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": "data://a", "name": "a"}]},
        "resources/read": asked,
    }
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            headers = {"mcp-name": "data://raw/a"} if era == "modern" else {}
            read = {"uri": "data://raw/a", **({"_meta": CAN_ASK} if era == "modern" else {})}
            reply = await rpc(app, era, "resources/read", read, headers=headers)
    if era == "modern":
        message = reply.result["inputRequests"]["who"]["params"]["message"]
        assert message == "The server 'raw' asks: Who?"
    else:
        assert "this client cannot" in reply.answer["error"]["message"]


@eras
async def test_a_known_tool_of_a_server_that_is_away_is_told_to_come_back(era: Era) -> None:
    """Gateway: it is not unknown; a client would forget it."""
    port = free_port()
    with heard() as log:
        async with started(
            gateway_app([Remote("raw", url=f"http://127.0.0.1:{port}/mcp", refresh=0.2)])
        ) as app:
            with raw([tool()], port=port, call=text("here")):
                await log.line("'raw' is up")
                assert (await call(app, "raw_tool", era=era)).text_content == "here"
            await log.line("'raw' is down", times=1 + sum("down" in line for line in log.lines))
            assert await tools(app, era=era) == {}
            away = await call(app, "raw_tool", era=era)
            assert away.is_error
            assert away.text_content == (
                "The server 'raw' is unavailable. Try again in a few seconds."
            )
            unknown = await call(app, "raw_other", era=era)
            assert unknown.answer["error"]["code"] == -32602


async def test_tools_can_be_chosen_and_limits_set_for_one_server() -> None:
    """Gateway: `Remote(tools=…, limits=…)`; what matches nothing is told in the log."""
    listing = [tool("get_part"), tool("get_all"), tool("delete_part")]
    with raw(listing, call=text("x" * 2_000)) as (_, url), heard() as log:
        remotes = [
            Remote("few", url=url, tools=["get_*", "delete_parts"], limits={"max_bytes": 1_000}),
            Remote("all", url=url),
        ]
        async with started(gateway_app(remotes)) as app:
            for name in ("few", "all"):
                await log.line(f"'{name}' is up")
            names = {*await tools(app)}
            assert names == {
                *("few_get_part", "few_get_all"),
                *("all_get_part", "all_get_all", "all_delete_part"),
            }
            assert (await call(app, "few_get_part")).is_error
            assert not (await call(app, "all_get_part")).is_error
            refused = await call(app, "few_delete_part")
            assert refused.answer["error"]["code"] == -32602
    assert "no tool is called 'delete_parts' (near: 'delete_part'" in "".join(log.lines)
