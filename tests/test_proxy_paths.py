"""Where a value in a path leads, with operations beside it that could be taken for its own."""

import re
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from mcp_mount import MountError, Upstream, mount_mcp, proxy_app
from mcp_mount.tools.marks import ToolMarks
from tests.api import PARTS, api, before, ok, sent_to
from tests.starting import started
from tests.support import ERAS, Era, call


def described(*paths: str) -> dict[str, Any]:
    """Return a document of these paths, whose operations are called a, b, and so on."""
    return {
        **PARTS,
        "paths": {
            path: {
                "get": {
                    "operationId": name,
                    "parameters": [
                        {"name": each, "in": "path", "required": True, "schema": {"type": "string"}}
                        for each in re.findall(r"\{(.+?)\}", path)
                    ],
                    "responses": {},
                }
            }
            for name, path in zip("abcdef", paths, strict=False)
        },
    }


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("own", "other", "arguments"),
    [
        ("/files/{path}", "/files/{x}/meta", {"path": "a/meta"}),
        ("/files/{path}", "/files/{x}/meta", {"path": "a/META/"}),
        ("/files/{path}", "/files/{x}/{y}", {"path": "a/b"}),
        ("/files/{path}", "/{x}/a/b", {"path": "a/b"}),
        ("/x/{b}", "/{a}/y", {"b": "y"}),
        ("/{a}/y", "/x/{b}", {"a": "x"}),
        ("/{a}/{b}", "/{a}/{b}.json", {"a": "1", "b": "c.json"}),
        ("/tags/{id}.{format}", "/tags/types.{format}", {"id": "types", "format": "json"}),
        ("/tiles/{y}.{format}", "/tiles/{y}.PBF", {"y": "1", "format": "pbf"}),
        ("/near-{a}.json", "/{a}-by.{format}", {"a": "b-by"}),
        ("/{a}/{b}", "/{a}-{b}/c", {"a": "1-2", "b": "c"}),
        ("/a/{y}/{x}", "/a%2Fb/{x}", {"y": "b", "x": "c"}),
    ],
)
async def test_a_value_leads_to_no_operation_that_a_server_may_prefer(
    own: str, other: str, arguments: dict[str, str], order: int
) -> None:
    """Proxy, C5: whichever of the two the server looks at first."""
    slashes = (f"GET {own}",) if "path" in own else ()
    document = described(*(own, other)[::order])
    async with api() as said:
        app = proxy_app(document, Upstream(said.url, slashes=slashes))
        reply = await call(app, "ab"[::order][0], arguments)
        assert reply.is_error
        assert "leads to another operation" in reply.text_content
    assert said.requests == []


@pytest.mark.parametrize(
    ("own", "other", "arguments", "line"),
    [
        ("/files/{x}/meta", "/files/{path}", {"x": "a"}, "/files/a/meta"),
        ("/files/{x}/{y}", "/files/{path}", {"x": "a", "y": "b"}, "/files/a/b"),
        ("/files/latest", "/files/{path}", {}, "/files/latest"),
        ("/files/{path}/raw", "/files/{path}", {"path": "a/b"}, "/files/a/b/raw"),
        ("/x/{b}", "/{a}/{b}", {"b": "y"}, "/x/y"),
        ("/x/{b}", "/{a}/y", {"b": "z"}, "/x/z"),
        ("/{a}-{b}.json", "/{x}", {"a": "1-2", "b": "3"}, "/1-2-3.json"),
        ("/tags/types.{format}", "/tags/{id}.{format}", {"format": "json"}, "/tags/types.json"),
        ("/tiles/{y}.pbf", "/tiles/{y}.{format}", {"y": "1"}, "/tiles/1.pbf"),
        ("/x/{a}.schema.json", "/x/{a}.json", {"a": "b"}, "/x/b.schema.json"),
    ],
)
async def test_what_is_written_more_exactly_is_reached(
    own: str, other: str, arguments: dict[str, str], line: str
) -> None:
    """Proxy, C5: beside an operation that would take its path as well."""
    slashes = [f"GET {each}" for each in (own, other) if "{path}" in each]
    async with api() as said:
        app = proxy_app(described(own, other), Upstream(said.url, slashes=tuple(slashes)))
        reply = await call(app, "a", arguments)
        assert reply.text_content == "here"
    assert said.lines == [f"GET {line}"]


async def test_a_long_value_is_compared_as_fast_as_a_short_one() -> None:
    """Proxy, L1: beside a path that could be read in a billion ways."""
    document = described("/{x}", "/{a}-{b}-{c}-{d}.json")
    async with api() as said:
        app = proxy_app(document, said.url)
        with anyio.fail_after(30):
            reply = await call(app, "a", {"x": "-" * 500})
        assert reply.text_content == "here"


