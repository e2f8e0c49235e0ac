"""Both protocol eras on one endpoint, without state."""

from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from mcp_mount import mount_mcp
from tests.starting import started
from tests.support import ERAS, LEGACY, MODERN, Era, call, envelope, http, rpc

UNKNOWN_METHOD, INVALID_PARAMS = -32601, -32602
HANDSHAKE_VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
HANDSHAKE: dict[str, Any] = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "client", "version": "1"},
}


def numbers_app(**options: Any) -> FastAPI:
    """Return an app with one tool, ``number``, and the endpoint."""
    app = FastAPI(title="Numbers", version="1.2")

    @app.get("/numbers/{number}")
    async def number(number: int) -> int:
        return number

    mount_mcp(app, **options)
    return app


@pytest.mark.parametrize("version", HANDSHAKE_VERSIONS)
async def test_the_handshake_is_answered_in_the_clients_version(version: str) -> None:
    """X1."""
    params = {**HANDSHAKE, "protocolVersion": version}
    reply = await rpc(numbers_app(), "legacy", "initialize", params)
    assert reply.status == 200
    assert reply.result["protocolVersion"] == version
    assert reply.result["serverInfo"] == {"name": "Numbers", "version": "1.2"}
    assert "mcp-session-id" not in reply.headers


@pytest.mark.parametrize("version", [*HANDSHAKE_VERSIONS, None])
async def test_a_call_needs_no_handshake_before_it(version: str | None) -> None:
    """X1: stateless; the first version had no header."""
    params = {"name": "number", "arguments": {"number": 7}}
    headers, body = envelope("legacy", "tools/call", params)
    del headers["mcp-protocol-version"]
    if version is not None:
        headers["mcp-protocol-version"] = version
    async with http(numbers_app()) as client:
        answer = await client.post("/mcp", headers=headers, json=body)
    assert '"structuredContent":{"result":7}' in answer.text


async def test_the_modern_era_is_discovered_without_a_handshake() -> None:
    """X1."""
    app = numbers_app()
    found = (await rpc(app, "modern", "server/discover")).result
    assert found["supportedVersions"] == [MODERN]
    assert (await rpc(app, "modern", "tools/list")).result["resultType"] == "complete"


@pytest.mark.parametrize("era", ERAS)
async def test_any_process_can_answer_any_request(era: Era) -> None:
    """X1: two instances in turn, as behind a load balancer that knows nothing of sessions."""
    processes = (numbers_app(), numbers_app())
    for turn in range(4):
        reply = await call(processes[turn % 2], "number", {"number": turn}, era=era)
        assert reply.result["structuredContent"] == {"result": turn}


async def test_nothing_is_kept_for_a_client_that_has_gone() -> None:
    """X1: a hundred handshakes leave no task behind, and no session to come back to."""
    app = numbers_app()
    async with started(app):
        await rpc(app, "legacy", "initialize", HANDSHAKE)
        before = len(anyio.get_running_tasks())
        for _ in range(100):
            reply = await rpc(app, "legacy", "initialize", HANDSHAKE)
            assert "mcp-session-id" not in reply.headers
        assert len(anyio.get_running_tasks()) == before


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_tool_is_the_clients_mistake(era: Era) -> None:
    """X3."""
    reply = await call(numbers_app(), "nmber", era=era)
    message = "Unknown tool: 'nmber'. Near are: 'number'"
    assert reply.answer["error"] == {"code": INVALID_PARAMS, "message": message}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"nmber": 1}, "Unknown argument 'nmber'. The tool takes: 'number'."),
        ({}, "Missing argument 'number'."),
        ({"number": {"a": 1}}, "422 Unprocessable"),
        ({"number": "seven"}, "422 Unprocessable"),
    ],
)
async def test_bad_arguments_are_the_models_mistake(
    era: Era, arguments: dict[str, Any], text: str
) -> None:
    """X3."""
    reply = await call(numbers_app(), "number", arguments, era=era)
    assert (reply.status, reply.is_error) == (200, True)
    assert text in reply.text_content


async def test_each_era_refuses_what_belongs_to_the_other() -> None:
    """X1: no handshake and no ping since 2026-07-28, no discovery before."""
    app = numbers_app()
    replies = [
        await rpc(app, "modern", "initialize", {"protocolVersion": LEGACY}),
        await rpc(app, "modern", "ping"),
        await rpc(app, "legacy", "server/discover"),
    ]
    assert [reply.answer["error"]["code"] for reply in replies] == [UNKNOWN_METHOD] * 3


async def test_sessions_are_kept_when_asked_for() -> None:
    """X1: for tools of one's own that need them; GET streams, and DELETE ends the session."""
    app = numbers_app(sessions=True)
    params = {"name": "number", "arguments": {"number": 7}}
    async with started(app), http(app) as client:
        opened = await rpc(app, "legacy", "initialize", HANDSHAKE)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        reply = await rpc(app, "legacy", "tools/call", params, headers=session, path="/mcp/")
        assert reply.result["structuredContent"] == {"result": 7}
        accept = {"accept": "text/event-stream"}
        # At once, and not with the first ping.
        with anyio.fail_after(30):
            async with client.stream("GET", "/mcp", headers=session | accept) as stream:
                assert stream.status_code == 200
                assert stream.headers["content-type"].startswith("text/event-stream")
        assert (await client.delete("/mcp", headers=session)).status_code == 200
        gone = await rpc(app, "legacy", "tools/call", params, headers=session)
        assert gone.status == 404


async def test_with_sessions_the_modern_era_stays_without() -> None:
    """X1."""
    app = numbers_app(sessions=True)
    async with started(app):
        reply = await call(app, "number", {"number": 7})
    assert reply.result["structuredContent"] == {"result": 7}
    assert "mcp-session-id" not in reply.headers


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_with_sessions_three_methods_are_served_and_no_other(path: str) -> None:
    """M1."""
    app = numbers_app(sessions=True)
    async with started(app), http(app) as client:
        answer = await client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, DELETE")
        for method in ("GET", "DELETE"):
            assert (await client.request(method, path)).status_code in {400, 406}
