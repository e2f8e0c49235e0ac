"""An operation as a resource, or as a template of resources.

To read one is to call the operation: with the same checks, limits and identity as its tool.
"""

import logging
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import mcp_types
from fastmcp.exceptions import FastMCPError
from fastmcp.resources import Resource, ResourceContent, ResourceResult, ResourceTemplate
from fastmcp.resources.base import InputRequiredResourceResult
from pydantic import AnyUrl, PrivateAttr

from mcp_mount.access.auth import tool_check
from mcp_mount.conversion.content import Block
from mcp_mount.conversion.spooled import SpooledText, whole
from mcp_mount.errors import InvalidMark
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.tools.confirm import Question
from mcp_mount.tools.limited import Limited
from mcp_mount.tools.marks import ResourceOverrides
from mcp_mount.tools.tool import OperationTool
from mcp_mount.tools.uris import (
    add_query,
    is_template,
    match_template,
    read_query,
    scheme_of,
    variables_of,
)

_BINARY = "application/octet-stream"
Component = TypeVar("Component", "OperationResource", "OperationTemplate")


class NotRead(FastMCPError):
    """A resource cannot be read. The message, which is the API's own, is for whoever asked."""

    def __init__(self, message: str) -> None:
        # The call has a line in our log.
        super().__init__(message, log_level=logging.DEBUG)


class OperationResource(Limited, Resource):
    """A resource that calls one operation, without arguments."""

    size: int | None = None
    _tool: OperationTool = PrivateAttr()

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that the operation asks for."""
        return self._tool.scopes

    def to_mcp_resource(self, **overrides: Any) -> mcp_types.Resource:
        """Publish it with its size, where that is known."""
        published = super().to_mcp_resource(**{"_meta": self.meta, **overrides})
        return published.model_copy(update={"size": self.size})

    async def read(self) -> ResourceResult:
        """Call the operation."""
        return await _read(self._tool, {}, self.mime_type)


class OperationTemplate(Limited, ResourceTemplate):
    """A template of resources that calls one operation with the values in an address."""

    _tool: OperationTool = PrivateAttr()

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that the operation asks for."""
        return self._tool.scopes

    def matches(self, uri: str) -> dict[str, Any] | None:
        """Return the arguments in an address; None if it is none of the template's."""
        values = match_template(self.uri_template, uri)
        if values is None:
            return None
        properties = self._tool.parameters["properties"]
        query = read_query(self.uri_template, uri)
        return {**values, **{name: _value(properties[name], each) for name, each in query.items()}}

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        del uri
        return await _read(self._tool, params, self.mime_type)

    @property
    def has_choices(self) -> bool:
        """Whether the schema names the values of an argument."""
        return any(map(self.choices, self.parameters["properties"]))

    def choices(self, argument: str) -> list[str]:
        """Return the values that an argument can have, where its schema names them."""
        schema = self.parameters["properties"].get(argument, {})
        items = schema.get("items", {})
        alternatives = [schema, items, *schema.get("anyOf", ())]
        values = (value for each in alternatives for value in each.get("enum", ()))
        return [str(value) for value in values if value is not None]


def _make(kind: type[Component], tool: OperationTool, **options: Any) -> Component:
    component = kind(**options)
    component._tool = tool  # noqa: SLF001 - a constructor's work
    return component


def make_resources(
    tool: OperationTool, said: ResourceOverrides, server: str
) -> Iterator[OperationResource | OperationTemplate]:
    """Yield an operation as a resource, as a template, or as both if it has optional arguments.

    `server` is the server's name, for the address of one that has none.

    Raises:
        InvalidMark: its address cannot be.
    """
    operation = tool.binding.operation
    template = _template(operation, tool, said, server)
    variables = variables_of(template)
    types = {media.media_type for medias in successes(operation) for media in medias}
    shown = mcp_types.Annotations(audience=[*said.audience] or None, priority=said.priority)
    options: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "mime_type": said.mime_type or (types.pop() if len(types) == 1 else _BINARY),
        "annotations": shown if said.audience or said.priority is not None else None,
        "tags": tool.tags,
        "meta": tool.meta,
        "auth": tool_check(operation.scopes) if operation.scopes else None,
    }
    plain = template.partition("{?")[0]
    if "{" not in plain and not tool.binding.arguments.required:
        yield _make(OperationResource, tool, uri=AnyUrl(plain), size=said.size, **options)
    if variables:
        properties = {name: tool.parameters["properties"][name] for name in variables}
        parameters = {**tool.parameters, "properties": properties}
        # Its own checks are those of the call; what looks like a path may be a word to search for.
        fields = {"uri_template": template, "parameters": parameters, "security": None}
        yield _make(OperationTemplate, tool, **fields, **options)


