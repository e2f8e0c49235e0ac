"""How JSON becomes a result: text and structured content, with one information."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, connected

pytestmark = pytest.mark.usefixtures("either_caller")


class Item(BaseModel):
    id: int
    name: str | None = None


def answering(body: bytes, media_type: str = "application/json", status: int = 200) -> FastAPI:
    """Return an app whose one route ``answer`` documents nothing and answers these bytes."""
    app = FastAPI()

    @app.get("/answer", response_class=Response)
    async def answer() -> Response:
        return Response(body, status_code=status, media_type=media_type)

    mount_mcp(app)
    return app


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("value", "structured"),
    [
        ({"id": 1, "name": "bolt"}, {"id": 1, "name": "bolt"}),
        ({}, {}),
        ([1, 2], {"result": [1, 2]}),
        ([], {"result": []}),
        ("bolt", {"result": "bolt"}),
        ("", {"result": ""}),
        (1.5, {"result": 1.5}),
        (0, {"result": 0}),
        (False, {"result": False}),
        (None, {"result": None}),
        ({"result": 1}, {"result": 1}),
        ({"größe": "1 µm", "": "\x00"}, {"größe": "1 µm", "": "\x00"}),
    ],
    ids=repr,
)
async def test_an_undocumented_value_is_text_and_structured_content(
    era: Era, value: object, structured: dict[str, Any]
) -> None:
    """R1: structured content is an object always, and an object is itself."""
    reply = await call(answering(json.dumps(value).encode()), "answer", era=era)
    assert not reply.is_error
    assert reply.result["structuredContent"] == structured
    assert json.loads(reply.text_content) == value


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("annotation", "value", "structured"),
    [
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Item, {"id": 1, "name": None}, {"id": 1, "name": None}),
        (Item | int, 3, {"result": 3}),
        (Item | int, {"id": 3, "name": None}, {"result": {"id": 3, "name": None}}),
        (list[Item], [{"id": 1, "name": None}], {"result": [{"id": 1, "name": None}]}),
        (Item | None, None, {"result": None}),
        (str, "bolt", {"result": "bolt"}),
        (int, 10**30, {"result": 10**30}),
        (None, None, {"result": None}),
        (Any, [{"a": 1}], {"result": [{"a": 1}]}),
    ],
    ids=repr,
)
async def test_a_documented_value_passes_the_clients_own_check(
    era: Era, annotation: Any, value: object, structured: dict[str, Any]
) -> None:
    """R1: FastMCP's client checks a result against the listed schema, and raises on a mismatch."""
    app = FastAPI()

    async def answer() -> Any:
        return value

    app.add_api_route("/answer", answer, response_model=annotation)
    mount_mcp(app)
    async with connected(app, era) as client:
        await client.list_tools()
        result = await client.call_tool("answer")
    assert result.structured_content == structured


