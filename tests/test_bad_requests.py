"""What is said to a request that is wrong, with which status and code; and the server goes on."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from mcp_mount import mount_mcp
from tests.support import ERAS, MODERN, Era, Reply, envelope, http, read_messages, rpc

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADERS_DIFFER, UNSUPPORTED_VERSION = -32020, -32022


def numbers_app() -> FastAPI:
    """Return an app with one tool, ``number``, and the endpoint."""
    app = FastAPI(title="Numbers", version="1.2")

    @app.get("/numbers/{number}")
    async def number(number: int) -> int:
        return number

    mount_mcp(app)
    return app


APP = numbers_app()


async def send(
    app: FastAPI,
    era: Era,
    *,
    body: object = None,
    content: bytes | None = None,
    change: Mapping[str, object] | None = None,
    headers: Mapping[str, str | None] | None = None,
) -> Reply:
    """Call the tool with something about the request changed (None: left out)."""
    own, message = envelope(era, "tools/call", {"name": "number", "arguments": {"number": 7}})
    message = {key: value for key, value in {**message, **(change or {})}.items() if value != ...}
    sent = {key: value for key, value in {**own, **(headers or {})}.items() if value is not None}
    if content is None:
        content = json.dumps(message if body is None else body).encode()
    async with http(app) as client:
        answer = await client.post("/mcp", headers=sent, content=content)
    messages = read_messages(answer.headers.get("content-type", ""), answer.text or "null")
    return Reply(answer.status_code, answer.headers, answer.text, messages)


BROKEN = [
    b"",
    b'{"jsonrpc"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"jsonrpc":"2.0","id":' + b"1" * 5_000 + b',"method":"ping"}',
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("content", BROKEN, ids=["empty", "cut", "bytes", "deep", "digits"])
async def test_a_body_that_is_no_json_is_a_parse_error(era: Era, content: bytes) -> None:
    """X2: JSON-RPC 2.0 §5.1."""
    app = numbers_app()
    reply = await send(app, era, content=content)
    assert (reply.status, reply.answer["error"]["code"]) == (400, PARSE_ERROR)
    assert reply.answer["id"] is None
    assert (await send(app, era)).result["structuredContent"] == {"result": 7}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("content_type", "found"),
    [(None, "is missing"), ("text/plain", "is 'text/plain'"), ("x" * 99, f"is '{'x' * 99}'")],
)
async def test_a_content_type_that_is_not_json_is_told_what_to_be(
    era: Era, content_type: str | None, found: str
) -> None:
    app = numbers_app()
    reply = await send(app, era, headers={"content-type": content_type})
    error = {
        "code": INVALID_REQUEST,
        "message": f"The Content-Type {found}: send application/json.",
    }
    assert (reply.status, reply.answer["error"]) == (400, error)
    fine = await send(app, era, headers={"content-type": "application/json; charset=utf-8"})
    assert fine.result["structuredContent"] == {"result": 7}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "body", [{}, [], {"jsonrpc": "2.0"}, {"jsonrpc": "1.0", "id": 1}], ids=repr
)
async def test_what_is_no_message_is_refused_in_one_sentence(era: Era, body: object) -> None:
    """Without a list of fields, and without links to a library's manual."""
    reply = await send(numbers_app(), era, body=body)
    message: str = reply.answer["error"]["message"]
    assert reply.status == 400
    assert reply.answer["error"]["code"] == INVALID_REQUEST
    assert message.startswith('The body is no message: send one JSON-RPC object such as {"jsonrpc"')
    assert len(message) < 200


ODD = """
    "2.0" 2.0 2 1 1.0 -0 1e2 1e400 NaN Infinity 12345678901234567890123 true null "5" "" "\\ud800"
    {} [] [{}] {"code":1,"message":""} {"code":"1","message":""} {"code":1.0,"message":"","data":[]}
    {"code":true,"message":""} {"code":1.5,"message":""} {"code":"1.0","message":""} {"code":1} 01 {
"""
ORDINARY = {
    "jsonrpc": '"2.0"',
    "id": "1",
    "method": '"ping"',
    "params": "{}",
    "result": "{}",
    "error": '{"code":1,"message":""}',
    "more": "1",
}
MEMBERS = st.sampled_from([*ORDINARY]).flatmap(
    lambda name: st.tuples(st.just(name), st.just(ORDINARY[name]) | st.sampled_from(ODD.split()))
)


