"""What another server says of its tools, in a form that every client accepts. Pure.

The other server is not trusted: what it says is bounded, cannot hide or turn text, and a schema
that a client would refuse accepts more instead, so that one tool never costs a client its list.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema_rs
import mcp_types
from mcp_types import ToolAnnotations

from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.schemas import Direction, Schemas
from mcp_mount.remotes.plain import cleaned, plain_description, plain_title

VIA_KEY: Final = "mcp-mount/via"
"""In a tool's ``_meta``: the gateways through which it has come."""

MOST_GATEWAYS: Final = 4
MOST_TOOLS: Final = 1_000
"""Tools, resources, templates or prompts that one server can offer."""

LONGEST_URI: Final = 2_000
_MOST_ARGUMENTS: Final = 200
_LONGEST_SCHEMA: Final = 50_000
_LONGEST_SAID: Final = 100_000
"""Characters of a tool's schemas as the other server says them; longer ones accept anything."""

_MOST_WORK: Final = 16_000_000
"""Characters of schemas that are read of one server, which takes some seconds of a thread; the rest
accept anything."""

_OPENING: Final = {"anyOf", "oneOf", "allOf", "patternProperties", "$ref"}
"""Keywords with which the root of a schema names more properties than its own."""

_KEY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
# At most one variable between two slashes: matching such a template takes no backtracking.
_TEMPLATE: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^{}/?#]*(?:\{\w+\})?[^{}/?#]*)"
    r"(?:/[^{}/?#]*(?:\{\w+\})?[^{}/?#]*)*(?:/\{\w+\*\})?(?:\{\?\w+(?:,\w+)*\})?",
    re.ASCII,
)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class ForeignTool:
    """A tool of another server, fit to be offered.

    Attributes:
        name: What the other server calls it.
        title: None where it has none.
        description: Of 2,000 characters at the most.
        schema: The schema of its arguments.
        output_schema: None where none can be published.
        annotations: What it claims of itself; nobody has checked it.
        aliases: Those of its arguments that are published under another name, by that name.
        headers: Whether arguments go into headers as well (``x-mcp-header``).
        via: The gateways through which it has come.
    """

    name: str
    title: str | None
    description: str
    schema: Schema
    output_schema: Schema | None
    annotations: ToolAnnotations
    aliases: Mapping[str, str] = field(default_factory=dict)
    headers: bool = False
    via: tuple[str, ...] = ()

    @property
    def destroys(self) -> bool:
        """Whether it may destroy something, by its own account; saying nothing means yes."""
        hints = self.annotations
        return not hints.read_only_hint and hints.destructive_hint is not False


def read_tools(tools: Iterable[mcp_types.Tool]) -> dict[str, ForeignTool]:
    """Return the tools by the other server's names; of two with one name, the first."""
    read: dict[str, ForeignTool] = {}
    work = 0
    for tool in tools:
        if len(read) == MOST_TOOLS:
            break
        via = via_of(tool.meta)
        if tool.name not in read and via is not None:
            needed = _work(tool)
            is_much = work + needed > _MOST_WORK
            work += 0 if is_much else needed
            read[tool.name] = _read_tool(_opened(tool) if is_much else tool, via)
    return read


def _work(tool: mcp_types.Tool) -> int:
    """Return how much there is to read: what is referred to is read for each argument."""
    said = json.dumps([tool.input_schema, tool.output_schema])
    if len(said) > _LONGEST_SAID:
        return _MOST_WORK + 1
    arguments = tool.input_schema.get("properties")
    times = len(arguments) if isinstance(arguments, Mapping) and '"$ref"' in said else 0
    return len(said) * (8 + min(times, _MOST_ARGUMENTS)) // 8


def _opened(tool: mcp_types.Tool) -> mcp_types.Tool:
    """Return a tool whose schemas accept anything."""
    return tool.model_copy(update={"input_schema": {"type": "object"}, "output_schema": None})


def is_uri(uri: str) -> bool:
    """Whether a resource's address can be offered, e.g. ``data://parts/1``."""
    return len(uri) <= LONGEST_URI and _URI.fullmatch(uri) is not None


