"""What is wrong with the options of a mount, in words that say what to do."""

import re
from collections.abc import Sequence
from typing import Literal

from fastapi import FastAPI
from fastapi.params import Depends
from fastmcp.server.auth import AuthProvider

from mcp_mount.access.rates import RateLimit
from mcp_mount.endpoints.endpoint import Endpoint, check_path_is_free
from mcp_mount.errors import MountError
from mcp_mount.limits import Limits
from mcp_mount.remotes.remote import Remote


def check_types(
    app: object, limits: object, dependencies: Sequence[object], rate_limit: object
) -> None:
    """Refuse what would fail later, in words that do not say why."""
    expected = [
        (app, FastAPI, "mount_mcp takes a FastAPI application"),
        (limits, Limits, "limits= takes Limits(…)"),
        (rate_limit, RateLimit | None, "rate_limit= takes RateLimit(…)"),
        *((each, Depends, "dependencies= takes a list of Depends(…)") for each in dependencies),
    ]
    for value, kind, advice in expected:
        if not isinstance(value, kind):
            raise MountError(f"{advice}, not {value!r}.")


def check_scopes(remotes: Sequence[Remote], *, is_asked: bool) -> None:
    """Refuse scopes that nobody would ask for: the remote would be open to everyone."""
    for remote in remotes:
        if remote.scopes and not is_asked:
            raise MountError(
                f"scopes= of the remote {remote.name!r} guard it only where callers are known: "
                "give auth= or scopes_of= as well."
            )


def check_sse_path(app: FastAPI, sse_path: str, path: str) -> None:
    """Refuse a path for the older transport that is taken, or not beside the other one.

    Raises:
        MountError: it is.
    """
    check_path(app, sse_path, "sse_path")
    if f"{sse_path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{sse_path}/"):
        message = (
            f"sse_path={sse_path!r} and path={path!r} cannot be one path, or one inside the other: "
            "choose another sse_path=, e.g. '/sse'."
        )
        raise MountError(message)
    check_path(app, f"{sse_path}/messages", "sse_path")


def check_path(app: FastAPI, path: str, option: Literal["path", "sse_path"] = "path") -> None:
    """Refuse a path that cannot be an endpoint's, or is taken, and an app that has started.

    Raises:
        MountError: so it is.
    """
    if not re.fullmatch(r"(/[^/{}?#%\s]+)+", path):
        example = "/mcp" if option == "path" else "/sse"
        message = f"The {option} {path!r} cannot be the endpoint's: write it like {example!r}."
        raise MountError(message)
    if any(isinstance(route, Endpoint) and route.path == path for route in app.router.routes):
        message = f"There is an MCP endpoint at {path!r} already: choose another {option}=."
        raise MountError(message)
    check_path_is_free(app, path, option)
    if app.middleware_stack is not None:
        message = "The app has already started: call mount_mcp where the app is built."
        raise MountError(message)


def check_public_url(auth: AuthProvider | None, path: str, public_url: str | None) -> None:
    """Refuse a provider that would name another resource than the one clients connect to.

    Clients compare the two, and drop the server where they differ (RFC 9728 §3.3).
    """
    base = (auth.resource_base_url or auth.base_url) if auth is not None else None
    if base is None or public_url is None:
        return
    resource = f"{str(base).rstrip('/')}{path}"
    if resource != public_url:
        message = (
            f"public_url={public_url!r}, but the auth provider's base URL makes it {resource!r}. "
            "Give the provider the base URL that clients see."
        )
        raise MountError(message)