def default_address(operation: Operation, server: str) -> str:
    """Return the address of an operation whose mark names none, e.g. ``"kb://articles/{slug}"``."""
    return f"{scheme_of(server)}://{operation.path.strip('/') or 'root'}"


def _template(
    operation: Operation, tool: OperationTool, said: ResourceOverrides, server: str
) -> str:
    """Return the address of an operation, with its optional arguments in the query."""
    arguments = tool.binding.arguments
    template = said.uri or default_address(operation, server)
    where = f"The 'x-mcp' mark of {operation}"
    if not is_template(template):
        raise InvalidMark(
            f"{where} cannot have the address {template!r}: write it like "
            "'kb://articles/{slug}', with one variable between two slashes."
        )
    if "{?" not in template:
        free = arguments.known - {*variables_of(template)}
        query = (each.name for each in operation.parameters if each.location == "query")
        template = add_query(template, filter(str.isidentifier, filter(free.__contains__, query)))
    variables = variables_of(template)
    unknown = [name for name in variables if name not in arguments.known]
    if unknown:
        raise InvalidMark(
            f"{where} has {unknown[0]!r} in its address, which is no argument: it takes "
            f"{', '.join(sorted(arguments.known)) or 'none'}."
        )
    missing = sorted(arguments.required - {*variables})
    if missing:
        raise InvalidMark(
            f"{where} needs {missing[0]!r} in its address, as it cannot be read without: write "
            f"'…/{{{missing[0]}}}' or '…{{?{missing[0]}}}'."
        )
    return template


def check_addresses(resources: Iterable[OperationResource | OperationTemplate]) -> None:
    """Check that no two operations have one address.

    Raises:
        InvalidMark: two have.
    """
    names: dict[str, str] = {}
    for each in resources:
        address = each.uri_template if isinstance(each, OperationTemplate) else str(each.uri)
        other = names.setdefault(address, each.name)
        if other != each.name:
            raise InvalidMark(
                f"{other!r} and {each.name!r} would both be the resource {address!r}: give one an "
                'address of its own with openapi_extra={"x-mcp": {"resource": "kb://…"}}.'
            )


def _value(schema: Mapping[str, Any], given: list[str]) -> object:
    """Return a value of the query as the argument that it stands for."""
    kinds = {schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()))}
    if "array" not in kinds:
        return given[-1]
    return [item for each in given for item in each.split(",")]


async def _read(
    tool: OperationTool, arguments: Mapping[str, Any], mime_type: str
) -> ResourceResult:
    """Call an operation, and return what it answers as the contents of a resource."""
    call = tool.prepare(arguments)
    try:
        result = await call.run()
        if isinstance(result, Question):
            return InputRequiredResourceResult(result.input_required)
        if result.is_error:
            texts = (each for each in result.content if isinstance(each, str | SpooledText))
            raise NotRead("\n".join(map(whole, texts)))
        media_type = call.media_type or mime_type
        contents = [_content(block, media_type) for block in result.content]
        return ResourceResult(contents=contents, meta=result.meta)
    finally:
        call.close()


def _content(block: Block, media_type: str) -> ResourceContent:
    if isinstance(block, str | SpooledText):
        return ResourceContent(content=whole(block), mime_type=media_type)
    if isinstance(block, mcp_types.ImageContent | mcp_types.AudioContent):
        return ResourceContent(content=b64decode(block.data), mime_type=block.mime_type)
    if isinstance(block, mcp_types.EmbeddedResource) and isinstance(
        block.resource, mcp_types.BlobResourceContents
    ):
        return ResourceContent(
            content=b64decode(block.resource.blob), mime_type=block.resource.mime_type
        )
    return ResourceContent(content=block.model_dump_json(by_alias=True), mime_type=media_type)
