"""An app with a tool for each kind of answer, and every kind of MCP request that it may get."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from fastapi.security import OAuth2PasswordBearer
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

from tests.lanes import HeaderPairs
from tests.support import LEGACY, Era, envelope

MOST_BYTES = 10_000
"""Of a request, by the limits of the apps here."""

LINK = OAuth2PasswordBearer("token", scopes={"admin": "everything"}, auto_error=False)


class Part(BaseModel):
    name: str
    count: int = 0


def every_answer() -> FastAPI:
    """Return an app with a tool for each kind of answer."""
    app = FastAPI(title="Every answer", version="1")
    add_answers(app)
    add_streams(app)

    @app.get("/admin")
    async def admin(_: Annotated[str | None, Security(LINK, scopes=["admin"])]) -> str:
        return "allowed"

    @app.delete("/remove", openapi_extra={"x-mcp": {"confirm": True}})
    async def remove() -> str:
        return "gone"

    return app


def add_answers(app: FastAPI) -> None:
    """Add tools whose answers come in one piece."""

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.put("/parts/{name}")
    async def put_part(name: str, part: Part, request: Request, loud: bool = False) -> Part:  # noqa: FBT001, FBT002
        trace = request.headers.get("traceparent", "")
        return Part(name=f"{name} {part.name} {loud} {trace}", count=part.count)

    @app.get("/fails/{status}")
    async def fails(status: int) -> str:
        if status == 500:
            raise RuntimeError("postgres://root:hunter2@db/prod")
        raise HTTPException(status, {"no": status}, headers={"Retry-After": "7", "X-Odd": "1"})

    @app.get("/image", response_class=Response)
    async def image() -> Response:
        return Response(b"\x89PNG", media_type="image/png", headers={"ETag": '"1"'})

    @app.delete("/nothing", status_code=204)
    async def nothing() -> None:
        return None

    @app.get("/moved")
    async def moved(to: str = "/ping") -> Response:
        return RedirectResponse(to)

    @app.get("/big")
    async def big(count: int) -> list[int]:
        return [*range(count)]

    @app.get("/identified")
    async def identified(response: Response) -> dict[str, float]:
        response.headers["X-Request-ID"] = "from the route"
        return {"half": 0.5}


def add_streams(app: FastAPI) -> None:
    """Add tools whose answers come in pieces."""

    @app.get("/text")
    async def text() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for piece in ("one ", "zwei é ", "three"):
                yield piece

        return StreamingResponse(pieces(), media_type="text/plain")

    @app.get("/lines")
    async def lines() -> AsyncIterator[Part]:
        for number in range(2):
            yield Part(name="line", count=number)

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[Part]:
        for number in range(2):
            yield Part(name="event", count=number)


@dataclass(frozen=True)
class Kind:
    """A kind of request; what is not set is as an ordinary client has it."""

    method: str = "tools/call"
    params: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """In the place of the usual ones; None: it is not sent."""
    body: Callable[[dict[str, Any]], object] = lambda body: body
    """Returns what is sent in the place of the usual body: JSON, or bytes."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """For the ASGI scope."""

    def request(self, era: Era, given: Mapping[str, str]) -> tuple[HeaderPairs, bytes]:
        """Return headers and body, as a caller sends them who has some headers of its own."""
        headers, usual = envelope(era, self.method, self.params, token=self.token)
        merged = {**headers, **given, **self.headers}
        pairs = [(k.encode(), v.encode()) for k, v in merged.items() if v is not None]
        body = self.body(usual)
        return pairs, body if isinstance(body, bytes) else json.dumps(body).encode()


def call(tool: str, /, *, token: str | None = None, **arguments: Any) -> Kind:
    """Return a call of a tool."""
    return Kind(params={"name": tool, "arguments": arguments}, token=token)


def ping(**options: Any) -> Kind:
    """Return a call of ``ping`` that is unusual in some way."""
    return Kind(params={"name": "ping", "arguments": {}}, **options)


def without(*keys: str) -> Callable[[dict[str, Any]], object]:
    """Return what leaves members out of a message, e.g. ``"id"`` or ``"params.name"``."""

    def leave_out(body: dict[str, Any]) -> object:
        body = json.loads(json.dumps(body))
        for key in keys:
            *path, last = key.split(".")
            inner = body
            for each in path:
                inner = inner[each]
            inner.pop(last, None)
        return body

    return leave_out


def with_params(**params: Any) -> Callable[[dict[str, Any]], object]:
    return lambda body: {**body, "params": {**body["params"], **params}}


CAPABLE: dict[str, Any] = {
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}
}
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
CLIENT = {"io.modelcontextprotocol/clientInfo": {"name": "the client", "version": "1"}}
PART = {"part": {"name": "bolt", "count": 2}}

CALLS: dict[str, Kind] = {
    "no arguments": call("ping"),
    "arguments left out": Kind(params={"name": "ping"}),
    "arguments null": Kind(params={"name": "ping", "arguments": None}),
    "arguments": call("put_part", name="a/b é", loud=True, part=PART["part"]),
    "arguments of another type": call("put_part", name="x", part={"name": 1, "count": "two"}),
    "unknown argument": call("ping", nonsense=1),
    "missing argument": call("put_part", name="x"),
    "unknown tool": call("nonsense"),
    "operation with a scope": call("admin"),
    "own tool": call("own", word="x"),
    "own tool without its argument": call("own"),
    "tool of a remote": call("other_find", word="x"),
    "404": call("fails", status=404),
    "422": call("fails", status=422),
    "500": call("fails", status=500),
    "image": call("image"),
    "204": call("nothing"),
    "redirect": call("moved"),
    "redirect elsewhere": call("moved", to="https://elsewhere.example/x"),
    "redirect to nowhere": call("moved", to="/nowhere"),
    "big": call("big", count=30_000),
    "request id of the route": call("identified"),
    "text": call("text"),
    "text, shown": call("text", token="t"),
    "lines": call("lines"),
    "lines, shown": call("lines", token="t"),
    "events": call("events"),
    "events, shown": call("events", token="é\u2028"),
    "whole, shown": call("ping", token="t"),
    "question": Kind(params={"name": "remove", "arguments": {}, "_meta": CAPABLE}),
    "question to who cannot ask": call("remove"),
    "trace": Kind(params={"name": "put_part", "arguments": {"name": "x", **PART}, "_meta": TRACE}),
    "client": Kind(params={"name": "ping", "arguments": {}, "_meta": CLIENT}),
    "token null": Kind(params={"name": "ping", "arguments": {}, "_meta": {"progressToken": None}}),
}

METHODS: dict[str, Kind] = {
    "list": Kind("tools/list"),
    "list with a cursor": Kind("tools/list", {"cursor": "nonsense"}),
    "unknown method": Kind("tools/nonsense"),
    "ping": Kind("ping"),
    "discover": Kind("server/discover"),
    "initialize": Kind(
        "initialize",
        {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "client", "version": "1"},
        },
        headers={"mcp-session-id": None},
    ),
    "prompts": Kind("prompts/list"),
    "prompt": Kind("prompts/get", {"name": "greet", "arguments": {"name": "Ada"}}),
    "prompt without its argument": Kind("prompts/get", {"name": "greet"}),
    "resources": Kind("resources/list"),
    "resource": Kind("resources/read", {"uri": "data://own"}, headers={"mcp-name": "data://own"}),
    "notification": Kind("notifications/initialized", body=without("id")),
    "cancellation": Kind("notifications/cancelled", {"requestId": 7}, body=without("id")),
}

ODD: dict[str, Kind] = {
    "malformed": ping(body=lambda _: b'{"jsonrpc": "2.0",'),
    "empty": ping(body=lambda _: b""),
    "batch": ping(body=lambda body: [body]),
    "no object": ping(body=lambda _: 7),
    "UTF-16": ping(body=lambda body: json.dumps(body).encode("utf-16")),
    "NaN": ping(body=lambda body: json.dumps(body).replace("{}", '{"x": NaN}').encode()),
    "a key twice": ping(body=lambda body: json.dumps(body).replace("{", '{"id": 2, ', 1).encode()),
    "over the limit": ping(body=with_params(filler="x" * MOST_BYTES)),
    "over the limit, announced": ping(headers={"content-length": str(MOST_BYTES + 1)}),
    "id a string": ping(body=lambda body: {**body, "id": "é-1"}),
    "id null": ping(body=lambda body: {**body, "id": None}),
    "id a fraction": ping(body=lambda body: {**body, "id": 1.5}),
    "no id": ping(body=without("id")),
    "no jsonrpc": ping(body=without("jsonrpc")),
    "no method": ping(body=without("method")),
    "no params": ping(body=without("params")),
    "no tool": ping(body=without("params.name")),
    "no _meta": ping(body=without("params._meta")),
    "tool a number": ping(body=with_params(name=7)),
    "arguments a list": ping(body=with_params(arguments=[])),
    "something more": ping(body=with_params(more=1)),
    "no version": ping(headers={"mcp-protocol-version": None}),
    "version that is not": ping(headers={"mcp-protocol-version": "2099-01-01"}),
    "version of the other era": ping(headers={"mcp-protocol-version": "2025-03-26"}),
    "no method header": ping(headers={"mcp-method": None}),
    "another method header": ping(headers={"mcp-method": "tools/list"}),
    "no name header": ping(headers={"mcp-name": None}),
    "another name header": ping(headers={"mcp-name": "image"}),
    "header of a parameter": ping(headers={"mcp-param-region": "eu"}),
    "accepts JSON only": ping(headers={"accept": "application/json"}),
    "accepts events only": ping(headers={"accept": "text/event-stream"}),
    "accepts HTML": ping(headers={"accept": "text/html"}),
    "accepts everything": ping(headers={"accept": "*/*"}),
    "accepts nothing": ping(headers={"accept": None}),
    "says it is text": ping(headers={"content-type": "text/plain"}),
    "says nothing of its type": ping(headers={"content-type": None}),
    "another origin": ping(headers={"origin": "https://evil.example"}),
    "its request id": ping(headers={"x-request-id": "from the client"}),
    "GET": ping(more={"method": "GET"}, body=lambda _: b""),
    "DELETE": ping(more={"method": "DELETE"}, body=lambda _: b""),
    "PUT": ping(more={"method": "PUT"}),
    "slash": ping(more={"path": "/mcp/", "raw_path": b"/mcp/"}),
}

KINDS: Mapping[str, Kind] = {**CALLS, **METHODS, **ODD}
