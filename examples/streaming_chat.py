"""A chat whose answer reaches the caller of the tool word by word, while a model writes it.

    OPENAI_API_KEY=… uvicorn examples.streaming_chat:app

`OPENAI_BASE_URL` and `OPENAI_MODEL` name any other server with the same API, such as an Ollama.
"""

import os
from collections.abc import AsyncIterator

import httpx2
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from mcp_mount import mount_mcp

app = FastAPI(title="Chat")


def model_client() -> httpx2.AsyncClient:
    """Return a client of the model's server."""
    return httpx2.AsyncClient(
        base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        headers={"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"},
        timeout=httpx2.Timeout(10, read=60),
    )


# A model may ask it without asking its user: it changes nothing.
@app.post("/chat", openapi_extra={"x-mcp": {"annotations": {"readOnlyHint": True}}})
async def chat(prompt: str) -> StreamingResponse:
    """Answer a question."""
    client = model_client()
    question = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-5.4-mini"),
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
    }
    request = client.build_request("POST", "chat/completions", json=question)
    try:
        answer = await client.send(request, stream=True)
    except httpx2.RequestError:
        await client.aclose()
        raise HTTPException(502, "The model cannot be reached.") from None
    if answer.is_error:
        await client.aclose()
        raise HTTPException(502, f"The model answered {answer.status_code}.")

    async def pass_on() -> AsyncIterator[bytes]:
        # A caller who goes ends this, and with it the model's work.
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        finally:
            await client.aclose()

    # The events as they come: over MCP, their text is what the caller sees.
    return StreamingResponse(pass_on(), media_type="text/event-stream")


mount_mcp(app)
