"""Apps with long work, and a client that speaks the tasks extension by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp

from tests.starting import started
from tests.support import Reply, call, rpc

pytest.importorskip("fastmcp_tasks", reason="the extra mcp-mount[tasks] is not installed")

EXTENSION = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META: dict[str, Any] = {CAPABILITIES: {"extensions": {EXTENSION: {}}}}
MARK = {"x-mcp": {"task": True}}
KEY = "a key for the tests, of 32 characters"


async def start(
    app: ASGIApp, tool: str, arguments: Mapping[str, Any] | None = None, **options: Any
) -> str:
    """Start a task; return its id."""
    reply = await call(app, tool, arguments, meta=META, **options)
    assert reply.result["resultType"] == "task", reply.text
    assert reply.result["status"] == "working"
    task_id: str = reply.result["taskId"]
    return task_id


async def ask(app: ASGIApp, task_id: str, verb: str = "get", **options: Any) -> Reply:
    """Send ``tasks/get``, or what else there is of a task."""
    params = {"taskId": task_id, "_meta": META}
    if verb == "update":
        params["inputResponses"] = {}
    return await rpc(app, "modern", f"tasks/{verb}", params, **options)


async def ended(app: ASGIApp, task_id: str, seconds: float = 60, **options: Any) -> dict[str, Any]:
    """Return a task once it has ended."""
    reply = await until(
        app, task_id, lambda reply: reply.result["status"] != "working", seconds, **options
    )
    return reply.result


async def until(
    app: ASGIApp, task_id: str, is_met: Callable[[Reply], bool], seconds: float = 60, **options: Any
) -> Reply:
    """Ask for a task until something is so: nobody tells a client by itself."""
    with anyio.fail_after(seconds):
        while not is_met(reply := await ask(app, task_id, **options)):  # noqa: ASYNC110
            await anyio.sleep(0.02)  # As a client does.
    return reply


def is_unknown(reply: Reply) -> bool:
    """Whether the answer is that there is no such task, and no word more."""
    error: dict[str, Any] = reply.answer.get("error", {})
    return error.get("code") == -32602 and "Unknown task: " in error["message"]


async def check_room(desk: ASGIApp) -> None:
    """Fill the five places of an app whose tasks work until they are cancelled; see whose go."""

    def key(number: int) -> dict[str, str]:
        return {"x-api-key": f"made up {number}"}

    async with started(desk) as app:

        async def begin(caller: int) -> str:
            return await start(app, "report", {"title": "May"}, headers=key(caller))

        async def cancelled(caller: int) -> str:
            task = await begin(caller)
            await ask(app, task, "cancel", headers=key(caller))
            return task

        async def status(caller: int, task: str) -> str:
            reply = await ask(app, task, headers=key(caller))
            return "unknown" if is_unknown(reply) else reply.result["status"]

        async def is_refused(caller: int) -> bool:
            reply = await call(app, "report", {"title": "no"}, meta=META, headers=key(caller))
            return "There are too many tasks" in reply.text_content

        works, honest = await begin(1), await cancelled(2)
        done = [await cancelled(1) for _ in range(3)]
        # Who has none takes the place of the oldest of whoever has most.
        other = await begin(3)
        assert await status(1, done[0]) == "unknown"
        # Who has most takes those of his own, and then of nobody who has fewer.
        for taken in done[1:]:
            await begin(1)
            assert await status(1, taken) == "unknown"
        assert await is_refused(1)
        assert await status(2, honest) == "cancelled"
        await begin(3)
        assert await status(2, honest) == "unknown"
        # What works is never thrown away.
        assert await is_refused(4)
        assert [await status(1, works), await status(3, other)] == ["working", "working"]
