"""What the proxy passes on, to whom, and where nothing can lead it."""

from base64 import b64encode, urlsafe_b64encode
from copy import deepcopy
from typing import Any
from urllib.parse import quote, unquote

import pytest
from fastapi import FastAPI, Request, Response

from mcp_mount import MountError, Upstream, proxy_app
from tests.api import PARTS, api, before
from tests.support import ERAS, Era, call, served, tools

eras = pytest.mark.parametrize("era", ERAS)

HERE = "http://localhost"
CREDENTIALS = {
    "authorization": "Bearer caller",
    "cookie": "session=caller",
    "x-api-key": "caller",
    "x-tenant": "north",
    "x-forwarded-for": "10.0.0.1",
}


def parts_api() -> tuple[FastAPI, list[dict[str, str]]]:
    """Return an API that gives a cookie, and the headers of the requests that came to it."""
    app = FastAPI()
    seen: list[dict[str, str]] = []

    @app.get("/parts/{part}")
    async def get(part: str, request: Request, response: Response) -> str:
        seen.append(dict(request.headers))
        response.set_cookie("session", f"of call {len(seen)}")
        return part

    return app, seen


@eras
async def test_nothing_of_a_callers_goes_to_the_api(era: Era) -> None:
    """Proxy: no credential, no cookie, no address; only what belongs to the request itself."""
    parts, seen = parts_api()
    with served(parts) as url:
        app = before(url)
        for _ in range(2):
            await call(app, "get_part", {"part": "a"}, era=era, headers=CREDENTIALS)
    assert [*seen[0]] == ["host", "user-agent", "accept", "accept-encoding"]
    assert seen[0]["user-agent"].startswith("mcp-mount/")
    # The cookie that the first call was given is not sent by the second.
    assert seen[1] == seen[0]


@eras
async def test_what_is_named_goes_to_the_api(era: Era) -> None:
    """Proxy: `forward_headers` by name, and the proxy's own before those of callers."""
    parts, seen = parts_api()
    with served(parts) as url:
        own = {"X-API-Key": "proxy's", "X-Build": "7"}
        app = before(url, forward_headers=("Authorization", "x-api-key"), headers=own)
        await call(app, "get_part", {"part": "a"}, era=era, headers=CREDENTIALS)
        await call(app, "get_part", {"part": "a"}, era=era)
    named = {"authorization", "x-api-key", "x-build", "cookie", "x-tenant"}
    assert [{key: value for key, value in each.items() if key in named} for each in seen] == [
        {"authorization": "Bearer caller", "x-api-key": "proxy's", "x-build": "7"},
        {"x-api-key": "proxy's", "x-build": "7"},
    ]


@eras
async def test_each_header_goes_to_the_api_once(era: Era) -> None:
    """Proxy: what a caller sends, what a request has, and what the proxy adds make no doubles."""
    document = deepcopy(PARTS)
    document["paths"]["/parts"]["get"]["parameters"] = [
        {"name": name, "in": "cookie", "schema": {"type": "string"}} for name in ("theme", "who")
    ]
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
    forwards = ("user-agent", "traceparent", "cookie")
    async with api() as parts:
        app = proxy_app(document, Upstream(parts.url, forward_headers=forwards))
        sent = {"user-agent": "caller", "traceparent": f"{trace}0", "cookie": "who=me; b=1"}
        arguments = {"theme": "dark", "who": "you"}
        meta = {"traceparent": f"{trace}1"}
        await call(app, "list_parts", arguments, era=era, headers=sent, meta=meta)
        await call(app, "list_parts", {"theme": "dark"}, era=era, headers={"user-agent": "x"})
        named = proxy_app(PARTS, Upstream(parts.url, headers={"User-Agent": "proxy"}))
        await call(named, "list_parts", era=era)
    both, alone, own = ([*request.splitlines()[2:]] for request in parts.requests)
    for lines in (both, alone, own):
        names = [line.partition(":")[0].lower() for line in lines if line]
        assert len(names) == len({*names})
    assert {"user-agent: caller", f"traceparent: {trace}1"} <= {*both}
    # What the caller sends is not a model's to choose.
    assert "cookie: who=me; b=1; theme=dark" in both
    assert "cookie: theme=dark" in alone
    assert "user-agent: proxy" in own


async def test_what_the_proxy_or_the_caller_sends_is_no_argument() -> None:
    """Proxy, X6: a model is not asked for a header that is not its to choose."""
    document = deepcopy(PARTS)
    document["paths"]["/parts/{part}"]["get"]["parameters"] += [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("X-Key", "X-Tenant", "X-Note")
    ]
    upstream = Upstream("http://localhost:9", headers={"x-key": "1"}, forward_headers=("X-TENANT",))
    listed = await tools(proxy_app(document, upstream))
    assert [*listed["get_part"]["inputSchema"]["properties"]] == ["part", "X-Note"]


