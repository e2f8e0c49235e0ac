"""The items of a stream that are kept, some of which other events continue or replace."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from mcp_mount.conversion.deltas import Kind
from mcp_mount.conversion.merging import Parts, count_parsed, merge


@dataclass(slots=True)
class Item:
    """An item: JSON as it came, or a value that goes on.

    `parts` is the string in it that goes on, if it is one. `place` tells where in the stream it
    began. `is_shown` tells that it was shown as it came.
    """

    json: str | None
    value: Any = None
    parts: Parts | None = None
    is_shown: bool = False
    place: int = 0


class KeptItems:
    """Items in the order of a stream: those that stand, and those in slots (see `Kind`).

    Attributes:
        is_full: Whether there was an item more than there may be.
        size: How many there are.
        values: How many values those in slots have, about, as far as they are not JSON.
    """

    is_full = False
    size = 0
    values = 0

    def __init__(self, most: int) -> None:
        self._most = most
        self._places = count()
        self._standing: list[Item] = []
        # By family, by subject and by slot.
        self._open: dict[str, dict[object, dict[str, Item]]] = {}

    def add(self, piece: str) -> str | None:
        """Keep an item as it stands; return it, unless there are too many."""
        item = Item(piece, is_shown=True, place=next(self._places))
        if not self._has_room():
            return None
        self._standing.append(item)
        return piece

    def get(self, kind: Kind) -> Item | None:
        """Return what is in a slot."""
        return self._open.get(kind.family, {}).get(kind.subject, {}).get(kind.slot)

    def put(self, kind: Kind, item: Item) -> str | None:
        """Put an item into a slot, and return what there is to show of it."""
        before = self.get(kind)
        if before is None and not self._has_room():
            return None
        item.place = next(self._places) if before is None else before.place
        if item.json is None:
            self.values += count_parsed(item.value)
        self._open.setdefault(kind.family, {}).setdefault(kind.subject, {})[kind.slot] = item
        return item.json if item.is_shown else None

    def merge(self, kind: Kind, value: dict[str, Any], parts: frozenset[str]) -> None:
        """Merge a value into what is in a slot."""
        item = self.get(kind)
        if item is None:
            item = Item(None, {})
            self.put(kind, item)
        self.values += merge(item.value, value, parts)

    def close(self, kind: Kind) -> None:
        """Let what is in the slots of a subject, or of all of its family, stand as it is."""
        self._standing += self._take(kind)

    def drop(self, kind: Kind) -> None:
        """Forget what is in the slots of a subject, or of all of its family."""
        self.size -= sum(1 for _ in self._take(kind))

    def settle(self) -> list[Item]:
        """Let what is in all slots stand as it is, and return it."""
        items = [*self._going_on()]
        self._standing += items
        self._open, self.values = {}, 0
        return items

    def replace(self, lines: list[str]) -> None:
        """Keep these items instead of all."""
        self._open = {}
        self._standing = [
            Item(line, is_shown=True, place=place) for place, line in enumerate(lines)
        ]

    def __iter__(self) -> Iterator[Item]:
        """Return the items in the order in which they began."""
        items = [*self._standing, *self._going_on()]
        return iter(sorted(items, key=lambda item: item.place))

    def _going_on(self) -> Iterator[Item]:
        slots = (slots for family in self._open.values() for slots in family.values())
        return (item for each in slots for item in each.values())

    def _has_room(self) -> bool:
        self.is_full = self.is_full or self.size >= self._most
        self.size += not self.is_full
        return not self.is_full

    def _take(self, kind: Kind) -> Iterator[Item]:
        family = self._open.get(kind.family, {})
        is_whole = "family" in {kind.opens, kind.ends}
        for subject in [*family] if is_whole else [kind.subject]:
            yield from family.pop(subject, {}).values()
