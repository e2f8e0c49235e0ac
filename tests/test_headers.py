"""Which headers of an MCP request reach the route, and which never do."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header, Request

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, envelope, http, read_messages

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"


def build_app(**options: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/headers")
    async def headers(request: Request, text: str = "") -> list[tuple[str, str]]:
        return request.headers.items()

    mount_mcp(app, **options)
    return app


async def headers_of(app: FastAPI, era: Era, sent: list[tuple[str, str]], **options: Any) -> Any:
    """Return the headers that the route got, as pairs, for an MCP request with these too.

    The request is written by hand, because a header may stand in it twice.
    """
    params: dict[str, Any] = {"name": "headers", "arguments": {}, **options}
    own, body = envelope(era, "tools/call", params)
    async with http(app) as client:
        reply = await client.post("/mcp", headers=[*own.items(), *sent], json=body)
    message = read_messages(reply.headers["content-type"], reply.text)[-1]
    return [tuple(pair) for pair in message["result"]["structuredContent"]["result"]]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "X-Api-Key", "X-Request-Id", "X-Forwarded-For", "X-Tenant"),
        *("traceparent", "tracestate", "baggage", "Accept-Language", "User-Agent", "Forwarded"),
    ],
)
async def test_what_the_caller_could_send_to_the_route_itself_is_forwarded(
    name: str, era: Era
) -> None:
    """C3: credentials, tracing, languages and the service's own headers reach the route."""
    value = TRACE if name == "traceparent" else "one, two"
    got = await headers_of(build_app(), era, [(name, value)])
    assert [text for key, text in got if key == name.lower()] == [value]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Cookie", "sid=1"), ("Origin", "http://localhost:8000"), ("Referer", "http://a/")),
        *(("Mcp-Session-Id", "s"), ("Mcp-Param-Q", "1"), ("Last-Event-ID", "7")),
        *(("Range", "bytes=0-1"), ("If-None-Match", '"a"'), ("If-Range", '"a"')),
        *(("If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT"), ("If-Match", "*")),
        *(("TE", "trailers"), ("Upgrade", "h2c"), ("Trailer", "X-End"), ("Keep-Alive", "5")),
        *(("Proxy-Authorization", "Basic eA=="), ("Transfer-Encoding", "identity")),
        *(("Content-Encoding", "identity"), ("Content-Language", "de"), ("Digest", "x=y")),
        *(("Sec-Fetch-Mode", "cors"), ("Access-Control-Request-Method", "PUT")),
        *(("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/admin")),
        *(("Expect", "100-continue"), ("Signature", "sig=:eA==:"), ("Date", "now")),
    ],
)
async def test_what_describes_the_outer_message_never_reaches_the_route(
    name: str, value: str, era: Era
) -> None:
    """C3: no Cookie, Origin, Mcp-*, Range, conditional, hop-by-hop header, nor any of the body."""
    got = await headers_of(build_app(), era, [(name, value)])
    assert name.lower() not in dict(got)


@pytest.mark.parametrize("era", ERAS)
async def test_the_route_is_told_of_no_body_that_it_does_not_get(era: Era) -> None:
    """C3: the type and length of the MCP message are not those of a call without a body."""
    got = dict(await headers_of(build_app(), era, []))
    assert not {"content-type", "content-length", "mcp-protocol-version", "mcp-method"} & got.keys()
    assert got["accept"] == "application/json, */*;q=0.1"
    assert got["accept-encoding"] == "identity"
    assert got["host"] == "localhost:8000"


@pytest.mark.parametrize("era", ERAS)
async def test_a_header_that_stands_twice_is_forwarded_twice(era: Era) -> None:
    """C3: repeated headers keep their number and order."""
    sent = [("X-Forwarded-For", "10.0.0.1"), ("X-Other", "o"), ("X-Forwarded-For", "10.0.0.2")]
    got = await headers_of(build_app(), era, sent)
    assert [pair for pair in got if pair[0] == "x-forwarded-for"] == [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2"),
    ]


@pytest.mark.parametrize("era", ERAS)
async def test_no_caller_takes_headers_away_by_naming_them_in_connection(era: Era) -> None:
    """C3: what a proxy in front has added reaches the route, whatever `Connection` names."""
    added = [("X-Forwarded-For", "203.0.113.7"), ("X-User", "guest"), ("Authorization", "Bearer t")]
    named = [("Connection", "close, X-Forwarded-For"), ("Connection", "x-user,authorization, Host")]
    got = dict(await headers_of(build_app(), era, [*added, *named]))
    assert "connection" not in got
    assert got["host"] == "localhost:8000"
    assert {(name.lower(), value) for name, value in added} <= got.items()


@pytest.mark.parametrize("era", ERAS)
async def test_cookies_are_forwarded_where_asked_for(era: Era) -> None:
    """C3: the Cookie header reaches the route with `forward_cookies=True`."""
    sent = [("Cookie", "sid=1; lang=de")]
    got = dict(await headers_of(build_app(forward_cookies=True), era, sent))
    assert got["cookie"] == "sid=1; lang=de"


@pytest.mark.parametrize("era", ERAS)
async def test_the_trace_of_the_mcp_call_goes_before_that_of_its_http_request(era: Era) -> None:
    """C3: `_meta.traceparent`, `tracestate` and `baggage` join the route to the caller's trace."""
    meta = {"traceparent": TRACE, "tracestate": "a=1", "baggage": "k=v"}
    sent = [("traceparent", OTHER_TRACE), ("tracestate", "b=2")]
    got = await headers_of(build_app(), era, sent, _meta=meta)
    assert [pair for pair in got if pair[0] in meta] == [*meta.items()]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("value", ["ü", 7, ["x"], {"x": "y\n"}, None])
async def test_a_trace_that_is_no_header_value_is_left_out(value: Any, era: Era) -> None:
    """C3: `_meta` cannot write headers of its own."""
    got = dict(await headers_of(build_app(), era, [], _meta={"tracestate": value}))
    assert not {"tracestate", "x-admin"} & got.keys()


@pytest.mark.parametrize("era", ERAS)
async def test_an_argument_replaces_the_callers_header_of_that_name(era: Era) -> None:
    """C3: a header parameter is sent once, with the value that the model gave."""
    app = FastAPI()

    @app.get("/plan")
    async def plan(request: Request, x_plan: Annotated[str, Header()] = "free") -> list[str]:
        return request.headers.getlist("x-plan")

    mount_mcp(app)
    sent = {"X-Plan": "callers"}
    reply = await call(app, "plan", {"x-plan": "models"}, era=era, headers=sent)
    assert reply.result["structuredContent"] == {"result": ["models"]}
    reply = await call(app, "plan", {}, era=era, headers=sent)
    assert reply.result["structuredContent"] == {"result": ["callers"]}
