"""What a model gets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_mount.check.rule import Rule, each, name_some
from mcp_mount.check.subject import Subject
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.tools.secrets import secrets_given

_BOUND: Final = re.compile(
    r"(page|per|limit|size|count|max|first|last|top|take|cursor|offset|skip|since|until|after|before|fields)"
)

_PAGES: Final = frozenset(
    ("items", "results", "data", "entries", "records", "rows", "hits", "values", "elements")
)


def _no_schema(subject: Subject) -> Iterator[str]:
    if subject.operation is None:
        return
    for medias in successes(subject.operation):
        for media in medias:
            is_open = media.item_schema is None and not (media.schema or {}).keys() - {"title"}
            if is_json(media.media_type) and is_open:
                yield f"{subject.operation} does not say what its answer looks like."
                return


def _unbounded(subject: Subject) -> Iterator[str]:
    if subject.operation is not None and _streams(subject.operation):
        # Which ends at the mount's own limit.
        return
    if any(_BOUND.match(word) for name in subject.arguments for word in _words(name)):
        return
    lists = [name for name, schema in _lists(subject.output) if "maxItems" not in schema]
    if lists:
        yield f"It answers with a list that may be of any length: {name_some(lists)}."


def _streams(operation: Operation) -> bool:
    return any(media.item_schema for medias in successes(operation) for media in medias)


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())


def _lists(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the lists that an answer is, or that its page holds; the tags of an object are few."""
    found = schema.get("properties")
    properties: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    for name, each_schema in properties.items():
        if not isinstance(each_schema, Mapping) or each_schema.get("type") != "array":
            continue
        # A list alone is the structure's only property.
        if len(properties) == 1 or name.lower() in _PAGES:
            yield name, each_schema


def _gives_secret(subject: Subject) -> Iterator[str]:
    if names := secrets_given(subject.output):
        yield f"It gives out what lets others in, and a model would see it: {name_some(names)}."


RULES: Final = (
    Rule(
        "no-response-schema",
        "warning",
        10,
        "Annotate what the route returns, or give it a response_model. Where it returns a "
        "Response, name its class, such as response_class=StreamingResponse: an annotation says "
        "nothing then. Where it returns nothing, status_code=204.",
        each(_no_schema),
    ),
    Rule(
        "unbounded-list",
        "warning",
        10,
        "Take a limit and an offset or a cursor, or say the most with max_length=.",
        each(_unbounded),
    ),
    Rule(
        "secret-answer",
        "error",
        30,
        "Leave it out with exclude=, or take the field out of the answer.",
        each(_gives_secret),
    ),
)
