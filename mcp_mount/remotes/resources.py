"""Resources, templates and prompts of another server as FastMCP's."""

import logging
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

import mcp_types
from fastmcp.prompts import Message, Prompt, PromptResult
from fastmcp.prompts.base import InputRequiredPromptResult
from fastmcp.resources import Resource, ResourceContent, ResourceResult, ResourceTemplate
from fastmcp.resources.base import InputRequiredResourceResult
from mcp_types import (
    GetPromptResult,
    InputRequiredResult,
    PromptReference,
    ReadResourceResult,
    ResourceTemplateReference,
)
from pydantic import PrivateAttr

from mcp_mount.errors import Busy
from mcp_mount.remotes.binding import Answer, NotForwarded, RemoteBinding
from mcp_mount.remotes.entries import Item
from mcp_mount.remotes.session import Session
from mcp_mount.remotes.text import clean_title
from mcp_mount.remotes.tool import admit
from mcp_mount.remotes.uris import has_prefix, remove_prefix
from mcp_mount.tools.context import current_context
from mcp_mount.tools.limited import Limited
from mcp_mount.tools.uris import match_template

logger = logging.getLogger("mcp_mount.remotes")

Component = TypeVar("Component", "RemoteResource", "RemoteTemplate", "RemotePrompt")


def make_components(
    kind: type[Component], items: Iterable[Item], binding: RemoteBinding
) -> Iterator[Component]:
    """Yield what FastMCP can make of the items; the rest costs nobody the list."""
    for own, fields in items:
        try:
            component = kind(**fields, auth=binding.check)
        except (ValueError, TypeError) as error:
            name = binding.remote.name
            logger.debug("Something of the remote %r is left out", name, exc_info=error)
            continue
        component._binding, component._own = binding, own  # noqa: SLF001 - a constructor's work
        yield component


class RemoteResource(Limited, Resource):
    """A resource of another server."""

    _binding: RemoteBinding = PrivateAttr()
    _own: str = PrivateAttr()

    @property
    def binding(self) -> RemoteBinding:
        """How requests are made to its server."""
        return self._binding

    async def read(self) -> ResourceResult:
        """Read it where it is."""
        return await _read(self._binding, self._own)


def unlisted_resource(uri: str, binding: RemoteBinding) -> RemoteResource | None:
    """Return what stands for one that a server does not list: a link may lead to it."""
    name = binding.remote.name
    if not (binding.monitor.offer.catalog.lists.has_resources and has_prefix(uri, name)):
        return None
    own = remove_prefix(uri, name)
    return next(
        make_components(RemoteResource, [(own, {"uri": uri, "name": "resource"})], binding), None
    )


class RemoteTemplate(Limited, ResourceTemplate):
    """A resource template of another server."""

    _binding: RemoteBinding = PrivateAttr()
    _own: str = PrivateAttr()

    @property
    def reference(self) -> ResourceTemplateReference:
        """It, as its own server names it."""
        return ResourceTemplateReference(uri=self._own)

    @property
    def binding(self) -> RemoteBinding:
        """How requests are made to its server."""
        return self._binding

    def matches(self, uri: str) -> dict[str, Any] | None:
        """Return the values of the variables in an address; None if it does not match."""
        return match_template(self.uri_template, uri)

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        """Read the resource at an address, which has the values already."""
        del params
        return await _read(self._binding, remove_prefix(uri, self._binding.remote.name))


class RemotePrompt(Limited, Prompt):
    """A prompt of another server."""

    _binding: RemoteBinding = PrivateAttr()
    _own: str = PrivateAttr()

    @property
    def reference(self) -> PromptReference:
        """It, as its own server names it."""
        return PromptReference(name=self._own)

    @property
    def binding(self) -> RemoteBinding:
        """How requests are made to its server."""
        return self._binding

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Render it where it is."""
        answer: GetPromptResult | InputRequiredResult = await _forward(
            self._binding,
            lambda session, options: session.get_prompt(self._own, arguments, **options),
        )
        if isinstance(answer, InputRequiredResult):
            return InputRequiredPromptResult(answer)
        messages = [Message(content=each.content, role=each.role) for each in answer.messages]
        return PromptResult(messages, description=answer.description, meta=answer.meta)


async def _forward(
    binding: RemoteBinding,
    send: Callable[[Session, dict[str, Any]], Awaitable[Answer | InputRequiredResult]],
) -> Answer | InputRequiredResult:
    context = current_context()
    try:
        async with admit(binding, context) as trace:
            return await binding.forward(send, context, trace)
    except Busy as busy:
        raise NotForwarded(str(busy)) from None


async def _read(binding: RemoteBinding, uri: str) -> ResourceResult:
    answer: ReadResourceResult | InputRequiredResult = await _forward(
        binding, lambda session, options: session.read_resource(uri, **options)
    )
    if isinstance(answer, InputRequiredResult):
        return InputRequiredResourceResult(answer)
    try:
        contents = [
            ResourceContent(
                content=item.text
                if isinstance(item, mcp_types.TextResourceContents)
                else b64decode(item.blob),
                mime_type=clean_title(item.mime_type),
                meta=item.meta,
            )
            for item in answer.contents
        ]
    except ValueError:
        name = binding.remote.name
        raise NotForwarded(
            f"The server {name!r} has answered with something that is not valid MCP."
        ) from None
    return ResourceResult(contents=contents, meta=answer.meta)