@pytest.mark.parametrize(
    ("body", "structured"),
    [
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": 1e999}', {"a": None}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": "\\ud83d"}', {"a": "\ufffd"}),
        (b'{"\\udc00": ["\\ud83d\\ude00"]}', {"\ufffd": ["\U0001f600"]}),
        (b'{"a": 1' + b"0" * 400 + b"}", {"a": 10**400}),
        ('{"a": "ü"}'.encode("utf-16"), {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-32-be"), {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-8-sig"), {"a": "ü"}),
    ],
    ids=["NaN", "1e999", "twice", "half", "half key", "10**400", "UTF-16", "UTF-32", "BOM"],
)
@pytest.mark.parametrize("era", ERAS)
async def test_json_that_no_standard_allows_still_makes_a_message(
    era: Era, body: bytes, structured: dict[str, Any]
) -> None:
    """R1: the message is JSON that any client can read, without NaN, and says what was meant."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    reply = await call(answering(body), "answer", era=era)
    json.loads(reply.text.rpartition("data: ")[2], parse_constant=refuse)
    assert not reply.is_error
    assert reply.result["structuredContent"] == structured
    assert json.loads(reply.text_content) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": ' + b"1" * 5_000 + b"}",
        b"[" * 2_000 + b"]" * 2_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
        b"[" * 200_000,
        b"{'a': 1}",
        b"<html>",
        b"[\xff]",
    ],
    ids=["digits", "lists", "objects", "open lists", "quotes", "HTML", "bytes"],
)
@pytest.mark.parametrize("era", ERAS)
async def test_json_that_cannot_be_read_is_given_as_text(era: Era, body: bytes) -> None:
    """R1: what does not parse, or would break a reader, stays what the API sent."""
    reply = await call(answering(body), "answer", era=era)
    assert not reply.is_error
    assert "structuredContent" not in reply.result
    assert reply.text_content == body.decode("utf-8", "replace")


@pytest.mark.parametrize("era", ERAS)
async def test_properties_left_out_or_added_still_conform(era: Era) -> None:
    """R1: `response_model_exclude_none` and its like leave out what the document requires."""
    app = FastAPI()

    class Full(BaseModel):
        id: int
        name: str | None
        size: int = 3

    @app.get("/none", response_model=Full, response_model_exclude_none=True)
    async def none() -> Any:
        return {"id": 1, "name": None}

    @app.get("/some", response_model=Full, response_model_exclude={"id"})
    async def some() -> Any:
        return {"id": 1, "name": None}

    @app.get("/raw", response_model=Full)
    async def raw() -> JSONResponse:
        return JSONResponse({"id": 1, "name": "bolt", "extra": True})

    mount_mcp(app)
    async with connected(app, era) as client:
        await client.list_tools()
        structured = [
            (await client.call_tool(name)).structured_content for name in ("none", "some", "raw")
        ]
    assert structured == [
        {"id": 1, "size": 3},
        {"name": None, "size": 3},
        {"id": 1, "name": "bolt", "extra": True},
    ]


STRAYS: list[tuple[Any, bytes, str, int, str, dict[str, Any]]] = [
    (
        Item,
        b'{"id": "one", "name": "bolt"}',
        "application/json",
        200,
        '{"id": "one", "name": "bolt"}',
        {"name": "bolt", "undocumented": {"id": "one"}},
    ),
    (Item, b"[1]", "application/json", 200, "[1]", {"undocumented": [1]}),
    (Item, b"not json", "application/json", 200, "not json", {"undocumented": "not json"}),
    (Item, b"plain", "text/plain", 201, "plain", {"undocumented": "plain"}),
    (Item, b"", "application/json", 200, "200 OK", {"undocumented": "200 OK"}),
    (Item, b"", "application/json", 204, "204 No Content", {"undocumented": "204 No Content"}),
    (list[int], b'{"a": 1}', "application/json", 200, '{"a": 1}', {"undocumented": {"a": 1}}),
    (
        list[int],
        b'[1, "x", 2]',
        "application/json",
        200,
        '[1, "x", 2]',
        {"result": [1, 2], "undocumented": ["x"]},
    ),
    (int, b'"x"', "application/json", 200, '"x"', {"undocumented": "x"}),
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("annotation", "body", "media_type", "status", "shown", "structured"), STRAYS
)
async def test_a_success_that_strays_from_its_documentation_is_whole_and_conforms(  # noqa: PLR0917 - a row of the table
    annotation: Any,
    body: bytes,
    media_type: str,
    status: int,
    shown: str,
    structured: dict[str, Any],
    era: Era,
) -> None:
    """C10: FastMCP's client checks a result against the listed schema, and raises on a mismatch."""
    app = FastAPI()

    async def answer() -> Response:
        return Response(body, media_type=media_type, status_code=status)

    app.add_api_route("/answer", answer, response_model=annotation)
    mount_mcp(app)
    async with connected(app, era) as client:
        await client.list_tools()
        result = await client.call_tool("answer")
    assert not result.is_error
    assert [block.text for block in result.content if block.type == "text"] == [shown]
    assert result.structured_content == structured