@eras
@pytest.mark.parametrize(
    "value", ["a/b", "a\\b", "..", ".", "../admin", "latest", "Latest", "a/../latest", "\0", ""]
)
async def test_a_value_does_not_lead_to_another_path(value: str, era: Era) -> None:
    """Proxy, C5: not by a slash, by dots, or by the name of another operation."""
    async with api() as parts:
        reply = await call(before(parts.url), "get_part", {"part": value}, era=era)
        assert reply.is_error
        assert "part" in reply.text_content
    assert parts.requests == []


@eras
@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a b?c#d;e", "GET /parts/a%20b%3Fc%23d%3Be"),
        ("%2e%2e", "GET /parts/%252e%252e"),
        ("größe", "GET /parts/gr%C3%B6%C3%9Fe"),
        ("a\r\nX-Evil: 1", "GET /parts/a%0D%0AX-Evil%3A%201"),
        ("...", "GET /parts/..."),
    ],
)
async def test_any_other_value_arrives_as_it_is(value: str, line: str, era: Era) -> None:
    """Proxy, C5."""
    async with api() as parts:
        reply = await call(before(parts.url), "get_part", {"part": value}, era=era)
        assert reply.text_content == "here"
    assert parts.lines == [line]


@eras
async def test_slashes_are_for_the_operations_that_may_have_them(era: Era) -> None:
    """Proxy: and even there they lead to no other operation."""
    async with api() as parts:
        app = before(parts.url, slashes=("GET /parts/{part}",))
        reply = await call(app, "get_part", {"part": "a/b c"}, era=era)
        assert reply.text_content == "here"
        for value in ("a/../b", "../admin", "latest", "a/..", "a\\..\\b", "."):
            assert (await call(app, "get_part", {"part": value}, era=era)).is_error
    assert parts.lines == ["GET /parts/a/b%20c"]


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ("localhost:9000", "write it like 'http://localhost:9000'"),
        ("ftp://localhost", "write it like 'http://localhost:9000'"),
        ("http://localhost:0", "write it like 'http://localhost:9000'"),
        ("http://☃.example", "write it like 'http://localhost:9000'"),
        ("http://user:hunter2@localhost", "Send the 'Authorization' header instead"),
        (Upstream(HERE, forward_headers=("Host",)), "'host' cannot be forwarded"),
        (Upstream(HERE, forward_headers=("mcp-x",)), "'mcp-x' cannot be forwarded"),
        (Upstream(HERE, headers={"X-Ä": "1"}), "header 'X-Ä' cannot"),
        (Upstream(HERE, headers={"X": "1\r\nY: 2"}), "header 'X' cannot"),
        (Upstream(HERE, headers={"X": "☃"}), "header 'X' cannot"),
        (Upstream(HERE, headers={"Content-Length": "1"}), "'Content-Length' cannot"),
        (Upstream(HERE, slashes=("GET /no",)), "'GET /no', which is no operation"),
        (Upstream(HERE, base_path="/a?b"), "The base path cannot be '/a?b'"),
        (Upstream(HERE, base_path="/../a"), "The base path cannot be"),
        (Upstream(f"{HERE}/api", base_path="/v2"), "give one of the two"),
        (Upstream(f"{HERE}/api", base_path=""), "give one of the two"),
        (None, "Give upstream="),
        (Upstream(), "Give upstream="),
    ],
)
def test_an_upstream_that_cannot_be_is_refused(upstream: Any, said: str) -> None:
    """Proxy: at once, with what to write instead; a password is not shown."""
    with pytest.raises(MountError) as refused:
        proxy_app(PARTS, upstream)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["retries", "read_timeout", "connect_timeout"])
def test_numbers_with_which_no_call_could_succeed_are_refused(name: str) -> None:
    options: dict[str, Any] = {name: -1}
    with pytest.raises(MountError, match=rf"Upstream\.{name} must be"):
        Upstream(HERE, **options)


@pytest.mark.parametrize("name", ["forward_headers", "slashes"])
def test_one_name_is_not_taken_for_several(name: str) -> None:
    options: dict[str, Any] = {name: "authorization"}
    with pytest.raises(MountError, match=rf"Upstream\.{name} must be a list such as"):
        Upstream(HERE, **options)


