"""Cuts a result down to the characters that it may have: a list at whole items, a text at a line.

What is left says how much there was, and which arguments ask for less.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, islice, takewhile
from typing import Any, Final

from mcp_mount.conversion.content import Block, Result, write_json
from mcp_mount.conversion.output import OutputSchema
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.conversion.values import parsed_or_text

_LONGEST_NOTE: Final = 240
_LONGEST_PLACE: Final = 40
_MOST_ARGUMENTS: Final = 5
_DEEPEST: Final = 10
"""Levels that are cut inside; what is deeper is left out, because each level is written anew."""
_BETWEEN_WORDS: Final = dict.fromkeys(map(ord, "_-.$"))
# What arguments that ask for a part are called, in lower case and without what separates words.
_ASKING = frozenset(
    {
        *("limit", "offset", "page", "fields", "pagesize", "perpage", "size", "skip", "take"),
        *("top", "first", "cursor", "maxresults", "pagetoken", "pagenumber", "select", "only"),
    }
)


def shorten_result(
    result: Result, output: OutputSchema, most: int, *, are_lines: bool, arguments: Iterable[str]
) -> Result:
    """Return a result whose texts have no more than `most` characters, which says what is cut.

    What is left conforms to `output` too. With `are_lines`, each item is a line of its text.
    """
    if all(_length(block) is None for block in result.content):
        return result
    if sum(_length(block) or 0 for block in result.content) <= most:
        return result
    cutter, room = _Cutter(), most - min(_LONGEST_NOTE, most // 3)
    structured = result.structured_content
    if structured is None or result.is_error:
        content = (*cutter.cut_blocks(result.content, room),)
        return replace(result, content=(*content, cutter.note(most, arguments)))
    text = result.content[0]
    # What is no object stands inside one in the structure only.
    is_wrapped = structured.keys() == {"result"} and (
        bool(output.wrapped) or not (isinstance(text, str) and text.lstrip().startswith("{"))
    )
    if is_wrapped:
        structured = {"result": cutter.cut(structured["result"], room)}
    else:
        structured = cutter.cut(structured, room)
    content = (*_as_text(structured, are_lines=are_lines, is_wrapped=is_wrapped),)
    note = cutter.note(most, arguments)
    if not output.conforms(structured):
        structured = output.fit(structured["result"] if is_wrapped else structured)
    told = {**structured, "truncated": note}
    structured = told if output.conforms(told) else structured
    return replace(result, content=(*content, note), structured_content=structured, json=None)


def shorten_foreign(
    result: Result, most: int, *, conforms: Callable[[object], bool], arguments: Iterable[str]
) -> Result:
    """Return what another server answered with no more than `most` characters of text.

    Its structure need not say the same as its text, and is then cut by itself. Where it would no
    longer conform to what the server declares, it stays as it is: clients refuse the result else.
    """
    room, cutter = most - min(_LONGEST_NOTE, most // 3), _Cutter()
    texts = [block for block in result.content if isinstance(block, str)]
    structured, told = result.structured_content, None
    if sum(map(len, texts)) > most:
        value = parsed_or_text(texts[0]) if len(texts) == 1 else None
        if isinstance(value, dict | list):
            cut = cutter.cut(value, room)
            text = [write_json(cut)]
            if structured in (value, {"result": value}):
                told = cut if structured == value else {"result": cut}
        else:
            text = [*cutter.cut_texts(texts, room)]
        others = (block for block in result.content if not isinstance(block, str))
        result = replace(result, content=(*text, *others))
    if told is None and structured is not None and len(write_json(structured)) > most:
        told = cutter.cut(structured, room)
    if not cutter.has_cut:
        return result
    note = cutter.note(most, arguments)
    forms = [{**told, "truncated": note}, told] if told is not None else []
    structured = next(filter(conforms, forms), structured)
    return replace(result, content=(*result.content, note), structured_content=structured)


def _as_text(structured: dict[str, Any], *, are_lines: bool, is_wrapped: bool) -> Iterator[str]:
    if not are_lines:
        yield write_json(structured["result"] if is_wrapped else structured)
        return
    blocks = [structured.get("text"), "\n".join(map(write_json, structured.get("result", ())))]
    yield from filter(None, [*blocks, structured.get("ended")])


def _length(block: Block) -> int | None:
    """Return the characters of a text; None for what is none."""
    if isinstance(block, str):
        return len(block)
    return sum(map(len, block)) if isinstance(block, SpooledText) else None


class _Cutter:
    """Cuts values, and remembers what it cut."""

    def __init__(self) -> None:
        # The characters that are lost, and what is left of what.
        self._cuts: list[tuple[int, str]] = []

    def note(self, most: int, arguments: Iterable[str]) -> str:
        """Say what there was, and how to ask for less."""
        cuts = (what for _, what in sorted(self._cuts, reverse=True)[:2])
        asking = [
            repr(name) for name in arguments if name.lower().translate(_BETWEEN_WORDS) in _ASKING
        ][:_MOST_ARGUMENTS]
        advice = f" Ask for less with {', '.join(asking)}." if asking else ""
        text = f"Shortened to {most:,} characters (max_result_chars): {'; '.join(cuts)}.{advice}"
        return f"[{text}]"

    def cut_blocks(self, blocks: Iterable[Block], most: int) -> Iterator[Block]:
        """Cut texts, one after the other; what is no text stays."""
        for block in blocks:
            if isinstance(block, str | SpooledText):
                text = self._cut_text(block, max(most, 0), "")
                most -= len(text)
                yield text
            else:
                yield block

    @property
    def has_cut(self) -> bool:
        return bool(self._cuts)

    def cut_texts(self, texts: list[str], most: int) -> Iterator[str]:
        """Cut at whole texts; where the first is too long, at a line."""
        kept = sum(end <= most for end in accumulate(map(len, texts)))
        yield from texts[:kept] or [self._cut_text(texts[0], most, "")]
        if len(texts) > max(kept, 1):
            self._cuts.append((len(texts) - kept, f"{max(kept, 1):,} of {len(texts):,} texts"))

    def cut(self, value: Any, most: int, place: str = "", depth: int = 0) -> Any:
        """Return a value that takes no more than `most` characters as JSON, as far as it can."""
        size = len(write_json(value))
        if size <= most:
            return value
        if isinstance(value, str):
            # What has to be escaped takes more.
            return self._cut_text(value, max(most - 2, 0) * len(value) // size, place)
        if isinstance(value, list):
            return self._cut_list(value, most, place, depth)
        return self._cut_object(value, most, place, depth) if isinstance(value, dict) else value

    def _cut_list(self, value: list[Any], most: int, place: str, depth: int) -> list[Any]:
        ends = accumulate((len(write_json(each)) + 1 for each in value), initial=1)
        kept = sum(1 for _ in takewhile(lambda end: end <= most, islice(ends, 1, None)))
        if not kept and depth < _DEEPEST:
            return [self.cut(value[0], most - 2, _within(place, "0"), depth + 1)]
        self._cuts.append((len(value) - kept, f"{kept:,} of {len(value):,} items{_in(place)}"))
        return value[:kept]

    def _cut_object(
        self, value: dict[str, Any], most: int, place: str, depth: int
    ) -> dict[str, Any]:
        """Cut the largest members until all fit; where that is not enough, leave some out."""
        names = sum(len(write_json(name)) + 2 for name in value)
        share = _fair_share([len(write_json(each)) for each in value.values()], most - names - 2)
        cut = value
        if depth < _DEEPEST:
            cut = {
                name: self.cut(each, share, _within(place, name), depth + 1)
                for name, each in value.items()
            }
        sizes = (len(write_json(name)) + len(write_json(each)) + 2 for name, each in cut.items())
        kept = sum(end <= most for end in islice(accumulate(sizes, initial=2), 1, None))
        if kept < len(cut):
            self._cuts.append((len(cut) - kept, f"{kept:,} of {len(cut):,} members{_in(place)}"))
        return dict(islice(cut.items(), kept))

    def _cut_text(self, text: str | SpooledText, most: int, place: str) -> str:
        """Keep whole lines; where the first is too long, as many characters as there may be."""
        lengths = _length(text) or 0
        if lengths <= most:
            return "".join(text)
        kept = _beginning(text, most)
        end = kept.rfind("\n")
        lines = sum(part.count("\n") for part in ([text] if isinstance(text, str) else text)) + 1
        if end > 0:
            kept = kept[:end]
            kept_lines = kept.count("\n") + 1
            what = f"{kept_lines:,} of {lines:,} lines"
        else:
            what = f"{len(kept):,} of {lengths:,} characters"
        self._cuts.append((lengths - len(kept), f"{what}{_in(place)}"))
        return kept


def _beginning(text: Iterable[str], most: int) -> str:
    if isinstance(text, str):
        return text[:most]
    kept = ""
    for part in text:
        kept += part[: most - len(kept)]
        if len(kept) == most:
            break
    return kept


def _fair_share(sizes: list[int], most: int) -> int:
    """Return what each may take at the most, so that all of them take no more than `most`."""
    for number, size in enumerate(sorted(sizes)):
        share = most // (len(sizes) - number)
        if size > share:
            return max(share, 0)
        most -= size
    return max(sizes, default=0)


def _within(place: str, name: str) -> str:
    # As much as is shown: a name of megabytes would be copied for each member of what it names.
    name = name[:_LONGEST_PLACE]
    return f"{place}.{name}"[:_LONGEST_PLACE] if place else name


def _in(place: str) -> str:
    return f" in {place!r}" if place else ""
