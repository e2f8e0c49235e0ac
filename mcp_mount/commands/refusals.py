"""What a server or an app answers where it answers no MCP: its status, its own words, and a hint.

The SDK's client says of every such response that it is an error, and keeps what it says.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import print_exception
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount.commands.output import one_line
from mcp_mount.errors import MountError
from mcp_mount.headers import describe_refused

_MOST_BYTES: Final = 65_536
_MOST_CHARACTERS: Final = 200

_ERRORS: Final = 400
_NOT_THERE: Final = (404, 405)
_FORBIDDEN: Final = 403
_NOT_ALLOWED: Final = (401, _FORBIDDEN)

_WHO: Final = (
    "Say who calls with --auth TOKEN, or with --header, such as --header 'X-Api-Key: KEY'."
)
_WHERE: Final = "The URL is that of the endpoint, with /mcp behind it?"


class RefusedError(RuntimeError):
    """There was no answer of MCP; the message says what there was."""


@dataclass(slots=True)
class Refusals:
    """Sees the responses of one client; `url` is None for an app in this process.

    `given` are the names of the headers that it was told to send.
    """

    url: str | None
    given: Iterable[str] = ()
    _status: int = 0
    _line: str = ""
    _is_mcp: bool = False
    _needs_scope: bool = False
    _raised: Exception | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say in an error what the last response was.

        Raises:
            RefusedError: the app has raised, or the last response was an error.
        """
        try:
            yield
        except MountError:
            raise
        except Exception as error:
            message = self._describe(error)
            if message is None:
                raise
            raise RefusedError(message) from None

    def watching(self, app: ASGIApp) -> ASGIApp:
        """Return the app, of which everything that it raises is written on stderr."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except Exception as error:
                if self._raised is None:
                    # It begins in the app, and not here.
                    print_exception(error.with_traceback(_below(error)))
                self._raised = error
                raise

        return watched

    def recording(self, factory: Callable[..., httpx2.AsyncClient]) -> Any:
        """Return a factory of HTTP clients whose POST responses are seen here."""

        def connect(**options: Any) -> httpx2.AsyncClient:
            # The SDK follows redirects by itself, and only to where credentials may go.
            options.pop("follow_redirects", None)
            client = factory(**options)
            client.event_hooks["response"].append(self._see)
            return client

        return connect

    async def _see(self, response: httpx2.Response) -> None:
        if response.request.method != "POST":
            return
        self._status = response.status_code
        if self._status < _ERRORS:
            return
        self._line = said = _short(f"{self._status} {response.reason_phrase}")
        response.stream = _Beginning(response.stream)
        try:
            body = (await response.aread()).decode("utf-8", "replace")
        except httpx2.DecodingError:
            body = ""
        self._is_mcp = '"jsonrpc"' in body
        error, description = _read_oauth(body)
        self._needs_scope = error == "insufficient_scope"
        if text := _short(description or body):
            self._line = f"{said}: {text}"

    def _describe(self, error: Exception) -> str | None:
        who = "The app" if self.url is None else "The server"
        if self._raised is not None:
            return f"The app raised {_short(repr(self._raised))}: its traceback is above."
        if self._status in _NOT_ALLOWED or (self._status >= _ERRORS and not self._is_mcp):
            return f"{who} answers {self._line.rstrip('.')}.{self._hint()}"
        if isinstance(error, MCPError):
            return f"{who} answers: {_short(str(error)).rstrip('.')}.{self._hint()}"
        if isinstance(error, ValidationError):
            first, *_ = error.errors(include_url=False, include_input=False)
            where, wrong = ".".join(map(str, first["loc"])), first["msg"]
            return f"{who} answers what is not MCP: {_short(f'{where}: {wrong}')}."
        if isinstance(error, TimeoutError) and self.url is not None:
            return f"{who} takes too long to answer, and is left."
        if isinstance(error, OverflowError):
            # Of the SDK, which takes any number of progress for a float.
            return f"{who} answers what is not MCP: {_short(str(error))}."
        return None

    def _hint(self) -> str:
        if self._status in _NOT_ALLOWED:
            refused = describe_refused(self.given)
            if refused is None:
                return f" {_WHO}"
            if self._needs_scope:
                return ""
            return f" {refused}{', or may not do this' if self._status == _FORBIDDEN else ''}."
        if self.url is None:
            return ""
        is_usual = urlsplit(self.url).path.rstrip("/").endswith("/mcp")
        return "" if is_usual and self._status not in _NOT_THERE else f" {_WHERE}"


class _Beginning(httpx2.AsyncByteStream):
    """The beginning of a body, which may be endless."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = _MOST_BYTES
        async for chunk in self._stream:
            yield chunk[:rest]
            rest -= len(chunk)
            if rest <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


def _read_oauth(body: str) -> tuple[str, str]:
    """Return the error of a body, and what it says of it (RFC 6749, 5.2); or blanks."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("error") or ""), str(found.get("error_description") or "")


def _short(text: str) -> str:
    """Return the beginning of a text as one line."""
    line = one_line(text)
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"


def _below(error: Exception) -> Any:
    return error.__traceback__.tb_next if error.__traceback__ is not None else None