@eras
@pytest.mark.parametrize("expression", [r"\p{L}{150}", r"\p{L}{1000}", "^x-"])
async def test_regular_expressions_of_responses_are_left_out(expression: str, era: Era) -> None:
    """Proxy, F1: results are compared with what is published, and to compile one takes long."""
    document = deepcopy(PARTS)
    by_name = {"type": "object", "patternProperties": {expression: {"type": "integer"}}}
    schema = {"type": "object", "properties": {"items": by_name}, "propertyNames": {"pattern": "a"}}
    content = {"application/json": {"schema": {**schema, **by_name}}}
    document["paths"]["/parts"]["get"]["responses"] = {"200": {"content": content}}
    async with api() as parts:
        app = proxy_app(document, parts.url)
        shown = (await tools(app, era=era))["list_parts"]["outputSchema"]
        result = await call(app, "list_parts", era=era)
    assert "attern" not in str(shown)
    assert not result.is_error


def on_other_hosts() -> dict[str, Any]:
    document = deepcopy(PARTS)
    document["servers"] = [{"url": "https://api.example/v1"}]
    document["paths"]["/parts/latest"]["servers"] = [{"url": "http://169.254.169.254/"}]
    document["paths"]["/parts"]["post"]["servers"] = [{"url": "https://uploads.example"}]
    return document


async def test_operations_on_other_hosts_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Proxy: a document does not decide which hosts are called (server-side request forgery)."""
    app = proxy_app(on_other_hosts(), "http://localhost:9000")
    assert {*await tools(app)} == {"list_parts", "get_part"}
    (line,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert "GET /parts/latest (http://169.254.169.254/)" in line
    assert "POST /parts (https://uploads.example)" in line
    # No argument leads there either.
    reply = await call(app, "get_part", {"part": "latest"})
    assert reply.is_error


def test_what_is_left_out_already_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Proxy: by a selector or a mark."""
    document = on_other_hosts()
    document["paths"]["/parts/latest"]["get"]["x-mcp"] = False
    proxy_app(document, "http://localhost:9000", exclude=["POST *"])
    assert [each for each in caplog.records if each.levelname == "WARNING"] == []


def test_strict_stops_where_an_operation_is_on_another_host() -> None:
    """Proxy: and says what to leave out."""
    with pytest.raises(MountError, match=r"is on another host.*exclude=") as refused:
        proxy_app(on_other_hosts(), Upstream("http://localhost:9000", strict=True))
    assert "['POST /parts', 'GET /parts/latest']" in str(refused.value)
    left_out = ["GET /parts/latest", "POST /parts"]
    proxy_app(on_other_hosts(), Upstream("http://localhost:9000", strict=True), exclude=left_out)