@pytest.mark.parametrize("era", ERAS)
async def test_the_items_of_a_stream_that_stray_are_told_apart(era: Era) -> None:
    """C10, S2: the others keep their place in the list."""
    app = FastAPI()

    @app.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        yield Item(id=1)
        yield Item.model_construct(id="two")
        yield Item(id=3)

    @app.get("/raw", response_model=None)
    async def raw() -> StreamingResponse:
        return StreamingResponse(
            iter(['{"id": 1}\n{"id": "two"}\n']), media_type="application/jsonl"
        )

    document = app.openapi()
    document["paths"]["/raw"]["get"]["responses"] = document["paths"]["/lines"]["get"]["responses"]
    mount_mcp(app)
    async with connected(app, era) as client:
        await client.list_tools()
        result = await client.call_tool("raw")
    assert not result.is_error
    assert result.structured_content == {
        "result": [{"id": 1}],
        "undocumented": [{"id": "two"}],
    }


async def test_the_log_says_once_what_strays(caplog: pytest.LogCaptureFixture) -> None:
    """C10: for each tool and kind, with where it is but nothing of what it says."""
    app = FastAPI()

    @app.get("/answer", response_model=Item)
    async def answer(kind: str) -> Response:
        bodies = {"schema": b'{"id": "secret"}', "empty": b"", "text": b"secret"}
        return Response(bodies[kind], media_type="application/json")

    mount_mcp(app)
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        for kind in ("schema", "schema", "empty", "text", "schema", "empty"):
            assert not (await call(app, "answer", {"kind": kind})).is_error
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(said) == 3
    assert all("GET /answer" in each and "secret" not in each for each in said)
    assert "'/id'" in said[0]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("media_type", ["application/problem+json", "application/vnd.kb+json"])
async def test_every_json_media_type_is_json(era: Era, media_type: str) -> None:
    """R1: RFC 6839 §3.1, the suffix ``+json``."""
    reply = await call(answering(b'{"a": 1}', media_type), "answer", era=era)
    assert reply.result["structuredContent"] == {"a": 1}


@pytest.mark.parametrize("era", ERAS)
async def test_headers_that_matter_are_in_the_meta_of_the_result(era: Era) -> None:
    """R4: and no other header is, `Set-Cookie` least of all."""
    app = FastAPI()

    @app.post("/items", status_code=201)
    async def create(response: Response) -> Item:
        response.headers["Location"] = "/items/1"
        response.headers["ETag"] = '"1"'
        response.headers["X-Total-Count"] = "7"
        response.headers.append("Link", '</items?page=2>; rel="next"')
        response.headers.append("Link", '</items?page=9>; rel="last"')
        response.set_cookie("session", "secret")
        return Item(id=1)

    @app.get("/plain")
    async def plain() -> Item:
        return Item(id=1)

    mount_mcp(app)
    assert (await call(app, "create", era=era)).result["_meta"]["http"] == {
        "status": 201,
        "headers": {
            "location": "/items/1",
            "etag": '"1"',
            "x-total-count": "7",
            "link": '</items?page=2>; rel="next", </items?page=9>; rel="last"',
        },
    }
    assert "http" not in (await call(app, "plain", era=era)).result.get("_meta", {})


async def test_the_sdk_logs_no_failure_for_odd_json(caplog: pytest.LogCaptureFixture) -> None:
    """R1: what is odd is dealt with here, not by an exception in the machinery."""
    with caplog.at_level(logging.WARNING):
        for body in (b"[" * 2_000 + b"]" * 2_000, b'{"a": "\\ud83d"}', b'{"a": NaN}'):
            await call(answering(body), "answer")
    assert caplog.records == []


@pytest.mark.parametrize("name", ["content-type", "content-disposition"])
async def test_a_parameter_in_parts_of_which_one_has_no_number(name: str) -> None:
    """R2: Python's reader of headers raises for it, and the call was a traceback in the log."""
    app = FastAPI()

    @app.get("/file")
    async def file() -> Response:
        value = "text/x; charset*=a; charset*1*=b; filename*=a; filename*1*=b"
        return Response(b"a", headers={"content-type": "application/x", name: value})

    mount_mcp(app)
    reply = await call(app, "file")
    assert not reply.is_error
    assert reply.result["content"][0]["type"] in {"text", "resource"}
