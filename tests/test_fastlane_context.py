"""What the app sets in its context variables during a call stays with the call."""

from contextvars import ContextVar

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call

path: ContextVar[str] = ContextVar("path", default="none")


class Names:
    """Middleware that notes the path of its request in a context variable, and reads it again."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path.set(scope["path"])

        async def reading(message: Message) -> None:
            self.seen.append(f"{scope['path']} sends as {path.get()}")
            await send(message)

        await self.app(scope, receive, reading)
        self.seen.append(f"{scope['path']} ends as {path.get()}")


@pytest.mark.parametrize("token", [None, "t"])
@pytest.mark.parametrize("era", ERAS)
async def test_the_requests_own_middleware_sees_its_own_context(
    era: Era, token: str | None
) -> None:
    """C1: the request id of an access log is that of its request, not of the call inside it."""
    app = FastAPI()
    seen: list[str] = []
    app.add_middleware(Names, seen=seen)

    @app.get("/quick")
    async def quick() -> str:
        return path.get()

    mount_mcp(app)
    reply = await call(app, "quick", era=era, token=token)
    assert reply.result["structuredContent"] == {"result": "/quick"}
    assert {entry for entry in seen if entry.startswith("/mcp")} == {
        "/mcp sends as /mcp",
        "/mcp ends as /mcp",
    }