@eras
@pytest.mark.parametrize(
    ("url", "base_path", "line"),
    [("", None, "/api/v3/parts/a"), ("", "", "/parts/a"), ("", "v9/", "/v9/parts/a")],
)
async def test_a_prefix_that_an_ingress_takes_away_can_be_left_out(
    url: str, base_path: str | None, line: str, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy: `base_path` goes before the document, which otherwise says it, with a line."""
    caplog.set_level("INFO", "mcp_mount")
    document = {**PARTS, "servers": [{"url": "/api/v3"}]}
    async with api() as parts:
        app = proxy_app(document, Upstream(f"{parts.url}/", base_path=base_path))
        assert app.state.mcp.upstream == parts.url + line.removesuffix("/parts/a")
        await call(app, "get_part", {"part": "a"}, era=era)
    assert parts.lines == [f"GET {line}"]
    said = [each.getMessage() for each in caplog.records if "base_path=''" in each.getMessage()]
    assert bool(said) == (base_path is None)
    assert all(f"{parts.url}/api/v3:" in each for each in said)


async def test_the_documents_path_stands_before_its_paths() -> None:
    """Proxy: the upstream says which host; its own path, where it has one, replaces that."""
    server = {"url": "https://api.example/{v}", "variables": {"v": {"default": "v1"}}}
    document = {**PARTS, "servers": [server]}
    async with api() as parts:
        for url in (parts.url, f"{parts.url}/", f"{parts.url}/mine/?key=7"):
            await call(proxy_app(document, url), "get_part", {"part": "a"})
    assert parts.lines == ["GET /v1/parts/a", "GET /v1/parts/a", "GET /mine/parts/a?key=7"]


def test_headers_and_secrets_are_not_shown() -> None:
    """X7: neither in an error nor in a log."""
    upstream = Upstream(HERE, headers={"Authorization": "hunter2"})
    assert "hunter2" not in repr(upstream)


KEY = "of/the proxy: 0123456789abcdef"
HEADER_KEY = "header-key-of-the-proxy"


@eras
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://api.example/parts/a?{query}", "https://api.example/parts/a"),
        ("/login?next=a&{query}&b=1", "/login?next=a&b=1"),
        ("/login?{query}#top", "/login#top"),
        ("/login?key={plain}", "/login"),
        ("/login?next=%2Fparts%2Fa%3F{quoted}", None),
        ("/login/{value}", None),
        ("/login?token={header}", None),
        ("/login?tenant=northern&v=12", "/login?tenant=northern&v=12"),
    ],
)
async def test_the_proxys_own_key_is_in_no_address_that_is_shown(
    location: str, shown: str | None, era: Era
) -> None:
    """Proxy: an API that leads elsewhere repeats the query that it was asked with."""
    parts = FastAPI()

    @parts.get("/parts/{part}")
    async def get(request: Request, part: str) -> Response:
        query = request.url.query
        where = location.format(
            query=query,
            plain=KEY,
            quoted=quote(query, safe=""),
            value=quote(KEY, safe=""),
            header=request.headers["x-api-key"],
        )
        return Response(
            status_code=301, headers={"location": where, "link": f"<{where}>; rel=next"}
        )

    with served(parts) as url:
        own = {"X-API-Key": HEADER_KEY}
        app = before(f"{url}?key={quote(KEY)}&v=1", headers=own)
        reply = await call(app, "get_part", {"part": "a"}, era=era)
    assert not any(each in unquote(unquote(reply.text)) for each in (KEY, HEADER_KEY))
    headers = reply.result.get("_meta", {}).get("http", {}).get("headers", {})
    assert headers.get("location") == shown
    assert headers.get("link") == (f"<{shown}>; rel=next" if shown else None)


@eras
async def test_addresses_are_read_as_far_as_that_holds_up_nobody(era: Era) -> None:
    """Proxy: one of 94,000 characters held the event loop for 60 ms, and thirty for 270."""
    parts = FastAPI()

    @parts.get("/parts/{part}")
    async def get(part: str) -> Response:
        link, location = "%C3%A4%" * int(part), "/login"
        return Response(status_code=301, headers={"link": link, "location": location})

    with served(parts) as url:
        app = before(url, headers={"X-API-Key": HEADER_KEY})
        shown = []
        for times in (1_000, 2_000):
            reply = await call(app, "get_part", {"part": str(times)}, era=era)
            shown.append(reply.result["_meta"]["http"]["headers"])
    assert [each["location"] for each in shown] == ["/login", "/login"]
    assert [len(each.get("link", "")) for each in shown] == [7_000, 0]


BASIC = b64encode(b"admin:correct horse").decode()


@eras
@pytest.mark.parametrize(
    "location",
    [
        "https://admin:correct%20horse@api.example/",
        "/login?as=admin%3Acorrect%2520horse",
        "/login?password=correct%20horse",
        f"/login?authorization={BASIC}",
        f"/login?key={b64encode(HEADER_KEY.encode()).decode()}",
        f"/login?key={b64encode(KEY.encode()).decode().rstrip('=')}",
        f"/login?key={urlsafe_b64encode(KEY.encode()).decode()}",
    ],
)
async def test_nor_is_it_there_in_base64_or_out_of_it(location: str, era: Era) -> None:
    """Proxy: user and password are base64 in a header, and plain in an address."""
    parts = FastAPI()

    @parts.get("/parts/{part}")
    async def get(part: str) -> Response:
        return Response(status_code=301, headers={"location": location})

    with served(parts) as url:
        own = {"authorization": f"Basic {BASIC}", "x-api-key": HEADER_KEY}
        app = proxy_app(PARTS, Upstream(f"{url}?key={quote(KEY)}", headers=own))
        reply = await call(app, "get_part", {"part": "a"}, era=era)
    assert "301 Moved Permanently" in reply.text_content
    assert location not in reply.text
    assert "location" not in reply.text


@eras
async def test_the_proxys_own_query_is_sent_once_where_a_redirect_is_followed(era: Era) -> None:
    """Proxy: an API that adds a slash repeats the query."""
    parts = FastAPI()
    seen: list[str] = []

    @parts.get("/parts/{part}/")
    async def get(request: Request, part: str) -> str:
        seen.append(request.url.query)
        return part

    with served(parts) as url:
        app = before(f"{url}?key={quote(KEY)}&v=1")
        assert (await call(app, "get_part", {"part": "a"}, era=era)).text_content == '"a"'
    assert seen == [f"key={quote(KEY)}&v=1"]
