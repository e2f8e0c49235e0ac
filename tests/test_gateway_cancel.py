"""When the caller of a gateway goes, the other server is told."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from mcp_mount import Remote
from tests.lanes import Visit
from tests.leaving import calling
from tests.others import gateway, heard, program, raw, tool
from tests.support import LEGACY, call, envelope, http, rpc

# Tells its standard error, and so our log, when a call begins and when it is cancelled.
WAITING = """
import sys, anyio
from fastmcp import FastMCP
server = FastMCP("waiting")
@server.tool
async def wait() -> str:
    print("it waits", file=sys.stderr, flush=True)
    try:
        await anyio.sleep(60)
    except BaseException:
        print("it is cancelled", file=sys.stderr, flush=True)
        raise
    return "never"
@server.tool
def quick() -> str:
    return "quick"
server.run(show_banner=False, log_level="ERROR")
"""
HANDSHAKE = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "client", "version": "1"},
}


async def never(params: dict[str, Any]) -> dict[str, Any]:
    await anyio.sleep_forever()
    return {}


async def test_a_modern_caller_who_goes_ends_the_call_of_a_program_and_no_other() -> None:
    """Gateway, C7: the program gets ``notifications/cancelled`` for this call alone."""
    with heard() as log:
        async with gateway(program("waiting", WAITING)) as app, anyio.create_task_group() as tasks:
            visits = [Visit("modern", "waiting_wait") for _ in range(2)]
            for visit in visits:
                tasks.start_soon(visit.run, app)
            await log.line("it waits", times=2)
            visits[0].gone.set()
            await log.line("it is cancelled")
            assert (await call(app, "waiting_quick")).text_content == "quick"
            assert sum("it is cancelled" in line for line in log.lines) == 1
            visits[1].gone.set()
            await log.line("it is cancelled", times=2)


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
async def test_a_modern_caller_who_goes_ends_the_call_of_a_server(modern: bool) -> None:  # noqa: FBT001
    """Gateway, C7: its stream is closed, or ``notifications/cancelled`` sent, as its era has it."""
    with raw([tool()], modern=modern, call=never) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            async with anyio.create_task_group() as tasks:
                visit = Visit("modern", "raw_tool")
                tasks.start_soon(visit.run, app)
                await to_thread.run_sync(server.called.wait, 5)
                visit.gone.set()
            with anyio.fail_after(30):
                assert await to_thread.run_sync(server.left.wait, 5)
    assert server.methods.count("notifications/cancelled") == (0 if modern else 1)


async def test_a_legacy_caller_with_a_session_cancels_by_notification() -> None:
    """Gateway, C7: ``notifications/cancelled`` of our caller reaches the other server."""
    with raw([tool()], call=never) as (server, url):
        async with (
            gateway(Remote("raw", url=url), sessions=True) as app,
            anyio.create_task_group() as tasks,
        ):
            opened = await rpc(app, "legacy", "initialize", HANDSHAKE)
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}

            async def calls() -> None:
                await call(app, "raw_tool", era="legacy", headers=session)

            tasks.start_soon(calls)
            assert await to_thread.run_sync(server.called.wait, 5)
            cancel = {"requestId": 1, "reason": "no more"}
            headers, body = envelope("legacy", "notifications/cancelled", cancel)
            del body["id"]
            async with http(app) as client:
                accepted = await client.post("/mcp", headers=headers | session, json=body)
            assert accepted.status_code == 202
            assert await to_thread.run_sync(server.left.wait, 5)
            tasks.cancel_scope.cancel()


async def test_a_caller_who_leaves_between_two_pieces_of_progress_ends_the_call() -> None:
    """Gateway, C7: as with a stream of our own."""
    async with gateway(program("example")) as app:
        async with calling(app, "modern", "example_count_slowly"):
            pass
        assert (await call(app, "example_hello_world")).text_content.startswith("Hello")


async def test_who_leaves_waits_for_none_of_the_calls_that_wait_in_the_session() -> None:
    """Gateway, C7: all callers of a modern server share one session, which sends one by one."""
    with raw([tool()], call=never) as (server, url):
        async with gateway(Remote("raw", url=url)) as app, anyio.create_task_group() as tasks:
            visit = Visit("modern", "raw_tool")
            tasks.start_soon(visit.run, app)
            assert await to_thread.run_sync(server.called.wait, 5)
            for _ in range(300):
                tasks.start_soon(Visit("modern", "raw_tool").run, app)
            with anyio.fail_after(60):
                while server.methods.count("tools/call") < 5:
                    await anyio.lowlevel.checkpoint()
                visit.gone.set()
                while not server.left.is_set():
                    await anyio.lowlevel.checkpoint()
            sent = server.methods.count("tools/call")
            tasks.cancel_scope.cancel()
    assert sent < 150
