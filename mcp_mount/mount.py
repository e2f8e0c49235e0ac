"""Puts the endpoint and its lifespan onto an app.

The endpoint is one route of the app; the app's middleware runs on it as on every other.
"""

from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

from fastapi import FastAPI
from fastapi.params import Depends
from fastmcp.server.auth import AuthProvider
from starlette.routing import BaseRoute

from mcp_mount.access.auth import ScopesOf
from mcp_mount.access.origin import Origins
from mcp_mount.access.rates import CallRate, RateLimit
from mcp_mount.apis import API, provide_apis
from mcp_mount.backends.http import HTTPBackend
from mcp_mount.checks import OPTIONS, check_path, check_public_url, check_scopes, check_sse_path
from mcp_mount.endpoints.endpoint import Endpoint
from mcp_mount.endpoints.guard import RequestGuard
from mcp_mount.endpoints.hosting import MountContext, StartableTransport
from mcp_mount.endpoints.lifespan import LifespanMiddleware
from mcp_mount.endpoints.sse import Sse, SsePart
from mcp_mount.endpoints.streamable import Streamable
from mcp_mount.fastpath.listing import ToolList
from mcp_mount.fastpath.responder import FastPath
from mcp_mount.limits import Limits, Slots
from mcp_mount.listed import inline_references
from mcp_mount.mounted import Mounted
from mcp_mount.remotes.names import ToolNames
from mcp_mount.remotes.remote import Remote
from mcp_mount.search.provider import SearchProvider
from mcp_mount.search.surface import Surface, SurfaceChoice
from mcp_mount.server import build_server, low_level_server
from mcp_mount.source import OpenAPI, Source, read_app
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.marks import Selector, ToolMarks
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.validation import check_options

if TYPE_CHECKING:
    from mcp_mount.remotes.provider import RemoteProvider


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
    sessions: bool
    forward_cookies: bool
    surface: SurfaceChoice
    pinned: Sequence[Selector]


def mount_mcp(
    app: FastAPI,
    *,
    path: str = "/mcp",
    openapi: OpenAPI | None = None,
    sse_path: str | None = None,
    include: Sequence[Selector] = (),
    exclude: Sequence[Selector] = (),
    fields: Sequence[Selector] = (),
    resources: Sequence[Selector] = (),
    tools: ToolMarks | None = None,
    remotes: Sequence[Remote] = (),
    limits: Limits = Limits(),  # noqa: B008 - frozen
    auth: AuthProvider | None = None,
    dependencies: Sequence[Depends] = (),
    scopes_of: ScopesOf | None = None,
    public_url: str | None = None,
    allowed_origins: Sequence[str] = (),
    rate_limit: RateLimit | None = None,
    confirm: Literal["destructive"] | None = None,
    state_key: str | None = None,
    sessions: bool = False,
    forward_cookies: bool = False,
    surface: SurfaceChoice = "tools",
    pinned: Sequence[Selector] = (),
) -> Mounted:
    """Offer every operation of `app` as an MCP tool at `path`, in the same process.

    Call it before or after routes, routers and middleware are added, and before the app starts.

    Args:
        app: The application. Its title, version and description become the server's.
        path: Where the endpoint is, e.g. ``"/mcp"``; ``"/mcp/"`` is the same endpoint.
        openapi: An OpenAPI document that describes the app's routes instead of the app's own, e.g.
            one that you keep by hand: a mapping, a path, or a URL. It is read once. An API that is
            not in this app is offered by `proxy_app`.
        sse_path: The path for clients of the older HTTP+SSE transport, e.g. ``"/sse"``; their
            messages go to ``"/sse/messages/"``. It needs the app's lifespan, and sticky routing if
            several processes serve. None: there is none.
        include: Selectors of the operations to offer; none: all. A string is an operation id or
            tool name (``"get_article"``, globs allowed), a tag (``"tag:kb"``), a path
            (``"/admin/*"``) or a method and path (``"DELETE *"``); a callable takes the
            `Operation`.
        exclude: Selectors of the operations to leave out of those.
        fields: Selectors of the operations that take an argument ``fields`` more, where they answer
            with objects: a model asks for ``["items.slug", "items.title"]``, and gets no more.
        resources: Selectors of the operations to offer as resources too, among those with GET:
            ``GET /articles/{slug}`` of an app "KB" is the template ``kb://articles/{slug}``.
        tools: What an ``x-mcp`` mark says, for operations by their selectors, e.g.
            ``{"POST /search*": {"annotations": {"readOnlyHint": True}}}``. It goes before the
            operation's own mark; of several that match the last one counts.
        remotes: Other MCP servers, whose tools, resources and prompts are offered as well, each
            under its name: ``[Remote("wiki", url="https://wiki.example/mcp")]``.
        limits: The time, bytes and number of calls that are allowed.
        auth: A FastMCP auth provider. The endpoint then demands a token that it accepts, and its
            routes are added to the app. Its base URL must be the public one.
        dependencies: Dependencies that guard the endpoint, e.g. ``[Depends(current_user)]``.
        scopes_of: A function that takes the request and returns the caller's scopes, or None if
            they are not known: nothing is hidden then. For apps that authenticate by themselves; it
            may raise an `HTTPException`. It goes before the scopes of a token of `auth`.
        public_url: The endpoint's URL as clients see it, e.g. ``"https://kb.example/mcp"``.
        allowed_origins: Origins of web pages that may call, e.g. ``["https://app.example"]``.
        rate_limit: How often one caller may call.
        confirm: ``"destructive"``: clients that can ask their user do so before a DELETE and before
            operations that are marked for it.
        state_key: A secret of 32 characters or more that seals the questions of `confirm`; the same
            in all processes, and needed if there are several.
        sessions: Keep a session for each client of the handshake versions, for tools of your own
            that need one. Only its caller can use it. Needs sticky routing if several processes
            serve.
        forward_cookies: Pass the caller's ``Cookie`` header to the routes. Leave it off unless
            browsers cannot reach the endpoint from other sites.
        surface: ``"search"``: clients are shown a few tools with which they find, describe and call
            the others, for an API that is too large to list. ``"auto"``: so from 60 tools on. A
            client chooses for itself with ``/mcp?surface=search`` or ``=tools``.
        pinned: Selectors of the tools that are listed beside the search; names of own tools and of
            those of remotes too.

    Returns:
        The mounted server.

    Raises:
        MountError: an option is wrong, the path is taken, or the app has already started; the
            message says what was found and what to do.
    """
    options = {**locals()}
    del options["app"], options["openapi"]
    return mount_source(app, read_app(app, openapi), **options)


