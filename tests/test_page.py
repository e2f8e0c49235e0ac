"""What a person gets who opens the endpoint in a browser, and that nobody else gets it."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Security
from fastapi.security import HTTPBearer
from fastmcp.server.middleware import Middleware
from starlette.types import ASGIApp

import mcp_mount
from mcp_mount import RateLimit, gateway_app, mount_mcp, proxy_app
from mcp_mount.check.report import as_json, check_tools
from mcp_mount.commands.target import Target
from mcp_mount.page.negotiation import DETAILS_TYPE
from tests.access import bearer, static
from tests.api import PARTS
from tests.starting import started
from tests.support import http, tools

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
FOLDER = Path(mcp_mount.__file__).parent / "page"


def parts_app(**options: Any) -> FastAPI:
    app = FastAPI(title="Parts", version="3")
    scheme = HTTPBearer(auto_error=False)

    @app.get("/parts/{part_id}", tags=["parts"])
    async def get_part(part_id: int) -> dict[str, int]:
        """Get a part."""
        return {"id": part_id}

    @app.delete("/parts/{part_id}", dependencies=[Security(scheme, scopes=["admin"])])
    async def delete_part(part_id: int) -> None:
        """Delete a part for good."""

    @app.get("/metrics", openapi_extra={"x-mcp": False})
    async def metrics() -> str:
        return "up 1"

    mount_mcp(app, **options)
    return app


async def get(
    app: ASGIApp, accept: str | None = BROWSER, path: str = "/mcp", **headers: str
) -> httpx2.Response:
    async with http(app) as client:
        if accept is None:
            del client.headers["accept"]
        else:
            headers["accept"] = accept
        return await client.get(path, headers=headers)


async def details(app: ASGIApp, path: str = "/mcp", **headers: str) -> dict[str, Any]:
    answer = await get(app, DETAILS_TYPE, path, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == DETAILS_TYPE
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_browser_gets_a_page(path: str) -> None:
    answer = await get(parts_app(), path=path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    "accept",
    [
        *("text/event-stream", "application/json, text/event-stream"),
        *("text/event-stream, text/html", "text/html, text/event-stream;q=0.1"),
    ],
)
async def test_mcp_clients_keep_their_answer(accept: str) -> None:
    answer = await get(parts_app(), accept)
    assert (answer.status_code, answer.text) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "text/*", "", "text/html;q=0", "text/html; q=0.000", "x", None],
)
async def test_who_looks_with_curl_reads_what_this_is(accept: str | None) -> None:
    answer = await get(parts_app(), accept)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == (
        "This is an MCP endpoint, for clients of the Model Context Protocol: they POST JSON-RPC "
        "with 'Content-Type: application/json' and 'Accept: application/json, "
        "text/event-stream'.\nTo see its tools, open this URL in a browser, or give it to "
        "'mcp-mount list'.\n"
    )
    without_page = await get(parts_app(page=False), accept)
    assert without_page.text == answer.text.replace("open this URL in a browser, or ", "").replace(
        "give it to", "give this URL to"
    )


@pytest.mark.parametrize("accept", ["Text/HTML", "application/json;q=0.9, text/html ; q=0.1"])
async def test_a_browser_is_known_by_what_it_accepts(accept: str) -> None:
    assert (await get(parts_app(), accept)).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_only_a_get_is_for_the_page(method: str) -> None:
    async with http(parts_app()) as client:
        for accept in (BROWSER, DETAILS_TYPE):
            answer = await client.request(method, "/mcp", headers={"accept": accept})
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_with_sessions_a_stream_is_still_the_protocol_s() -> None:
    app = parts_app(sessions=True)
    async with started(app):
        assert (await get(app)).text.startswith("<!doctype html>")
        assert (await get(app, "text/event-stream")).status_code == 400
        assert "get_part" in (await details(app))["tools"]


async def test_the_page_can_be_switched_off() -> None:
    app = parts_app(page=False)
    for accept in (BROWSER, DETAILS_TYPE):
        answer = await get(app, accept)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_the_older_transport_has_no_page() -> None:
    app = parts_app(sse_path="/sse")
    for accept in (BROWSER, DETAILS_TYPE):
        answer = await get(app, accept, "/sse/messages")
        assert (answer.status_code, answer.text) == (405, "Method Not Allowed")


async def test_proxies_and_gateways_have_the_page_too() -> None:
    proxy = proxy_app(PARTS, "http://127.0.0.1:9")
    assert (await get(proxy)).status_code == 200
    assert (await details(proxy))["tools"]["add_part"]["path"] == "/parts"
    assert (await details(proxy))["left_out"] == []
    off = gateway_app([mcp_mount.Remote("wiki", url="http://127.0.0.1:9/mcp")], page=False)
    assert (await get(off)).status_code == 405


async def test_the_policy_lets_only_the_page_s_own_script_run() -> None:
    first, second = await get(parts_app()), await get(parts_app())
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for directive in ("connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    (nonce,) = set(re.findall(r"'nonce-([\w-]{20,})'", policy))
    assert nonce not in second.headers["content-security-policy"]
    assert {*re.findall(r'nonce="([^"]*)"', first.text)} == {nonce}
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["vary"] == "accept"
    assert first.headers["x-content-type-options"] == "nosniff"


async def test_the_page_is_one_document_that_fetches_nothing() -> None:
    text = (await get(parts_app())).text
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 1
    assert len(re.findall("<style", text)) == len(re.findall("</style", text)) == 1
    assert re.findall(r"<(?:link|img|iframe|base|object|embed)\b", text) == []
    assert re.findall(r"""(?:src|href)=["'](?!#)""", text) == []
    assert re.findall(r"url\(|@import|\bimport\(|\son\w+=[\"']", text) == []
    assert "{nonce}" not in text
    assert "{style}" not in text
    assert "{script}" not in text


