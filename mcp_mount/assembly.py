"""Puts together what `mount_mcp` offers, and puts it onto the app."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from fastapi import FastAPI
from fastapi.params import Depends
from fastmcp.server.auth import AuthProvider
from mcp.server.streamable_http import EventStore
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.requests import Request
from starlette.routing import BaseRoute

from mcp_mount.access.answered import ANSWERED_HERE, AnsweredInStore
from mcp_mount.access.auth import ScopesOf
from mcp_mount.access.origin import Origins
from mcp_mount.access.principals import callers_of
from mcp_mount.access.rates import CallRate, RateLimit
from mcp_mount.apis import API, provide_apis
from mcp_mount.checks import (
    OPTIONS,
    check_event_store,
    check_path,
    check_public_url,
    check_scopes,
    check_sse_path,
    check_state,
)
from mcp_mount.endpoints.endpoint import Endpoint
from mcp_mount.endpoints.event_store import open_events
from mcp_mount.endpoints.guard import RequestGuard
from mcp_mount.endpoints.hosting import MountContext, OpenEvents, StartableTransport
from mcp_mount.endpoints.lifespan import LifespanMiddleware
from mcp_mount.endpoints.sse import Sse, SsePart
from mcp_mount.endpoints.streamable import Streamable
from mcp_mount.errors import MountError
from mcp_mount.fastpath.listing import ToolList
from mcp_mount.fastpath.responder import FastPath
from mcp_mount.limits import Limits, Slots
from mcp_mount.listed import inline_references
from mcp_mount.mounted import Mounted
from mcp_mount.page.details import PageDetails
from mcp_mount.page.findings import PageFindings
from mcp_mount.remotes.names import ToolNames
from mcp_mount.remotes.remote import Remote
from mcp_mount.search.provider import SearchProvider
from mcp_mount.search.surface import Surface, SurfaceChoice
from mcp_mount.server import build_server, low_level_server
from mcp_mount.source import Source, provide
from mcp_mount.tasks.options import Tasks
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.marks import Selector, ToolMarks
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.validation import check_options

if TYPE_CHECKING:
    from fastmcp import FastMCP

    from mcp_mount.tasks.engine import TaskEngine


class MountOptions(TypedDict, total=False):
    """The options of `mount_mcp` that proxies and gateways take as they are."""

    include: Sequence[Selector]
    exclude: Sequence[Selector]
    fields: Sequence[Selector]
    resources: Sequence[Selector]
    tools: ToolMarks | None
    limits: Limits
    auth: AuthProvider | None
    dependencies: Sequence[Depends]
    scopes_of: ScopesOf | None
    public_url: str | None
    allowed_origins: Sequence[str]
    rate_limit: RateLimit | None
    confirm: Literal["destructive"] | None
    state_key: str | None
    state_store: str | None
    tasks: Tasks | None
    sessions: bool
    event_store: str | EventStore | None
    forward_cookies: bool
    surface: SurfaceChoice
    pinned: Sequence[Selector]
    page: bool


def assemble(
    app: FastAPI,
    source: Source,
    *,
    path: str,
    sse_path: str | None,
    remotes: Sequence[Remote],
    names: ToolNames,
    apis: Sequence[API],
    options: MountOptions,
) -> Mounted:
    """Offer the operations of `source` on `app`, and the tools of remotes that `names` allows.

    With `apis`, their operations stand in the place of those of `source`. `options` are all of
    those that `mount_mcp` tells of.

    Raises:
        MountError: see `mount_mcp`.
    """
    limits, auth, scopes_of = options["limits"], options["auth"], options["scopes_of"]
    check_options({**options, "path": path, "sse_path": sse_path, "remotes": remotes}, OPTIONS)
    check_path(app, path)
    if sse_path is not None:
        check_sse_path(app, sse_path, path)
    check_public_url(auth, path, options["public_url"])
    state_store = options["state_store"]
    tasks = options["tasks"]
    shares_tasks = tasks is not None and tasks.is_shared
    check_state(options["state_key"], state_store, shares_tasks=shares_tasks)
    events = _keep_events(options)

    def credentials() -> frozenset[tuple[str, str]]:
        # Asked for on a call, when the provider is there.
        return provider.credentials()

    rate = None
    if (rate_limit := options["rate_limit"]) is not None:
        rate = CallRate(rate_limit, credentials)

    def callers(request: Request) -> list[str]:
        if rate is not None:
            return rate.callers(request)
        return callers_of(request, credentials())

    policy = CallPolicy(
        limits=limits,
        slots=Slots(limits.max_concurrency, callers_of=callers),
        credentials=credentials,
        callers=callers,
        rate=rate,
        confirm=options["confirm"],
        answered=AnsweredInStore(state_store) if state_store is not None else ANSWERED_HERE,
    )
    shown = Surface(options["surface"], options["pinned"])
    search = SearchProvider(shown, rate)
    provider: OperationProvider
    if apis:
        provider, backends = provide_apis(apis, policy, names.allows)
        names.warn_of_unmatched([each.name for each in remotes])
    else:
        provider, backend = provide(
            source,
            policy,
            include=options["include"],
            exclude=options["exclude"],
            fields=options["fields"],
            resources=options["resources"],
            name=source.name,
            marks=options["tools"],
        )
        backends = {"": backend} if backend is not None else {}
    remote_provider = None
    if remotes:
        # Most apps have none, and need not wait for the import.
        from mcp_mount.remotes.provider import RemoteProvider  # noqa: PLC0415

        remote_provider = RemoteProvider(remotes, policy, provider.tools, names)
    check_scopes(remotes, are_known=auth is not None or scopes_of is not None)
    server = build_server(
        provider,
        policy,
        remotes=remote_provider,
        search=search,
        name=source.name,
        version=source.version,
        instructions=source.instructions,
        auth=auth,
        state_key=options["state_key"],
        sessions=options["sessions"],
    )
    guard = RequestGuard(
        origins=Origins(options["allowed_origins"], public_url=options["public_url"]),
        max_request_bytes=limits.max_request_bytes,
        dependencies=options["dependencies"],
        scopes_of=scopes_of,
        sessions=options["sessions"],
        forward_cookies=options["forward_cookies"],
    )
    engine = None
    if tasks is not None:
        engine = _offer_tasks(
            server, provider, tasks, f"{source.name} {path}", options, callers=callers
        )
    context = MountContext(app, server, provider, guard, search, remote_provider, engine, events)
    low_level, has_tasks = low_level_server(server), tasks is not None
    kept = low_level.cache_hints.get("tools/list")
    ttl = kept.ttl_ms if kept is not None else 0
    tool_list = ToolList(server, context.offered, inline_references, ttl)
    fast_path = FastPath(server, low_level, provider, tool_list, search, has_tasks=has_tasks)
    shown.serve(
        server,
        offered=context.offered,
        scopes=context.scopes,
        tag_descriptions=lambda: provider.tag_descriptions,
        is_plain=fast_path.is_open,
        unknown=remote_provider.unknown if remote_provider is not None else None,
    )
    details = None
    if options["page"]:
        details = PageDetails(
            app=app,
            server=server,
            provider=provider,
            remotes=remote_provider,
            path=path,
            public_url=options["public_url"],
            rate_limit=rate_limit,
            is_plain=fast_path.is_open,
            findings=PageFindings(
                server, provider, partial(fast_path.render_list, LATEST_MODERN_VERSION)
            ),
        )
    _add_endpoints(context, path, sse_path, fast_path, details)
    return Mounted(
        server=server,
        path=path,
        _app=app,
        _forwards_cookies=options["forward_cookies"],
        _remotes=remote_provider,
        _upstreams={name: each.forwarder for name, each in backends.items()},
        _has_page=options["page"],
    )


def _keep_events(options: MountOptions) -> OpenEvents | None:
    """Return what opens the store of sessions' events; None where they are not kept.

    Raises:
        MountError: there are no sessions, or the store cannot be used.
    """
    store, key = options["event_store"], options["state_key"]
    check_event_store(store, key, sessions=options["sessions"])
    if store is None:
        return None
    opening = partial(open_events, store, key)
    # Now, so that what is wrong with it is said here.
    opening(AsyncExitStack())
    return opening


def _add_endpoints(
    context: MountContext,
    path: str,
    sse_path: str | None,
    fast_path: FastPath,
    details: PageDetails | None,
) -> None:
    """Put the routes of the endpoints onto the app, and their start and stop into its lifespan."""
    app, guard = context.app, context.guard
    streamable = Streamable(context, path, fast_path, details)
    has_page = details is not None
    endpoints = [Endpoint(app, path, guard, streamable, has_page=has_page, is_main=True)]
    transports: list[StartableTransport] = [streamable]
    if sse_path is not None:
        sse = Sse(context, sse_path, path)
        endpoints += [
            Endpoint(app, sse.path, guard, SsePart(sse, "GET")),
            Endpoint(app, sse.messages, guard, SsePart(sse, "POST")),
        ]
        # Before the other, because a provider issues tokens for the path that it hears of last.
        transports.insert(0, sse)
    # First, so that no catch-all route of the app takes the paths before them.
    app.router.routes[:0] = [*endpoints, *_auth_routes(context.server.auth, path, sse_path)]
    app.add_middleware(LifespanMiddleware, mount=context, transports=transports, path=path)


def _auth_routes(auth: AuthProvider | None, path: str, sse_path: str | None) -> list[BaseRoute]:
    """Return the provider's routes: its own, and the metadata of the resource at each path."""
    if auth is None:
        return []
    beside = auth.get_routes(sse_path) if sse_path is not None else []
    routes = auth.get_routes(path)
    known = {route.path for route in routes}
    return [*routes, *(route for route in beside if route.path not in known)]


def _offer_tasks(
    server: "FastMCP[Any]",
    provider: OperationProvider,
    tasks: Tasks,
    about: str,
    options: MountOptions,
    *,
    callers: Callable[[Request], list[str]],
) -> "TaskEngine":
    """Return what runs the tasks of a mount, and offer them to the server's clients."""
    try:
        from mcp_mount.tasks.engine import TaskEngine  # noqa: PLC0415 - an extra
        from mcp_mount.tasks.extension import TasksExtension  # noqa: PLC0415
    except ImportError:
        message = "tasks= needs FastMCP's task engine: pip install 'mcp-mount[tasks]'."
        raise MountError(message) from None
    key, cookies = options["state_key"], options["forward_cookies"]
    engine = TaskEngine(tasks, provider, about=about, key=key, cookies=cookies, callers=callers)
    server.add_extension(TasksExtension(engine))
    return engine
