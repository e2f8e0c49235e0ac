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
        # As FastAPI does for its event streams: let no cache keep it, and no proxy hold it back.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.headers["Content-Type"] = f"{TEXT}; charset=utf-8" if form == TEXT else form
        self._answer = answer
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the answer, for as long as somebody listens.

        Raises:
            KnowledgeBaseError: there was none, and nothing has been sent.
        """
        told: list[str] = []

        async def say(piece: str) -> None:
            if self._form != JSON:
                if not told:
                    await send(self._start())
                await _send(send, self._written(piece), more=True)
            told.append(piece)

        is_gone, failure = await _while_there(receive, self._answer(say))
        # The last message is sent with nobody waiting for the client's leave any more: where the
        # request is an MCP call, the last message is what ends it.
        if is_gone:
            return
        if failure is not None and not told:
            raise failure
        if self._form == JSON:
            await _whole("".join(told), failure)(scope, receive, send)
        if failure is not None and not isinstance(failure, KnowledgeBaseError):
            raise failure
        if self._form == JSON:
            return
        if not told:
            await send(self._start())
        await _send(send, self._end(failure), more=False)

    def _start(self) -> Message:
        return {"type": "http.response.start", "status": 200, "headers": self.raw_headers}

    def _written(self, piece: str) -> bytes:
        if self._form == EVENTS:
            return format_sse_event(data_str=piece)
        return piece.encode()

    def _end(self, failure: Exception | None) -> bytes:
        if failure is None:
            return b""
        if self._form == EVENTS:
            return format_sse_event(event="error", data_str=str(failure))
        return f"\n\n[The answer ends here: {failure}]\n".encode()


def _whole(answer: str, failure: Exception | None) -> Response:
    """Return an answer, or as much as there was: it tells of what has been changed."""
    if failure is None:
        return JSONResponse({"answer": answer})
    if not isinstance(failure, KnowledgeBaseError):
        return JSONResponse({"detail": "Internal Server Error", "answer": answer}, 500)
    return JSONResponse({"detail": str(failure), "answer": answer}, failure.status)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    message: Message = {"type": "http.response.body", "body": body, "more_body": more}
    try:
        await send(message)
    except OSError:
        # What servers raise since ASGI 2.4, and Starlette's own responses make of it.
        raise ClientDisconnect from None


async def _while_there(
    receive: Receive, answering: Awaitable[None]
) -> tuple[bool, Exception | None]:
    """Wait for an answer until its client goes; return whether it has, and what went wrong."""
    is_gone = False
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def leave_when_gone() -> None:
            nonlocal is_gone
            while (await receive())["type"] != "http.disconnect":
                pass
            is_gone = True
            tasks.cancel_scope.cancel()

        tasks.start_soon(leave_when_gone)
        try:
            await answering
        except Exception as error:  # noqa: BLE001 - raised by the caller, outside of the group
            failure = error
        tasks.cancel_scope.cancel()
    return is_gone, failure
