"""What all servers offer together, under our names.

* One mapping is both what is listed and what can be called, as for the operations. It is made anew
  when a server offers something else, and looked up by name otherwise.
* What a server that is down has is not listed, but known: who asks for it is told to come back.
* A name of ours is never given to a tool of another server.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from mcp_mount.remotes.binding import RemoteBinding
from mcp_mount.remotes.catalog import Catalog
from mcp_mount.remotes.monitor import Monitor
from mcp_mount.remotes.names import ToolNames
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.resources import (
    RemotePrompt,
    RemoteResource,
    RemoteTemplate,
    make_components,
)
from mcp_mount.remotes.tool import RemoteTool
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.naming import fold_name, names_within
from mcp_mount.tools.uris import MAX_URI
from mcp_mount.turns import Turns


class _Components(NamedTuple):
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


class Merged:
    """What all servers offer together.

    Attributes:
        tools: By their names; also those of servers that are down, as the rest here.
        listed: Those of servers that are up.
        resources: By their addresses.
        templates: In the order of the servers.
        prompts: By their names.
    """

    def __init__(
        self,
        bindings: Sequence[RemoteBinding],
        ours: Callable[[], Mapping[str, object]],
        names: ToolNames,
    ) -> None:
        """Take the servers, what returns our own tools, and which names are offered."""
        self._bindings = bindings
        self._ours = ours
        self._names = names
        self._seen: tuple[object, ...] = ()
        self.tools: dict[str, RemoteTool] = {}
        self.listed: dict[str, RemoteTool] = {}
        self.resources: dict[str, RemoteResource] = {}
        self.templates: list[RemoteTemplate] = []
        self.prompts: dict[str, RemotePrompt] = {}

    def update(self, added: frozenset[str]) -> None:
        """Make everything anew if a server offers something else, or we do.

        `added` are the names that the server's user has taken.
        """
        ours = self._ours()
        states = ((each.monitor.offer.catalog, each.monitor.is_up) for each in self._bindings)
        seen = (ours, added, *(part for state in states for part in state))
        if [*map(id, seen)] == [*map(id, self._seen)]:
            return
        taken = {*map(fold_name, ours), *added}
        self.tools, self.listed = {}, {}
        self.resources, self.templates, self.prompts = {}, [], {}
        for binding in self._bindings:
            made: _Components | None = binding.monitor.offer.made
            if made is not None:
                self._add(binding, made, taken)
        self._seen = seen

    def _add(self, binding: RemoteBinding, made: _Components, taken: set[str]) -> None:
        names = names_within(binding.remote.name, made.tools, taken)
        tools = {
            given: made.tools[name].named(given)
            for name, given in names.items()
            if self._names.allows(given)
        }
        self.tools |= tools
        if binding.monitor.is_up:
            self.listed |= tools
        self.resources |= made.resources
        self.templates += made.templates
        self.prompts |= made.prompts

    async def find_template(self, uri: str) -> RemoteTemplate | None:
        """Return the first template that an address matches."""
        turns = Turns()
        for each in self.templates if len(uri) <= 2 * MAX_URI else ():
            if each.matches(uri) is not None:
                return each
            await turns.take()
        return None


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


def _make(binding: RemoteBinding, catalog: Catalog) -> _Components:
    names = names_within(binding.remote.name, catalog.tools, ())
    resources = make_components(RemoteResource, catalog.resources, binding)
    prompts = make_components(RemotePrompt, catalog.prompts, binding)
    return _Components(
        {
            name: RemoteTool.from_published(catalog.tools[name], binding, given)
            for name, given in names.items()
        },
        {str(each.uri): each for each in resources},
        [*make_components(RemoteTemplate, catalog.templates, binding)],
        {each.name: each for each in prompts},
    )
