"""What a model has to fill in."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_mount.check.rule import Rule, each, name_some
from mcp_mount.check.subject import Subject
from mcp_mount.tools.secrets import schemas_in, secrets_taken

_KEY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
# Of the vocabulary of OpenAPI, which is none of JSON Schema.
_FOREIGN: Final = ("nullable", "discriminator", "xml", "example")


def _undescribed(subject: Subject) -> Iterator[str]:
    names = [name for name, schema in subject.arguments.items() if not schema.get("description")]
    if names:
        yield f"Arguments without a description: {name_some(names)}."


def _untyped(subject: Subject) -> Iterator[str]:
    names = [name for name, schema in subject.arguments.items() if _is_anything(schema)]
    if names:
        yield f"Arguments that may be anything: {name_some(names)}."


def _is_anything(schema: Mapping[str, Any]) -> bool:
    if isinstance(options := schema.get("anyOf"), list) and options:
        # Every type, because some clients need one.
        found = {each.get("type") for each in options if isinstance(each, Mapping)}
        return found >= {"string", "number", "boolean", "object", "array"}
    return not {"type", "enum", "const", "$ref", "oneOf", "allOf"} & schema.keys()


def _takes_secret(subject: Subject) -> Iterator[str]:
    if names := secrets_taken(subject.input):
        yield f"It takes a secret, which a model would have to know: {name_some(names)}."


def _refused(subject: Subject) -> Iterator[str]:
    yield from _refused_root(subject.input)
    if keys := [name for name in subject.arguments if not _KEY.fullmatch(name)]:
        yield f"Model APIs refuse the names of these arguments: {name_some(keys)}."
    for schema in schemas_in(subject.input):
        if isinstance(schema.get("type"), list):
            yield "AutoGen and Semantic Kernel lose the whole list over an array of types."
        elif schema.get("type") == "array" and not isinstance(schema.get("items"), Mapping):
            yield "Gemini and OpenAI refuse an array that does not say what its items are."
        elif found := [key for key in _FOREIGN if key in schema]:
            yield f"Strict clients lose the whole list over OpenAPI's keyword {found[0]!r}."
        else:
            continue
        return


def _refused_root(schema: Mapping[str, Any]) -> Iterator[str]:
    if schema.get("type") != "object":
        yield "Clients refuse arguments that are no object."
    elif not isinstance(schema.get("properties"), Mapping):
        yield "smolagents loses the whole list, and OpenAI refuses it, without 'properties'."
    elif found := [key for key in _UNIONS if key in schema]:
        yield f"Two model APIs refuse the whole request over {found[0]!r} at the root."


RULES: Final = (
    Rule(
        "argument-description",
        "warning",
        15,
        "Describe each one with Query(description=…), Path(…), Body(…) or Field(…).",
        each(_undescribed),
    ),
    Rule(
        "argument-type",
        "warning",
        10,
        "Give each one a type; Any leaves a model to guess.",
        each(_untyped),
    ),
    Rule(
        "secret-argument",
        "error",
        30,
        "Leave it out with exclude=, or let who calls be known by headers.",
        each(_takes_secret),
    ),
    Rule(
        "refused-schema",
        "error",
        40,
        "Mend the schema, or offer the server through mcp_mount, which writes it as all accept it.",
        each(_refused),
    ),
)