def test_no_script_writes_html() -> None:
    """What is shown is untrusted: it is text, never markup, and no part of a program."""
    for script in sorted(FOLDER.glob("*.js")):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment"
            r"|\beval\b|new Function|setHTML|srcdoc|javascript:",
            script.read_text(encoding="utf-8"),
        )
        assert found == [], script.name


async def test_the_page_tells_nothing_of_the_tools() -> None:
    """It is the same bytes for everyone: what it shows, it asks for as the caller."""
    app = parts_app(auth=static(alice=[]))
    answer, other = await get(app), await get(FastAPI_without_tools())
    nonce = r"[\w-]{22}"
    assert re.sub(f'nonce="{nonce}"', "", answer.text) == re.sub(f'nonce="{nonce}"', "", other.text)


def FastAPI_without_tools() -> FastAPI:  # noqa: N802
    app = FastAPI(title="Nothing")
    mount_mcp(app)
    return app


async def test_details_say_what_mcp_cannot() -> None:
    app = parts_app(rate_limit=RateLimit("60/minute"), public_url="https://kb.example/mcp")
    found = await details(app)
    part = found["tools"]["get_part"]
    assert (part["method"], part["path"], part["group"]) == ("GET", "/parts/{part_id}", "parts")
    assert part["docs"] == "/docs#/parts/get_part_parts__part_id__get"
    assert part["limits"]["timeout"] == 60
    assert "max_request_bytes" not in part["limits"]
    assert found["tools"]["delete_part"]["scopes"] == [["admin"]]
    assert (found["rate"], found["url"]) == ("60/minute", "https://kb.example/mcp")


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example:8000", 403), ("localhost:8000", 200), ("10.0.0.7", 200), ("mcp.example", 200)],
)
async def test_details_are_not_told_to_a_page_whose_name_was_rebound(
    host: str, status: int
) -> None:
    """F3: a GET of its own carries no `Origin`."""
    public_url = "https://mcp.example" if host == "mcp.example" else None
    app = FastAPI()
    mount_mcp(app, public_url=public_url)
    async with http(app) as client:
        headers = {"accept": DETAILS_TYPE, "host": host}
        assert (await client.get("/mcp", headers=headers)).status_code == status


async def test_details_name_what_is_left_out_and_why() -> None:
    app = parts_app(include=["/parts*"], exclude=["DELETE *"])
    assert (await details(app))["left_out"] == [
        {"operation": "DELETE /parts/{part_id}", "reason": "exclude= names it."},
        {"operation": "GET /metrics", "reason": "Its mark (x-mcp) hides it."},
    ]
    app = parts_app(include=["DELETE *"])
    left = {each["operation"]: each["reason"] for each in (await details(app))["left_out"]}
    assert left["GET /parts/{part_id}"] == "include= does not name it."


