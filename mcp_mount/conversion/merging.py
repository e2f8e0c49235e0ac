"""Puts together a value, or a text, that comes in several events. Pure.

What is merged holds `Parts` and `Elements`, to which adding is cheap; `finish` makes JSON of it.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mcp_mount.conversion.deltas import Path

# Members of a chunk that go on where the last chunk ended.
CHUNK_PARTS: Final = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "thinking", "arguments"}
)


class Parts(list[str]):
    """The parts of a string."""


class Elements(dict[object, Any]):
    """The elements of a list, by their ``index`` where they have one."""


_LARGEST_INDEX: Final = 2**32
"""Integers beyond that can be chosen so that they all have one hash; nothing counts so far."""


def merge(kept: dict[str, Any], new: Mapping[str, Any], parts: frozenset[str]) -> int:
    """Merge what came later into what was kept: the later value counts, null for nothing.

    Strings of the names `parts` are continued, and with them lists; without, all are replaced.
    Return how many values there are more.
    """
    more = 0
    for name, value in new.items():
        old = kept.get(name)
        more += name not in kept
        if isinstance(value, dict):
            if not isinstance(old, dict) or isinstance(old, Elements):
                old = kept[name] = {}
            more += merge(old, value, parts)
        elif isinstance(value, list) and parts:
            if not isinstance(old, Elements):
                old = kept[name] = Elements()
            more += _merge_elements(old, value, parts)
        elif isinstance(value, str) and name in parts:
            if isinstance(old, Parts):
                old.append(value)
            else:
                kept[name] = Parts([value])
        elif value is not None or name not in kept:
            kept[name] = value
            if isinstance(value, list):
                more += count_parsed(value) - count_parsed(old)
    return more


def _merge_elements(kept: Elements, new: list[Any], parts: frozenset[str]) -> int:
    more = 0
    for each in new:
        index = each.get("index") if isinstance(each, dict) else None
        if isinstance(index, int) and abs(index) < _LARGEST_INDEX:
            more += index not in kept
            more += merge(kept.setdefault(index, {}), each, parts)
        else:
            kept["after", len(kept)] = each
            more += count_parsed(each)
    return more


def count_parsed(value: object) -> int:
    """Return how many values there are in a parsed one, itself counted where it holds others."""
    if isinstance(value, dict | list):
        return 1 + sum(map(count_parsed, value.values() if isinstance(value, dict) else value))
    return 1


def split_part(value: dict[str, Any], path: Path) -> Parts:
    """Put the parts of a string in place of its first part, and return them."""
    *outer, last = path
    holder: Any = value
    for name in outer:
        holder = holder[name]
    holder[last] = parts = Parts([holder[last]])
    return parts


def finish(value: object) -> object:
    """Return a merged value as JSON has it."""
    if isinstance(value, Parts):
        return "".join(value)
    if isinstance(value, Elements):
        return [finish(each) for each in value.values()]
    if isinstance(value, dict):
        return {name: finish(each) for name, each in value.items()}
    return value


def says_something(value: object) -> bool:
    """Whether there is anything in what was left of events whose text was taken out."""
    if isinstance(value, list):
        return any(map(says_something, value))
    if isinstance(value, dict):
        told = {"type", "index"}
        return any(says_something(each) for name, each in value.items() if name not in told)
    return value is not None and value != ""


def has_finished(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk of a chat completion tells why that ended."""
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        each.get("finish_reason") for each in choices if isinstance(each, dict)
    )


def join_words(words: Iterable[str]) -> str:
    """Join what may be words, lines or pieces of a text, which have blanks at some of their ends.

    Scripts that are written without blanks need none.
    """
    words = [*filter(None, words)]
    has_blanks = any(word[0].isspace() or word[-1].isspace() for word in words)
    if has_blanks or any(unicodedata.east_asian_width(word[0]) in "WF" for word in words):
        return "".join(words)
    are_lines = any(len(word.split(maxsplit=1)) > 1 for word in words)
    return ("\n" if are_lines else " ").join(words)
