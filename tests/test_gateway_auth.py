"""What authenticates us to another server, and what becomes of calls where it cannot."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx2
import pytest

from mcp_mount import Remote
from tests.others import gateway, raw, text, tool
from tests.support import Reply, call


class NoToken(httpx2.Auth):
    """Has no token for one of the calls."""

    requires_request_body = True

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request, or raise."""
        if b'"second"' in request.content:
            raise OSError("The issuer is down.")
        yield request


@pytest.mark.parametrize("modern", [True, False])
async def test_a_call_without_a_token_ends_no_other_in_its_session(*, modern: bool) -> None:
    """Gateway: what `auth=` raises is told to whoever calls; it ended all calls of a server."""
    asked = anyio.Event()
    loop, goes_on = asyncio.get_running_loop(), threading.Event()

    async def answer(params: dict[str, Any]) -> dict[str, Any]:
        loop.call_soon_threadsafe(asked.set)
        await anyio.to_thread.run_sync(goes_on.wait)
        return text(params["name"])

    tools = [tool("first"), tool("second")]
    with raw(tools, modern=modern, call=answer) as (_, url):
        remote = Remote("raw", url=url, auth=NoToken(), session="shared")
        replies: list[Reply] = []
        async with gateway(remote) as app:

            async def first() -> None:
                replies.append(await call(app, "raw_first"))

            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(first)
                    await asked.wait()
                    refused = await call(app, "raw_second")
                    goes_on.set()
    assert "cannot be reached" in refused.text_content
    assert [each.text_content for each in replies] == ["first"]
