"""The lives of other servers: down, slow, hanging, dying and coming back."""

import asyncio
import os
import select
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from mcp_mount import Limits, Remote, gateway_app, mount_mcp
from tests.others import (
    free_port,
    gateway,
    heard,
    offered,
    parts_server,
    program,
    raw,
    silent_port,
    text,
    tool,
)
from tests.starting import started
from tests.support import ERAS, Era, call, http, served, tools

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)

# A server that tells its process, and that of a child which would outlive it.
FAMILY = """
import os, subprocess, sys
from fastmcp import FastMCP
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
server = FastMCP("family")
@server.tool
def processes() -> list[int]:
    return [os.getpid(), child.pid]
@server.tool
def die() -> str:
    os._exit(3)
server.run(show_banner=False, log_level="ERROR")
"""


async def health(app: Any) -> dict[str, Any]:
    async with http(app) as client:
        response = await client.get("/health")
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


@eras
async def test_a_server_that_is_down_hides_only_its_own_tools(era: Era) -> None:
    """Gateway: the others answer; `/health` and the log tell which one does not, and why."""
    with offered(parts_server()) as url, heard() as log:
        gone = Remote("gone", url=f"http://user:secret@127.0.0.1:{free_port()}/mcp")
        async with started(gateway_app([gone, Remote("parts", url=url)])) as app:
            assert {name.partition("_")[0] for name in await tools(app, era=era)} == {"parts"}
            await log.line("'gone' is down: unreachable")
            answer = await health(app)
            assert answer["status"] == "degraded"
            assert answer["remotes"]["gone"]["status"] == "down"
            assert answer["remotes"]["gone"]["error"] == "unreachable"
            assert answer["remotes"]["parts"]["status"] == "up"
            missing = await call(app, "gone_anything", era=era)
            assert missing.answer["error"]["code"] == -32602
    assert "secret" not in "".join(log.lines)
    assert "secret" not in str(answer)


async def test_a_server_that_comes_back_at_its_port_is_offered_again() -> None:
    """Gateway: it is tried again, with back-off, until it answers."""
    port = free_port()
    remote = Remote("raw", url=f"http://127.0.0.1:{port}/mcp")
    with heard() as log:
        async with started(gateway_app([remote])) as app:
            await log.line("'raw' is down: unreachable")
            assert await tools(app) == {}
            with raw([tool()], port=port, call=text("here")):
                await log.line("'raw' is up: tools: 1")
                assert {*await tools(app)} == {"raw_tool"}
                assert (await call(app, "raw_tool")).text_content == "here"
            # Its port is closed again; the first call notices.
            lost = await call(app, "raw_tool")
            assert lost.is_error
            assert lost.text_content.startswith("The server 'raw' cannot be reached now.")
            await log.line("'raw' is down: unreachable", times=2)
            assert await tools(app) == {}
            with raw([tool("another")], port=port):
                await log.line("'raw' is up: tools: 1", times=2)
                assert {*await tools(app)} == {"raw_another"}


async def test_a_server_that_never_answers_delays_a_list_once() -> None:
    """Gateway: a list waits two seconds for it after the start, and never again."""
    with silent_port() as port, offered(parts_server()) as url:
        silent = Remote("silent", url=f"http://127.0.0.1:{port}/mcp", timeout=60)
        async with started(gateway_app([silent, Remote("parts", url=url)])) as app:
            with anyio.fail_after(30):
                assert "parts_find" in await tools(app)
            begun = anyio.current_time()
            for _ in range(5):
                assert "parts_find" in await tools(app)
            assert anyio.current_time() - begun < 2, "a list has waited again"
            assert (await health(app))["remotes"]["silent"]["status"] == "starting"


@eras
async def test_without_a_lifespan_a_silent_server_delays_a_list_no_longer(era: Era) -> None:
    """Gateway, M3: the same bound where each request asks by itself."""
    with silent_port() as port, offered(parts_server()) as url:
        remotes = [Remote("silent", url=f"http://127.0.0.1:{port}/mcp"), Remote("parts", url=url)]
        app = gateway_app(remotes)
        with anyio.fail_after(30):
            assert "parts_find" in await tools(app, era=era)


async def test_a_server_that_is_too_slow_to_tell_what_it_offers_is_down() -> None:
    """Gateway: `Remote(timeout=…)` bounds the question, and the log says so."""

    async def never(params: dict[str, Any]) -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    with raw([], list=never) as (_, url), heard() as log:
        async with started(gateway_app([Remote("slow", url=url, timeout=0.3)])):
            await log.line("'slow' is down: timeout")


