"""The events or lines of a stream, with the text of a language model joined, in bounds.

* Text is text: it is bounded by the bytes of the body, and not by the number of its pieces.
* What else comes in pieces, such as the arguments of a tool call, is one item.
* Everything else is an item as it stands.
"""

import json
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.conversion.decoders import Event
from mcp_mount.conversion.deltas import (
    CHUNK,
    DONE,
    ITEM,
    Kind,
    StreamForm,
    drop_told_text,
    has_text,
    is_text_event,
    is_token_event,
    read_kind,
    take_chunk_text,
    take_text,
)
from mcp_mount.conversion.kept import Item, KeptItems
from mcp_mount.conversion.merging import (
    CHUNK_PARTS,
    finish,
    has_finished,
    join_words,
    says_something,
    split_part,
)
from mcp_mount.conversion.spooled import beginning, json_length
from mcp_mount.conversion.structure import SLICE, is_simple
from mcp_mount.conversion.values import parsed_or_text

_MOST_PARSED: Final = 50_000
"""Values of what goes on, beyond which it is written as JSON: 10 MB of `{}` would be 200 MB."""

_MARKED: Final = Kind(family="marked")
_NO_PARTS: Final = frozenset[str]()


class StreamItems:
    """What a stream of events or lines has said so far."""

    def __init__(self, form: StreamForm, most: int, *, are_events: bool) -> None:
        self._form = form
        self._are_events = are_events
        self._kept = KeptItems(most)
        self._text: list[str] = []
        # Tokens bring their own blanks; words and lines may not.
        self._are_tokens = False
        self._has_finished = False
        # How many items there were when the last text came.
        self._size_at_text = 0
        self._begins_anew = False
        self._length = 0  # of all that has come

    @property
    def is_full(self) -> bool:
        """Whether there was an item more than there may be."""
        return self._kept.is_full

    def __len__(self) -> int:
        """Return how many items there are, besides the text."""
        return self._kept.size

    def add(self, piece: str | Event) -> str | None:
        """Take an event or a line; return what of it is to be shown now."""
        self._length += len(piece)
        shown = self._add(piece)
        if self._kept.values > _MOST_PARSED:
            for item in self._kept.settle():
                item.json, item.value, item.parts = self._line(item), None, None
        return shown

    def _add(self, piece: str | Event) -> str | None:
        form = self._form
        if self.is_full:
            return None
        item, value = self._read(piece)
        if form.text is False:
            return self._keep(piece, item)
        if isinstance(value, str):
            return self._add_string(piece, item, value)
        if not isinstance(value, dict) or not isinstance(item, dict):
            return self._keep(piece, item)
        if form.text is not None:
            return self._add_marked(piece, item, take_text(value, form.text))
        kind = read_kind(value)
        if kind is CHUNK:
            return self._add_chunk(item, value)
        return self._add_event(kind, piece, item, value)

    def _read(self, piece: str | Event) -> tuple[object, object]:
        """Return an event or a line as JSON has it, and of it what is the data."""
        if isinstance(piece, str):
            line = parsed_or_text(piece)
            return line, line
        # Where nothing says that it is JSON, a bare ``1.10`` may be a version.
        is_json = self._form.has_json_data or piece.data[:1] in {"{", "[", '"'}
        data = parsed_or_text(piece.data) if is_json else piece.data
        return {**piece.fields, "data": data}, data

    def _keep(self, piece: str | Event, item: object) -> str | None:
        """Keep an item as it stands; return it as one line of JSON, unless there are too many."""
        line = piece if isinstance(piece, str) else _json(item, len(piece))
        return self._kept.add(line)

    def _add_string(self, piece: str | Event, item: object, value: str) -> str | None:
        """Take data that is no JSON, or a string: a word, or a piece of a text."""
        name = piece.fields.get("event") if isinstance(piece, Event) else None
        is_marked = self._form.text == ()
        may_be_text = self._are_events and self._form.text is None and self._form.has_text
        if value == DONE or not (is_marked or (may_be_text and is_text_event(name))):
            return self._keep(piece, item)
        self._are_tokens |= is_marked or is_token_event(name)
        self._text.append(value)
        return value

    def _add_marked(self, piece: str | Event, item: dict[str, Any], text: str) -> str | None:
        if not text:
            # An empty one has been taken out, too.
            return self._keep(piece, self._read(piece)[0])
        self._kept.merge(_MARKED, item, _NO_PARTS)
        return self._add_text(text)

    def _add_chunk(self, item: dict[str, Any], value: dict[str, Any]) -> str | None:
        """Take a chunk of a chat completion, which continues the one before."""
        text = take_chunk_text(value)
        kept = self._kept.get(CHUNK)
        if kept is not None and self._has_finished:
            before = kept.value["data"] if self._are_events else kept.value
            if before.get("id") != value.get("id"):
                self._kept.close(CHUNK)
                self._has_finished = False
        self._has_finished = self._has_finished or has_finished(value)
        self._kept.merge(CHUNK, item, CHUNK_PARTS)
        return self._add_text(text)

    def _add_event(
        self, kind: Kind, piece: str | Event, item: dict[str, Any], value: dict[str, Any]
    ) -> str | None:
        if kind.text:
            return self._add_text(take_text(value, kind.text))
        if kind.opens == "text":
            self._begins_anew = bool(self._text) and len(self) > self._size_at_text
        elif kind.opens:
            self._kept.close(kind)
        if kind.is_told:
            return None
        if kind is ITEM or (kind.part and not has_text(value, kind.part)):
            return self._keep(piece, item)
        if kind.part:
            self._continue(kind, item, value)
            return None
        line = piece if isinstance(piece, str) else _json(item, len(piece))
        if kind.ends:
            self._kept.drop(kind)
            if self._text:
                told = drop_told_text(value)
                line = _json({**item, "data": told} if self._are_events else told, len(piece))
        # The states of a response, and its end, are shown when nothing takes their place.
        return self._kept.put(kind, Item(line, is_shown=kind.subject is not None))

    def _add_text(self, text: str) -> str | None:
        if not text:
            return None
        if self._begins_anew:
            # It was interrupted, such as by a tool call: another paragraph.
            text, self._begins_anew = f"\n\n{text}", False
        self._are_tokens = True
        self._size_at_text = len(self)
        self._text.append(text)
        return text

    def _continue(self, kind: Kind, item: dict[str, Any], value: dict[str, Any]) -> None:
        """Add the next part of a string that comes in several events, shown when it is whole."""
        kept = self._kept.get(kind)
        if kept is not None and kept.parts is not None:
            kept.parts.append(take_text(value, kind.part))
        else:
            self._kept.put(kind, Item(None, item, split_part(value, kind.part)))

    def _line(self, item: Item) -> str:
        """Write an item as one line of JSON; empty where its text was all that it said."""
        if item.json is not None:
            return item.json
        value: Any = finish(item.value)
        said = value.get("data") if self._are_events else value
        return _json(value, self._length) if says_something(said) else ""

    def unshown(self) -> list[str]:
        """Return the items that were not shown as they came, now that they are whole."""
        return [*filter(None, (self._line(item) for item in self._kept if not item.is_shown))]

    def lines(self) -> list[str]:
        """Return the items, each as one line of JSON."""
        return [*filter(None, map(self._line, self._kept))]

    def values(self) -> list[object]:
        """Return the items, parsed; a line that is no JSON is itself.

        Where all together have more values than one document may have, each is itself.
        """
        lines = self.lines()
        if not is_simple("\n".join(lines)):
            return [*lines]
        return [parsed_or_text(line) for line in lines]

    def text(self) -> str:
        """Return the joined text."""
        return "".join(self._text) if self._are_tokens else join_words(self._text)

    def shorten(self, most: int) -> bool:
        """Keep the beginning that takes no more than `most` bytes as JSON; False where all does.

        What is kept is in the text of a result and, parsed, in its structured content.
        """
        text, lines = self.text(), self.lines()
        kept, whole = beginning(text, most // 2), list[str]()
        most -= 2 * json_length(kept)
        for line in lines if kept == text else ():
            if len(line) > most:
                # To measure it takes long.
                break
            most -= json_length(line + "\n") + _written_length(parsed_or_text(line))
            if most < 0:
                break
            whole.append(line)
        self._text, self._are_tokens = [kept], True
        self._kept.replace(whole)
        return kept != text or len(whole) < len(lines)


def _written_length(value: object) -> int:
    """Return the bytes that a value takes as JSON in ASCII, at the most."""
    text = _json(value, SLICE + 1)
    return len(text) if text.isascii() else json_length(text)


def _json(value: object, size: int = 0) -> str:
    """Write an item as one line of JSON; without blanks where it had so many characters."""
    if size > SLICE:
        # Python's own takes 0.9 µs for a fraction, and nothing else runs meanwhile.
        return str(to_json(value), "utf-8")
    return json.dumps(value, ensure_ascii=False)
