"""What our own tools are subject to holds for a remote's as well."""

import json
import logging
from typing import Any

import anyio
import pytest
from anyio import to_thread
from fastapi import FastAPI, Request

from mcp_mount import Limits, MountError, RateLimit, Remote, mount_mcp
from tests.lanes import handled_by_fastmcp
from tests.others import gateway, heard, offered, parts_server, raw, text, tool
from tests.starting import started
from tests.support import ERAS, Era, Reply, call, rpc, tools

eras = pytest.mark.parametrize("era", ERAS)

CAN_ASK: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
READS = {"readOnlyHint": True}


async def ask(app: Any, name: str, **more: Any) -> Reply:
    """Call a tool as a modern client that can ask its user; `more` are further parameters."""
    params = {"name": name, "arguments": {"a": 1}, "_meta": CAN_ASK, **more}
    return await rpc(app, "modern", "tools/call", params)


def answered(question: Reply, action: str = "accept") -> dict[str, Any]:
    """Return the parameters with which a client answers a question."""
    (key,) = question.result["inputRequests"]
    answer = {"action": action, **({"content": {}} if action == "accept" else {})}
    return {"inputResponses": {key: answer}, "requestState": question.result["requestState"]}


async def test_a_tool_that_does_not_say_it_is_harmless_asks_first() -> None:
    """Gateway: `confirm="destructive"`; without hints a tool counts as destructive."""
    listing = [
        tool("silent"),
        tool("reads", annotations=READS),
        tool("adds", annotations={"destructiveHint": False}),
    ]
    with raw(listing, call=text("done")) as (server, url):
        async with gateway(Remote("raw", url=url), confirm="destructive") as app:
            question = await ask(app, "raw_silent")
            (request,) = question.result["inputRequests"].values()
            assert request["params"]["message"] == 'Run the tool raw_silent with {"a": 1}?'
            assert "tools/call" not in server.methods
            assert (await ask(app, "raw_silent", **answered(question))).text_content == "done"
            question = await ask(app, "raw_silent")
            declined = await ask(app, "raw_silent", **answered(question, "decline"))
            assert declined.is_error
            assert server.methods.count("tools/call") == 1
            for name in ("raw_reads", "raw_adds"):
                assert (await ask(app, name)).text_content == "done"
    sent = [each["params"] for each in server.requests if each.get("method") == "tools/call"]
    assert "mcp_mount:asked" not in json.dumps(sent), "our question is not the remote's business"


async def test_a_question_of_the_remote_reaches_the_user_with_its_name() -> None:
    """Gateway: ``input_required`` is passed on, after our own question, and so is the answer."""

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        if "inputResponses" in params:
            return text(json.dumps([params["inputResponses"], params["requestState"]]))
        form = {"type": "object", "properties": {}}
        asked = {"message": "\x1b[31mWhich size?", "requestedSchema": form}
        request = {"method": "elicitation/create", "params": {"mode": "form", **asked}}
        return {
            "resultType": "input_required",
            "inputRequests": {"size": request},
            "requestState": "theirs",
        }

    with raw([tool()], call=answer) as (server, url):
        async with gateway(Remote("raw", url=url), confirm="destructive") as app:
            ours = await ask(app, "raw_tool")
            theirs = await ask(app, "raw_tool", **answered(ours))
            (request,) = theirs.result["inputRequests"].values()
            assert request["params"]["message"] == "The server 'raw' asks: Which size?"
            done = await ask(app, "raw_tool", **answered(theirs))
            assert json.loads(done.text_content)[1] == "theirs"
            # A client that cannot ask its user is not asked.
            plain = await call(app, "raw_tool")
            assert plain.is_error
            assert plain.text_content == "The server 'raw' asks its user first; this client cannot."
    assert server.methods.count("tools/call") == 3


