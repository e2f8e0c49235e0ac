"""The search of tools as `score.py` of a retrieval benchmark takes it: see ``make retrieval``."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from mcp_mount.search.entries import Entry
from mcp_mount.search.ranker import Ranker

Row = Mapping[str, Any]


def build(tools: Sequence[Row]) -> Callable[[str, int], list[str]]:
    """Index the rows of a corpus; return what searches them."""
    ranker = Ranker([_entry(row) for row in tools])
    return lambda query, limit: [match.name for match in islice(ranker.search(query), limit)]


def _entry(row: Row) -> Entry:
    properties: Mapping[str, Any] = row["inputSchema"].get("properties", {})
    texts = (each.get("description", "") for each in properties.values())
    return Entry(
        name=row["name"],
        title=row.get("title") or "",
        description=row.get("description") or "",
        method=row["method"],
        path=row["path"],
        tags=tuple(row["tags"]),
        parameters=tuple(properties),
        parameter_texts=" ".join(texts),
    )
