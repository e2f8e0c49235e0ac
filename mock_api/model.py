"""The model that answers, behind OpenAI's API: its turns, streamed, through OpenAI's own client.

Any server that speaks Chat Completions will do. Whatever goes wrong is an `AnswerError` that says
what to do, without the key, the server's address or its words.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from ssl import SSLContext
from typing import Any, Final

import anyio
import anyio.lowlevel
import httpx2
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

from mock_api.answers import Say
from mock_api.errors import AnswerError, ModelFailed, TooSlow, Unavailable
from mock_api.receiving import NoCookies, bounded
from mock_api.settings import Settings
from mock_api.turns import UNREADABLE, Chunk, Reading, Turn

logger = logging.getLogger(__name__)

OPENAI: Final = "https://api.openai.com/v1"
CONNECT_SECONDS: Final = 5.0
RETRIES: Final = 1
"""How often OpenAI's client tries again by itself where that may help, after a moment."""

BYTES_OF_A_TOKEN: Final = 2_000
"""Bytes of an event with one token, in the wordiest of servers."""

BYTES_BESIDE: Final = 1_000_000
"""Bytes of a response that belong to no token."""

_ONE_BY_ONE: Final = anyio.Lock()

AFTERWARDS: Final = 2.0
"""Seconds in which the usage can come, when the model has said that its turn is over."""

LONGEST_REASON: Final = 300
"""Characters of a refused request's reason that are written to the log."""


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
        reading = Reading(say, most_tokens)
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
            while not reading.is_cut and (part := await self._next(stream, reading)) is not None:
                await reading.take(part)
                # What has arrived already is read without waiting; others have their turn too, and
                # of those who read such answers, one after the other.
                async with _ONE_BY_ONE:
                    await anyio.lowlevel.checkpoint()
        return reading.turn()

    async def _next(self, stream: Any, reading: Reading) -> Chunk | None:
        """Return the next part; None at the end, which some servers forget to write."""
        try:
            with (
                anyio.move_on_after(AFTERWARDS if reading.is_finished else None),
                self._readable(),
            ):
                chunk = await anext(stream, None)
                return None if chunk is None else Chunk.model_validate(_plain(chunk))
        except AnswerError:
            if not reading.is_finished:
                raise
        return None

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what OpenAI's client raises into what to tell who asks."""
        try:
            yield
        except OpenAIError as error:
            raise self._told(error) from error
        except (ValueError, RecursionError) as error:
            # What is no JSON, no text, or of another shape.
            logger.warning("The model's answer cannot be read: %s", type(error).__name__)
            raise ModelFailed(UNREADABLE) from error

    def _told(self, error: OpenAIError) -> AnswerError:
        """Say what went wrong, to the log and to who asks."""
        status = error.status_code if isinstance(error, APIStatusError) else None
        kind, host = type(error).__name__, self._client.base_url.host
        logger.warning("The model at %s: %s%s", host, kind, self._reason(error))
        if isinstance(error, APITimeoutError):
            return TooSlow("The model has not answered in time. Try again later.")
        if isinstance(error, APIConnectionError):
            return Unavailable("The model cannot be reached. Try again later.")
        if status is None:
            return ModelFailed("The model has broken off its answer. Try again.")
        return _refused(status)

    def _reason(self, error: OpenAIError) -> str:
        """Return what the model's server has said, for the log of whoever runs the service."""
        if not isinstance(error, APIStatusError):
            return ""
        # What is said of a key may hold some of it.
        said = "" if error.status_code in {401, 403} else error.message
        said = said.replace(self._client.api_key, "…")[:LONGEST_REASON]
        return f", HTTP status {error.status_code} {said!r}"


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Model]:
    """Lend the model for one answer, with a connection of its own.

    The settings have a key.
    """
    key = settings.openai_api_key
    most_bytes = BYTES_BESIDE + BYTES_OF_A_TOKEN * settings.chat_max_tokens
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else "",
        base_url=str(settings.openai_base_url or OPENAI),
        max_retries=RETRIES,
        timeout=Timeout(settings.chat_timeout, connect=CONNECT_SECONDS),
        default_headers={"Accept-Encoding": "identity"},
        # A question goes to the server that was named, and to no other that this one names.
        http_client=httpx2.AsyncClient(
            verify=_certificates(),
            cookies=NoCookies(),
            event_hooks={"response": [bounded(most_bytes)]},
        ),
    )
    async with client:
        yield Model(client, settings.openai_model)


@cache
def _certificates() -> SSLContext:
    """Return whom to trust; reading it takes 20 ms, in which nothing else is served."""
    context = httpx2.create_ssl_context()
    # As browsers do: a group of DHE is one that a server makes up, and can take a second.
    context.set_ciphers("DEFAULT:!kDHE")
    return context


def _refused(status: int) -> AnswerError:
    """Return what to tell who asks of a request that was answered with this status."""
    if status < 400:
        return Unavailable(
            "The model is elsewhere. Whoever runs the service can check OPENAI_BASE_URL."
        )
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
    return ModelFailed(
        "The model's server does not accept the request. Ask something shorter. Whoever runs the"
        " service finds the reason in its log; some models cannot use tools."
    )


def _plain(chunk: object) -> object:
    """Return a chunk as JSON; what the client could not make one of is JSON still."""
    return chunk.to_dict(warnings=False) if isinstance(chunk, ChatCompletionChunk) else chunk
