"""Several MCP servers and APIs behind one endpoint, and the file that names them."""

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeGuard, Unpack

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from mcp_mount.api_file import read_api
from mcp_mount.apis import API
from mcp_mount.assembly import MountOptions
from mcp_mount.checks import OPTIONS, check_scopes
from mcp_mount.environment import expand_variables
from mcp_mount.errors import MountError
from mcp_mount.mount import mount_source
from mcp_mount.remotes.names import ToolNames, read_patterns
from mcp_mount.remotes.remote import Remote, check_names_apart
from mcp_mount.source import read_app
from mcp_mount.validation import check_options, list_of
from mcp_mount.version import __version__

logger = logging.getLogger("mcp_mount.remotes")

_OPTIONS: Final = {**OPTIONS, "remotes": OPTIONS["remotes"]._replace(allows=list_of(Remote | API))}
_KEYS: Final = {field.name for field in fields(Remote)} - {"name"}
_URLS: Final = ("url", "httpUrl", "serverUrl")
_TYPES: Final = {"stdio", "http", "streamable-http", "streamableHttp", "streamable_http"}
_IGNORED: Final = {
    *("description", "icon", "gallery", "version", "trust", "keep_alive", "sse_read_timeout"),
    *("alwaysAllow", "autoApprove"),
}
"""Keys of clients that mean nothing to a gateway."""

_MAX_NAME: Final = 32
_MAX_TIMEOUT: Final = 1_000
"""Seconds; somebody who writes more means milliseconds, as some clients do."""


def gateway_app(
    remotes: Sequence[Remote | API],
    *,
    path: str = "/mcp",
    sse_path: str | None = None,
    **options: Unpack[MountOptions],
) -> FastAPI:
    """Return an app that offers other MCP servers at `path`, and how they are at ``/health``.

    ``/health`` answers 200 as long as the gateway works: ``{"status": "ok", "remotes": {…}}``, with
    ``"degraded"`` where a server is not up.

    ``app.state.mcp`` is the `Mounted`.

    Args:
        remotes: The servers, e.g. ``[Remote("wiki", url="https://wiki.example/mcp")]``, and the
            APIs among them, e.g. ``API("billing", openapi="https://billing.example/openapi.json")``.
        path: Where the endpoint is.
        sse_path: Where clients of the older HTTP+SSE transport find it; None: nowhere.
        options: As for `mount_mcp`; `include` and `exclude` are names of tools as callers see
            them, e.g. ``["wiki_get_*"]``.

    Raises:
        MountError: as `mount_mcp` does.
    """
    if not remotes:
        raise MountError('A gateway needs servers: gateway_app([Remote("wiki", url="https://…")]).')
    app = FastAPI(title="MCP gateway", version=__version__, docs_url=None, redoc_url=None)
    check_options({"remotes": remotes, **options}, _OPTIONS)
    apis = [each for each in remotes if isinstance(each, API)]
    servers = [each for each in remotes if not isinstance(each, API)]
    lost = [name for name in ("tools", "fields", "resources") if apis and options.get(name)]
    if lost:
        raise MountError(
            f"{lost[0]}= is said of one API, not of a gateway with several: mark the operations in "
            "their document (x-mcp), or offer the API with proxy_app, and name that as a Remote."
        )
    check_names_apart([each.name for each in remotes])
    names = ToolNames(
        read_patterns(options.pop("include", ())), read_patterns(options.pop("exclude", ()))
    )
    names.check([each.name for each in remotes])
    mounted = mount_source(
        app,
        read_app(app, None),
        path=path,
        sse_path=sse_path,
        remotes=servers,
        names=names,
        apis=apis,
        **options,
    )
    check_scopes(apis, are_known=bool(options.get("auth") or options.get("scopes_of")))
    app.state.mcp = mounted

    async def health(_: Request) -> JSONResponse:
        states = mounted.remotes
        answers = await mounted.apis_answer()
        is_whole = all(answers.values()) and all(each.status == "up" for each in states.values())
        told: dict[str, Any] = {
            "status": "ok" if is_whole else "degraded",
            "remotes": {name: asdict(state) for name, state in states.items()},
        }
        if answers:
            told["apis"] = {name: "up" if each else "down" for name, each in answers.items()}
        return JSONResponse(told)

    # FastAPI would remember a function of its own routes, and with it the app, for good.
    app.add_route("/health", health, include_in_schema=False)
    return app


def example_remote() -> Remote:
    """Return the example server that comes with the package, as a program."""
    return Remote("example", command=sys.executable, args=["-m", "mcp_mount.example"])


