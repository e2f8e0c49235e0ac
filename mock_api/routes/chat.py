"""Questions and answers."""

from functools import partial
from typing import Final

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response

from mock_api.answering import Answerer
from mock_api.errors import NotAcceptable
from mock_api.models import Answer, ChatRequest
from mock_api.negotiation import negotiate
from mock_api.routes.common import refusals, router_of
from mock_api.telling import EVENTS, JSON, OFFERS, TEXT, Telling
from mock_api.tools import refuse_loop

MOST_BYTES: Final = 128 * 1024
"""Of a question: 4,000 characters, each as `\\uXXXX\\uXXXX`, under both of its names."""

router = router_of("chat", most=MOST_BYTES)

WORD_EVENT = {
    "type": "object",
    "properties": {
        "event": {"const": "error", "description": "The answer ends here; `data` says why."},
        "data": {"type": "string", "description": "A word or a few, and the blanks after them."},
    },
    "required": ["data"],
}

MOST_AT_ONCE: Final = 50
"""Calls of `chat` over MCP. They have places of their own, so that their tools find some too."""


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
        **refusals(406, 413, 502, 503, 504, 508),
    },
    # POST for the length of a question; it changes nothing over MCP: see `may_write`.
    openapi_extra={
        "x-mcp": {
            "annotations": {"readOnlyHint": True, "destructiveHint": False},
            "limits": {"max_concurrency": MOST_AT_ONCE},
        }
    },
)
async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a question about Teamcenter from the knowledge base, word by word.

    The answer names the slugs of the articles that it comes from. Where a model is configured, it
    answers with the help of the other tools; else the answer is the best passages. As plain text
    and as Server-Sent Events it is streamed while it is written; as JSON it comes whole.
    """
    chosen = negotiate(", ".join(request.headers.getlist("accept")), OFFERS)
    if chosen is None:
        raise NotAcceptable(f"An answer can be had as {', '.join(OFFERS)}.")
    refuse_loop(request)
    answer: Answerer = request.app.state.answer
    return Telling(partial(answer, request, body.prompt), chosen)
