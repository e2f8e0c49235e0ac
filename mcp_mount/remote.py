"""Another MCP server, as whoever offers it names it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx2

from mcp_mount.errors import MountError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")

Status = Literal["starting", "up", "down"]


@dataclass(frozen=True, slots=True)
class Remote:
    """Another MCP server, whose tools, resources and prompts are offered under its name.

    It is an untrusted party: it gets what stands here and the arguments of its own calls, and
    nothing of the caller's request.

    Attributes:
        name: What stands before its names, e.g. ``"wiki"`` for ``wiki_search``.
        url: Where it serves Streamable HTTP, e.g. ``"https://wiki.example/mcp"``.
        command: Or the program that speaks MCP on its standard input and output; one process serves
            all callers.
        args: The program's arguments.
        env: The program's environment, beside ``PATH``, ``HOME`` and the like. It gets no other.
        cwd: The program's folder.
        headers: Sent with each request to `url`, e.g. ``{"X-Api-Key": "…"}``.
        auth: A bearer token for `url`, or an `httpx2.Auth`.
        timeout: Seconds in which it must tell what it offers.
        refresh: Seconds after which it is asked again.
        scopes: What a caller needs to see and use it, all of them.
    """

    name: str
    url: str | None = field(default=None, repr=False, kw_only=True)
    command: str | None = field(default=None, kw_only=True)
    args: Sequence[str] = field(default=(), repr=False, kw_only=True)
    env: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    cwd: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    auth: str | httpx2.Auth | None = field(default=None, repr=False, kw_only=True)
    timeout: float = field(default=30.0, kw_only=True)
    refresh: float = field(default=15.0, kw_only=True)
    scopes: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what could never answer.

        Raises:
            MountError: the message says what to change. It holds nothing that may be secret.
        """
        if not _NAME.fullmatch(str(self.name)):
            raise MountError(
                f"The remote's name {self.name!r} cannot stand before a tool's: write up to 32 "
                "letters, digits, '-' and '_', beginning with a letter."
            )
        if (self.url is None) == (self.command is None):
            raise MountError(f"The remote {self.name!r} needs either url= or command=.")
        if self.url is not None and not _is_http(self.url):
            raise MountError(
                f"The url= of the remote {self.name!r} must begin with http:// or https:// and "
                "name a host."
            )
        if self.url is None and (self.headers or self.auth is not None):
            raise MountError(
                f"The remote {self.name!r} is a program: headers= and auth= go with url=; give a "
                "program its credentials in env=."
            )
        if self.command is None and (self.args or self.env or self.cwd is not None):
            raise MountError(
                f"The remote {self.name!r} has a url=: args=, env= and cwd= go with command=."
            )
        strings = (*self.args, *self.env, *self.env.values(), *self.headers, *self.headers.values())
        if isinstance(self.args, str) or not all(isinstance(each, str) for each in strings):
            raise MountError(
                f"args= of the remote {self.name!r} must be a list of strings, and env= and "
                "headers= mappings of strings."
            )
        if isinstance(self.scopes, str):
            raise MountError(f"scopes= of the remote {self.name!r} must be a list of strings.")
        if not (0 < self.timeout < float("inf") and 0 < self.refresh < float("inf")):
            message = f"timeout= and refresh= of the remote {self.name!r} must be positive seconds."
            raise MountError(message)


@dataclass(frozen=True, slots=True)
class RemoteState:
    """How a remote is.

    Attributes:
        status: ``"starting"`` until it has answered or failed; then ``"up"`` or ``"down"``.
        tools: How many tools it offers now.
        error: Why it is down, in a word or two that are never its own, e.g. ``"unreachable"``.
        since: When the status began, e.g. ``"2026-11-20T12:00:00+00:00"``.
    """

    status: Status
    tools: int
    error: str | None
    since: str


def check_remotes(remotes: Iterable[Remote]) -> None:
    """Check that the remotes' names cannot be taken for each other.

    Raises:
        MountError: two are the same, or one begins like the other.
    """
    seen: dict[str, str] = {}
    for remote in remotes:
        if not isinstance(remote, Remote):
            raise MountError(f"remotes= takes a list of Remote(…), not {remote!r}.")
        folded = remote.name.lower().replace("-", "_")
        for other, name in seen.items():
            if f"{folded}_".startswith(f"{other}_") or f"{other}_".startswith(f"{folded}_"):
                raise MountError(
                    f"The remotes {name!r} and {remote.name!r} could both have the tool "
                    f"{max(name, remote.name, key=len) + '_x'!r}: choose names of which none "
                    "begins with another one."
                )
        seen[folded] = remote.name


def _is_http(url: object) -> bool:
    try:
        parts = urlsplit(str(url))
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
