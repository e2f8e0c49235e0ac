"""How much work the schemas of a document may be.

A few schemas that refer to each other can stand for more than could ever be written. What is left
when the work is done accepts anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.sizes import count_characters
from mcp_mount.openapi.tidy import MAPS

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
# Values that are looked through for references, and children of parents. Each schema is looked
# through once, but other names of a schema are schemas as well.
_MOST_REFERENCES: Final = 1_000_000
# Properties that are written of one object, and of all bodies and results.
_MOST_OF_OBJECT: Final = 2_000
_MOST_PROPERTIES: Final = 1_000_000
# Characters of the names of these properties, of which real ones have 20 each.
_MOST_OF_NAMES: Final = 50_000
_LONG_NAME: Final = 100
# Characters that are published of one schema, of the arguments or results of one tool, and of all
# tools. The largest real ones have 35,000 and 360,000; those of a large document have four million,
# and those of larger ones half as many again as the document. So it may be twice as many.
MOST_OF_SCHEMA: Final = 100_000
_MOST_OF_TOOL: Final = 1_000_000
_MOST_CHARACTERS: Final = 16_000_000
_TIMES_DOCUMENT: Final = 2
# What an argument has at the least, whose schema accepts anything.
_OF_ANYTHING: Final = 200


class Work:
    """What is left to do for one document, and for the schema that is being written."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a document, of whose size it is how much may be done."""
        paths = document.get("paths")
        many = len(paths) if isinstance(paths, Mapping) else 0
        self._left_of_all = _MAX_OF_ALL + many * _MAX_OF_PATH
        self._left = 0
        self._left_to_merge = _MOST_MERGED
        self._left_of_references = _MOST_REFERENCES
        self._left_of_properties = _MOST_PROPERTIES
        self._left_of_tool = _MOST_OF_TOOL
        self._left_of_characters = _MOST_CHARACTERS
        self._unmeasured: Mapping[str, Any] | None = document
        self.unfinished = 0
        """How many schemas are not written to their end."""

    def begin(self) -> None:
        """Begin another schema, to which a heavy one before it leaves as much as most need."""
        self._left = min(max(self._left_of_all, _MAX_OF_PATH), _MAX_OF_ONE)

    def begin_tool(self) -> None:
        """Begin the arguments or the results of another tool."""
        self._left_of_tool = _MOST_OF_TOOL

    @property
    def is_done(self) -> bool:
        """Whether no more may be written of the schema."""
        return self._left <= 0

    def spend(self, schema: Schema) -> None:
        """Count a schema that is written."""
        sizes = [len(each) for each in schema.values() if isinstance(each, str | list | dict)]
        sizes += [_names_of(schema[key]) for key in MAPS if key in schema]
        self._spend(1 + sum(sizes) // _LARGE)

    def spend_text(self, size: int) -> None:
        """Count what was written of a schema, where it is more than could be published."""
        self._spend(max(0, size - MOST_OF_SCHEMA) // _LARGE)

    def spend_characters(self, size: int) -> bool:
        """Count the characters of a schema, and return whether it may be published."""
        if size > self._left_of_characters and self._unmeasured is not None:
            many = _TIMES_DOCUMENT * count_characters(self._unmeasured)
            self._left_of_characters += max(0, many - _MOST_CHARACTERS)
            self._unmeasured = None
        left = min(MOST_OF_SCHEMA, self._left_of_tool, self._left_of_characters)
        cost = size if len("{}") < size <= left else _OF_ANYTHING
        self._left_of_tool -= cost
        self._left_of_characters -= cost
        self.unfinished += size > left
        return size <= left

    def spend_merge(self, parts: Sequence[Schema]) -> bool:
        """Count schemas that are to be merged, and return whether they may be."""
        many = sum(len(each.get("properties", ())) for each in parts)
        self._left_to_merge -= many
        self._spend(many // _MERGED)
        self.unfinished += self._left_to_merge < 0
        return self._left_to_merge >= 0

    def spend_references(self, many: int) -> None:
        """Count what was looked through for references."""
        self._left_of_references -= many

    @property
    def can_follow(self) -> bool:
        """Whether more may be looked through."""
        return self._left_of_references > 0

    def can_list(self, schema: Schema) -> bool:
        """Whether the properties of an object are few enough to be written."""
        properties = schema.get("properties", ())
        if len(properties) > min(_MOST_OF_OBJECT, self._left_of_properties):
            return False
        left = min(_MOST_OF_NAMES, self._left_of_tool, self._left_of_characters)
        return sum(len(str(name)) for name in properties) < left

    def spend_properties(self, schema: Schema) -> None:
        """Count the properties of a body or result that is written."""
        properties = schema.get("properties", ())
        self._left_of_properties -= len(properties)
        names = [*properties, *schema.get("required", ())]
        self._left_of_characters -= sum(len(str(name)) for name in names)

    def _spend(self, cost: int) -> None:
        if self._left > 0:
            self._left -= cost
            self._left_of_all -= cost
            self.unfinished += self._left <= 0


def _names_of(properties: Mapping[str, Any]) -> int:
    """Return how many characters their names have beyond those of names that are no longer."""
    return max(0, sum(len(str(name)) for name in properties) - _LONG_NAME * len(properties))
