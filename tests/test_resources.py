"""Operations as resources: what is listed, what is read, and by whom."""

import json
from base64 import b64decode
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response, Security
from fastapi.security import OAuth2PasswordBearer
from fastapi.testclient import TestClient

from mcp_mount import Limits, MountError, mount_mcp
from tests.support import ERAS, Era, Reply, call, rpc, tools

PNG = b"\x89PNG\r\n\x1a\n"
RESOURCE = {"x-mcp": {"resource": True}}


def kb_app() -> FastAPI:
    app = FastAPI(title="KB 2")

    @app.get("/articles", operation_id="list_articles", openapi_extra=RESOURCE)
    async def articles(
        tag: Annotated[list[str], Query(default_factory=list)],
        q: str = "",
        sort: Literal["new", "old"] = "new",
    ) -> dict[str, Any]:
        """The articles."""
        return {"q": q, "sort": sort, "tag": tag}

    @app.get(
        "/articles/{slug}",
        operation_id="get_article",
        openapi_extra={"x-mcp": {"resource": "kb://articles/{slug}"}},
    )
    async def article(slug: str, x_key: Annotated[str, Header()] = "nobody") -> dict[str, str]:
        if slug == "none":
            raise HTTPException(404, "There is no such article.")
        return {"slug": slug}

    @app.get("/articles/{slug}/secret", operation_id="secret", openapi_extra={"x-mcp": False})
    async def secret(slug: str) -> str:
        return "hunter2"

    @app.get(
        "/logo",
        operation_id="logo",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
        openapi_extra={
            "x-mcp": {
                "tool": False,
                "resource": {"uri": "kb://logo", "size": 8, "audience": ["user"], "priority": 0.5},
            }
        },
    )
    async def logo() -> Response:
        return Response(PNG, media_type="image/png")

    @app.get("/me", operation_id="me", openapi_extra=RESOURCE)
    async def me(request: Request) -> str:
        return request.headers.get("x-user", "nobody")

    return app


async def read(app: FastAPI, uri: str, era: Era, **options: Any) -> Reply:
    headers = {"mcp-name": uri, **options.pop("headers", {})}
    return await rpc(app, era, "resources/read", {"uri": uri}, headers=headers, **options)


async def contents(app: FastAPI, uri: str, era: Era, **options: Any) -> dict[str, Any]:
    reply = await read(app, uri, era, **options)
    (content,) = reply.result["contents"]
    found: dict[str, Any] = content
    return found


@pytest.mark.parametrize("era", ERAS)
async def test_resources_and_templates_are_listed(era: Era) -> None:
    """Resources: beside the tools, with what is known of them."""
    app = kb_app()
    mount_mcp(app)
    listed = (await rpc(app, era, "resources/list")).result["resources"]
    by_uri = {each["uri"]: each for each in listed}
    assert by_uri.keys() == {"kb-2://articles", "kb://logo", "kb-2://me"}
    assert by_uri["kb://logo"] == {
        "name": "logo",
        "title": "Logo",
        "uri": "kb://logo",
        "mimeType": "image/png",
        "size": 8,
        "description": by_uri["kb://logo"]["description"],
        "annotations": {"audience": ["user"], "priority": 0.5},
    }
    listed = (await rpc(app, era, "resources/templates/list")).result["resourceTemplates"]
    assert {each["uriTemplate"]: each["mimeType"] for each in listed} == {
        "kb-2://articles{?tag,q,sort}": "application/json",
        "kb://articles/{slug}": "application/json",
    }
    assert (await tools(app, era=era)).keys() == {"list_articles", "get_article", "me"}
    assert (await call(app, "logo", era=era)).answer["error"]["code"] == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_a_resource_is_read_as_its_tool_is_called(era: Era) -> None:
    """Resources: text, JSON and bytes with their media types; values from path and query."""
    app = kb_app()
    mount_mcp(app)
    assert await contents(app, "kb://articles/a%20b", era) == {
        "uri": "kb://articles/a%20b",
        "mimeType": "application/json",
        "text": '{"slug":"a b"}',
    }
    logo = await contents(app, "kb://logo", era)
    assert (logo["mimeType"], b64decode(logo["blob"])) == ("image/png", PNG)
    whole = await contents(app, "kb-2://articles", era)
    assert json.loads(whole["text"]) == {"q": "", "sort": "new", "tag": []}
    some = await contents(app, "kb-2://articles?q=x%26y&sort=old&tag=a,b", era)
    assert json.loads(some["text"]) == {"q": "x&y", "sort": "old", "tag": ["a", "b"]}


@pytest.mark.parametrize("era", ERAS)
async def test_a_value_of_an_address_reaches_no_other_operation(era: Era) -> None:
    """Resources: as with arguments, a value is a value."""
    app = kb_app()
    mount_mcp(app)
    for slug in ("a%2Fsecret", "..%2F..%2Fme", "a%3Fq%3D1", "."):
        reply = await read(app, f"kb://articles/{slug}", era)
        assert "hunter2" not in reply.text
        assert "error" in reply.answer or json.loads(reply.result["contents"][0]["text"])["slug"]
    for uri in ("kb://articles/a/secret", "kb://nothing", "kb://articles", "kb://articles/"):
        assert "error" in (await read(app, uri, era)).answer


