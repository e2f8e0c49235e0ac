"""Access tokens of the proxy's own, for an API that asks for them (RFC 6749 §4.4)."""

import math
import re
import time
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Final

import anyio
import httpx2

from mcp_mount.errors import MountError
from mcp_mount.loops import PerLoop
from mcp_mount.openapi.document import without_secrets
from mcp_mount.openapi.servers import origin_of
from mcp_mount.outgoing.bodies import reading_at_most
from mcp_mount.outgoing.heads import BoundedClient
from mcp_mount.outgoing.log import hide_url_async
from mcp_mount.outgoing.tls import usual_tls

_LEEWAY: Final = 30.0
"""Seconds before its end at which a token is not used any more; half its life if that is less."""

_DEFAULT_LIFE: Final = 300.0
"""Seconds, where the issuer does not say how long a token lasts (RFC 6749 §5.1 leaves it open)."""

_PAUSE: Final = 3.0
"""Seconds after a failure in which the issuer is not asked again, nor after a new token was refused
as the old one was; and for which a token is used that is said to end sooner."""

_MAX_BYTES: Final = 65_536
"""Bytes of the issuer's answer."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")

_NOT_UNDERSTOOD: Final = (KeyError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What comes of an answer that holds what nobody expects."""


class NoToken(httpx2.RequestError):
    """The issuer gave no token. The message is for the log."""


class ClientCredentials(httpx2.Auth):
    """Sends a token that the issuer gives for the proxy's own id and secret.

    One token serves all callers, until it ends or the API refuses it.
    """

    def __init__(
        self,
        token_url: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        """Take where tokens are given, and for what.

        Args:
            token_url: The issuer's token endpoint.
            client_id: Who asks.
            client_secret: Sent to the token endpoint only, with HTTP Basic (RFC 6749 §2.3.1).
            scope: What for, e.g. ``"parts:read parts:write"``.
            timeout: Seconds to wait for the issuer.

        Raises:
            MountError: the token endpoint is not at a URL.
        """
        if origin_of(token_url) is None:
            message = f"Tokens cannot be asked for at {without_secrets(token_url)!r}: write a URL."
            raise MountError(message)
        # It takes a tenth of a second, and changes the process's filters of warnings.
        import_module("authlib.integrations.httpx_client")
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._timeout = timeout
        self._token = ""
        self._ends = 0.0
        self._failed = (-math.inf, "")
        self._in_vain = -math.inf
        self._lock = PerLoop(anyio.Lock)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request with a token; once more with a new one, where it is refused.

        Raises:
            NoToken: the issuer gave none.
        """
        token = await self._current(refused="")
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        # An API may refuse some requests whatever the token is.
        is_old = token != self._token or time.monotonic() > self._in_vain + _PAUSE
        if response.status_code == httpx2.codes.UNAUTHORIZED and is_old:
            await _drop_body(response)
            renewed = await self._current(refused=token)
            request.headers["authorization"] = f"Bearer {renewed}"
            response = yield request
            if response.status_code == httpx2.codes.UNAUTHORIZED:
                self._in_vain = time.monotonic()

    async def _current(self, *, refused: str) -> str:
        """Return the token; a new one where it ends soon, or is the one that was refused.

        Whoever has waited for a new one in vain does not ask again, and for a while nobody does:
        the issuer may be slow.
        """
        asked = time.monotonic()
        if self._is_good(refused):
            # One that is refused to another caller is waited for by them alone.
            return self._token
        async with self._lock.get():
            if not self._is_good(refused):
                failed, reason = self._failed
                if failed > asked - _PAUSE:
                    raise NoToken(reason)
                try:
                    await self._renew()
                except NoToken as error:
                    self._failed = (time.monotonic(), str(error))
                    raise
            return self._token

    def _is_good(self, refused: str) -> bool:
        return not (self._token == refused or time.monotonic() > self._ends)

    async def _renew(self) -> None:
        # Loaded when this was made.
        from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415

        class Client(BoundedClient, AsyncOAuth2Client):
            """Reads no more of the issuer's answer than it can need."""

        source = without_secrets(self._token_url)
        client = Client(
            *(self._client_id, self._client_secret),
            scope=self._scope,
            timeout=self._timeout,
            verify=usual_tls(),
            headers={"accept-encoding": "identity"},
            event_hooks={"request": [hide_url_async], "response": [reading_at_most(_MAX_BYTES)]},
        )
        try:
            with anyio.fail_after(self._timeout):
                async with client:
                    given = await client.fetch_token(
                        self._token_url, grant_type="client_credentials"
                    )
            token, life = given["access_token"], float(given.get("expires_in") or _DEFAULT_LIFE)
        except (httpx2.HTTPError, AuthlibBaseError, TimeoutError, *_NOT_UNDERSTOOD) as error:
            raise NoToken(f"no token from {source}: {type(error).__name__}") from error
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise NoToken(f"no token from {source}: it is none of RFC 6750 §2.1")
        lasts = max(life - _LEEWAY, life / 2, _PAUSE)
        self._token, self._ends = token, time.monotonic() + lasts


async def _drop_body(response: httpx2.Response) -> None:
    """Give up the body of a response, which the HTTP library would read to its end."""
    body, response.stream = response.stream, httpx2.ByteStream(b"")
    if isinstance(body, httpx2.AsyncByteStream):
        await body.aclose()
