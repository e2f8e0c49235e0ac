"""The words by which a model chooses a tool."""

import re
from collections.abc import Iterator
from typing import Final

from mcp_mount.check.rule import Rule, each
from mcp_mount.check.subject import Subject

# Claude Code cuts at 4,096; not every client shows as much.
_LONGEST_DESCRIPTION: Final = 2_000
# Clients write a prefix before a name, and some cut at 63 or 64.
_LONGEST_NAME: Final = 48
# What `describing` writes where nobody has described the operation.
_GENERATED: Final = re.compile(r"(Deprecated\. )?[A-Z]+ /\S*?(\. Returns .*)?", re.DOTALL)
_FILLERS: Final = frozenset(("a", "an", "the", "of", "by", "for", "to", "in", "on", "with"))


def words_of(text: str) -> list[str]:
    """Return the words of a text or a name in lower case, e.g. ``["get", "part"]``."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return re.findall(r"[^\W_]+", parts.lower())


def _no_description(subject: Subject) -> Iterator[str]:
    if not subject.description:
        yield "It has no description."
    elif _GENERATED.fullmatch(subject.description):
        yield f"Nobody has described it: a model reads {subject.description!r}."


def _repeats_name(subject: Subject) -> Iterator[str]:
    said = [word.rstrip("s") for word in words_of(subject.description) if word not in _FILLERS]
    known = {word.rstrip("s") for word in words_of(subject.name)}
    if said and known.issuperset(said):
        yield f"Its description says no more than its name: {subject.description!r}."


def _long_description(subject: Subject) -> Iterator[str]:
    length, full = len(subject.description), subject.description.endswith(" …")
    if length > _LONGEST_DESCRIPTION or (full and length > _LONGEST_DESCRIPTION * 0.95):
        yield f"Its description is longer than {_LONGEST_DESCRIPTION:,} characters, and is cut."


def _long_name(subject: Subject) -> Iterator[str]:
    if len(subject.name) > _LONGEST_NAME:
        yield f"Its name has {len(subject.name)} characters."


RULES: Final = (
    Rule(
        "no-description",
        "error",
        40,
        "Give the route a docstring: what it does, when to use it, what it returns.",
        each(_no_description),
    ),
    Rule(
        "repeated-name",
        "warning",
        25,
        "Say what the name does not: when to use it, what it needs, what it returns.",
        each(_repeats_name),
    ),
    Rule(
        "long-description",
        "warning",
        10,
        "Say what matters in the first sentences, and leave the manual to the documentation.",
        each(_long_description),
    ),
    Rule(
        "long-name",
        "warning",
        10,
        "Give it a shorter operation_id: clients put a prefix before it, and cut at 64 characters.",
        each(_long_name),
    ),
)
