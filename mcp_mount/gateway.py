"""Several MCP servers behind one endpoint, and the file that names them."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeGuard, Unpack

from fastapi import FastAPI

from mcp_mount.environment import expanded
from mcp_mount.errors import MountError
from mcp_mount.mount import MountOptions, mount_mcp
from mcp_mount.remotes.remote import Remote

_STDIO: Final = {"command", "args", "env", "cwd"}
_HTTP: Final = {"url", "headers", "auth"}
_HTTP_TYPES: Final = {"http", "streamable-http", "streamableHttp", "streamable_http"}
# What clients keep in the same file for themselves.
_MOST_LETTERS: Final = 32
_IGNORED: Final = {
    *("type", "transport", "timeout", "description", "icon", "disabled", "alwaysAllow", "tools"),
    *("autoApprove", "keep_alive", "sse_read_timeout", "gallery", "version", "trust"),
}


def gateway_app(
    remotes: Sequence[Remote],
    *,
    path: str = "/mcp",
    sse_path: str | None = None,
    **options: Unpack[MountOptions],
) -> FastAPI:
    """Return an app that offers other MCP servers at `path`, and how they are at ``/health``.

    ``/health`` answers 200 as long as the gateway works: ``{"status": "ok", "remotes": {…}}``, with
    ``"degraded"`` where a server is not up.

    Args:
        remotes: The servers, e.g. ``[Remote("wiki", url="https://wiki.example/mcp")]``.
        path: Where the endpoint is.
        sse_path: Where clients of the older HTTP+SSE transport find it; None: nowhere.
        options: As for `mount_mcp`.

    Raises:
        MountError: as `mount_mcp` does.
    """
    if not remotes:
        raise MountError('A gateway needs servers: gateway_app([Remote("wiki", url="https://…")]).')
    app = FastAPI(title="MCP gateway", version=version("mcp-mount"), docs_url=None, redoc_url=None)
    mounted = mount_mcp(app, path=path, sse_path=sse_path, remotes=remotes, **options)

    @app.get("/health", include_in_schema=False)
    async def health() -> dict[str, Any]:
        states = mounted.remotes
        is_whole = all(state.status == "up" for state in states.values())
        return {
            "status": "ok" if is_whole else "degraded",
            "remotes": {name: asdict(state) for name, state in states.items()},
        }

    return app


def example_remote() -> Remote:
    """Return the example server that comes with the package, as a program."""
    return Remote("example", command=sys.executable, args=["-m", "mcp_mount.example"])


def read_servers(file: Path) -> list[Remote]:
    """Read the servers of a file in the form that MCP clients have: ``{"mcpServers": {…}}``.

    ``${NAME}`` and ``${NAME:-default}`` stand for variables of the environment.

    Raises:
        MountError: the file cannot be read, or a server in it cannot be used.
    """
    try:
        # Editors of Windows write a mark before the text.
        document = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except OSError as error:
        raise MountError(f"The file {str(file)!r} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise MountError(f"The file {str(file)!r} is no JSON: {error}.") from None
    servers = document.get("mcpServers", document.get("servers")) if _is_map(document) else None
    if not _is_map(servers) or not servers:
        example = '{"mcpServers": {"wiki": {"url": "https://wiki.example/mcp"}}}'
        raise MountError(f"The file {str(file)!r} names no servers: write {example}.")
    remotes: dict[str, Remote] = {}
    for name, server in servers.items():
        if _is_map(server) and server.get("disabled") is True:
            continue
        namespace = _namespace(name, file)
        if namespace in remotes:
            raise MountError(
                f"The server {name!r} in {str(file)!r} would be called {namespace!r}, as another "
                "one is: give one of them another name."
            )
        remotes[namespace] = _read_server(name, namespace, server, file)
    if not remotes:
        raise MountError(f"All servers in {str(file)!r} are disabled: enable one.")
    return [*remotes.values()]


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, of which no member stands for another one unseen."""
    once = dict(pairs)
    if len(once) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MountError(f"The file of servers has {twice!r} twice in one place: rename one.")
    return once


def _namespace(name: str, file: Path) -> str:
    """Return what stands before a server's tools, e.g. ``"my_server"`` for ``"my server"``."""
    namespace = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:_MOST_LETTERS].rstrip("_-")
    if not namespace[:1].isalpha():
        raise MountError(
            f"The name {name!r} in {str(file)!r} cannot stand before a tool's: begin it with a "
            "letter of A to Z."
        )
    return namespace


def _read_server(name: str, namespace: str, server: object, file: Path) -> Remote:
    where = f"The server {name!r} in {str(file)!r}"
    if not _is_map(server):
        raise MountError(f'{where} must be a mapping such as {{"url": "https://…"}}.')
    kind = server.get("type", server.get("transport"))
    if kind == "sse" or (kind is None and str(server.get("url", "")).rstrip("/").endswith("/sse")):
        raise MountError(f"{where} uses the old SSE transport; name its Streamable HTTP URL.")
    if kind is not None and kind not in ("stdio", *_HTTP_TYPES):
        raise MountError(f"{where} has the type {kind!r}, which is not known: 'http' or 'stdio'.")
    unknown = sorted(server.keys() - _STDIO - _HTTP - _IGNORED - {"httpUrl", "serverUrl"})
    if unknown:
        known = ", ".join(sorted(_STDIO | _HTTP))
        raise MountError(f"{where} has the key {unknown[0]!r}, which is not known. Known: {known}.")
    url = server.get("url", server.get("httpUrl", server.get("serverUrl")))
    options = {key: server[key] for key in (_STDIO | _HTTP) - {"url"} if server.get(key)}
    if url is not None:
        options["url"] = url
    if isinstance(options.get("env"), dict):
        options["env"] = {key: _text(value) for key, value in options["env"].items()}
    given = expanded(options, where)
    if given.get("auth") == "oauth":
        raise MountError(f"{where} asks for a login in a browser; give a token as auth or header.")
    return Remote(namespace, **given)


def _text(value: object) -> object:
    """Write a number or a flag in an environment as text, as clients do."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_map(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)
