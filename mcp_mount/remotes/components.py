"""What one server offers as FastMCP's components, made once for each of its catalogs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from mcp_mount.remotes.binding import RemoteBinding
from mcp_mount.remotes.catalog import Catalog
from mcp_mount.remotes.monitor import Monitor
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.resources import (
    RemotePrompt,
    RemoteResource,
    RemoteTemplate,
    make_components,
)
from mcp_mount.remotes.tool import RemoteTool
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.naming import names_within


class Components(NamedTuple):
    """The components of one server.

    Attributes:
        tools: By the server's own names.
        resources: By our addresses.
        templates: In the server's order.
        prompts: By our names.
    """

    tools: Mapping[str, RemoteTool]
    resources: Mapping[str, RemoteResource]
    templates: Sequence[RemoteTemplate]
    prompts: Mapping[str, RemotePrompt]


def bind(
    remote: Remote, policy: CallPolicy, gateway: str, changed: Callable[[], None]
) -> RemoteBinding:
    """Return how requests to a server are made, with its components where it is known."""
    limits = policy.limits.overridden(remote.limits)
    has_own_slots = "max_concurrency" in remote.limits
    # Text and `structuredContent` carry the same.
    most = 2 * limits.max_bytes + 1024 * 1024
    monitor = Monitor(remote, gateway, changed, max_bytes=most, max_blocks=limits.max_items)
    slots = policy.slots.apart(limits.max_concurrency) if has_own_slots else policy.slots
    binding = RemoteBinding(monitor, policy, limits, slots)
    monitor.offer.make = partial(_make, binding)
    return binding


def _make(binding: RemoteBinding, catalog: Catalog) -> Components:
    names = names_within(binding.remote.name, catalog.tools, ())
    resources = make_components(RemoteResource, catalog.resources, binding)
    prompts = make_components(RemotePrompt, catalog.prompts, binding)
    return Components(
        {
            name: RemoteTool.from_published(catalog.tools[name], binding, given)
            for name, given in names.items()
        },
        {str(each.uri): each for each in resources},
        [*make_components(RemoteTemplate, catalog.templates, binding)],
        {each.name: each for each in prompts},
    )
