"""What is known of a tool that can be found, and how much each of its words counts. Pure."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mcp_mount.search.words import stems

_LONGEST_TEXT: Final = 1_500
"""Characters of a text that are read; what somebody asks for stands at its beginning."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a tool.

    `method` is an HTTP method, or empty where the tool is none of an operation; `path` its path.
    `parameter_texts`, `tag_descriptions` and `examples` are words in any order.
    """

    name: str
    title: str = ""
    description: str = ""
    method: str = ""
    path: str = ""
    tags: tuple[str, ...] = ()
    tag_descriptions: str = ""
    parameters: tuple[str, ...] = ()
    parameter_texts: str = ""
    keywords: tuple[str, ...] = ()
    examples: str = ""


@dataclass(frozen=True, slots=True)
class FieldWeights:
    """How much a word counts by where it stands."""

    name: float = 3.5
    title: float = 3.5
    keywords: float = 3.5
    path: float = 2.0
    tags: float = 1.2
    lead: float = 0.8
    description: float = 0.5
    parameters: float = 0.6
    parameter_texts: float = 0.15
    tag_descriptions: float = 0.2
    examples: float = 0.3
    compound: float = 1.75


def weigh(entry: Entry, weights: FieldWeights) -> dict[str, float]:
    """Return how much each stem counts for a tool."""
    lead, _, rest = entry.description[:_LONGEST_TEXT].partition(". ")
    segments = (part for part in entry.path.split("/") if not part.startswith("{"))
    name, title = _stems(entry.name), _stems(entry.title)
    fields = (
        (weights.name, name),
        (weights.title, title),
        (weights.keywords, _stems(*entry.keywords)),
        (weights.path, _stems(*segments)),
        (weights.tags, _stems(*entry.tags)),
        (weights.lead, _stems(lead)),
        (weights.description, _stems(rest)),
        (weights.parameters, _stems(*entry.parameters)),
        (weights.parameter_texts, _stems(entry.parameter_texts)),
        (weights.tag_descriptions, _stems(entry.tag_descriptions)),
        (weights.examples, _stems(entry.examples)),
        # Some write "load balancer", and some "loadbalancer".
        (
            weights.compound,
            [one + other for words in (name, title) for one, other in pairwise(words)],
        ),
    )
    weighed: dict[str, float] = defaultdict(float)
    for weight, found in fields:
        for term, count in Counter(found).items():
            weighed[term] += weight * min(count, 3) ** 0.5
    return weighed


def _stems(*texts: str) -> list[str]:
    return stems(" ".join(texts)[:_LONGEST_TEXT])
