"""The list as one: what a model has to choose from, and what it costs."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from mcp_mount.check.rule import SHOWN, Rule, each, name_some
from mcp_mount.check.subject import Subject, estimate_tokens
from mcp_mount.check.words import words_of

_MANY: Final = 40
_TOO_MANY: Final = 128
_MOST_TOKENS_OF_TOOL: Final = 2_000
_MOST_TOKENS: Final = 25_000
_WHERE: Final = re.compile(r"(?<![A-Z])[A-Z]+ /\S*?: ")


def _many(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
    if _MANY < len(subjects) <= _TOO_MANY:
        yield "", f"{len(subjects)} tools: models choose badly among more than {_MANY}."


def _too_many(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
    if len(subjects) > _TOO_MANY:
        yield "", f"{len(subjects)} tools: VS Code refuses more than {_TOO_MANY}."


def _heavy_list(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
    tokens = estimate_tokens(sum(subject.size for subject in subjects))
    if tokens > _MOST_TOKENS:
        yield "", f"The list takes about {tokens:,} tokens before the first question."


def _heavy_tool(subject: Subject) -> Iterator[str]:
    tokens = estimate_tokens(subject.size)
    if tokens > _MOST_TOKENS_OF_TOOL:
        yield f"It takes about {tokens:,} tokens of the list."


def _alike(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
    """Yield tools whose descriptions have the same words, but for a path before them."""
    groups: defaultdict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for subject in subjects:
        words = tuple(words_of(_WHERE.sub("", subject.description, count=1)))
        if words:
            groups[words][subject.name] = None
    for names in groups.values():
        for name in names if len(names) > 1 else ():
            others = islice((other for other in names if other != name), SHOWN)
            listed = name_some([*others], len(names) - 1)
            yield name, f"A model cannot tell it from {listed}: they say the same."


def _clashing(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        groups[re.sub(r"[-.]", "_", subject.name.lower())[:63]].append(subject.name)
    for names in groups.values():
        for name in names[1:]:
            yield name, f"Some clients see the same name in {names[0]!r}, and call one for both."


RULES: Final = (
    Rule(
        "many-tools",
        "warning",
        10,
        "Choose with include= and exclude=, by tags for example.",
        _many,
    ),
    Rule(
        "too-many-tools",
        "error",
        30,
        "Choose with include= and exclude=, or offer several endpoints.",
        _too_many,
    ),
    Rule(
        "heavy-list",
        "warning",
        10,
        "Offer fewer tools, shorten descriptions, and split large bodies.",
        _heavy_list,
    ),
    Rule(
        "heavy-tool",
        "warning",
        10,
        "Shorten its description, or take less in one call.",
        each(_heavy_tool),
    ),
    Rule(
        "tools-alike",
        "warning",
        20,
        "Say in the first sentence of each what only it does, or leave all but one out.",
        _alike,
    ),
    Rule(
        "name-clash",
        "error",
        40,
        "Give them names that differ in more than case, hyphens and dots.",
        _clashing,
    ),
)