async def test_what_no_user_is_asked_for_is_an_error() -> None:
    """Gateway: a remote gets no completion of the client's model."""
    request = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
    asked = {"resultType": "input_required", "inputRequests": {"model": request}}
    with raw([tool(annotations=READS)], call=asked) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            refused = await ask(app, "raw_tool")
    assert refused.is_error
    assert "'raw'" in refused.text_content


def asking(mode: str, **more: Any) -> dict[str, Any]:
    """Return the answer of a server that has a question."""
    params = {"mode": mode, "message": "Who?", **more}
    request = {"method": "elicitation/create", "params": params}
    return {"resultType": "input_required", "inputRequests": {"who": request}, "requestState": "s"}


@pytest.mark.parametrize(
    ("can", "url", "is_asked"),
    [
        ({}, "https://login.example/", False),
        ({"form": {}}, "https://login.example/", False),
        ({"form": {}, "url": {}}, "https://login.example/", True),
        ({"form": {}, "url": {}}, "javascript://login.example/", False),
        ({"form": {}, "url": {}}, "https://login.example/\u202e", False),
    ],
)
async def test_a_page_is_opened_only_by_clients_that_say_so(
    can: dict[str, Any],
    url: str,
    is_asked: bool,  # noqa: FBT001
) -> None:
    """Gateway: a remote sends nobody's user to a page whose client knows only forms."""
    meta = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": can}}
    with raw([tool(annotations=READS)], call=asking("url", url=url)) as (_, at):
        async with gateway(Remote("raw", url=at)) as app:
            params = {"name": "raw_tool", "arguments": {}, "_meta": meta}
            reply = await rpc(app, "modern", "tools/call", params)
    assert ("inputRequests" in reply.result) is is_asked
    if is_asked:
        (request,) = reply.result["inputRequests"].values()
        assert request["params"]["url"] == url
        assert request["params"]["message"] == "The server 'raw' asks: Who?"


async def test_a_form_hides_nothing_and_is_bounded() -> None:
    """Gateway: what a user reads is cleaned, wherever in the form it stands."""

    def form(said: str) -> dict[str, Any]:
        name = {"type": "string", "title": said, "description": said}
        return asking("form", requestedSchema={"type": "object", "properties": {"name": name}})

    with raw([tool(annotations=READS)], call=form("\x1b[31mYour \u202ename")) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            (request,) = (await ask(app, "raw_tool")).result["inputRequests"].values()
            shown = request["params"]["requestedSchema"]["properties"]["name"]
            assert (shown["title"], shown["description"]) == ("Your name", "Your name")
            server.answers["tools/call"] = form("x" * 50_000)
            refused = await ask(app, "raw_tool")
    assert refused.is_error
    assert "more than a question" in refused.text_content


@eras
async def test_calls_of_a_remote_count(era: Era) -> None:
    """Gateway: `rate_limit=`."""
    with raw([tool()], call=text("done")) as (_, url):
        async with gateway(Remote("raw", url=url), rate_limit=RateLimit("1/hour")) as app:
            assert not (await call(app, "raw_tool", era=era)).is_error
            refused = await call(app, "raw_tool", era=era)
    assert refused.is_error
    assert refused.text_content.startswith("Too many calls")


async def test_calls_of_a_remote_take_places() -> None:
    """Gateway: `Limits.max_concurrency`."""

    async def never(params: dict[str, Any]) -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    with raw([tool()], call=never) as (server, url):
        limits = Limits(max_concurrency=1)
        remote = Remote("raw", url=url)
        async with gateway(remote, limits=limits) as app, anyio.create_task_group() as tasks:
            tasks.start_soon(call, app, "raw_tool")
            assert await to_thread.run_sync(server.called.wait, 5)
            refused = await call(app, "raw_tool")
            tasks.cancel_scope.cancel()
    assert refused.text_content.startswith("Too many calls are running.")


