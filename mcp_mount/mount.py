"""Puts the endpoint and its lifespan onto an app.

The endpoint is one route of the app; the app's middleware runs on it as on every other.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Final, Literal, Unpack

from fastapi import FastAPI
from fastapi.params import Depends
from fastmcp.server.auth import AuthProvider
from mcp.server.streamable_http import EventStore

from mcp_mount.access.auth import ScopesOf
from mcp_mount.access.rates import RateLimit
from mcp_mount.apis import API
from mcp_mount.assembly import MountOptions, assemble
from mcp_mount.limits import Limits
from mcp_mount.mounted import Mounted
from mcp_mount.remotes.names import ToolNames
from mcp_mount.remotes.remote import Remote
from mcp_mount.search.surface import SurfaceChoice
from mcp_mount.source import OpenAPI, Source, read_app
from mcp_mount.tasks.options import Tasks
from mcp_mount.tools.marks import Selector, ToolMarks


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
    state_store: str | None = None,
    tasks: Tasks | None = None,
    sessions: bool = False,
    event_store: str | EventStore | None = None,
    forward_cookies: bool = False,
    surface: SurfaceChoice = "tools",
    pinned: Sequence[Selector] = (),
    page: bool = True,
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
        state_key: A secret of 32 characters or more that seals the questions of `confirm`, `tasks`,
            and events in Redis; the same in all processes, and needed if there are several.
        state_store: Where several processes remember which questions were answered, so that each
            answer counts once: ``"redis://host:6379"``. Needs the extra ``mcp-mount[rate-limit]``.
        tasks: How operations whose mark says ``{"task": True}`` are run for clients that speak the
            tasks extension: such a client starts them, leaves, and fetches the result later. Every
            other client calls them as ever. ``Tasks()`` runs them in this process,
            ``Tasks("redis://host:6379")`` in those of ``mcp-mount worker``, and needs
            ``state_key``. Needs the extra ``mcp-mount[tasks]``.
        sessions: Keep a session for each client of the handshake versions, for tools of your own
            that need one. Only its caller can use it. Needs sticky routing if several processes
            serve.
        event_store: Keep what is sent in a session for ten minutes, so that a client whose
            connection broke comes back and gets it: ``"memory://"``, ``"redis://host:6379"``, which
            needs `state_key` and the extra ``mcp-mount[event-store]``, or an `EventStore` of the
            MCP SDK.
        forward_cookies: Pass the caller's ``Cookie`` header to the routes. Leave it off unless
            browsers cannot reach the endpoint from other sites.
        surface: ``"search"``: clients are shown a few tools with which they find, describe and call
            the others, for an API that is too large to list. ``"auto"``: so from 60 tools on. A
            client chooses for itself with ``/mcp?surface=search`` or ``=tools``.
        pinned: Selectors of the tools that are listed beside the search; names of own tools and of
            those of remotes too.
        page: Show a page to who opens the endpoint in a browser: the tools, a form to try each, and
            how clients connect. It shows a caller what MCP would.

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
    return assemble(
        app,
        source,
        path=path,
        sse_path=sse_path,
        remotes=remotes,
        names=names,
        apis=apis,
        options=options,
    )
