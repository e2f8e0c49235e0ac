"""Several APIs elsewhere behind one endpoint, each under its name."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import msgspec
from fastmcp.server.providers import Provider

from mcp_mount.backends.http import HTTPBackend
from mcp_mount.backends.upstream import Upstream
from mcp_mount.errors import MountError
from mcp_mount.remotes.remote import is_remote_name
from mcp_mount.remotes.uris import add_prefix
from mcp_mount.source import OpenAPI, leave_out_elsewhere, provide, read_upstream
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.marks import ResourceOverrides, Selector
from mcp_mount.tools.naming import names_within
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.resources import OperationResource, OperationTemplate, default_address
from mcp_mount.tools.selection import LeftOut, SelectedOperation
from mcp_mount.tools.tool import OperationTool
from mcp_mount.tools.uris import is_template


@dataclass(frozen=True, slots=True)
class API:
    """An API elsewhere, whose operations a gateway offers under its name.

    Attributes:
        name: What stands before its tools, e.g. ``"billing"`` for ``billing_get_invoice``.
        openapi: Its OpenAPI document: a mapping, a path, or a URL. It is read once.
        upstream: Where it is, and with which credentials of the gateway's own it is called: a URL,
            or an `Upstream`. None: where the document says.
        tools: Selectors of the operations to offer, as for ``include=``; none: all.
        resources: Selectors of those to offer as resources too.
        scopes: What a caller needs to see and use it, all of them, beside what an operation asks.
        limits: What its calls may take, where that is not as for all others; see `Limits`.
    """

    name: str
    openapi: OpenAPI = field(repr=False, kw_only=True)
    upstream: str | Upstream | None = field(default=None, repr=False, kw_only=True)
    tools: Sequence[Selector] = field(default=(), kw_only=True)
    resources: Sequence[Selector] = field(default=(), kw_only=True)
    scopes: Sequence[str] = field(default=(), kw_only=True)
    limits: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a name that cannot stand before a tool's.

        Raises:
            MountError: it cannot.
        """
        if not is_remote_name(self.name):
            raise MountError(
                f"The API's name {self.name!r} cannot stand before a tool's: write up to 32 "
                "letters, digits, '-' and '_', beginning with a letter."
            )


class OperationGroup(OperationProvider):
    """The operations of several documents, each with a provider of its own."""

    def __init__(self, providers: Sequence[OperationProvider]) -> None:
        Provider.__init__(self)
        self._providers = providers
        self._parts: tuple[Mapping[str, OperationTool], ...] = ()
        self._merged: Mapping[str, OperationTool] = {}

    async def refresh(self, *, anew: bool = False) -> None:
        """See `OperationProvider`."""
        for each in self._providers:
            await each.refresh(anew=anew)

    def tools(self) -> Mapping[str, OperationTool]:
        """Return all tools, the same mapping as long as nothing changes."""
        parts = tuple(each.tools() for each in self._providers)
        if [*map(id, parts)] != [*map(id, self._parts)]:
            self._parts = parts
            self._merged = dict(chain.from_iterable(each.items() for each in parts))
        return self._merged

    def find(self, name: str) -> OperationTool | None:
        """Return a tool by name, or None."""
        return self.tools().get(name)

    @property
    def listed(self) -> Mapping[str, OperationTool]:
        """The tools as they were when last asked for."""
        return self._merged

    @property
    def tag_descriptions(self) -> Mapping[str, str]:  # type: ignore[override]  # read only here
        """What the documents say of their tags."""
        return dict(chain.from_iterable(each.tag_descriptions.items() for each in self._providers))

    def credentials(self) -> frozenset[tuple[str, str]]:
        """Return where any of the documents looks for keys."""
        return frozenset().union(*(each.credentials() for each in self._providers))

    def left_out(self) -> Sequence[LeftOut]:
        """Return nothing: what else an API elsewhere has is not ours to tell."""
        return ()

    def resources(self) -> tuple[OperationResource | OperationTemplate, ...]:
        """Return the resources and templates of all."""
        return tuple(chain.from_iterable(each.resources() for each in self._providers))

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep what calls need while the server runs."""
        async with AsyncExitStack() as stack:
            for each in self._providers:
                await stack.enter_async_context(each.lifespan())
            yield


def provide_apis(
    apis: Sequence[API], policy: CallPolicy, allows: Callable[[str], bool]
) -> tuple[OperationGroup, dict[str, HTTPBackend]]:
    """Return the operations of the APIs, and what sends requests to each, by its name.

    Raises:
        MountError: a document, an upstream, a selector or a limit cannot be.
    """
    providers, backends = [], {}
    for api in apis:
        provider, backends[api.name] = _provide(api, policy, allows)
        providers.append(provider)
    return OperationGroup(providers), backends


def _provide(
    api: API, policy: CallPolicy, allows: Callable[[str], bool]
) -> tuple[OperationProvider, HTTPBackend]:
    source = read_upstream(api.openapi, api.upstream)
    try:
        limits = policy.limits.overridden(api.limits)
    except (TypeError, ValueError) as wrong:
        message = f"limits= of the API {api.name!r} sets a limit that cannot be: {wrong}"
        raise MountError(message) from None
    has_own_slots = "max_concurrency" in api.limits
    slots = policy.slots.apart(limits.max_concurrency) if has_own_slots else policy.slots

    def adapt(selected: Sequence[SelectedOperation]) -> list[SelectedOperation]:
        names = names_within(api.name, [each.name for each in selected], ())
        return [
            replace(
                each,
                name=names[each.name],
                operation=_guarded(each, api.scopes),
                resource=_apart(each, api.name),
            )
            for each in selected
            if allows(names[each.name])
        ]

    provider, backend = provide(
        source,
        replace(policy, limits=limits, slots=slots),
        include=api.tools,
        exclude=leave_out_elsewhere(source, api.tools, ()),
        resources=api.resources,
        name=api.name,
        adapt=adapt,
    )
    assert backend is not None  # noqa: S101 - that of an upstream
    return provider, backend


def _guarded(selected: SelectedOperation, scopes: Sequence[str]) -> Any:
    """Return an operation that asks for the scopes of its API as well."""
    operation = selected.operation
    if not scopes:
        return operation
    alternatives = operation.scopes or (frozenset[str](),)
    return replace(operation, scopes=tuple(each.union(scopes) for each in alternatives))


def _apart(selected: SelectedOperation, name: str) -> ResourceOverrides | None:
    """Return how an operation is a resource: at an address that only its API can have.

    The document is another party's, and could name the address of another one's resource.
    """
    said = selected.resource
    if said is None:
        return None
    uri = said.uri or default_address(selected.operation, name)
    # What is no address is refused by its own name.
    return msgspec.structs.replace(said, uri=add_prefix(uri, name) if is_template(uri) else uri)
