"""What the log says at the start: how many tools there are, and what one would want to know."""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles

from mcp_mount.endpoints.hosting import MountContext
from mcp_mount.search.surface import MANY_TOOLS, SurfaceChoice
from mcp_mount.tools.secrets import secrets_given, secrets_taken
from mcp_mount.tools.tool import OperationTool

logger = logging.getLogger("mcp_mount")

_MANY_TOOLS: Final = 40
_TOO_MANY_TOOLS: Final = 128
_MOST_NAMED: Final = 10

_OURS: Final = 3
"""Providers of a server that its user added none to: its own tools, the operations, the search."""


async def report_start(mount: MountContext, path: str) -> None:
    """Write the lines of an endpoint at `path` that has just started."""
    log = _log()
    operations = mount.provider.listed
    own = {tool.name for tool in await mount.server.local_provider.list_tools()}
    remote = mount.remotes.tools().keys() if mount.remotes is not None else set()
    count = len({*operations, *own, *remote})
    if count or (mount.remotes is None and len(mount.server.providers) > _OURS):
        log.info("%d %s at %s", count, "tool" if count == 1 else "tools", path)
    elif mount.remotes is None:  # Those are told of when they are up.
        logger.warning(
            "No tools at %s: the app has no operation that is offered. Add routes before it starts "
            "and include their routers, or see to include= and exclude=.",
            path,
        )
    _warn_of_many_tools(count, mount.search.surface.choice)
    _warn_of_secrets(operations.values())
    if mount.tasks is None:
        _warn_of_tasks(operations.values())
    _tell_what_is_left_out(mount.app)


def _log() -> logging.Logger:
    """Return our logger, or uvicorn's where nobody has set up ours.

    uvicorn sets up its own loggers alone: who starts an app as usual would read nothing of this.
    """
    server = logging.getLogger("uvicorn.error")
    is_set_up = logger.hasHandlers() or logger.level != logging.NOTSET
    return logger if is_set_up or not server.hasHandlers() else server


def _warn_of_many_tools(count: int, choice: SurfaceChoice) -> None:
    """Tell the log where clients begin to lose sight: they give every tool to the model."""
    if choice == "search" or (choice == "auto" and count >= MANY_TOOLS):
        return
    if count > _TOO_MANY_TOOLS:
        logger.warning(
            "%d tools: VS Code refuses more than %d. Choose with include= or exclude=, or have "
            "clients search them with surface='search'.",
            count,
            _TOO_MANY_TOOLS,
        )
    elif count > _MANY_TOOLS:
        logger.warning(
            "%d tools: models choose badly among more than %d. Consider include= or exclude=, or "
            "surface='search'.",
            count,
            _MANY_TOOLS,
        )


def _warn_of_secrets(tools: Iterable[OperationTool]) -> None:
    found = [
        tool
        for tool in tools
        if secrets_taken(tool.parameters) or secrets_given(tool.output_schema or {})
    ]
    if found:
        logger.warning(
            "Tools that take a password or give out a token, which a model would see: %s. Leave "
            "them out with exclude=[%s] if that is not meant.",
            _name_some([tool.name for tool in found]),
            _quote_some([str(tool.binding.operation) for tool in found]),
        )


def _warn_of_tasks(tools: Iterable[OperationTool]) -> None:
    named = [tool.name for tool in tools if tool.binding.is_task]
    if named:
        logger.warning(
            "Tools that are marked as tasks, and are called as any other: %s. Give tasks=Tasks() "
            "for one process, or tasks=Tasks('redis://host:6379') for several.",
            _name_some(named),
        )


def _tell_what_is_left_out(app: FastAPI) -> None:
    """Tell the log of routes that no OpenAPI document describes, so that nobody looks for them."""
    apps = _paths(
        app, lambda each: isinstance(each, Mount) and not isinstance(each.app, StaticFiles)
    )
    if apps:
        logger.info(
            "Not offered: what is mounted at %s. Mount MCP on that app too, or include its routes "
            "as a router.",
            _name_some(apps),
        )
    sockets = _paths(app, lambda route: isinstance(route, WebSocketRoute))
    if sockets:
        logger.info("Not offered: the WebSockets at %s.", _name_some(sockets))


def _paths(app: FastAPI, wanted: Callable[[object], bool]) -> list[str]:
    routes = iter_route_contexts(app.router.routes)
    return [each.path or "/" for each in routes if wanted(each.original_route)]


def _name_some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _quote_some(selectors: list[str]) -> str:
    more = ["…"] if len(selectors) > _MOST_NAMED else []
    return ", ".join([*map(json.dumps, selectors[:_MOST_NAMED]), *more])
