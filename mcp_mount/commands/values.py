"""Arguments of a tool from the command line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_mount.check.subject import Subject
from mcp_mount.commands.output import did_you_mean
from mcp_mount.commands.uploads import options_of, read_upload
from mcp_mount.errors import MountError


def read_arguments(subject: Subject, words: Sequence[str]) -> dict[str, Any]:
    """Return a tool's arguments from ``("q=bolt", "limit=5")``.

    A value is read as its schema says: text as it is, everything else as JSON. A list may be
    written item by item, ``("tag=a", "tag=b")``. ``"photo=@bolt.png"`` is the file, and
    ``"name=@@alice"`` the text ``"@alice"``.

    Raises:
        MountError: one has no ``=``, the tool does not take it, or a file cannot be read.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise MountError(f"{word!r} has not the form name=value.")
        schema = subject.arguments.get(name)
        if schema is None:
            hint = did_you_mean(name, [*subject.arguments])
            raise MountError(f"{subject.name!r} takes no argument {name!r}. {hint}")
        if "array" in kinds_of(schema) and not value.lstrip().startswith("["):
            given.setdefault(name, []).append(_read(_items(schema), value))
        elif name in given:
            raise MountError(f"The argument {name!r} is given twice, and is no list.")
        else:
            given[name] = _read(schema, value)
    return given


def _read(schema: Mapping[str, Any], value: str) -> Any:
    if not value.startswith("@"):
        return read_value(schema, value)
    if value.startswith("@@"):
        return read_value(schema, value[1:])
    found = read_upload(schema, value[1:])
    return read_value(schema, found) if isinstance(found, str) else found


def read_value(schema: Mapping[str, Any], text: str) -> Any:
    """Return a value of a schema from its text."""
    kinds = kinds_of(schema)
    if kinds <= {"string", "null"} and "string" in kinds:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def kinds_of(schema: Mapping[str, Any]) -> set[str]:
    """Return the types that a schema allows, e.g. ``{"string", "null"}``."""
    kinds: set[str] = set()
    for option in options_of(schema):
        kind, values = option.get("type"), option.get("enum")
        named = kind if isinstance(kind, list) else [kind]
        kinds |= {each for each in named if isinstance(each, str)}
        if isinstance(values, list) and any(isinstance(value, str) for value in values):
            kinds.add("string")
    return kinds


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (option.get("items") for option in options_of(schema))
    return next((items for items in found if isinstance(items, Mapping)), {})
