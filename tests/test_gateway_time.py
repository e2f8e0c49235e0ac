"""How long a call of another server may take, and what ends it."""

from typing import Any

import anyio
import pytest
from anyio import to_thread
from fastmcp import Context, FastMCP

from mcp_mount import Limits, Remote, gateway_app
from mcp_mount.remotes import outgoing
from mcp_mount.shutdown import shutdown
from tests.others import gateway, heard, offered, raw, tool
from tests.starting import started
from tests.support import ERAS, Era, call, tools

eras = pytest.mark.parametrize("era", ERAS)


async def never(params: dict[str, Any]) -> dict[str, Any]:
    await anyio.sleep_forever()
    return {}


def busy_server() -> FastMCP[Any]:
    """Return a server that says what it does, and never comes to an end."""
    server: FastMCP[Any] = FastMCP("busy")

    @server.tool
    async def work(context: Context, steps: int) -> str:
        for step in range(steps):
            await context.report_progress(step + 1)
            await anyio.sleep(0.25)
        return "done"

    return server


@eras
async def test_progress_gives_a_call_more_time(era: Era) -> None:
    """Gateway, C6: `Limits.timeout` is the silence that is borne, of a caller who sees progress."""
    with offered(busy_server()) as url:
        async with gateway(Remote("busy", url=url), limits=Limits(timeout=2.0)) as app:
            done = await call(app, "busy_work", {"steps": 12}, era=era, token="p")
            assert done.text_content == "done"


async def test_no_progress_gives_a_call_time_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway, C6: ten times the limit at the most."""
    monkeypatch.setattr(outgoing, "MAX_STRETCH", 1)
    with offered(busy_server()) as url:
        async with gateway(Remote("busy", url=url), limits=Limits(timeout=1.0)) as app:
            late = await call(app, "busy_work", {"steps": 1_000}, token="p")
    assert late.is_error
    assert "has not answered within 1 seconds" in late.text_content


@eras
async def test_calls_that_run_at_the_shutdown_end_and_say_so(era: Era) -> None:
    """Gateway: as calls into the app do."""
    with raw([tool()], call=never) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            ended: list[str] = []

            async def calls() -> None:
                ended.append((await call(app, "raw_tool", era=era)).text_content)

            async with anyio.create_task_group() as callers:
                callers.start_soon(calls)
                await to_thread.run_sync(server.called.wait, 5)
                shutdown.get().begin()
    assert ended[0].startswith("The call was ended before it was answered, because the gateway is")


async def test_a_tool_that_runs_as_a_task_only_is_left_out() -> None:
    """Gateway: it could not be called; the log says so."""
    listing = [tool("late", execution={"taskSupport": "required"}), tool("soon")]
    with raw(listing, modern=False) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            await log.line("its tool 'late' runs as a task only, and is left out")
            await log.line("'raw' is up")
            assert {*await tools(app)} == {"raw_soon"}
