"""Reads the options of a command: who may call, and how its endpoint is served."""

import logging
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from fastmcp.server.auth import AuthProvider, RemoteAuthProvider
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request

from mcp_mount.access.credentials import KeyOrToken, scopes_of_holder
from mcp_mount.access.issuer import IssuerTokens
from mcp_mount.access.origin import is_loopback
from mcp_mount.access.rates import RateLimit
from mcp_mount.apis import API
from mcp_mount.assembly import MountOptions
from mcp_mount.backends.upstream import Upstream
from mcp_mount.errors import MountError
from mcp_mount.limits import Limits
from mcp_mount.openapi.servers import origin_of
from mcp_mount.options import ServeOptions
from mcp_mount.remotes.remote import Remote

logger = logging.getLogger("mcp_mount")

PATH: Final = "/mcp"
"""Where the commands have their endpoint."""

# Without a slash put behind it, which would make it another issuer (RFC 8414 §3.3).
_ISSUER: Final = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))


def mount_options(given: ServeOptions, credentials: Sequence[str]) -> MountOptions:
    """Return the options of a mount that are the same for all commands.

    Args:
        given: What the command was given.
        credentials: What it has of its own for those behind it, e.g. ``["X-Api-Key"]``.

    Raises:
        MountError: an option cannot be, or strangers could use the credentials.
    """
    public_url = _read_public_url(given.public_url)
    auth = _read_provider(given, public_url)
    _check_door(given, auth, credentials)
    rate_limit = None
    if given.rate_limit is not None:
        # Where nothing checks credentials, every made-up one would be another caller.
        rate_limit = RateLimit(given.rate_limit, caller_of=None if auth else _address_of)
    return MountOptions(
        include=given.include,
        exclude=given.exclude,
        limits=Limits(timeout=given.timeout),
        auth=auth,
        scopes_of=scopes_of_holder if isinstance(auth, KeyOrToken) else None,
        public_url=public_url,
        allowed_origins=given.allowed_origin,
        rate_limit=rate_limit,
        surface=given.surface,
        pinned=given.pin,
        page=not given.no_page,
    )


def upstream_credentials(upstream: Upstream) -> list[str]:
    """Return what a proxy has of its own for its API, by name."""
    named = [f"the upstream header {name!r}" for name in upstream.headers]
    named += ["a token of --token-url"] * (upstream.auth is not None)
    named += ["the query of --upstream"] * bool(urlsplit(upstream.url).query)
    return named


def remote_credentials(remotes: Sequence[Remote | API]) -> list[str]:
    """Return what a gateway has of its own for its servers and APIs, by name."""
    of_apis = [
        f"{what} of the API {api.name!r}"
        for api in remotes
        if isinstance(api, API) and isinstance(api.upstream, Upstream)
        for what in upstream_credentials(api.upstream)
    ]
    return of_apis + [
        f"{what} of the server {remote.name!r}"
        for remote in remotes
        if isinstance(remote, Remote)
        for what, has in (
            ("headers", remote.headers),
            ("auth", remote.auth is not None),
            ("env", remote.env),
            ("the URL", remote.url is not None and _holds_secret(remote.url)),
        )
        if has
    ]


def _holds_secret(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.query) or "@" in parts.netloc


def _check_door(given: ServeOptions, auth: AuthProvider | None, credentials: Sequence[str]) -> None:
    """Refuse to hand out credentials to whoever comes, unless that is meant."""
    if auth is not None:
        if given.no_auth:
            raise MountError(
                "--no-auth lets everyone in, and MCP_API_KEY or AUTH_ISSUER says who may come in: "
                "take one of the two away."
            )
        return
    if is_loopback(given.host):
        return
    if credentials and not given.no_auth:
        raise MountError(
            f"Whoever reaches {given.host} could use {', '.join(credentials)}. Say who may: set "
            "MCP_API_KEY, or AUTH_ISSUER, AUTH_AUDIENCE and AUTH_JWKS_URL. Or give --no-auth, if "
            "everyone may."
        )
    logger.warning(
        "Nobody is asked for a key: whoever reaches %s can call the tools. MCP_API_KEY or "
        "AUTH_ISSUER says who may.",
        given.host,
    )


def _read_provider(given: ServeOptions, public_url: str | None) -> AuthProvider | None:
    tokens = _read_tokens(given, public_url)
    key = (given.mcp_api_key or "").strip()
    if not key:
        return tokens
    if not re.fullmatch(r"[!-~]+", key):
        raise MountError("MCP_API_KEY holds what no header takes: write visible ASCII only.")
    return KeyOrToken(key, tokens)


def _read_tokens(given: ServeOptions, public_url: str | None) -> AuthProvider | None:
    issuer, audience, jwks_url = given.auth_issuer, given.auth_audience, given.auth_jwks_url
    if not (issuer and audience and jwks_url):
        values = {"AUTH_ISSUER": issuer, "AUTH_AUDIENCE": audience, "AUTH_JWKS_URL": jwks_url}
        missing = [name for name, value in values.items() if not value]
        if len(missing) < len(values):
            raise MountError(
                f"{' and '.join(missing)} missing. To accept access tokens, set AUTH_ISSUER, "
                "AUTH_AUDIENCE and AUTH_JWKS_URL; to accept none, set none of them."
            )
        if given.auth_scope or given.auth_scope_prefix:
            raise MountError("AUTH_SCOPE and AUTH_SCOPE_PREFIX go with AUTH_ISSUER: set that, too.")
        return None
    if origin_of(jwks_url) is None:
        raise MountError(f"AUTH_JWKS_URL cannot be {jwks_url!r}: write the URL of the keys.")
    verifier = IssuerTokens(
        issuer=issuer,
        audience=audience,
        jwks_uri=jwks_url,
        scope_prefix=given.auth_scope_prefix or "",
    )
    if public_url is None:
        return verifier
    if not public_url.endswith(PATH):
        raise MountError(
            f"--public-url {public_url!r} must end with {PATH!r}: clients find the issuer by it."
        )
    try:
        server = _ISSUER.validate_python(issuer)
    except ValidationError:
        raise MountError(f"AUTH_ISSUER cannot be {issuer!r}: write the issuer's URL.") from None
    return RemoteAuthProvider(
        verifier,
        [server],
        public_url.removesuffix(PATH),
        scopes_supported=verifier.get_challenge_scopes([*given.auth_scope]),
    )


def _read_public_url(url: str | None) -> str | None:
    """Return the endpoint's URL; a server's alone is that of the endpoint on it."""
    if url is None or urlsplit(url).path.strip("/"):
        return url
    return f"{url.rstrip('/')}{PATH}"


def _address_of(request: Request) -> str:
    return f"address:{request.client.host if request.client else 'unknown'}"