@eras
async def test_each_call_of_a_remote_has_a_line_in_the_log(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """Gateway: which server and which tool, and what came of it; no arguments."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url)) as app:
            await call(app, "parts_find", {"word": "secret"}, era=era)
            await call(app, "parts_fail", {"reason": "secret"}, era=era)
    lines = [each.getMessage() for each in caplog.records if each.name == "mcp_mount.calls"]
    assert [line.split(" status")[0] for line in lines] == [
        "tool=parts_find operation=parts/find outcome=ok",
        "tool=parts_fail operation=parts/fail outcome=error",
    ]
    assert "secret" not in "".join(lines)


@eras
async def test_scopes_guard_a_remote(era: Era) -> None:
    """Gateway: `Remote(scopes=…)`: hidden from whoever lacks them, and a call gets 403."""
    app = FastAPI()

    def scopes_of(request: Request) -> list[str]:
        return request.headers.get("x-scopes", "").split()

    with offered(parts_server()) as url:
        remote = Remote("parts", url=url, scopes=["parts:use"])
        mount_mcp(app, remotes=[remote], scopes_of=scopes_of)
        with heard() as log:
            async with started(app) as serving:
                await log.line("'parts' is up")
                allowed = {"x-scopes": "parts:use"}
                assert await tools(serving, era=era) == {}
                assert "parts_find" in await tools(serving, era=era, headers=allowed)
                refused = await call(serving, "parts_find", {"word": "x"}, era=era)
                assert refused.status == 403
                assert "parts:use" in refused.headers["www-authenticate"]
                found = await call(serving, "parts_find", {"word": "x"}, era=era, headers=allowed)
                assert not found.is_error
                hidden = await rpc(serving, era, "resources/list")
                assert hidden.result["resources"] == []
                shown = await rpc(serving, era, "resources/list", headers=allowed)
                assert len(shown.result["resources"]) == 1


async def test_own_operations_still_take_the_fast_lane() -> None:
    """Gateway, X5: calls of ours as before, and a list that is rendered once per change."""
    app = FastAPI()

    @app.get("/ours", operation_id="ours")
    async def ours() -> str:
        return "ours"

    with raw([tool()], call=text("theirs")) as (server, url), heard() as log:
        mount_mcp(app, remotes=[Remote("raw", url=url)])
        async with started(app) as serving:
            await log.line("'raw' is up")
            with handled_by_fastmcp() as seen:
                assert (await call(serving, "ours")).text_content == '"ours"'
                assert seen == []
                assert (await call(serving, "raw_tool")).text_content == "theirs"
                assert {*await tools(serving)} == {"ours", "raw_tool"}
                assert seen == ["/mcp"]
                server.answers["tools/list"] = {"tools": [tool("other")]}
                server.answers["tools/call"] = {"code": -32602, "message": "Unknown tool: tool"}
                assert "error" in (await call(serving, "raw_tool")).answer
                await log.line("'raw' offers something else")
                assert {*await tools(serving)} == {"ours", "raw_other"}
            # What it offers is asked in the background, and not for each list or call.
            assert server.methods.count("tools/list") == 2


async def test_arguments_reach_a_remote_under_its_own_names() -> None:
    """Gateway, P1: a key that clients refuse is published under another name, and mapped back."""
    schema = {
        "type": "object",
        "properties": {"filter[name]": {"type": "string"}, "$top": {"type": "integer"}},
        "required": ["filter[name]"],
    }

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        return text(json.dumps(params["arguments"]))

    with raw([tool(inputSchema=schema)], call=answer) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            published = (await tools(app))["raw_tool"]["inputSchema"]
            assert {*published["properties"]} == {"filter_name", "top"}
            assert published["required"] == ["filter_name"]
            reply = await call(app, "raw_tool", {"filter_name": "x", "top": 1})
    assert json.loads(reply.text_content) == {"filter[name]": "x", "$top": 1}


def test_scopes_that_nobody_asks_for_stop_the_start() -> None:
    """Gateway: a remote that is meant to be guarded is never open to everyone."""
    remote = Remote("parts", url="https://parts.example/mcp", scopes=["parts:use"])
    with pytest.raises(MountError, match="give auth= or scopes_of="):
        mount_mcp(FastAPI(), remotes=[remote])
