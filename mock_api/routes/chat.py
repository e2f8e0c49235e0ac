"""Questions and answers."""

import re
from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from mock_api.answers import answer
from mock_api.errors import NotAcceptable
from mock_api.models import Answer, ChatRequest
from mock_api.negotiation import negotiate
from mock_api.routes.common import SettingsDep, StoreDep, refusals

router = APIRouter(tags=["chat"])

TEXT, EVENTS, JSON = OFFERS = ("text/plain", "text/event-stream", "application/json")

WORD_EVENT = {
    "type": "object",
    "properties": {"data": {"type": "string", "description": "A word and the blank after it."}},
    "required": ["data"],
}


@router.post(
    "/chat",
    operation_id="chat",
    summary="Ask a question",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "The answer, as the `Accept` header asks; plain text by default.",
            "content": {
                TEXT: {"schema": {"type": "string"}},
                EVENTS: {"itemSchema": WORD_EVENT},
                JSON: {"schema": Answer.model_json_schema()},
            },
        },
        **refusals(406),
    },
    # POST for the length of a question; it changes nothing.
    openapi_extra={"x-mcp": {"annotations": {"readOnlyHint": True, "destructiveHint": False}}},
)
async def chat(
    body: ChatRequest, request: Request, store: StoreDep, settings: SettingsDep
) -> Response:
    """Answer a question about Teamcenter from the knowledge base, word by word.

    The answer holds the best passages and the slugs of the articles that they come from. As plain
    text and as Server-Sent Events it is streamed while it is written; as JSON it comes whole.
    """
    chosen = negotiate(", ".join(request.headers.getlist("accept")), OFFERS)
    if chosen is None:
        raise NotAcceptable(f"An answer can be had as {', '.join(OFFERS)}.")
    text = await anyio.to_thread.run_sync(answer, store, body.prompt)
    if chosen == JSON:
        return JSONResponse({"answer": text})
    stream = words(text, settings.chat_pace)
    if chosen == TEXT:
        return StreamingResponse(stream, media_type="text/plain; charset=utf-8")
    return EventSourceResponse(_events(stream), headers={"Cache-Control": "no-cache"})


async def words(text: str, pace: float) -> AsyncIterator[str]:
    """Speak a text word by word, each with the blanks after it, at a pace in seconds."""
    for number, word in enumerate(re.findall(r"\S+\s*", text)):
        if number:
            # Also at no pace at all: here a client that has gone ends the stream.
            await anyio.sleep(pace)
        yield word


async def _events(stream: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for word in stream:
        yield format_sse_event(data_str=word)
