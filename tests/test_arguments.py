"""What a tool takes, and the request that its arguments become."""

import json
import time
from typing import Annotated, Any

import pytest
from fastapi import Body, Cookie, FastAPI, Header, Query, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from mcp_types import TextContent
from pydantic import BaseModel

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, Reply, call, tools

pytestmark = pytest.mark.usefixtures("either_caller")


class Part(BaseModel):
    name: str = "n"
    size: int | None = 1


def answer(reply: Reply) -> Any:
    assert not reply.is_error, reply.text_content
    return json.loads(reply.text_content)


async def test_every_place_of_a_request_is_filled_from_one_flat_list() -> None:
    """C5: path, query, header, cookie and body are the arguments of one tool."""
    app = FastAPI()

    @app.post("/parts/{part_id}")
    async def change(
        *,
        part_id: int,
        part: Part,
        tag: Annotated[list[str] | None, Query()] = None,
        x_list: Annotated[list[int] | None, Header()] = None,
        size: Annotated[str | None, Cookie()] = None,
        full: bool = False,
    ) -> Any:
        return [part_id, part, tag, x_list, size, full]

    mount_mcp(app)
    schema = (await tools(app))["change"]["inputSchema"]
    assert {*schema["properties"]} == {
        *("part_id", "tag", "full", "x-list", "size", "name", "body_size")
    }
    given = {"part_id": 3, "tag": ["a,b", "c d"], "full": True, "x-list": [1, 2]}
    given |= {"size": "L", "name": "bolt", "body_size": 9}
    part = {"name": "bolt", "size": 9}
    assert answer(await call(app, "change", given)) == [3, part, ["a,b", "c d"], [1, 2], "L", True]


async def test_one_name_in_several_places_is_told_apart() -> None:
    """C5: the path's keeps the name, the others say where they go; a name of one's own is kept."""
    app = FastAPI()

    @app.post("/parts/{id}")
    async def clash(
        id: int,  # noqa: A002
        in_query: Annotated[int, Query(alias="id")],
        in_header: Annotated[int, Header(alias="id")],
        in_body: Annotated[int, Body(alias="id")],
        body_id: Annotated[int, Body()],
    ) -> list[int]:
        return [id, in_query, in_header, in_body, body_id]

    mount_mcp(app)
    names = [*(await tools(app))["clash"]["inputSchema"]["properties"]]
    assert names == ["id", "query_id", "header_id", "body_id_2", "body_id"]
    given = dict(zip(names, range(1, 6), strict=True))
    assert answer(await call(app, "clash", given)) == [1, 2, 3, 4, 5]


STYLES: list[tuple[dict[str, Any], Any, str]] = [
    ({}, ["a b", "c&d"], "v=a%20b&v=c%26d"),
    ({"explode": False}, ["a", "b c"], "v=a,b%20c"),
    ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "v=a%20b"),
    ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "v=a%7Cb"),
    ({"style": "deepObject"}, {"a": 1, "b c": "x&y", "n": None}, "v%5Ba%5D=1&v%5Bb%20c%5D=x%26y"),
    ({}, {"a": 1, "b": True}, "a=1&b=true"),
    ({"explode": False}, {"a": 1, "b": True}, "v=a,1,b,true"),
    ({"content": {"application/json": {}}}, {"a": [1, None]}, "v=%7B%22a%22%3A%5B1,null%5D%7D"),
    ({}, "a,b", "v=a,b"),
    ({}, "", "v="),
    ({}, [], ""),
    ({}, None, ""),
]


@pytest.mark.parametrize(("style", "value", "query"), STYLES)
async def test_a_query_parameter_is_written_in_its_style(
    style: dict[str, Any], value: Any, query: str
) -> None:
    """C5: OpenAPI's styles (OpenAPI 3.1 §4.8.12.2); FastAPI itself documents only the first."""
    app = FastAPI()
    parameter = {"name": "v", "in": "query", **({"schema": {}} if "content" not in style else {})}

    @app.get("/search", openapi_extra={"parameters": [{**parameter, **style}]})
    async def search(request: Request) -> str:
        return request.url.query

    mount_mcp(app)
    assert answer(await call(app, "search", {"v": value})) == query


