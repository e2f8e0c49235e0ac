"""Another MCP server, as whoever offers it names it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import urlsplit

from mcp_mount.errors import MountError
from mcp_mount.limits import Limits

if TYPE_CHECKING:
    import httpx2

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Status = Literal["starting", "up", "down"]
SessionScope = Literal["caller", "shared", "call"]


@dataclass(frozen=True, slots=True)
class Remote:
    """Another MCP server, whose tools, resources and prompts are offered under its name.

    It is an untrusted party: it gets what stands here and the arguments of its own calls, and
    nothing of the caller's request.

    Attributes:
        name: What stands before its names, e.g. ``"wiki"`` for ``wiki_search``.
        url: Where it serves Streamable HTTP, e.g. ``"https://wiki.example/mcp"``.
        command: Or the program that speaks MCP on its standard input and output.
        args: The program's arguments.
        env: The program's environment, beside ``PATH``, ``HOME`` and the like. It gets no other.
        cwd: The program's folder.
        headers: Sent with each request to `url`, e.g. ``{"X-Api-Key": "…"}``.
        auth: A bearer token for `url`, or an `httpx2.Auth`.
        timeout: Seconds in which it must tell what it offers.
        refresh: Seconds after which it is asked again.
        scopes: What a caller needs to see and use it, all of them.
        tools: Which of its tools to offer, by its own names, e.g. ``["search", "get_*"]``; none:
            all.
        limits: What its calls may take, where that is not as for all others, e.g.
            ``{"timeout": 5}``; see `Limits`.
        session: Whose calls share a session, and with it what a server keeps in one:
            ``"caller"``, each caller's own; ``"shared"``, those of all callers; ``"call"``, none,
            which is slow. A server that speaks MCP 2026-07-28 has no sessions. A program has one
            process for each session.
    """

    name: str
    url: str | None = field(default=None, repr=False, kw_only=True)
    command: str | None = field(default=None, kw_only=True)
    args: Sequence[str] = field(default=(), repr=False, kw_only=True)
    env: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    cwd: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    auth: "str | httpx2.Auth | None" = field(default=None, repr=False, kw_only=True)
    timeout: float = field(default=30.0, kw_only=True)
    refresh: float = field(default=15.0, kw_only=True)
    scopes: Sequence[str] = field(default=(), kw_only=True)
    tools: Sequence[str] = field(default=(), kw_only=True)
    limits: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)
    session: SessionScope = field(default="caller", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what could never answer.

        Raises:
            MountError: the message says what to change. It holds nothing that may be secret.
        """
        if not is_remote_name(self.name):
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
        _check_types(self)
        if self.session == "call" and self.url is None:
            raise MountError(
                f"The remote {self.name!r} is a program, which cannot be started for each call: "
                "session= is 'caller' or 'shared'."
            )
        if not (0 < self.timeout < float("inf") and 0 < self.refresh < float("inf")):
            message = f"timeout= and refresh= of the remote {self.name!r} must be positive seconds."
            raise MountError(message)
        try:
            Limits().overridden(self.limits)
        except (TypeError, ValueError) as wrong:
            message = f"limits= of the remote {self.name!r} sets a limit that cannot be: {wrong}"
            raise MountError(message) from None


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


def is_remote_name(name: object) -> bool:
    """Whether a name can stand before those of tools, e.g. ``"wiki"``."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_names_apart(names: Iterable[str]) -> None:
    """Check that no name of a server can be taken for another one's.

    Raises:
        MountError: two are the same, or one begins like the other.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = name.lower().replace("-", "_")
        for other, known in seen.items():
            if f"{folded}_".startswith(f"{other}_") or f"{other}_".startswith(f"{folded}_"):
                raise MountError(
                    f"The remotes {known!r} and {name!r} could both have the tool "
                    f"{max(known, name, key=len) + '_x'!r}: choose names of which none "
                    "begins with another one."
                )
        seen[folded] = name


def _check_types(remote: Remote) -> None:
    """Refuse what would fail at the start of each call, in words that do not say why."""
    expected: list[tuple[str, bool, str]] = [
        ("command", _is_text(remote.command), "a string, the program's name or path"),
        ("args", _are_texts(remote.args), "a list of strings"),
        ("cwd", _is_text(remote.cwd), "a string, the path of a folder"),
        ("env", _is_map_of_texts(remote.env), "a mapping of strings"),
        ("headers", _is_map_of_texts(remote.headers), "a mapping of strings"),
        ("headers", _are_headers(remote.headers), "names and values that HTTP allows"),
        ("auth", _is_auth(remote.auth), "a token, or an httpx2.Auth"),
        ("scopes", _are_texts(remote.scopes), "a list of strings"),
        ("tools", _are_texts(remote.tools), "a list of strings"),
        ("limits", isinstance(remote.limits, Mapping), "a mapping"),
        ("session", remote.session in get_args(SessionScope), "'caller', 'shared' or 'call'"),
        ("timeout", isinstance(remote.timeout, int | float), "a number of seconds"),
        ("refresh", isinstance(remote.refresh, int | float), "a number of seconds"),
    ]
    for name, is_right, what in expected:
        if not is_right:
            # Not what it is: it may be secret.
            raise MountError(f"{name}= of the remote {remote.name!r} must be {what}.")


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and value != "" and "\0" not in value)


def _are_texts(values: object) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and _all_texts(values)


def _is_map_of_texts(values: object) -> bool:
    return isinstance(values, Mapping) and _all_texts((*values, *values.values()))


def _all_texts(values: Iterable[object]) -> bool:
    return all(isinstance(each, str) and "\0" not in each for each in values)


def _are_headers(headers: Mapping[str, str]) -> bool:
    return _is_map_of_texts(headers) and all(
        _HEADER.fullmatch(name) and value.isascii() and value.isprintable()
        for name, value in headers.items()
    )


def _is_auth(auth: object) -> bool:
    if isinstance(auth, str):
        return _are_headers({"authorization": auth})
    return auth is None or hasattr(auth, "async_auth_flow")


def _is_http(url: object) -> bool:
    try:
        parts = urlsplit(str(url))
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
