"""The words of the examples in an OpenAPI document, which tell what people do with an operation."""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

_MOST_NODES: Final = 300
_MOST_CHARACTERS: Final = 1_000


def example_words(operation: Mapping[str, Any]) -> str:
    """Return the words of an operation's examples: ``examples``, ``x-examples`` and the like."""
    found: list[str] = []
    waiting: deque[tuple[object, bool]] = deque(
        (value, _is_example(key))
        for key, value in operation.items()
        if key in {"parameters", "requestBody"} or _is_example(key)
    )
    for _ in range(_MOST_NODES):
        if not waiting:
            break
        node, is_within = waiting.popleft()
        if isinstance(node, Mapping):
            for key, value in islice(node.items(), _MOST_NODES):
                if is_within:
                    found.append(str(key)[:_MOST_CHARACTERS])
                waiting.append((value, is_within or _is_example(key)))
        elif isinstance(node, list):
            waiting.extend((each, is_within) for each in islice(node, _MOST_NODES))
        elif is_within and isinstance(node, str):
            found.append(node[:_MOST_CHARACTERS])
    return " ".join(found)[:_MOST_CHARACTERS]


def _is_example(key: object) -> bool:
    name = str(key).lower()
    return name in {"example", "examples"} or (name[:2] == "x-" and "example" in name)