@pytest.mark.parametrize(
    ("status", "why"), [(401, "not authorized"), (503, "HTTP 503"), (200, "no MCP server")]
)
async def test_why_a_server_is_down_is_told_in_a_word(status: int, why: str) -> None:
    """Gateway: a category, never the server's own text."""
    refusal = Response("secret text", status, media_type="text/html")
    with raw([], discover=refusal, initialize=refusal) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            await log.line(f"'raw' is down: {why}")
            assert (await health(app))["remotes"]["raw"]["error"] == why
    assert "secret text" not in "".join(log.lines)


async def test_a_call_that_takes_too_long_ends_with_a_clear_result() -> None:
    """Gateway, C6: `Limits.timeout` bounds the calls of other servers too."""

    async def never(params: dict[str, Any]) -> dict[str, Any]:
        await anyio.sleep_forever()
        return {}

    with raw([tool()], call=never) as (_, url):
        async with gateway(Remote("raw", url=url), limits=Limits(timeout=0.3)) as app:
            with anyio.fail_after(30):
                late = await call(app, "raw_tool")
    assert late.is_error
    assert late.text_content == "The server 'raw' has not answered within 0.3 seconds."


async def test_a_server_that_hangs_up_in_the_middle_of_a_call_is_told_of() -> None:
    """Gateway: what our client says of it stays with us."""
    with raw([tool()], call=lambda _: Response(b"{", headers={"content-length": "99"})) as (_, url):
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            broken = await call(app, "raw_tool")
    assert broken.is_error
    assert broken.text_content == (
        "The server 'raw' cannot be reached now. Try again in a few seconds."
    )


async def test_a_program_that_dies_is_started_again() -> None:
    """Gateway: its death is noticed at once; the call that it took with it ends."""
    with heard() as log:
        async with started(gateway_app([program("family", FAMILY)])) as app:
            await log.line("'family' is up")
            before = (await call(app, "family_processes")).result["structuredContent"]["result"]
            with anyio.fail_after(30):
                died = await call(app, "family_die")
            assert died.is_error
            assert died.text_content.startswith("The server 'family' cannot be reached now.")
            await log.line("'family' is up", times=2)
            after = (await call(app, "family_processes")).result["structuredContent"]["result"]
            assert not {*before} & {*after}
            # Nobody calls it: it is noticed all the same.
            os.kill(after[0], signal.SIGKILL)
            await log.line("'family' is down: ended", times=2)
            await log.line("'family' is up", times=3)
            last = (await call(app, "family_processes")).result["structuredContent"]["result"]
    for pid in (*before, *after, *last):
        await has_ended(pid)