_DEFAULTS: Final = {
    name: parameter.default
    for name, parameter in signature(mount_mcp).parameters.items()
    if name in MountOptions.__annotations__
}


def mount_source(
    app: FastAPI,
    source: Source,
    *,
    path: str,
    sse_path: str | None,
    remotes: Sequence[Remote],
    names: ToolNames = ToolNames(),  # noqa: B008 - frozen
    apis: Sequence[API] = (),
    **given: Unpack[MountOptions],
) -> Mounted:
    """Offer the operations of `source` on `app`, and the tools of remotes that `names` allows.

    With `apis`, their operations stand in the place of those of `source`.

    Raises:
        MountError: see `mount_mcp`.
    """
    options = MountOptions(**{**_DEFAULTS, **given})  # type: ignore[typeddict-item]
    limits, auth, scopes_of = options["limits"], options["auth"], options["scopes_of"]
    check_options({**options, "path": path, "sse_path": sse_path, "remotes": remotes}, OPTIONS)
    check_path(app, path)
    if sse_path is not None:
        check_sse_path(app, sse_path, path)
    check_public_url(auth, path, options["public_url"])
    rate = None
    if (rate_limit := options["rate_limit"]) is not None:
        # Asked for on a call, when the provider is there.
        rate = CallRate(rate_limit, lambda: provider.credentials())  # noqa: PLW0108
    policy = CallPolicy(limits, Slots(limits.max_concurrency), rate, options["confirm"])
    shown = Surface(options["surface"], options["pinned"])
    search = SearchProvider(shown, rate)
    provider: OperationProvider
    if apis:
        provider, backends = provide_apis(apis, policy, names.allows)
    else:
        provider, backends = _provide(source, options, policy)
    remote_provider = _offer_remotes(remotes, policy, provider, names) if remotes else None
    check_scopes(remotes, are_known=auth is not None or scopes_of is not None)
    server = build_server(
        provider,
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
    context = MountContext(app, server, provider, guard, search, remote_provider)
    tool_list = ToolList(server, context.offered, context.scopes, inline_references)
    fast_path = FastPath(server, low_level_server(server), provider, tool_list, search)
    shown.serve(
        server,
        offered=context.offered,
        scopes=context.scopes,
        tag_descriptions=lambda: provider.tag_descriptions,
        is_plain=fast_path.is_open,
        has_remotes=remote_provider is not None,
    )
    streamable = Streamable(context, path, fast_path)
    endpoints = [Endpoint(app, path, guard, streamable)]
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
    app.router.routes[:0] = [*endpoints, *_auth_routes(auth, path, sse_path)]
    app.add_middleware(LifespanMiddleware, mount=context, transports=transports, path=path)
    return Mounted(
        server=server,
        path=path,
        _app=app,
        _forwards_cookies=options["forward_cookies"],
        _remotes=remote_provider,
        _upstreams={name: each.forwarder for name, each in backends.items()},
    )


def _provide(
    source: Source, options: MountOptions, policy: CallPolicy
) -> tuple[OperationProvider, dict[str, HTTPBackend]]:
    """Return the operations of a source, and what sends requests to it if it is elsewhere."""
    backend = source.backend(lambda: provider)
    provider = OperationProvider(
        source.document,
        backend,
        include=options["include"],
        exclude=options["exclude"],
        fields=options["fields"],
        resources=options["resources"],
        name=source.name,
        marks=options["tools"],
        credentials=source.credentials,
        changes=source.changes,
        watch=source.watch,
        policy=policy,
    )
    if not isinstance(backend, HTTPBackend):
        return provider, {}
    # Now, because nothing about it changes later.
    backend.check(tool.binding.operation for tool in provider.tools().values())
    return provider, {"": backend}


def _auth_routes(auth: AuthProvider | None, path: str, sse_path: str | None) -> list[BaseRoute]:
    """Return the provider's routes: its own, and the metadata of the resource at each path."""
    if auth is None:
        return []
    beside = auth.get_routes(sse_path) if sse_path is not None else []
    routes = auth.get_routes(path)
    known = {route.path for route in routes}
    return [*routes, *(route for route in beside if route.path not in known)]


def _offer_remotes(
    remotes: Sequence[Remote], policy: CallPolicy, provider: OperationProvider, names: ToolNames
) -> "RemoteProvider":
    # Most apps have none, and need not wait for the import.
    from mcp_mount.remotes.provider import RemoteProvider  # noqa: PLC0415

    return RemoteProvider(remotes, policy, provider.tools, names)