@pytest.mark.parametrize("era", ERAS)
async def test_the_error_of_the_api_is_told(era: Era) -> None:
    """Resources: its own words, and nothing of an exception."""
    app = kb_app()

    @app.get("/broken", openapi_extra=RESOURCE)
    async def broken() -> str:
        raise RuntimeError("hunter2")

    mount_mcp(app, limits=Limits(max_bytes=60))
    reply = await read(app, "kb://articles/none", era)
    assert "There is no such article." in reply.answer["error"]["message"]
    reply = await read(app, "kb-2://broken", era)
    assert "500" in reply.answer["error"]["message"]
    assert "hunter2" not in reply.text
    reply = await read(app, f"kb-2://articles?q={'0' * 60}", era)
    assert "60 bytes" in reply.answer["error"]["message"]


@pytest.mark.parametrize("era", ERAS)
async def test_each_caller_reads_as_itself(era: Era) -> None:
    """Resources: with its own headers, never with another's."""
    app = kb_app()
    mount_mcp(app)
    for user in ("alice", "bob"):
        found = await contents(app, "kb-2://me", era, headers={"x-user": user})
        assert json.loads(found["text"]) == user


@pytest.mark.parametrize("era", ERAS)
async def test_scopes_hide_a_resource_and_are_asked_for(era: Era) -> None:
    """Resources: who lacks the scope sees none, and is told by a 403 which to ask for."""
    app = FastAPI(title="Parts")
    scheme = OAuth2PasswordBearer("token", auto_error=False)

    @app.get("/plans/{plan}", openapi_extra=RESOURCE)
    async def plan(plan: str, token: Annotated[str, Security(scheme, scopes=["plans"])]) -> str:
        return plan

    @app.get("/plans", openapi_extra=RESOURCE)
    async def plans(token: Annotated[str, Security(scheme, scopes=["plans"])]) -> str:
        return "all"

    mount_mcp(app, scopes_of=lambda request: request.headers.get("x-scopes", "").split())
    for uri, text in (("parts://plans/1", '"1"'), ("parts://plans", '"all"')):
        allowed = {"x-scopes": "plans"}
        assert (await contents(app, uri, era, headers=allowed))["text"] == text
        refused = await read(app, uri, era)
        assert refused.status == 403
        assert 'scope="plans"' in refused.headers["www-authenticate"]
    for method, key in (
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ):
        assert len((await rpc(app, era, method, headers=allowed)).result[key]) == 1
        assert (await rpc(app, era, method)).result[key] == []


@pytest.mark.parametrize("era", ERAS)
async def test_arguments_of_few_values_are_completed(era: Era) -> None:
    """Resources: `completion/complete` gives the values of an enum that begin so."""
    app = kb_app()
    mount_mcp(app)
    for begun, expected in (("", ["new", "old"]), ("o", ["old"]), ("x", [])):
        params = {
            "ref": {"type": "ref/resource", "uri": "kb-2://articles{?tag,q,sort}"},
            "argument": {"name": "sort", "value": begun},
        }
        reply = await rpc(app, era, "completion/complete", params)
        assert reply.result["completion"]["values"] == expected


async def test_selectors_choose_among_what_reads() -> None:
    """Resources: `resources=`, and a mark that says no goes before it."""
    app = FastAPI(title="Parts")

    @app.get("/a", tags=["x"])
    async def a() -> str:
        return "a"

    @app.post("/b", tags=["x"])
    async def b() -> str:
        return "b"

    @app.get("/c", tags=["x"], openapi_extra={"x-mcp": {"resource": False}})
    async def c() -> str:
        return "c"

    mount_mcp(app, resources=["tag:x"])
    listed = (await rpc(app, "modern", "resources/list")).result["resources"]
    assert [each["uri"] for each in listed] == ["parts://a"]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"resource": "kb"}, "write it like 'kb://articles/{slug}'"),
        ({"resource": "kb://a/{other}"}, "'other' in its address, which is no argument"),
        ({"resource": "kb://a"}, "needs 'slug' in its address"),
        ({"tool": False}, "no tool, and it is no resource"),
        ({"resource": {"uri": "kb://{slug}", "size": -1}}, "cannot be read"),
    ],
)
def test_a_mark_that_cannot_be_stops_the_start(mark: dict[str, Any], said: str) -> None:
    """Resources: what was found, and what to write."""
    app = FastAPI()

    @app.get("/a/{slug}", openapi_extra={"x-mcp": mark})
    async def a(slug: str) -> str:
        return slug

    mount_mcp(app)
    with pytest.raises(MountError) as refused, TestClient(app):
        pytest.fail("it has started")
    assert said in str(refused.value)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("query", ["%&" * 5_000, "q=" + "a" * 17_000])
async def test_an_address_that_is_very_long_is_not_looked_for(era: Era, query: str) -> None:
    """X5: a query of 32,000 fields took 0.3 s in one step, before anything was counted."""
    app = FastAPI()

    @app.get("/parts", openapi_extra={"x-mcp": {"resource": "parts://all{?q}"}})
    async def parts(q: str = "") -> str:
        return q

    @mount_mcp(app).server.resource("own://all{?q}")
    def own(q: str = "") -> str:
        return q

    for scheme in ("parts", "own"):
        uri = f"{scheme}://all?{query}"
        reply = await rpc(app, era, "resources/read", {"uri": uri}, headers={"mcp-name": uri})
        assert "too long, or its query has too many fields" in reply.answer["error"]["message"]
