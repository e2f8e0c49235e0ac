"""The model that answers, behind OpenAI's API: its turns, streamed, through OpenAI's own client.

Any server that speaks Chat Completions will do, and they differ in what they leave out: a turn is
read leniently, and whatever cannot be read is `ModelFailed`.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    OpenAIError,
    Timeout,
    omit,
)
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from mock_api.answers import Say
from mock_api.errors import AnswerError, ModelFailed, ModelRefused, TooSlow, Unavailable
from mock_api.settings import Settings

logger = logging.getLogger(__name__)

OPENAI: Final = "https://api.openai.com/v1"
CONNECT_SECONDS: Final = 5.0
RETRIES: Final = 1
"""How often OpenAI's client tries again by itself where that may help, after a moment."""

TOKEN: Final = 4
"""Characters of a usual token, for servers that do not count."""

LONGEST: Final = 16
"""Characters of the longest tokens: a turn that is longer has not kept to its limit."""

MOST_CALLS: Final = 64
"""Calls in one turn that are read; what comes after them is no plan but a fault."""


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


class Model:
    """A model, on its server. A class because it is connected while an answer lasts."""

    def __init__(self, client: AsyncOpenAI, name: str) -> None:
        self._client = client
        self._name = name

    async def turn(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        *,
        may_call: bool,
        most_tokens: int,
        say: Say,
    ) -> Turn:
        """Let the model say something, or ask for tools, or both.

        Raises:
            AnswerError: it did neither.
        """
        reading = _Reading(say, most_tokens)
        with self._readable():
            stream: Any = await self._client.chat.completions.create(
                model=self._name,
                messages=messages,  # type: ignore[arg-type]  # as plain JSON
                tools=tools or omit,  # type: ignore[arg-type]
                tool_choice=omit if may_call or not tools else "none",
                max_completion_tokens=most_tokens,
                stream=True,
            )
        async with stream:
            while not reading.is_cut:
                with self._readable():
                    chunk = await anext(stream, None)
                    if chunk is None:
                        break
                    part = _Chunk.model_validate(_plain(chunk))
                await reading.take(part)
        return reading.turn()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what OpenAI's client raises into what to tell who asks."""
        try:
            yield
        except OpenAIError as error:
            raise self._told(error) from error
        except ValueError as error:
            # What is no JSON, no text, or of another shape.
            logger.warning("The model's answer cannot be read: %s", type(error).__name__)
            raise ModelFailed(
                "The model's answer cannot be read. Whoever runs the service can check whether"
                " OPENAI_BASE_URL is that of an API like OpenAI's."
            ) from error

    def _told(self, error: OpenAIError) -> AnswerError:
        """Say what went wrong, to the log and to who asks; the error's own text may hold keys."""
        status = error.status_code if isinstance(error, APIStatusError) else None
        kind, host = type(error).__name__, self._client.base_url.host
        logger.warning("The model at %s: %s, HTTP status %s", host, kind, status)
        if isinstance(error, APITimeoutError):
            return TooSlow("The model has not answered in time. Try again later.")
        if isinstance(error, APIConnectionError):
            return Unavailable("The model cannot be reached. Try again later.")
        if status is None:
            return ModelFailed("The model has broken off its answer. Try again.")
        if status in {401, 403}:
            return Unavailable(
                "The model's server does not accept this service's key. Whoever runs the service"
                " can check OPENAI_API_KEY and OPENAI_BASE_URL."
            )
        if status == 404:
            return Unavailable(
                "The model's server does not know the model. Whoever runs the service can check"
                " OPENAI_MODEL and OPENAI_BASE_URL."
            )
        if status == 429:
            return Unavailable("The model is asked too often, or its quota is used up. Wait a bit.")
        if status >= 500:
            return Unavailable("The model's server has failed. Try again later.")
        return ModelFailed("The model's server does not accept the request. Ask something shorter.")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Model]:
    """Lend the model for one answer, with a connection of its own.

    The settings have a key.
    """
    key = settings.openai_api_key
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else "",
        base_url=str(settings.openai_base_url or OPENAI),
        max_retries=RETRIES,
        timeout=Timeout(settings.chat_timeout, connect=CONNECT_SECONDS),
    )
    async with client:
        yield Model(client, settings.openai_model)


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


class _Usage(_Part):
    completion_tokens: int = 0


class _Chunk(_Part):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


@dataclass(slots=True)
class _Pieces:
    """A call as it comes in: its id and its name once, its arguments cut anywhere."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


def _plain(chunk: object) -> object:
    """Return a chunk as JSON; what the client could not make one of is JSON still."""
    return chunk.to_dict(warnings=False) if isinstance(chunk, ChatCompletionChunk) else chunk


@dataclass(slots=True)
class _Reading:
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

    async def take(self, chunk: _Chunk) -> None:
        """Take the next part, and say the words in it."""
        if chunk.usage is not None:
            self.counted = chunk.usage.completion_tokens
        # There is one choice, or none in a chunk that has other news.
        for choice in (chunk.choices or [])[:1]:
            self.finish = choice.finish_reason or self.finish
            if choice.delta is not None:
                await self._take(choice.delta)

    async def _take(self, delta: _Delta) -> None:
        self.length += len(delta.content or "") + len(delta.refusal or "")
        if delta.refusal:
            self.refusal.append(delta.refusal)
        for call in delta.tool_calls or []:
            self._add(call)
        self.is_cut = self.length > LONGEST * self.most_tokens or len(self.calls) > MOST_CALLS
        if delta.content:
            # Half a character (a lone surrogate) cannot be sent on.
            text = delta.content.encode(errors="replace").decode()
            self.words.append(text)
            await self.say(text)

    def _add(self, delta: _CallDelta) -> None:
        last = max(self.calls, default=-1)
        index = delta.index if delta.index is not None else last
        known = self.calls.get(index)
        # Some servers send each call whole, all with the same index or with none.
        is_other = known is not None and delta.id and known.id and delta.id != known.id
        if known is None or is_other:
            index = index if known is None and index >= 0 else last + 1
            known = self.calls[index] = _Pieces()
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
            raise ModelRefused(f"The model refuses to answer: {said[:500]}")
        if self.finish == "content_filter":
            raise ModelRefused("The model's provider has withheld the answer. Ask otherwise.")
        if self.finish is None and not self.is_cut:
            raise ModelFailed("The model has broken off its answer. Try again.")
        is_cut = self.is_cut or self.finish == "length"
        calls = () if is_cut else tuple(self._whole_calls())
        if not (self.words or calls or is_cut):
            raise ModelFailed("The model has said nothing. Try again.")
        tokens = self.counted or -(-self.length // TOKEN)
        return Turn("".join(self.words), calls, tokens, is_cut)

    def _whole_calls(self) -> Iterator[ToolCall]:
        """Yield the calls in order, each with an id of its own."""
        used: set[str] = set()
        for number, (_, pieces) in enumerate(sorted(self.calls.items())):
            name = pieces.id if pieces.id and pieces.id not in used else f"call_{number}"
            while name in used:
                name += "_"
            used.add(name)
            yield ToolCall(name, pieces.name, "".join(pieces.arguments))