def is_template(template: str) -> bool:
    """Whether matching the template takes time in proportion to the address, and no more."""
    return len(template) <= LONGEST_URI and _TEMPLATE.fullmatch(template) is not None


def via_of(meta: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Return the gateways through which something has come; None where those are too many."""
    via = (meta or {}).get(VIA_KEY, [])
    if not isinstance(via, list) or len(via) >= MOST_GATEWAYS:
        return None
    return tuple(str(each)[:64] for each in via)


def _read_tool(tool: mcp_types.Tool, via: tuple[str, ...]) -> ForeignTool:
    schema, aliases = _arguments(tool.input_schema)
    hints = tool.annotations or ToolAnnotations()
    title = plain_title(tool.title or hints.title)
    return ForeignTool(
        name=tool.name,
        title=title,
        description=plain_description(tool.description) or title or "No description.",
        schema=schema,
        output_schema=_output(tool.output_schema),
        annotations=ToolAnnotations(
            read_only_hint=hints.read_only_hint,
            destructive_hint=hints.destructive_hint,
            idempotent_hint=hints.idempotent_hint,
            open_world_hint=hints.open_world_hint,
        ),
        aliases=aliases,
        headers=_has_headers(tool.input_schema),
        via=via,
    )


def _arguments(schema: Schema) -> tuple[Schema, dict[str, str]]:
    """Return the published schema of arguments, and those that got another name.

    What cannot be published accepts anything: the other server checks the arguments itself.
    """
    try:
        root = Schemas(schema).resolve(schema)
    except Exception:  # noqa: BLE001 - a schema can be wrong in any way
        root = {}
    properties = root.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return {"type": "object"}, {}
    names: dict[str, str] = {}
    for key in [*properties][:_MOST_ARGUMENTS]:
        names[key] = key if _KEY.fullmatch(key) else _alias(key, {*properties, *names.values()})
    published: Schema = {"type": "object", "properties": {}}
    definitions: Schema = {}
    for key, name in names.items():
        argument = _published(schema, {"properties": {key: properties[key]}}, "input")
        definitions |= argument.get("$defs", {})
        published["properties"][name] = argument.get("properties", {}).get(key, {})
    needed = [names[key] for key in _names(root.get("required")) if key in names]
    if needed:
        published["required"] = [*dict.fromkeys(needed)]
    if root.keys().isdisjoint(_OPENING) and root.get("additionalProperties", False) is False:
        # As everywhere else; a model that makes up an argument would hear so from the other server.
        published["additionalProperties"] = False
    if definitions:
        published["$defs"] = definitions
    if not _is_safe(published):
        return {"type": "object"}, {}
    return published, {name: key for key, name in names.items() if name != key}


def _names(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _alias(key: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-zA-Z0-9_.-]+", "_", key).strip("_")[:56] or "argument"
    names = (base, *(f"{base}_{count}" for count in range(2, 2 + len(taken))))
    return next(name for name in names if name not in taken)


def _output(schema: Schema | None) -> Schema | None:
    """Return the published schema of results; None where there is none that is safe."""
    published = _published(schema, schema, "output") if schema is not None else {}
    if published.get("type") != "object" or not published.keys().isdisjoint(_OPENING):
        return None
    return published


def _published(document: Schema, schema: Schema, direction: Direction) -> Schema:
    """Return a schema as ours are published; ``{}``, which accepts anything, where it cannot be."""
    try:
        published: Schema = cleaned(Schemas(document).publish(schema, direction))
    except Exception:  # noqa: BLE001 - a schema can be wrong in any way
        return {}
    return published if _is_safe(published) else {}


def _is_safe(schema: Schema) -> bool:
    """Whether every client can read and compile the schema."""
    try:
        small = len(json.dumps(schema, allow_nan=False)) <= _LONGEST_SCHEMA
        if small:
            jsonschema_rs.meta.validate(schema)
            jsonschema_rs.Draft202012Validator(schema)
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError):
        return False
    return small


def _has_headers(schema: object) -> bool:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return isinstance(properties, Mapping) and any(
        isinstance(each, Mapping) and "x-mcp-header" in each for each in properties.values()
    )
