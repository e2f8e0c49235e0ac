"""What the argument ``fields`` saves of the answers that an OpenAPI document shows.

Run ``python -m benchmarks.fields api.github.com.json``. An answer is the document's example, or
where it has none, one value of each member that it documents. A model is taken to ask for the first
five members of what is answered: of the items, where that is a page of them.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from mcp_mount.conversion.content import write_json
from mcp_mount.conversion.fields import NAME, Fields, pick
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.output import read_output_schema
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.document import load_document
from mcp_mount.openapi.nodes import Document, resolve
from mcp_mount.openapi.operations import Operation, read_operations, successes
from mcp_mount.openapi.schemas import Schemas

_ASKED: Final = 5
_DEEPEST: Final = 4
_TOKEN: Final = 4
"""Characters of JSON that one token stands for, about."""


@dataclass(frozen=True, slots=True)
class Saving:
    """The tokens of one answer, whole and with some fields only, and of the argument itself."""

    whole: int
    picked: int
    argument: int
    is_list: bool


def main() -> None:
    """Write a table with two rows for each document."""
    rows = [
        "| document | answers | of | whole, median | five fields | share, median | argument |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sys.argv[1:]:
        document = load_document(path)
        savings, title = [*_measure(document)], document["info"]["title"]
        for kind, is_list in (("one object", False), ("a list or page", True)):
            of_kind = [each for each in savings if each.is_list is is_list]
            if of_kind:
                rows.append(f"| {title} | {len(of_kind)} | {kind} | {_row(of_kind)} |")
    sys.stdout.write("\n".join([*rows, ""]))


def _row(savings: list[Saving]) -> str:
    return " | ".join(
        (
            f"{median(each.whole for each in savings):,.0f}",
            f"{median(each.picked for each in savings):,.0f}",
            f"{median(each.picked / each.whole for each in savings):.0%}",
            f"{median(each.argument for each in savings):,.0f}",
        )
    )


def _measure(document: Mapping[str, Any]) -> Iterator[Saving]:
    schemas = Schemas(document)
    for operation in read_operations(document):
        output_schema, output = read_output_schema(operation, schemas)
        if output_schema is None or output.are_items:
            continue
        fields = Fields(output_schema, is_wrapped=bool(output.wrapped))
        value = _answer(document, operation, schemas)
        paths = [*_members(value)][:_ASKED]
        if not fields.known or not paths:
            continue
        try:
            _, tree = fields.take({NAME: paths})
        except InvalidArguments:
            # The example has what the schema does not document.
            continue
        arguments = fields.add_to(read_arguments(operation, schemas))
        yield Saving(
            whole=_tokens(value),
            picked=_tokens(pick(value, tree)),
            argument=_tokens(arguments.schema["properties"][NAME]),
            is_list=isinstance(value, list) or "." in paths[0],
        )


def _tokens(value: object) -> int:
    return round(len(write_json(value)) / _TOKEN)


def _members(value: object, prefix: str = "") -> Iterator[str]:
    """Yield the paths of an answer's own values, or of those of the items that it is a page of."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict):
        return
    page = next((name for name, each in value.items() if _is_page(each)), None)
    if page is not None and not prefix and len(value) <= _ASKED:
        yield from _members(value[page], f"{page}.")
        return
    for name, each in value.items():
        if not isinstance(each, dict | list):
            yield f"{prefix}{name}"


def _is_page(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _answer(document: Mapping[str, Any], operation: Operation, schemas: Schemas) -> object:
    """Return the example of a success, or a value made of its schema."""
    known = Document(document)
    responses = known["paths"][operation.path][operation.method.lower()]["responses"]
    for status, response in responses.items():
        for media in resolve(known, response).get("content", {}).values():
            if str(status).startswith("2"):
                for example in media.get("examples", {}).values():
                    return resolve(known, example).get("value")
                if "example" in media:
                    return media["example"]
    media = successes(operation)[0][0]
    return _sample(media.schema, schemas, 0)


def _sample(schema: object, schemas: Schemas, depth: int) -> object:
    """Return a value that a schema describes; of alternatives the first, of a list one item."""
    found = schemas.resolve(schema)
    options = found.get("anyOf") or found.get("oneOf")
    if options:
        return _sample(options[0], schemas, depth)
    if "enum" in found:
        return found["enum"][0]
    if depth > _DEEPEST:
        return None
    if "properties" in found:
        return {
            name: _sample(each, schemas, depth + 1) for name, each in found["properties"].items()
        }
    if found.get("type") == "array":
        return [_sample(found.get("items"), schemas, depth + 1)]
    values = {"integer": 1_700_000_000, "number": 1.5, "boolean": True, "object": {}}
    return values.get(found.get("type", "string"), "a short text")


if __name__ == "__main__":
    main()
