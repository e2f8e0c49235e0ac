"""What is wrong with an option is said where it is given: what was found, and what to write."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastmcp.server.auth import JWTVerifier
from starlette.applications import Starlette

from mcp_mount import (
    ClientCredentials,
    Limits,
    MountError,
    RateLimit,
    Remote,
    Upstream,
    gateway_app,
    mount_mcp,
    proxy_app,
)
from tests.api import PARTS

WIKI = Remote("wiki", url="https://wiki.example/mcp")


def somebody() -> str:
    return "somebody"


def kind_of(value: object) -> str:
    return type(value).__name__


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"path": None}, "path= must be a path written like '/mcp', not None"),
    ({"path": "/mcp/"}, "path= must be a path written like '/mcp', not '/mcp/'"),
    ({"path": "mcp"}, "path= must be a path written like '/mcp', not 'mcp'"),
    ({"sse_path": True}, "sse_path= must be a path written like '/sse', or None, not True"),
    ({"include": "GET *"}, "include= must be a list such as ['tag:kb', 'GET *'], not 'GET *'"),
    ({"include": None}, "include= must be a list"),
    ({"exclude": [5]}, "exclude= must be a list such as ['tag:internal', 'DELETE *'], not [5]"),
    ({"remotes": WIKI}, 'remotes= must be a list such as [Remote("wiki", url="https://…")]'),
    ({"remotes": ["http://localhost:1"]}, "remotes= must be a list such as [Remote("),
    ({"limits": {}}, "limits= must be Limits(…), not {}"),
    ({"limits": Limits}, "limits= must be Limits(…), not the class Limits"),
    (
        {"auth": "hunter2"},
        "auth= must be a FastMCP auth provider such as JWTVerifier(…), not a str",
    ),
    ({"auth": JWTVerifier}, "such as JWTVerifier(…), not the class JWTVerifier"),
    (
        {"dependencies": Depends(somebody)},
        "must be a list such as [Depends(current_user)], not Dep",
    ),
    ({"dependencies": [somebody]}, "dependencies= must be a list such as [Depends(current_user)]"),
    ({"scopes_of": "x"}, "scopes_of= must be a function that takes the request, not 'x'"),
    ({"public_url": "kb.example/mcp"}, "must be a URL such as 'https://kb.example/mcp', not 'kb."),
    ({"public_url": 5}, "public_url= must be a URL such as 'https://kb.example/mcp', not 5"),
    ({"allowed_origins": "https://a"}, "must be a list such as ['https://app.example'], not 'http"),
    ({"allowed_origins": [None]}, "allowed_origins= must be a list such as"),
    ({"allowed_origins": ["a.example"]}, "'a.example' is no origin: write it like 'https://app"),
    ({"rate_limit": "60/minute"}, "rate_limit= must be RateLimit(\"60/minute\"), not '60/minute'"),
    ({"rate_limit": RateLimit("often")}, "The rate 'often' cannot be read: write one like"),
    ({"confirm": True}, "confirm= must be 'destructive' or None, not True"),
    ({"confirm": "always"}, "confirm= must be 'destructive' or None, not 'always'"),
    ({"state_key": 123}, "state_key= must be a string of 32 characters or more, not an int"),
    ({"state_key": "hunter2"}, "state_key= has 7 characters and needs 32"),
    ({"sessions": "yes"}, "sessions= must be True or False, not 'yes'"),
    ({"forward_cookies": "no"}, "forward_cookies= must be True or False, not 'no'"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=[said for _, said in OPTIONS])
def test_a_wrong_option_is_refused_when_it_is_given(options: dict[str, Any], said: str) -> None:
    """M1: by `mount_mcp` itself, and by a proxy and a gateway in the same words."""
    makers: list[Callable[..., object]] = [
        lambda **given: mount_mcp(FastAPI(), **given),
        lambda **given: proxy_app(PARTS, "http://localhost:9", **given),
        lambda **given: gateway_app(**{"remotes": [WIKI], **given}),
    ]
    for make in makers:
        with pytest.raises(MountError) as refused:
            make(**options)
        assert said in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_a_refused_mount_leaves_the_app_as_it_was() -> None:
    """M1: whoever catches the error has an app without half an endpoint."""
    app = FastAPI()
    before = [*app.routes], [*app.user_middleware]
    for options, _ in OPTIONS:
        with pytest.raises(MountError):
            mount_mcp(app, **options)
    assert ([*app.routes], [*app.user_middleware]) == before


@pytest.mark.parametrize("app", [Starlette(), APIRouter(), FastAPI, None, "main:app"], ids=kind_of)
def test_only_a_fastapi_application_is_mounted(app: Any) -> None:
    """M1: a router belongs to an app, and whatever else there is goes behind a proxy."""
    with pytest.raises(MountError, match=r"takes a FastAPI application, not .*proxy_app"):
        mount_mcp(app)


@pytest.mark.parametrize("document", [123, b"{}", [], Depends(somebody)], ids=kind_of)
def test_only_a_document_describes_operations(document: Any) -> None:
    for make in (lambda: mount_mcp(FastAPI(), openapi=document), lambda: proxy_app(document)):
        with pytest.raises(MountError, match="openapi= must be a mapping, a path or a URL, not"):
            make()


@pytest.mark.parametrize("upstream", [9000, Upstream, ["http://localhost"]], ids=kind_of)
def test_only_a_url_or_an_upstream_says_where_an_api_is(upstream: Any) -> None:
    with pytest.raises(MountError, match=r"upstream= must be a URL or Upstream\(…\), not"):
        proxy_app(PARTS, upstream)


@pytest.mark.parametrize("remotes", [None, [], ()])
def test_a_gateway_without_servers_is_refused(remotes: Any) -> None:
    with pytest.raises(MountError, match="A gateway needs servers"):
        gateway_app(remotes)


HERE = "http://localhost:9000"
WIKI_AT: dict[str, Any] = {"name": "wiki", "url": HERE}
TOKENS: dict[str, Any] = {"client_id": "a", "client_secret": "hunter2"}

VALUES: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (Limits, {"timeout": 0}, "Limits.timeout must be a positive number, not 0"),
    (Limits, {"max_bytes": "10 MiB"}, "Limits.max_bytes must be a positive integer, not '10 MiB'"),
    (Limits, {"max_request_bytes": 2**30}, "max_request_bytes can be 4194304 at the most"),
    (Upstream, {"url": 5}, "Upstream.url must be a URL such as 'http://localhost:9000', not 5"),
    (Upstream, {"headers": "hunter2"}, "Upstream.headers must be a mapping of strings, not a str"),
    (Upstream, {"headers": {"a": 1}}, "Upstream.headers must be a mapping of strings, not a dict"),
    (Upstream, {"forward_headers": "a"}, "such as ['Authorization'], not 'a'"),
    (Upstream, {"slashes": "GET /f"}, "such as ['GET /files/{path}'], not 'GET /f'"),
    (Upstream, {"auth": "hunter2"}, "an httpx2.Auth such as ClientCredentials(…), not a str"),
    (Upstream, {"auth": ClientCredentials}, "not the class ClientCredentials"),
    (Upstream, {"tls": True}, "Upstream.tls must be an ssl.SSLContext or None, not True"),
    (Upstream, {"read_timeout": -1}, "must be a positive number of seconds, not -1"),
    (Upstream, {"connect_timeout": None}, "must be a positive number of seconds, not None"),
    (Upstream, {"retries": -1}, "Upstream.retries must be 0 or more, not -1"),
    (Upstream, {"retries": "2"}, "Upstream.retries must be 0 or more, not '2'"),
    (RateLimit, {"rate": "1/day", "caller_of": "x"}, "a function that takes the request, not 'x'"),
    (Remote, {"name": "wiki"}, "The remote 'wiki' needs either url= or command="),
    (Remote, {"name": 5, "url": HERE}, "The remote's name 5 cannot stand before"),
    (Remote, {"name": "wiki", "url": 5}, "must begin with http://"),
    (Remote, {**WIKI_AT, "timeout": "5"}, "timeout= of the remote 'wiki' must be"),
    (Remote, {**WIKI_AT, "headers": {"a": 1}}, "headers= of the remote 'wiki' must be"),
    (Remote, {"name": "wiki", "command": "x", "args": "-m"}, "args= of the remote 'wiki' must be"),
    (ClientCredentials, {"token_url": "token", **TOKENS}, "write a URL"),
]


@pytest.mark.parametrize(("kind", "fields", "said"), VALUES, ids=[said for *_, said in VALUES])
def test_a_value_refuses_what_it_cannot_be(
    kind: Callable[..., object], fields: dict[str, Any], said: str
) -> None:
    """X7: in the words of a mount, as a `ValueError` too, and without a secret."""
    with pytest.raises(MountError) as refused:
        kind(**fields)
    assert isinstance(refused.value, ValueError)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)
