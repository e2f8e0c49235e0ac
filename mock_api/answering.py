"""Chooses who answers questions: the model where there is one, and else the embedded answerer.

Where the model fails before its first word, and `CHAT_FALLBACK` allows it, the embedded one answers
in its place, and says so.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from fastapi import Request

from mock_api import answers
from mock_api.answers import Say
from mock_api.errors import AnswerError, TooSlow
from mock_api.settings import Settings
from mock_api.tools import connect, may_write

logger = logging.getLogger(__name__)

Answerer = Callable[[Request, str, Say], Awaitable[None]]
"""Answers a question for whoever sent the request.

Raises `AnswerError` where there is no answer, or no end of it.
"""

INSTEAD: Final = "[{reason} This answer is made of passages of the knowledge base.]\n\n"


def answerer(settings: Settings) -> Answerer:
    """Return who answers questions with these settings."""

    async def embedded(request: Request, question: str, say: Say) -> None:
        async with connect(request) as client:
            await answers.answer(client, question, say, pace=settings.chat_pace)

    if settings.openai_api_key is None:
        return embedded
    return _bounded(_with_model(settings), embedded, settings)


def _with_model(settings: Settings) -> Answerer:
    # OpenAI's client takes half a second to import, which a service without a model need not wait.
    from mock_api import agent, model  # noqa: PLC0415

    bounds = agent.Bounds(settings.chat_max_rounds, settings.chat_max_tokens)

    async def with_model(request: Request, question: str, say: Say) -> None:
        async with connect(request) as client, model.connected(settings) as connected:
            await agent.answer(
                connected,
                client,
                question,
                say,
                # What the service is; how to use its tools, they say themselves.
                about=request.app.description.partition("\n\n")[0],
                writing=may_write(request),
                bounds=bounds,
            )

    return with_model


def _bounded(first: Answerer, instead: Answerer, settings: Settings) -> Answerer:
    """Let `first` answer in time, and `instead` where it could not begin, if that is allowed."""

    async def answer(request: Request, question: str, say: Say) -> None:
        has_begun = False

        async def begin(piece: str) -> None:
            nonlocal has_begun
            has_begun = True
            await say(piece)

        failure: AnswerError = TooSlow(
            f"The model has not finished in {settings.chat_timeout:g} seconds, which CHAT_TIMEOUT"
            " sets. Ask for less, or later."
        )
        try:
            with anyio.move_on_after(settings.chat_timeout):
                await first(request, question, begin)
                return
        except AnswerError as error:
            failure = error
        logger.warning("No answer of the model: %s", failure)
        if has_begun or not settings.chat_fallback:
            raise failure
        await say(INSTEAD.format(reason=failure))
        await instead(request, question, say)

    return answer
