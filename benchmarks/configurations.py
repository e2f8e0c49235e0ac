"""The ways to mount the same application whose cost is measured beside each other."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import Depends, FastAPI
from fastapi.security import APIKeyHeader
from fastmcp import FastMCP
from fastmcp.server.auth import AuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier, RSAKeyPair, StaticTokenVerifier
from fastmcp.server.middleware import Middleware
from fastmcp.server.transforms import Transform
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.types import ASGIApp

from mcp_mount import RateLimit, Remote, mount_mcp
from tests.support import Era

PATH: Final = "/mcp"
SCOPES: Final = ("items:read", "items:write")
_CALLERS: Final = {"reader": [SCOPES[0]], "writer": [*SCOPES]}

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setup:
    """An application that serves MCP at `PATH`, and who asks it.

    Attributes:
        app: Not started yet.
        callers: The headers of each caller, e.g. ``{"authorization": "Bearer …"}``.
        apart: A part of each call that is not ours, to be measured by itself.
        is_ready: Whether everything is there that a list is to name.
    """

    app: ASGIApp
    callers: Sequence[Headers] = ({},)
    apart: Callable[[], Awaitable[object]] | None = None
    is_ready: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Configuration:
    """One row of the tables.

    Attributes:
        title: E.g. ``"rate_limit="``.
        set_up: Makes an application serve MCP.
        scopes: What its routes ask for.
        era: The era of MCP that it is asked in.
        session: Whether it is asked in a session.
        like_bare: Whether it is to cost about what the bare mount costs.
    """

    title: str
    set_up: Callable[[FastAPI], Setup]
    scopes: Sequence[str] = ()
    era: Era = "modern"
    session: bool = False
    like_bare: bool = True


def _mount(app: FastAPI, **options: Any) -> Setup:
    mount_mcp(app, **options)
    return Setup(app)


def _limit_rate(app: FastAPI) -> Setup:
    return _mount(app, rate_limit=RateLimit("1000000000/day"))


def _depend(app: FastAPI) -> Setup:
    mount_mcp(app, dependencies=[Depends(APIKeyHeader(name="x-api-key"))])
    return Setup(app, [{"x-api-key": "secret"}])


def _add_prompt(app: FastAPI) -> Setup:
    def greet(name: str) -> str:
        return f"Greet {name} in one friendly sentence."

    mount_mcp(app).server.prompt(greet)
    return Setup(app)


def _add_tool(app: FastAPI) -> Setup:
    def convert(inches: float) -> float:
        return inches * 25.4

    mount_mcp(app).server.tool(convert)
    return Setup(app)


def _add_resource(app: FastAPI) -> Setup:
    mount_mcp(app).server.resource("text://greeting")(lambda: "Hello!")
    return Setup(app)


def _tell_scopes(app: FastAPI) -> Setup:
    def scopes_of(request: Request) -> list[str]:
        return _CALLERS[request.headers["x-caller"]]

    mount_mcp(app, scopes_of=scopes_of)
    return Setup(app, [{"x-caller": name} for name in _CALLERS])


def _verify_static_tokens(app: FastAPI) -> Setup:
    tokens = {name: {"client_id": name, "scopes": scopes} for name, scopes in _CALLERS.items()}
    return _verify(app, StaticTokenVerifier(tokens), [*_CALLERS])


def _verify_signed_tokens(app: FastAPI) -> Setup:
    keys = RSAKeyPair.generate()
    issuer, audience = "https://id.example", "kb"
    verifier = JWTVerifier(public_key=keys.public_key, issuer=issuer, audience=audience)
    tokens = [
        keys.create_token(name, issuer, audience, scopes) for name, scopes in _CALLERS.items()
    ]
    return _verify(app, verifier, tokens, apart=partial(verifier.verify_token, tokens[0]))


def _verify(app: FastAPI, auth: AuthProvider, tokens: Sequence[str], **more: Any) -> Setup:
    mount_mcp(app, auth=auth)
    return Setup(app, [{"authorization": f"Bearer {token}"} for token in tokens], **more)


def _add_remote(app: FastAPI) -> Setup:
    arguments = ("-m", "mcp_mount.example")
    # It is not asked again while others are measured.
    remote = Remote("example", command=sys.executable, args=arguments, refresh=3600)
    mounted = mount_mcp(app, remotes=[remote])
    return Setup(app, is_ready=lambda: mounted.remotes["example"].status == "up")


class _LatestSpans(InMemorySpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.clear()
        return super().export(spans)


def _trace(app: FastAPI) -> Setup:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_LatestSpans()))
    trace.set_tracer_provider(provider)
    return _mount(app)


def _add_middleware(app: FastAPI) -> Setup:
    mount_mcp(app).server.add_middleware(Middleware())
    return Setup(app)


def _add_transform(app: FastAPI) -> Setup:
    mount_mcp(app).server.add_transform(Transform())
    return Setup(app)


def _convert(app: FastAPI) -> Setup:
    return Setup(FastMCP.from_fastapi(app).http_app(path=PATH, stateless_http=True))


_keep_sessions = partial(_mount, sessions=True)

CONFIGURATIONS: Final = {
    "bare": Configuration("the bare mount", _mount),
    "rate_limit": Configuration("rate_limit=", _limit_rate),
    "dependencies": Configuration("dependencies=", _depend),
    "prompt": Configuration("a prompt of one's own", _add_prompt),
    "resource": Configuration("a resource of one's own", _add_resource),
    "tool": Configuration("a tool of one's own", _add_tool),
    "remote": Configuration("a remote beside", _add_remote),
    "scopes_of": Configuration("scopes_of=", _tell_scopes, SCOPES),
    "auth": Configuration("auth=, static tokens", _verify_static_tokens, SCOPES),
    "jwt": Configuration("auth=, signed tokens (RSA)", _verify_signed_tokens, SCOPES),
    "sessions": Configuration("sessions=, modern call", _keep_sessions),
    "session": Configuration(
        "sessions=, call in a session", _keep_sessions, era="legacy", session=True
    ),
    "tracer": Configuration("an OpenTelemetry tracer", _trace),
    "middleware": Configuration("a FastMCP middleware", _add_middleware, like_bare=False),
    "transform": Configuration("a FastMCP transform", _add_transform, like_bare=False),
    "from_fastapi": Configuration("FastMCP.from_fastapi", _convert, like_bare=False),
}
"""By the names that `benchmarks.profile` takes."""
