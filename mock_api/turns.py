"""A turn of the model, put together from the pieces in which it arrives.

Servers with OpenAI's API differ in what they leave out, so it is read leniently.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from mock_api.answers import Say, visible
from mock_api.errors import ModelFailed, ModelRefused

TOKEN: Final = 4
"""Characters of a usual token, for servers that do not count."""

LONGEST: Final = 16
"""Characters of the longest tokens: a turn that is longer has not kept to its limit."""

MOST_CALLS: Final = 64
"""Calls in one turn; more of them are no plan but a fault."""

UNREADABLE: Final = (
    "The model's answer cannot be read. Whoever runs the service can check whether OPENAI_BASE_URL"
    " is that of an API like OpenAI's."
)

_ID: Final = re.compile(r"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is what it wrote, which may be no JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model has said in one turn, whose words are said already, and what it costs."""

    text: str
    calls: tuple[ToolCall, ...]
    tokens: int
    is_cut: bool


class _Part(BaseModel):
    """What a server may send; everything can be missing, and what is unknown is left out."""


class _Function(_Part):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(_Part):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(_Part):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(_Part):
    delta: _Delta | None = None
    finish_reason: str | None = None


class Chunk(_Part):
    """One event of the stream. Its `usage` is not worth an answer, so that it may be anything."""

    choices: list[_Choice] | None = None
    usage: Any = None


@dataclass(slots=True)
class _Pieces:
    """A call as it comes in: its id and its name once, its arguments cut anywhere."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """A turn while it arrives. A class because calls come in pieces, one between the other's."""

    say: Say
    most_tokens: int
    is_cut: bool = False
    finish: str | None = None
    words: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, _Pieces] = field(default_factory=dict)
    length: int = 0
    counted: int = 0
    half: str = ""
    has_begun: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether the model has said that this is all; what may still come is the usage."""
        return self.finish is not None

    async def take(self, chunk: Chunk) -> None:
        """Take the next part, and say the words in it.

        Raises:
            ModelFailed: it is no plan.
        """
        self.has_begun = True
        self.counted = _counted(chunk.usage) or self.counted
        # There is one choice, or none in a chunk that has other news.
        for choice in (chunk.choices or [])[:1]:
            self.finish = choice.finish_reason or self.finish
            if choice.delta is not None:
                await self._take(choice.delta)

    async def _take(self, delta: _Delta) -> None:
        room = LONGEST * self.most_tokens - self.length
        self.length += len(delta.content or "") + len(delta.refusal or "")
        if delta.refusal:
            self.refusal.append(delta.refusal)
        for call in delta.tool_calls or []:
            self._add(call)
        self.is_cut = self.length > LONGEST * self.most_tokens
        if (piece := (delta.content or "")[:room]) and (text := self._sendable(piece)):
            self.words.append(text)
            await self.say(text)

    def _sendable(self, piece: str) -> str:
        """Return a piece without what cannot be sent on, which is half of a character.

        Some servers cut characters such as emoji in two; the first half waits for the other one.
        """
        text = self.half + piece
        self.half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        whole = text.removesuffix(self.half)
        return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _add(self, delta: _CallDelta) -> None:
        last = max(self.calls, default=-1)
        index = delta.index if delta.index is not None else last
        known = self.calls.get(index)
        # Some servers send each call whole, all with the same index or with none.
        is_other = known is not None and delta.id and known.id and delta.id != known.id
        if known is None or is_other:
            index = index if known is None and index >= 0 else last + 1
            known = self.calls[index] = _Pieces()
            if len(self.calls) > MOST_CALLS:
                raise ModelFailed(
                    f"The model has asked for more than {MOST_CALLS} calls at once. Try again."
                )
        known.id = known.id or delta.id or ""
        if delta.function is not None:
            known.name = known.name or delta.function.name or ""
            known.arguments.append(delta.function.arguments or "")
            self.length += len(delta.function.arguments or "")

    def turn(self) -> Turn:
        """Return the whole turn.

        Raises:
            ModelRefused: the model does not want to answer, or may not.
            ModelFailed: it has stopped in the middle, or said nothing.
        """
        if self.refusal:
            said = "".join(self.refusal).encode(errors="replace").decode()
            # In one line, for it is in the log, too.
            raise ModelRefused(
                f"The model refuses to answer: {' '.join(visible(said).split())[:500]}"
            )
        if self.finish == "content_filter":
            raise ModelRefused("The model's provider has withheld the answer. Ask otherwise.")
        if not self.has_begun:
            raise ModelFailed(UNREADABLE)
        if self.finish is None and not self.is_cut:
            raise ModelFailed("The model has broken off its answer. Try again.")
        is_cut = self.is_cut or self.finish == "length"
        calls = () if is_cut else tuple(self._whole_calls())
        if not (self.words or calls or is_cut):
            raise ModelFailed("The model has said nothing. Try again.")
        # Whatever a server has counted: no token is longer than the longest.
        tokens = max(self.counted or -(-self.length // TOKEN), -(-self.length // LONGEST))
        return Turn("".join(self.words), calls, tokens, is_cut)

    def _whole_calls(self) -> Iterator[ToolCall]:
        """Yield the calls in order, each with an id of its own."""
        used: set[str] = set()
        for number, (_, pieces) in enumerate(sorted(self.calls.items())):
            is_usable = _ID.fullmatch(pieces.id) and pieces.id not in used
            name = pieces.id if is_usable else f"call_{number}"
            while name in used:
                name += "_"
            used.add(name)
            yield ToolCall(name, pieces.name, "".join(pieces.arguments))


def _counted(usage: object) -> int:
    """Return the tokens that a server has counted: `{"completion_tokens": 9}`; else 0."""
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return max(0, tokens) if isinstance(tokens, int) else 0