def read_servers(file: Path) -> list[Remote | API]:
    """Read the servers of a file in the form that MCP clients have: ``{"mcpServers": {…}}``.

    A server has the options of `Remote`, e.g. ``{"url": "https://…", "tools": ["get_*"]}``, and
    ``"disabled": true`` leaves it out; an API has ``"openapi"``, see `read_api`. What clients keep
    there for themselves is ignored, with a line in the log. ``${NAME}`` and ``${NAME:-default}``
    stand for variables of the environment.

    Raises:
        MountError: the file cannot be read, or a server in it cannot be used.
    """
    try:
        # Editors of Windows write a mark before the text.
        document = json.loads(
            file.read_text(encoding="utf-8-sig"), object_pairs_hook=_check_members
        )
    except OSError as error:
        raise MountError(f"The file {str(file)!r} cannot be read: {error.strerror}.") from None
    except MountError:
        raise
    except (ValueError, RecursionError) as error:
        raise MountError(f"The file {str(file)!r} is no JSON: {error}.") from None
    servers = document.get("mcpServers", document.get("servers")) if _is_map(document) else None
    if not _is_map(servers) or not servers:
        example = '{"mcpServers": {"wiki": {"url": "https://wiki.example/mcp"}}}'
        raise MountError(f"The file {str(file)!r} names no servers: write {example}.")
    remotes: dict[str, Remote | API] = {}
    for name, server in servers.items():
        where = f"The server {name!r} in {str(file)!r}"
        if not _is_map(server):
            raise MountError(f'{where} must be a mapping such as {{"url": "https://…"}}.')
        if server.get("disabled") is True:
            continue
        namespace = _read_name(name, file)
        if namespace in remotes:
            raise MountError(
                f"{where} would be called {namespace!r}, as another one is: give one of them "
                "another name."
            )
        read = read_api if "openapi" in server else _read_server
        remotes[namespace] = read(namespace, server, where)
    if not remotes:
        raise MountError(f"All servers in {str(file)!r} are disabled: enable one.")
    return [*remotes.values()]


def _check_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, of which no member stands for another one unseen."""
    once = dict(pairs)
    if len(once) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MountError(f"The file of servers has {twice!r} twice in one place: rename one.")
    return once


def _read_name(name: str, file: Path) -> str:
    """Return what stands before a server's tools, e.g. ``"my_server"`` for ``"my server"``."""
    namespace = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:_MAX_NAME].rstrip("_-")
    if not namespace[:1].isalpha():
        raise MountError(
            f"The name {name!r} in {str(file)!r} cannot stand before a tool's: begin it with a "
            "letter of A to Z."
        )
    return namespace


def _read_server(name: str, server: Mapping[str, Any], where: str) -> Remote:
    kind = server.get("type", server.get("transport"))
    url = next((server[key] for key in _URLS if key in server), None)
    if kind == "sse" or (kind is None and str(url or "").rstrip("/").endswith("/sse")):
        raise MountError(f"{where} uses the old SSE transport; name its Streamable HTTP URL.")
    if kind is not None and not (isinstance(kind, str) and kind in _TYPES):
        raise MountError(f"{where} has the type {kind!r}, which is not known: 'http' or 'stdio'.")
    for key in server.keys() - _KEYS - {*_URLS, "type", "transport", "disabled"}:
        if key not in _IGNORED:
            known = sorted(_KEYS)
            near = get_close_matches(key, known, n=3) or known
            raise MountError(
                f"{where} has the key {key!r}, which is not known. Near: {', '.join(near)}."
            )
        logger.warning("%s: %r is for clients, and is ignored.", where, key)
    options = {key: server[key] for key in _KEYS - {"url"} if server.get(key) not in (None, "", [])}
    if url is not None:
        options["url"] = url
    if isinstance(options.get("env"), dict):
        options["env"] = {key: _write_text(value) for key, value in options["env"].items()}
    given = expand_variables(options, where)
    if given.get("auth") == "oauth":
        raise MountError(f"{where} asks for a login in a browser; give a token as auth or header.")
    timeout = given.get("timeout")
    if isinstance(timeout, int | float) and timeout > _MAX_TIMEOUT:
        raise MountError(f"{where} has a timeout of {timeout:g} seconds; write {timeout / 1000:g}?")
    return Remote(name, **given)


def _write_text(value: object) -> object:
    """Write a number or a flag in an environment as text, as clients do."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_map(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)