@pytest.mark.parametrize(
    "location", ["/parts/%2e%2e", "/parts/%2E", "/parts/..%2fparts", "/parts/%2e%2e/parts/b"]
)
async def test_a_redirect_goes_nowhere_up(location: str) -> None:
    """Proxy, R3: it is reported, and not followed."""
    async with api(sent_to(location), ok()) as parts:
        reply = await call(before(parts.url), "get_part", {"part": "a"})
        assert reply.text_content == f"302 Found\nLocation: {location}"
        assert len(parts.requests) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_slashes_go_encoded_where_the_api_takes_them_for_one_value(era: Era) -> None:
    """Proxy, C5: GitLab's projects and RabbitMQ's hosts; and they lead to no other operation."""
    document = described("/projects/{id}", "/projects/{id}/issues", "/{vhost}/{name}", "/{path}")
    async with api() as said:
        upstream = Upstream(
            said.url,
            encoded_slashes=("* /projects/*", "GET /{vhost}/{name}"),
            slashes=("GET /{path}",),
        )
        app = proxy_app(document, upstream)
        for tool, arguments in (
            ("a", {"id": "group/project"}),
            ("b", {"id": "group/project"}),
            ("c", {"vhost": "/", "name": "q"}),
            ("d", {"path": "a/b/c"}),
        ):
            assert (await call(app, tool, arguments, era=era)).text_content == "here"
        for value in ("1/issues", "group/ISSUES/", "../x", "a/../b", "a/..", "a\\..\\b"):
            assert (await call(app, "a", {"id": value}, era=era)).is_error
    assert said.lines == [
        "GET /projects/group%2Fproject",
        "GET /projects/group%2Fproject/issues",
        "GET /%2F/q",
        "GET /a/b/c",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoded_slashes": ("GET /no",)}, "encoded_slashes= names 'GET /no'"),
        ({"slashes": ("GET /nowhere*",)}, "slashes= names 'GET /nowhere"),
        (
            {"slashes": ("GET /parts/{part}",), "encoded_slashes": ("* /parts/{part}",)},
            "both name 'GET /parts/{part}'",
        ),
    ],
)
def test_slashes_are_allowed_in_one_way_and_to_what_there_is(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(MountError) as refused:
        proxy_app(PARTS, Upstream("http://localhost:9", **options))
    assert said in str(refused.value)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("way", ["mark", "tools"])
async def test_a_mark_allows_slashes_that_go_encoded_and_lead_nowhere_else(
    era: Era, way: str
) -> None:
    """Proxy, C5: of one operation, and of no other."""
    document = described("/projects/{id}", "/projects/{id}/issues", "/other/{id}")
    options: dict[str, Any] = {"tools": {"GET /projects/{id}": {"encoded_slashes": True}}}
    if way == "mark":
        document["paths"]["/projects/{id}"]["get"]["x-mcp"] = {"encoded_slashes": True}
        options = {}
    async with api() as said:
        app = proxy_app(document, said.url, **options)
        assert (await call(app, "a", {"id": "group/project"}, era=era)).text_content == "here"
        for value in (
            "..",
            "../x",
            "..%2F..",
            "%2e%2e/x",
            "a/..",
            "..\\x",
            "a/%2E%2E/b",
            "1/issues",
        ):
            assert (await call(app, "a", {"id": value}, era=era)).is_error, value
        for tool in ("b", "c"):
            assert (await call(app, tool, {"id": "group/project"}, era=era)).is_error
    assert said.lines == ["GET /projects/group%2Fproject"]


async def test_a_mark_of_slashes_is_for_an_api_elsewhere() -> None:
    app = FastAPI()

    @app.get("/{id}", openapi_extra={"x-mcp": {"encoded_slashes": True}})
    async def read(id: str) -> str:  # noqa: A002 - the name in the path
        return id

    mount_mcp(app)
    with pytest.raises(ExceptionGroup) as refused:
        async with started(app):
            pass
    assert refused.group_contains(
        MountError, match="encoded_slashes, which is for an API elsewhere"
    )


def test_a_mark_and_an_option_do_not_contradict_each_other() -> None:
    upstream = Upstream("http://localhost:9", slashes=("GET /parts/{part}",))
    marks: ToolMarks = {"GET /parts/{part}": {"encoded_slashes": True}}
    with pytest.raises(MountError, match=r"both name 'GET /parts/\{part\}'"):
        proxy_app(PARTS, upstream, tools=marks)


async def test_a_path_that_is_too_long_to_be_compared_says_so() -> None:
    """C5: whether it leads to another operation is not known, so it is not sent."""
    paths: dict[str, Any] = {
        f"/{{id}}{'x' * 100}{{p{number}}}": {"get": {}} for number in range(200)
    }
    paths["/{id}"] = {"get": {"operationId": "item"}}
    async with api() as said:
        app = proxy_app({"openapi": "3.0.3", "paths": paths}, said.url, include=["item"])
        reply = await call(app, "item", {"id": "x" * 12_000})
        assert reply.is_error
        assert "too long to be compared" in reply.text_content
        assert (await call(app, "item", {"id": "a"})).text_content == "here"
    assert said.lines == ["GET /a"]
