"""What differs between a server that is connected directly and the same behind a gateway."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from mcp_mount.remotes.uris import add_prefix
from tests.interop.asking import Account, Answer

_NAMES: Final = ("tool", "prompt", "complete")
_OF_THE_WAY: Final = {"_meta", "resultType", "ttlMs", "cacheScope"}
"""What belongs to the protocol's version, and to whoever answers."""

_OF_A_SCHEMA: Final = ("type", "enum", "const", "default", "description", "minimum", "maximum")
"""What a schema says that a gateway has no reason to change."""


def through_gateway(call: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return a call as a client of the gateway sends it."""
    moved = {key: f"{prefix}_{call[key]}" for key in _NAMES if key in call}
    if "read" in call:
        moved["read"] = add_prefix(call["read"], prefix)
    return {**call, **moved}


def find_differences(
    calls: Sequence[Mapping[str, Any]],
    directly: Account,
    behind: Account,
    prefix: str,
    varies: Iterable[str],
) -> Iterator[tuple[str, str]]:
    """Yield what differs, and how: ``("echo", "answered {…}, but directly {…}")``."""
    behind = Account(_tidy(behind.lists, prefix, varies), _tidy(behind.answers, prefix, varies))
    directly = Account(_tidy(directly.lists, "", varies), _tidy(directly.answers, "", varies))
    for kind, items in directly.lists.items():
        others = behind.lists[kind]
        for name in {**items, **others}:
            if name not in others or name not in items:
                yield name, f"is listed {'directly' if name in items else 'by the gateway'} alone"
            else:
                for key in _differing(items[name], others[name]):
                    yield (
                        name,
                        f"{key}: {others[name].get(key)!r}, directly {items[name].get(key)!r}",
                    )
    for call, expected, answer in zip_longest(calls, directly.answers, behind.answers):
        if answer != expected:
            name = next(call[key] for key in (*_NAMES, "read") if key in call)
            yield name, f"answered {_text(answer)}, directly {_text(expected)}"


def _tidy(value: Any, prefix: str, varies: Iterable[str]) -> Any:
    """Return what was told without what may differ: prefixes, the way's own, and the clock's."""
    text = _text(_without(value))
    if prefix:
        text = text.replace(f'"{prefix}_', '"').replace(f"://{prefix}/", "://")
    for pattern in varies:
        text = re.sub(pattern, "…", text)
    return json.loads(text)


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(each) for key, each in value.items() if key not in _OF_THE_WAY}
    return [_without(each) for each in value] if isinstance(value, list) else value


def _differing(item: Answer, other: Answer) -> list[str]:
    """Return the members in which an entry of a list differs; a schema by what it accepts."""
    keys = {*item, *other} - {"inputSchema", "outputSchema", "annotations", "title", "execution"}
    differing = [key for key in sorted(keys) if (item.get(key) or None) != (other.get(key) or None)]
    # A title has one place at the gateway, and a tool without one gets one there.
    if _title(item) not in (None, _title(other)):
        differing.append("title")
    if _hints(item) != _hints(other):
        differing.append("annotations")
    if _outline(item.get("inputSchema")) != _outline(other.get("inputSchema")):
        differing.append("inputSchema")
    if _shape(item.get("outputSchema")) != _shape(other.get("outputSchema")):
        differing.append("outputSchema")
    return differing


def _title(item: Answer) -> Any:
    return item.get("title") or item.get("annotations", {}).get("title")


def _hints(item: Answer) -> Any:
    return {key: each for key, each in item.get("annotations", {}).items() if key != "title"}


def _outline(schema: Any) -> Any:
    """Return what a schema asks for, without how it says so."""
    if not isinstance(schema, Mapping):
        return schema
    outline = {key: schema[key] for key in _OF_A_SCHEMA if schema.get(key) is not None}
    properties = schema.get("properties", {})
    outline["properties"] = {name: _outline(each) for name, each in properties.items()}
    outline["required"] = sorted(schema.get("required", ()))
    outline["items"] = _outline(schema.get("items"))
    outline["anyOf"] = [_outline(each) for each in schema.get("anyOf", schema.get("oneOf", ()))]
    return outline


def _shape(schema: Any) -> Any:
    """Return the members of a result, by name: results are not checked at the gateway."""
    return sorted(schema["properties"]) if isinstance(schema, Mapping) else schema


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