async def test_an_app_that_hides_its_document_is_not_told_on() -> None:
    app = parts_app(exclude=["DELETE *"])
    app.openapi_url = None
    found = await details(app)
    assert found["left_out"] == []
    assert found["tools"]["get_part"]["docs"] is None


async def test_a_stranger_is_refused_the_details_as_a_call() -> None:
    app = parts_app(auth=static(alice=["admin"], bob=[]))
    for stranger in ({}, bearer("mallory")):
        answer = await get(app, DETAILS_TYPE, **stranger)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "part" not in answer.text
    assert "delete_part" in (await details(app, **bearer("alice")))["tools"]


async def test_a_caller_s_details_are_of_the_tools_that_it_may_use() -> None:
    ways: list[dict[str, Any]] = [{"auth": static(bob=[])}, {"scopes_of": lambda _: []}]
    for options in ways:
        app = parts_app(exclude=["get_part"], **options)
        found = await details(app, **bearer("bob"))
        assert found["tools"].keys() == (await tools(app, headers=bearer("bob"))).keys() == set()
        app = parts_app(exclude=["delete_part"], **options)
        found = await details(app, **bearer("bob"))
        assert found["tools"].keys() == {"get_part"}
        assert "DELETE" not in str(found["left_out"])


def check_key(x_key: Annotated[str, Header()] = "") -> None:
    if x_key != "right":
        raise HTTPException(403, "Wrong key")


async def test_dependencies_guard_the_details_and_not_the_page() -> None:
    """A person has to see the page to enter a key."""
    app = parts_app(dependencies=[Depends(check_key)])
    assert (await get(app)).status_code == 200
    refused = await get(app, DETAILS_TYPE)
    assert (refused.status_code, refused.json()) == (403, {"detail": "Wrong key"})
    assert "get_part" in (await details(app, **{"x-key": "right"}))["tools"]


async def test_a_page_of_another_origin_is_refused() -> None:
    for accept in (BROWSER, DETAILS_TYPE):
        answer = await get(parts_app(), accept, origin="https://evil.example")
        assert answer.status_code == 403


async def findings(app: ASGIApp, query: str = "", **headers: str) -> Any:
    return await details(app, f"/mcp?part=findings{query}", **headers)


async def test_findings_are_those_of_the_command() -> None:
    app = parts_app()
    report = check_tools(await Target("app", {}, app).subjects())
    assert await findings(app) == await findings(app) == json.loads(json.dumps(as_json(report)))
    assert report.findings == ()
    (part, delete) = (await findings(app))["tools"]
    assert (part["name"], part["grade"], delete["name"]) == ("get_part", "D", "delete_part")
    assert {each["rule"] for each in part["findings"]} == {
        *("repeated-name", "argument-description", "undocumented-error")
    }


async def test_findings_are_of_what_the_caller_is_shown() -> None:
    app = parts_app(auth=static(alice=["admin"], bob=[]))
    assert (await get(app, DETAILS_TYPE, "/mcp?part=findings")).status_code == 401
    for caller, names in (("bob", ["get_part"]), ("alice", ["get_part", "delete_part"])):
        found = await findings(app, **bearer(caller))
        assert [each["name"] for each in found["tools"]] == names
    assert "search_tools" in str(await findings(parts_app(), "&surface=search"))


async def test_findings_follow_the_operations() -> None:
    """Not only the list: what an operation says of its errors is no part of it."""
    app = FastAPI()
    responses: dict[int | str, dict[str, Any]] = {}

    @app.get("/parts/{part_id}", responses=responses)
    async def get_part(part_id: int) -> int:
        """Find a part of the shop."""
        return part_id

    mount_mcp(app)
    assert "undocumented-error" in str(await findings(app))
    app.router.routes.pop()
    app.get("/parts/{part_id}", responses={404: {"description": "None."}})(get_part)
    app.openapi_schema = None
    assert "undocumented-error" not in str(await findings(app))