@settings(max_examples=400)
@given(st.lists(MEMBERS, max_size=6))
async def test_what_is_a_message_is_what_the_sdk_takes_for_one(
    members: list[tuple[str, str]],
) -> None:
    """X2: whichever members it has, how often, and of which kind."""
    text = ",".join(f'"{name}":{value}' for name, value in members)
    content = b'{"jsonrpc":"2.0",%s}' % text.encode()
    try:
        jsonrpc_message_adapter.validate_json(content)
        is_refused = False
    except ValidationError as error:
        is_refused = error.errors()[0]["type"] != "json_invalid"
    reply = await send(APP, "legacy", content=content)
    assert ("The body is no message" in reply.text) is is_refused


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "body", [[], [{}], "x", 3, {}, {"jsonrpc": "2.0"}, {"id": 1, "method": "ping"}], ids=repr
)
async def test_json_that_is_no_single_request_is_refused(era: Era, body: object) -> None:
    """X2: batches too, which the protocol has given up."""
    app = numbers_app()
    reply = await send(app, era, body=body)
    assert reply.status == 400
    assert reply.answer["error"]["code"] in {INVALID_REQUEST, INVALID_PARAMS}
    assert (await send(app, era)).result["structuredContent"] == {"result": 7}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "change", [{"jsonrpc": "1.0"}, {"method": 3}, {"method": ...}, {"params": [1]}], ids=repr
)
async def test_a_request_with_a_member_of_the_wrong_kind_is_refused(
    era: Era, change: dict[str, object]
) -> None:
    """X2."""
    reply = await send(numbers_app(), era, change=change)
    assert reply.status == 400
    assert reply.answer["error"]["code"] in {INVALID_REQUEST, INVALID_PARAMS}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "params", [{"arguments": {}}, {"name": "number", "arguments": [7]}, {"name": "number"}]
)
async def test_parameters_of_the_wrong_kind_are_refused(era: Era, params: dict[str, Any]) -> None:
    """X2: but arguments may be left out; then the tool says what it needs."""
    reply = await rpc(numbers_app(), era, "tools/call", params)
    if params == {"name": "number"}:
        assert reply.text_content == "Missing argument 'number'."
        return
    assert reply.status == (400 if era == "modern" else 200)
    assert reply.answer["error"]["code"] == INVALID_PARAMS


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_method_is_refused(era: Era) -> None:
    """X2: HTTP 404 in the modern era, an error in the stream before."""
    reply = await rpc(numbers_app(), era, "tools/nothing")
    assert reply.status == (404 if era == "modern" else 200)
    assert reply.answer["error"]["code"] == UNKNOWN_METHOD


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-method": None},
        {"mcp-name": None},
        {"mcp-method": "tools/list"},
        {"mcp-name": "other"},
        {"mcp-protocol-version": "1999-01-01"},
    ],
    ids=repr,
)
async def test_headers_that_disagree_with_the_body_are_refused(
    headers: dict[str, str | None],
) -> None:
    """X2: a proxy may have decided by them (MCP 2026-07-28 "Transports")."""
    reply = await send(numbers_app(), "modern", headers=headers)
    assert (reply.status, reply.answer["error"]["code"]) == (400, HEADERS_DIFFER)


async def test_an_unsupported_version_is_refused_with_those_supported() -> None:
    """X2."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    reply = await rpc(
        numbers_app(),
        "modern",
        "tools/list",
        {"_meta": meta},
        headers={"mcp-protocol-version": "2099-01-01"},
    )
    assert (reply.status, reply.answer["error"]["code"]) == (400, UNSUPPORTED_VERSION)
    data = reply.answer["error"]["data"]
    assert data["requested"] == "2099-01-01"
    assert MODERN in data["supported"]


async def test_a_modern_request_without_its_envelope_is_refused() -> None:
    """X2."""
    reply = await send(numbers_app(), "modern", change={"params": {"name": "number"}})
    assert (reply.status, reply.answer["error"]["code"]) == (400, INVALID_PARAMS)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 400),
        ({"content-type": None}, 400),
        ({"accept": "text/html"}, 406),
        ({"accept": "application/json"}, 406),
        ({"accept": "*/*"}, 200),
    ],
    ids=repr,
)
async def test_the_media_types_of_the_protocol_are_needed(
    era: Era, headers: dict[str, str | None], status: int
) -> None:
    """X2."""
    assert (await send(numbers_app(), era, headers=headers)).status == status


@pytest.mark.parametrize("era", ERAS)
async def test_a_body_over_four_mebibytes_is_refused_unread(era: Era) -> None:
    """X2."""
    app = numbers_app()
    padding = "x" * (4 * 1024 * 1024)
    assert (await send(app, era, change={"padding": padding})).status == 413
    assert (await send(app, era, change={"padding": padding[:-2_000]})).status == 200


@pytest.mark.parametrize("era", ERAS)
async def test_a_notification_is_accepted_and_has_no_answer(era: Era) -> None:
    """X2."""
    reply = await send(numbers_app(), era, change={"id": ...})
    assert (reply.status, reply.text) == (202, "")
