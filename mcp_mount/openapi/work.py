"""How much work the schemas of a document may be.

A few schemas that refer to each other can stand for more than could ever be written. What is left
when the work is done accepts anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_mount.openapi.nodes import Schema

# Schemas that are written for one argument, result or body, counted anew for each level of which
# is tried whether it fits. Of most real ones it is below a thousand, of the largest 35,000.
_MAX_OF_ONE: Final = 50_000
# The same for a whole document: so much, and more for each of its paths; then each has a path's.
_MAX_OF_ALL: Final = 50_000
_MAX_OF_PATH: Final = 1_000
# Characters of a text, or names in a list, that are as much work as a schema.
_LARGE: Final = 1_000
# Properties of merged schemas that are.
_MERGED: Final = 8
# The same that are merged in all, each of which takes memory.
_MOST_MERGED: Final = 3_000_000
# Properties that are written of one object, and of all bodies and results.
_MOST_OF_OBJECT: Final = 2_000
_MOST_PROPERTIES: Final = 1_000_000


class Work:
    """What is left to do for one document, and for the schema that is being written."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a document, of whose size it is how much may be done."""
        paths = document.get("paths")
        many = len(paths) if isinstance(paths, Mapping) else 0
        self._left_of_all = _MAX_OF_ALL + many * _MAX_OF_PATH
        self._left = 0
        self._left_to_merge = _MOST_MERGED
        self._left_of_properties = _MOST_PROPERTIES
        self.unfinished = 0
        """How many schemas are not written to their end."""

    def begin(self) -> None:
        """Begin another schema, to which a heavy one before it leaves as much as most need."""
        self._left = min(max(self._left_of_all, _MAX_OF_PATH), _MAX_OF_ONE)

    @property
    def is_done(self) -> bool:
        """Whether no more may be written of the schema."""
        return self._left <= 0

    def spend(self, schema: Schema) -> None:
        """Count a schema that is written."""
        sizes = (len(each) for each in schema.values() if isinstance(each, str | list | dict))
        self._spend(1 + sum(sizes) // _LARGE)

    def spend_merge(self, parts: Sequence[Schema]) -> bool:
        """Count schemas that are to be merged, and return whether they may be."""
        many = sum(len(each.get("properties", ())) for each in parts)
        self._left_to_merge -= many
        self._spend(many // _MERGED)
        self.unfinished += self._left_to_merge < 0
        return self._left_to_merge >= 0

    def can_list(self, schema: Schema) -> bool:
        """Whether the properties of an object are few enough to be written."""
        many = len(schema.get("properties", ()))
        return many <= min(_MOST_OF_OBJECT, self._left_of_properties)

    def spend_properties(self, schema: Schema) -> None:
        """Count the properties of a body or result that is written."""
        self._left_of_properties -= len(schema.get("properties", ()))

    def _spend(self, cost: int) -> None:
        if self._left > 0:
            self._left -= cost
            self._left_of_all -= cost
            self.unfinished += self._left <= 0