async def has_ended(pid: int) -> None:
    """Wait for the end of a process."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(30):
            await anyio.wait_readable(process)
    finally:
        os.close(process)


def test_a_program_ends_with_an_event_loop_that_is_stopped_in_the_middle(tmp_path: Path) -> None:
    """Gateway: who does not wait for its end, such as a person who is impatient, leaves none."""
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('process', os.getpid(), file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
        f"open({str(tmp_path / 'told')!r}, 'w').write('my input has ended')\n"
        "time.sleep(600)\n"
    )

    async def runs() -> None:
        async with started(gateway_app([program("stubborn", code)])):
            await anyio.sleep_forever()

    async def main() -> int:
        with heard() as log:
            task = asyncio.create_task(runs())
            line = await log.line("process")
            process = os.pidfd_open(int(line.rpartition(" ")[2]))
            task.cancel()
            await anyio.wait_readable(told)
            # What is left is cancelled when this returns.
            return process

    os.mkfifo(tmp_path / "told")
    told = os.open(tmp_path / "told", os.O_RDONLY | os.O_NONBLOCK)
    process = asyncio.run(main())
    os.close(told)
    ended, _, _ = select.select([process], [], [], 5)
    if not ended:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)
    assert ended, "the program still runs"


async def test_a_program_that_is_busy_is_left_to_its_work() -> None:
    """Gateway: it hides its tools while it cannot say what they are, and its calls go on."""
    code = (
        "import time\n"
        "from fastmcp import FastMCP\n"
        "server = FastMCP('busy')\n"
        "@server.tool(run_in_thread=False)\n"
        "def work() -> str:\n"
        "    time.sleep(2.5)\n"
        "    return 'done'\n"
        "server.run(show_banner=False, log_level='ERROR')\n"
    )
    remote = program("busy", code, timeout=1, refresh=0.1)
    with heard() as log:
        async with started(gateway_app([remote])) as app:
            await log.line("'busy' is up")
            log.lines.clear()
            assert (await call(app, "busy_work")).text_content == "done"
            assert "'busy' is down: timeout" in "".join(log.lines)
            await log.line("'busy' is up")


@pytest.mark.parametrize(
    ("command", "cwd", "why"),
    [
        ("/nonexistent/server", None, "no such program, or cwd"),
        ("cat", "/nonexistent", "no such program, or cwd"),
        ("/etc/passwd", None, "not allowed"),
        ("cat", "/etc/hostname", "cwd is no folder"),
    ],
)
async def test_a_program_that_cannot_be_started_is_down(
    command: str, cwd: str | None, why: str
) -> None:
    """Gateway: the log and `/health` say which, and why."""
    with heard() as log:
        async with started(gateway_app([Remote("none", command=command, cwd=cwd)])) as app:
            await log.line(f"'none' is down: cannot be started: {why}")
            assert await tools(app) == {}
            error = (await health(app))["remotes"]["none"]["error"]
            assert error == f"cannot be started: {why}"


async def test_what_a_program_writes_to_its_standard_error_is_in_the_log_and_bounded() -> None:
    """Gateway: line by line, cut, without control characters, and not without end."""
    code = (
        "import sys\n"
        "sys.stderr.write('\\x1b[31mred\\n' + 'x' * 5000 + '\\n' + 'line\\n' * 3000)\n"
        "sys.stderr.flush()\n"
        "from mcp_mount.example import server\n"
        "server.run(show_banner=False, log_level='ERROR')\n"
    )
    with heard() as log:
        async with started(gateway_app([program("loud", code)])):
            await log.line("'loud' is up")
    assert "loud:  [31mred" in log.lines or "loud: [31mred" in log.lines
    assert max(len(line) for line in log.lines) < 600
    assert len(log.lines) < 1_100


async def test_a_list_that_changes_is_offered_after_a_call_says_so() -> None:
    """Gateway: a tool that the server no longer has makes us ask again."""
    listed = {"tools": [tool("old")]}
    missing = {"code": -32602, "message": "Unknown tool: old"}
    with raw([], list=lambda _: listed, call=missing) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            await log.line("'raw' is up")
            assert {*await tools(app)} == {"raw_old"}
            listed["tools"] = [tool("new")]
            refused = await call(app, "raw_old")
            assert refused.answer["error"] == missing
            await log.line("'raw' offers something else: tools: 1")
            assert {*await tools(app)} == {"raw_new"}


async def test_a_server_that_is_asked_again_stays_up_and_its_changes_are_seen() -> None:
    """Gateway: `Remote(refresh=…)`."""
    listed = {"tools": [tool("old")]}
    with raw([], list=lambda _: listed) as (server, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url, refresh=0.1)])) as app:
            await log.line("'raw' is up")
            listed["tools"] = [tool("new")]
            await log.line("'raw' offers something else")
            listed["tools"] = [tool("newer")]
            await log.line("'raw' offers something else", times=2)
            assert {*await tools(app)} == {"raw_newer"}
    assert server.methods.count("tools/list") >= 3
    assert not any("is down" in line for line in log.lines)


async def test_many_lists_at_once_ask_a_server_once() -> None:
    """Gateway: single flight; what is known is served to everyone."""
    with raw([tool()]) as (server, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            async with anyio.create_task_group() as callers:
                for _ in range(20):
                    callers.start_soon(tools, app)
            await log.line("'raw' is up")
            assert server.methods.count("tools/list") == 1


async def test_an_app_starts_while_its_remotes_do_not() -> None:
    """Gateway: nothing waits for them at the start."""
    app = FastAPI()
    with silent_port() as port:
        mount_mcp(app, remotes=[Remote("silent", url=f"http://127.0.0.1:{port}/mcp")])
        with anyio.fail_after(1.5):
            async with started(app):
                pass


async def test_the_app_can_be_started_twice() -> None:
    """Gateway, M2: programs are ended and started with it."""
    app = gateway_app([program("example")])
    for _ in range(2):
        with heard() as log:
            async with started(app) as serving:
                await log.line("'example' is up")
                assert (await call(serving, "example_hello_world")).text_content.startswith("Hello")


async def test_two_event_loops_share_no_program() -> None:
    """Gateway: an app that runs in a server's thread answers in the test's own loop as well."""
    app = gateway_app([program("example", timeout=10)])
    with served(app) as url, heard() as log:
        async with started(app) as here:
            await log.line("'example' is up")
            assert (await call(here, "example_hello_world")).text_content.startswith("Hello")
            async with http(app, url) as client:
                assert (await client.get("/health")).json()["status"] == "ok"
