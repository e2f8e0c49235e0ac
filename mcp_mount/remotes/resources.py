"""Resources, templates and prompts of another server, as FastMCP passes them on.

What they say of themselves is cleaned like a tool's. What cannot be offered is left out.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import mcp_types
from fastmcp.exceptions import PromptError, ResourceError
from fastmcp.prompts import Prompt, PromptResult
from fastmcp.resources import Resource, ResourceResult, ResourceTemplate
from fastmcp.server.context import Context
from fastmcp.server.providers.proxy import ProxyPrompt, ProxyResource, ProxyTemplate
from pydantic import Field

from mcp_mount.remotes.foreign import MOST_TOOLS, VIA_KEY, is_template, is_uri, via_of
from mcp_mount.remotes.plain import plain_description, plain_title
from mcp_mount.remotes.relay import Relay, own_meta
from mcp_mount.tools.naming import names_within

logger = logging.getLogger("mcp_mount.remotes")

_MIME = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)
_LONGEST_NAME: Final = 100
_LONGEST_DATE: Final = 40

Item = TypeVar("Item", mcp_types.Resource, mcp_types.ResourceTemplate, mcp_types.Prompt)


class RemoteResource(ProxyResource):
    """A resource of another server."""

    relay: Any = Field(default=None, exclude=True, repr=False)

    async def read(self) -> ResourceResult:
        """Read it where it is."""
        result: ResourceResult = await self.relay.guarded(super().read, ResourceError)
        result.meta = own_meta(result.meta)
        return result


class RemoteTemplate(ProxyTemplate):
    """A resource template of another server."""

    relay: Any = Field(default=None, exclude=True, repr=False)

    async def create_resource(
        self, uri: str, params: dict[str, Any], context: Context | None = None
    ) -> ProxyResource:
        """Read the resource at an address."""
        reader = partial(super().create_resource, uri, params, context)
        resource: ProxyResource = await self.relay.guarded(reader, ResourceError)
        return resource


class RemotePrompt(ProxyPrompt):
    """A prompt of another server."""

    relay: Any = Field(default=None, exclude=True, repr=False)

    async def render(self, arguments: dict[str, Any]) -> PromptResult:  # type: ignore[override]  # as FastMCP's own
        """Render it where it is."""
        result: PromptResult = await self.relay.guarded(
            partial(super().render, arguments), PromptError
        )
        result.meta = own_meta(result.meta)
        return result


def resources_of(relay: Relay) -> Iterator[Resource]:
    """Yield a server's resources at addresses of ours: ``data://parts`` at ``data://wiki/parts``."""
    resources = relay.watch.contents.listed.resources
    for item in _bounded(relay, resources, lambda each: is_uri(str(each.uri))):
        address = _address(str(item.uri), relay)
        yield from _ours(RemoteResource.from_mcp_resource, relay, item, uri=address)


def templates_of(relay: Relay) -> Iterator[ResourceTemplate]:
    """Yield a server's resource templates at addresses of ours."""
    templates = relay.watch.contents.listed.templates
    for item in _bounded(relay, templates, lambda each: is_template(each.uri_template)):
        address = _address(item.uri_template, relay)
        yield from _ours(RemoteTemplate.from_mcp_template, relay, item, uri_template=address)


def prompts_of(relay: Relay) -> Iterator[Prompt]:
    """Yield a server's prompts under names of ours."""
    listed = relay.watch.contents.listed
    prompts = {item.name: item for item in _bounded(relay, listed.prompts, _has_plain_arguments)}
    for name, ours in names_within(relay.remote.name, prompts, ()).items():
        prompt = _with_plain_arguments(prompts[name])
        yield from _ours(RemotePrompt.from_mcp_prompt, relay, prompt, name=ours)


def _bounded(relay: Relay, items: Iterable[Item], is_fit: Callable[[Item], bool]) -> Iterator[Item]:
    count = 0
    for item in items:
        if count < MOST_TOOLS and is_fit(item) and not _has_returned(relay, item.meta):
            count += 1
            yield _cleaned(item, relay)


def _has_returned(relay: Relay, meta: Mapping[str, Any] | None) -> bool:
    """Whether something has come through this gateway before, or through too many."""
    via = via_of(meta)
    return via is None or relay.gateway in via


def _cleaned(item: Item, relay: Relay) -> Item:
    clean: dict[str, Any] = {
        "title": plain_title(item.title),
        "description": plain_description(item.description) or None,
        "icons": None,
        "meta": {VIA_KEY: [relay.gateway, *(via_of(item.meta) or ())]},
    }
    if not isinstance(item, mcp_types.Prompt):
        clean["name"] = plain_title(item.name) or "resource"
        clean["annotations"] = _plain_annotations(item.annotations)
        clean["mime_type"] = item.mime_type if _MIME.fullmatch(item.mime_type or "") else None
    return item.model_copy(update=clean)


def _plain_annotations(said: mcp_types.Annotations | None) -> mcp_types.Annotations | None:
    if said is None:
        return None
    date = said.last_modified
    is_date = date is None or (len(date) <= _LONGEST_DATE and date.isprintable())
    return said if is_date else said.model_copy(update={"last_modified": None})


def _has_plain_arguments(prompt: mcp_types.Prompt) -> bool:
    """Whether the arguments have names to show: they are sent back as they are."""
    names = [each.name for each in prompt.arguments or []]
    return all(len(name) <= _LONGEST_NAME and name.isprintable() for name in names)


def _with_plain_arguments(prompt: mcp_types.Prompt) -> mcp_types.Prompt:
    arguments = [
        each.model_copy(update={"description": plain_description(each.description) or None})
        for each in (prompt.arguments or [])[:50]
    ]
    return prompt.model_copy(update={"arguments": arguments})


def _ours(make: Callable[..., Any], relay: Relay, item: object, **update: str) -> Iterator[Any]:
    """Yield a component under a name or an address of ours; it remembers the server's own."""
    try:
        made = make(relay.watch.client, item)
        ours = made.model_copy(update={"relay": relay, "auth": relay.check, **update})
    except (ValueError, TypeError) as error:
        # What FastMCP cannot make of it costs nobody the list.
        logger.debug("Something of the remote %r is left out", relay.remote.name, exc_info=error)
    else:
        yield ours


def _address(uri: str, relay: Relay) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{relay.remote.name}/{rest}"