async def test_a_mark_that_silences_no_rule_is_told_in_place_of_findings() -> None:
    app = FastAPI()

    @app.get("/word", openapi_extra={"x-mcp": {"silence": ["long-nam"]}})
    async def word() -> str:
        return "here"

    mount_mcp(app)
    assert "Did you mean 'long-name'?" in (await findings(app))["problem"]


async def test_details_of_a_tool_are_not_those_of_one_in_its_place() -> None:
    app = FastAPI()

    @app.get("/word")
    async def word() -> str:
        return "the route's"

    mounted = mount_mcp(app)
    assert "word" in (await details(app))["tools"]

    @mounted.server.tool(name="word")
    def own() -> str:
        return "own"

    assert (await details(app))["tools"] == {}


async def test_where_only_fastmcp_knows_who_sees_what_nothing_is_said() -> None:
    app = FastAPI()

    @app.get("/word")
    async def word() -> str:
        return "here"

    mounted = mount_mcp(app, exclude=[])
    mounted.server.add_middleware(Middleware())
    found = await details(app)
    assert (found["tools"], found["left_out"]) == ({}, [])
    assert await findings(app) is None


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("", "http://localhost:8000/mcp"),
        ("?url=https%3A%2F%2Fkb.example%2Fapi%2Fmcp", "https://kb.example/api/mcp"),
        ("?url=javascript:alert(1)", "http://localhost:8000/mcp"),
        (
            "?url=https%3A%2F%2Fkb.example%2Fmcp%3Fsurface%3Dsearch",
            "https://kb.example/mcp?surface=search",
        ),
    ],
)
async def test_clients_are_connected_to_where_the_page_was_found(query: str, url: str) -> None:
    found = await details(parts_app(), f"/mcp{query}")
    (codex,) = (each for each in found["connections"] if each["client"] == "Codex")
    assert codex["text"] == f'[mcp_servers.parts]\nurl = "{url}"'


async def test_the_public_url_goes_before_what_the_page_says() -> None:
    app = parts_app(public_url="https://kb.example/mcp")
    seen = "https%3A%2F%2Felsewhere.example%2Fmcp%3Fsurface%3Dsearch"
    found = await details(app, f"/mcp?url={seen}&header=X-Api-Key")
    assert "elsewhere" not in str(found)
    assert "'https://kb.example/mcp?surface=search'" in str(found["connections"])
    assert "X-Api-Key" in str(found["connections"])


async def test_under_a_prefix_the_links_have_it() -> None:
    app = parts_app()
    app.root_path = "/api"
    found = await details(app)
    assert found["docs"] == "/api/docs"
    assert "http://localhost:8000/api/mcp" in str(found["connections"])


async def test_middleware_can_tell_the_page_from_everything_else() -> None:
    """It lets a person see the page, and nobody anything more."""
    app, off = FastAPI(), FastAPI()
    mounted, without = mount_mcp(app), mount_mcp(off, page=False)

    def scope(accept: str = BROWSER, path: str = "/mcp", method: str = "GET", **more: Any) -> Any:
        headers = [(b"accept", accept.encode())]
        return {"type": "http", "path": path, "method": method, "headers": headers, **more}

    assert mounted.serves_page(scope())
    assert mounted.serves_page(scope(path="/mcp/"))
    assert mounted.serves_page(scope(path="/api/mcp", root_path="/api"))
    for other in (
        scope(DETAILS_TYPE),
        scope("text/html, text/event-stream"),
        scope(path="/mcpx"),
        scope(path="/"),
        scope(path="/mcp//"),
        scope(method="POST"),
        {**scope(), "type": "websocket"},
    ):
        assert not mounted.serves_page(other)
    assert not without.serves_page(scope())


async def test_the_example_of_the_documentation_asks_for_the_key_on_the_page() -> None:
    text = (FOLDER.parents[1] / "docs" / "page.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "page.md", "exec"), found)  # noqa: S102 - our own
    app = found["app"]
    assert (await get(app)).status_code == 200
    assert (await get(app, path="/docs")).status_code == 401
    assert (await get(app, DETAILS_TYPE)).status_code == 401
    assert (await details(app, **{"x-api-key": "secret"}))["tools"] == {}
