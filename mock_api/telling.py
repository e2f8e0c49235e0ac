"""Tells an answer while it is made: as plain text, as Server-Sent Events, or whole as JSON.

* Nothing is sent before the first word: until then, what goes wrong is an error with its status.
* After it, the end of the stream says what went wrong: a line of the text, or an event `error`.
* Who asked and has gone ends the answer, also while nothing is said.
"""

from collections.abc import Awaitable, Callable

import anyio
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from mock_api.answers import Say
from mock_api.errors import KnowledgeBaseError

TEXT, EVENTS, JSON = OFFERS = ("text/plain", "text/event-stream", "application/json")
"""The forms of an answer; the first is the one for who asks for none."""


class Telling(Response):
    """A response that an answer is said into, as a class like every response of Starlette's."""

    def __init__(self, answer: Callable[[Say], Awaitable[None]], form: str) -> None:
        """Take what answers, and in which form to tell it."""
        super().__init__(headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self.headers["Content-Type"] = f"{TEXT}; charset=utf-8" if form == TEXT else form
        self._answer = answer
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the answer, for as long as somebody listens.

        Raises:
            KnowledgeBaseError: there was none, and nothing has been sent.
        """
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_when_gone, receive, tasks.cancel_scope)
            try:
                if self._form == JSON:
                    await self._tell_whole(scope, receive, send)
                else:
                    await self._tell(send)
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _tell_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces: list[str] = []

        async def say(piece: str) -> None:
            pieces.append(piece)

        await self._answer(say)
        await JSONResponse({"answer": "".join(pieces)})(scope, receive, send)

    async def _tell(self, send: Send) -> None:
        has_begun = False

        async def say(piece: str) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
            await _send(send, self._written(piece), more=True)

        try:
            await self._answer(say)
        except KnowledgeBaseError as error:
            if not has_begun:
                raise
            await _send(send, self._end(str(error)), more=True)
        await _send(send, b"", more=False)

    def _written(self, piece: str) -> bytes:
        if self._form == EVENTS:
            return format_sse_event(data_str=piece)
        return piece.encode()

    def _end(self, what: str) -> bytes:
        if self._form == EVENTS:
            return format_sse_event(event="error", data_str=what)
        return f"\n\n[The answer ends here: {what}]\n".encode()


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    message: Message = {"type": "http.response.body", "body": body, "more_body": more}
    try:
        await send(message)
    except OSError:
        # What servers raise since ASGI 2.4, and Starlette's own responses make of it.
        raise ClientDisconnect from None


async def _leave_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
