"""Resources, templates and prompts of another server as FastMCP's."""

import logging
from base64 import b64decode
from typing import Any

import mcp_types
from fastmcp.prompts import Message, Prompt, PromptArgument, PromptResult
from fastmcp.prompts.base import InputRequiredPromptResult
from fastmcp.resources import Resource, ResourceContent, ResourceResult, ResourceTemplate
from fastmcp.resources.base import InputRequiredResourceResult
from mcp_types import GetPromptResult, InputRequiredResult, ReadResourceResult
from pydantic import ConfigDict, PrivateAttr

from mcp_mount.errors import Busy
from mcp_mount.remotes.binding import NotForwarded, RemoteBinding
from mcp_mount.remotes.session import Session
from mcp_mount.remotes.tool import admit
from mcp_mount.remotes.uris import match_template, remove_prefix
from mcp_mount.tools.tool import current_context

logger = logging.getLogger("mcp_mount.remotes")


class RemoteResource(Resource):
    """A resource of another server."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _binding: RemoteBinding = PrivateAttr()
    _uri: str = PrivateAttr()

    @classmethod
    def from_mcp(cls, item: mcp_types.Resource, binding: RemoteBinding) -> "RemoteResource":
        """Offer a resource at the address it was given."""
        resource = cls(
            uri=item.uri,  # type: ignore[arg-type]  # Pydantic makes the URL
            name=item.name,
            title=item.title,
            description=item.description,
            mime_type=item.mime_type or "text/plain",
            annotations=item.annotations,
            meta=item.meta,
            auth=binding.check,
        )
        # As it was written: Pydantic changes a URL here and there.
        resource._binding, resource._uri = binding, str(item.uri)
        return resource

    async def read(self) -> ResourceResult:
        """Read it where it is."""
        return await _read(self._binding, self._uri)


class RemoteTemplate(ResourceTemplate):
    """A resource template of another server."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _binding: RemoteBinding = PrivateAttr()

    @classmethod
    def from_mcp(cls, item: mcp_types.ResourceTemplate, binding: RemoteBinding) -> "RemoteTemplate":
        """Offer a template at the address it was given."""
        template = cls(
            uri_template=item.uri_template,
            name=item.name,
            title=item.title,
            description=item.description,
            mime_type=item.mime_type or "text/plain",
            annotations=item.annotations,
            meta=item.meta,
            parameters={},
            auth=binding.check,
        )
        template._binding = binding
        return template

    def matches(self, uri: str) -> dict[str, Any] | None:
        """Return the values of the variables in an address; None if it does not match."""
        return match_template(self.uri_template, uri)

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        """Read the resource at an address, which has the values already."""
        del params
        return await _read(self._binding, uri)


class RemotePrompt(Prompt):
    """A prompt of another server."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _binding: RemoteBinding = PrivateAttr()
    _name: str = PrivateAttr()

    @classmethod
    def from_mcp(cls, item: mcp_types.Prompt, binding: RemoteBinding, name: str) -> "RemotePrompt":
        """Offer a prompt under the name it was given."""
        prompt = cls(
            name=name,
            title=item.title,
            description=item.description,
            arguments=[
                PromptArgument(
                    name=each.name, description=each.description, required=bool(each.required)
                )
                for each in item.arguments or []
            ],
            meta=item.meta,
            auth=binding.check,
        )
        prompt._binding, prompt._name = binding, item.name
        return prompt

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Render it where it is."""

        async def send(
            session: Session, options: dict[str, Any]
        ) -> GetPromptResult | InputRequiredResult:
            result: GetPromptResult | InputRequiredResult = await session.get_prompt(
                self._name, arguments, **options
            )
            return result

        context = current_context()
        try:
            async with admit(self._binding, context) as trace:
                answer = await self._binding.forward(send, context, trace)
        except Busy as busy:
            raise NotForwarded(str(busy)) from None
        if isinstance(answer, InputRequiredResult):
            return InputRequiredPromptResult(answer)
        messages = [Message(content=each.content, role=each.role) for each in answer.messages]
        return PromptResult(messages, description=answer.description, meta=answer.meta)


async def _read(binding: RemoteBinding, uri: str) -> ResourceResult:
    async def send(
        session: Session, options: dict[str, Any]
    ) -> ReadResourceResult | InputRequiredResult:
        own = remove_prefix(uri, binding.remote.name)
        result: ReadResourceResult | InputRequiredResult = await session.read_resource(
            own, **options
        )
        return result

    context = current_context()
    try:
        async with admit(binding, context) as trace:
            answer = await binding.forward(send, context, trace)
    except Busy as busy:
        raise NotForwarded(str(busy)) from None
    if isinstance(answer, InputRequiredResult):
        return InputRequiredResourceResult(answer)
    contents = [
        ResourceContent(
            content=item.text
            if isinstance(item, mcp_types.TextResourceContents)
            else b64decode(item.blob),
            mime_type=item.mime_type,
            meta=item.meta,
        )
        for item in answer.contents
    ]
    return ResourceResult(contents=contents, meta=answer.meta)
