"""Loads the app that is served, and gives it an endpoint where it has none."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from mcp_mount.checks import check_app
from mcp_mount.door import PATH, mount_options
from mcp_mount.endpoints.endpoint import Endpoint
from mcp_mount.endpoints.streamable import Streamable
from mcp_mount.errors import MountError
from mcp_mount.finding import import_app
from mcp_mount.mount import mount_mcp
from mcp_mount.options import ServeOptions

if TYPE_CHECKING:
    from mcp_mount.tasks.engine import TaskEngine

_OF_THE_COMMAND: Final = {"host", "stdio", "header"}
"""Options that say where an app is served, and nothing of its endpoint."""


def load_app(target: str, folder: Path, options: ServeOptions) -> FastAPI:
    """Return the app that `target` names, with an endpoint.

    `target` is e.g. ``"main:app"``, looked for in `folder` first; `options` are for an app without
    one.

    Raises:
        MountError: there is no such app, or the options cannot be.
    """
    app: FastAPI = import_app(target, folder)
    check_app(app)
    if endpoint_path(app) is None:
        shared = mount_options(options, [])
        mount_mcp(app, path=PATH, sse_path="/sse" if options.sse else None, **shared)
        return app
    given = [
        f"--{each.name.replace('_', '-')}"
        for each in fields(ServeOptions)
        if each.name not in _OF_THE_COMMAND and getattr(options, each.name) != each.default
    ]
    if given:
        named = ", ".join(given).replace("--mcp-api-key", "MCP_API_KEY")
        raise MountError(
            f"The app of {target!r} calls mount_mcp itself, and would not hear of {named}: say it "
            "there, or leave it out here and in the environment."
        )
    return app


def endpoint_path(app: FastAPI) -> str | None:
    """Return where an app has its endpoint, e.g. ``"/mcp"``; None where it has none."""
    return next((each.path for each in _transports(app)), None)


def tasks_of(app: FastAPI, target: str) -> "TaskEngine":
    """Return the tasks of an app that are for workers of their own.

    Raises:
        MountError: there are none; `target` names the app in the message.
    """
    engines = [each.mount.tasks for each in _transports(app)]
    shared = [each for each in engines if each is not None and each.options.is_shared]
    if not shared:
        raise MountError(
            f"The app of {target!r} has no tasks for a worker: give mount_mcp "
            "tasks=Tasks('redis://host:6379') and state_key=, the same in all processes. Without "
            "Redis, the app's own process runs them."
        )
    return shared[0]


def _transports(app: FastAPI) -> Iterator[Streamable]:
    for route in app.router.routes:
        if isinstance(route, Endpoint) and isinstance(route.transport, Streamable):
            yield route.transport