@pytest.mark.parametrize(
    ("style", "value", "message"),
    [
        ({"explode": False}, ["a,b"], "',' between"),
        ({"style": "pipeDelimited", "explode": False}, ["a|b"], "'|'"),
        ({}, ["a", None], "null"),
        ({}, [["a"]], "list"),
        ({"style": "deepObject"}, {"a": [None]}, "null"),
        ({}, {"a": {"b": 1}}, "object"),
        ({"schema": {"type": "array", "items": {}, "default": [1]}}, [], "cannot be empty"),
    ],
)
async def test_what_a_style_cannot_write_is_refused(
    style: dict[str, Any], value: Any, message: str
) -> None:
    """C5: rather than written so that the route would read something else."""
    app = FastAPI()
    parameter = {"name": "v", "in": "query", "schema": {}, **style}
    app.get("/search", name="search", openapi_extra={"parameters": [parameter]})(lambda: None)
    mount_mcp(app)
    reply = await call(app, "search", {"v": value})
    assert reply.is_error
    assert "'v'" in reply.text_content
    assert message.removesuffix(" between") in reply.text_content


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part_id": 1, "nam": "x"}, "Unknown argument 'nam'. The tool takes: 'part_id', 'name'"),
        ({"part_id": 1, "X-Key": "x"}, "Unknown argument 'X-Key'"),
        ({"name": "x"}, "Missing argument 'part_id'."),
        ({"part_id": None}, "Missing argument 'part_id'."),
        ({"part_id": {"a": ["b"]}}, "'part_id' is written as text"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_with_what_would(
    era: Era, arguments: dict[str, Any], message: str
) -> None:
    """C5, X3: a tool error, which the model can mend; the route is not called."""
    called: list[int] = []
    app = FastAPI()

    @app.post("/parts/{part_id}")
    async def change(part_id: int, part: Part) -> None:
        called.append(part_id)

    mount_mcp(app)
    reply = await call(app, "change", arguments, era=era)
    assert reply.is_error
    assert message in reply.text_content
    assert called == []


async def test_a_tool_without_arguments_says_that_it_takes_none() -> None:
    """C5: an unknown argument is never dropped in silence."""
    app = FastAPI()
    app.get("/nothing", name="nothing")(lambda: None)
    mount_mcp(app)
    reply = await call(app, "nothing", {"x": 1})
    assert reply.text_content == "Unknown argument 'x'. The tool takes: no arguments."


@pytest.mark.in_process
async def test_credentials_are_never_arguments() -> None:
    """C4: they come from the caller's own request, and a model never sees their names."""
    app = FastAPI()
    schemes = (
        APIKeyHeader(name="X-Team-Key"),
        APIKeyQuery(name="team_key", auto_error=False),
        APIKeyCookie(name="team", auto_error=False),
        HTTPBearer(auto_error=False),
    )

    @app.get("/secret", dependencies=[Security(each) for each in schemes])
    async def secret(
        *,
        x_team_key: Annotated[str, Header()],
        x_api_key: Annotated[str, Header()],
        authorization: Annotated[str, Header()],
        host: Annotated[str, Header()],
        q: str = "",
        team_key: str | None = None,
        team: Annotated[str | None, Cookie()] = None,
    ) -> Any:
        return [x_team_key, x_api_key, authorization, host, q]

    mount_mcp(app)
    schema = (await tools(app))["secret"]["inputSchema"]
    assert {*schema["properties"]} == {"q"}
    assert "required" not in schema
    headers = {"x-team-key": "t", "X-API-Key": "k", "authorization": "Bearer b"}
    reply = await call(app, "secret", {"q": "x"}, headers=headers)
    assert answer(reply) == ["t", "k", "Bearer b", "localhost:8000", "x"]
    for name in ("x-team-key", "authorization", "host", "team_key", "team"):
        assert (await call(app, "secret", {name: "mine"}, headers=headers)).is_error


@pytest.mark.in_process
async def test_a_parameter_that_only_shares_its_name_with_a_credential_is_an_argument() -> None:
    """C4: a key in a header does not take away a query parameter of that name."""
    app = FastAPI()

    @app.get("/sessions", dependencies=[Security(APIKeyHeader(name="session"))])
    async def find(session: str) -> str:
        return session

    mount_mcp(app)
    reply = await call(app, "find", {"session": "s"}, headers={"session": "key"})
    assert answer(reply) == "s"


async def test_a_large_number_is_written_in_few_characters() -> None:
    """F1, F2: a million of these took seconds, and a gigabyte, with all their digits."""
    app = FastAPI()

    @app.get("/numbers")
    async def numbers(request: Request, tag: Annotated[list[float], Query()]) -> Any:
        return [request.url.query, tag]

    mount_mcp(app)
    given = [1e308, 1e-300, 1e22, 0.00001]
    query, seen = answer(await call(app, "numbers", {"tag": given}))
    assert seen == given
    assert query == "tag=1e%2B308&tag=1e-300&tag=10000000000000000000000&tag=0.00001"


TOO_LONG: list[tuple[str, Any]] = [
    ("query", [1e308] * 600_000),
    ("query", [[]] * 1_000_000),
    ("query", "é" * 1_900_000),
    ("joined", [1] * 40_000),
    ("deep", {"a": {str(number): 1 for number in range(100_000)}}),
    ("x-list", ["x" * 70] * 999),
    ("in_path", "é" * 1_900_000),
    ("in_path", "x" * 65_001),
]


@pytest.mark.parametrize(("name", "value"), TOO_LONG, ids=lambda value: str(value)[:12])
async def test_what_no_url_can_hold_is_refused_before_it_is_written(name: str, value: Any) -> None:
    """F1, F2: in process too, where no server's limit would stop it."""
    app = FastAPI()
    parameters = [
        {"name": "joined", "in": "query", "explode": False, "schema": {"type": "array"}},
        {"name": "deep", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
    ]

    @app.get("/long/{in_path}", openapi_extra={"parameters": parameters})
    async def long(
        in_path: str,
        query: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
        x_list: Annotated[list[str], Header()] = [],  # noqa: B006 - as above
    ) -> None: ...

    server = mount_mcp(app).server
    tool = await server.get_tool("long")
    assert tool is not None
    started = time.process_time()
    result = await tool.run({"in_path": "x", name: value})
    assert time.process_time() - started < 0.5
    assert result.is_error
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert "65,000 characters" in block.text


@pytest.mark.in_process
async def test_all_of_a_query_together_has_a_limit() -> None:
    """F2: as each value has."""
    app = FastAPI()

    @app.get("/long")
    async def long(a: str = "", b: str = "") -> int:
        return len(a) + len(b)

    mount_mcp(app)
    assert answer(await call(app, "long", {"a": "x" * 60_000})) == 60_000
    reply = await call(app, "long", {"a": "x" * 40_000, "b": "x" * 40_000})
    assert reply.is_error
    assert "65,000 characters" in reply.text_content
