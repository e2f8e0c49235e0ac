"""An app in four processes, under each server and behind nginx, without sticky routing."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp.shared.exceptions import MCPError

from tests.servers.gate import Gate, gate
from tests.servers.running import SERVERS, behind_nginx, needs, workers
from tests.support import ERAS, MODERN, Era, envelope, read_messages

pytestmark = pytest.mark.faults
PLACES = [pytest.param(each, marks=needs(each)) for each in (*SERVERS, "nginx")]
# Hypercorn 0.18 ends its workers at once when it is told to stop, and also when one of them dies.
SURVIVING = [each for each in PLACES if each.values != ("hypercorn",)]
STREAMS = 200
MOST_CALLS = 3_000
SSE = "text/event-stream"


@asynccontextmanager
async def served(place: str, held: Gate, folder: Path) -> AsyncIterator[str]:
    if place == "nginx":
        async with behind_nginx(held, folder) as url:
            yield url
    else:
        async with workers(place, held) as (url, _):
            yield url


def client(url: str, era: Era) -> Client[Any]:
    """Return FastMCP's client, with a connection for each request: any process may get it."""
    # Some servers say that the app has started a moment before they listen.
    limits = httpx2.Limits(max_keepalive_connections=0)
    wire = httpx2.AsyncHTTPTransport(retries=5, limits=limits)

    def factory(*args: Any, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(*args, **{**options, "transport": wire})

    transport = StreamableHttpTransport(f"{url}/mcp", httpx_client_factory=factory)
    return Client(transport, mode=MODERN if era == "modern" else "legacy")


@dataclass
class Streams:
    """Calls of ``relay`` over one HTTP client, by the process that each of them is in."""

    http: httpx2.AsyncClient
    begun: Counter[int] = field(default_factory=Counter)
    whole: Counter[int] = field(default_factory=Counter)
    broken: Counter[int] = field(default_factory=Counter)
    all_begun: anyio.Event = field(default_factory=anyio.Event)

    async def call(self, era: Era) -> None:
        headers, body = envelope(era, "tools/call", {"name": "relay", "arguments": {}}, token="p")
        async with self.http.stream("POST", "/mcp", headers=headers, json=body) as response:
            lines = response.aiter_lines()
            process = int(await said(lines))
            self.begun[process] += 1
            if self.begun.total() == STREAMS:
                self.all_begun.set()
            try:
                rest = [message async for line in lines for message in read_messages(SSE, line)]
            except httpx2.RemoteProtocolError:
                rest = []
            # nginx asks with HTTP/1.0, in which a connection that is closed ends any body.
            if not rest:
                self.broken[process] += 1
                return
            assert rest[-1]["result"]["content"][0]["text"] == str(process)
            self.whole[process] += 1


async def said(lines: AsyncIterator[str]) -> str:
    """Return what the next notification of progress says."""
    async for line in lines:
        if line.startswith("data:") and "notifications/progress" in line:
            (message,) = read_messages(SSE, line)
            text: str = message["params"]["message"]
            return text
    raise AssertionError("The stream ended before it began.")


@pytest.mark.parametrize("place", PLACES)
async def test_every_process_answers_clients_of_both_eras(place: str, tmp_path: Path) -> None:
    """The endpoint keeps no state between requests, so that any process can answer any of them."""
    async with gate() as held, served(place, held, tmp_path) as url:
        for era in ERAS:
            async with client(url, era) as mcp:
                assert len(await mcp.list_tools()) == 3
                answered: set[int] = set()
                # Which process takes a connection is the system's choice.
                for _ in range(MOST_CALLS):
                    answered.add(int((await mcp.call_tool("process")).content[0].text))
                    if answered == set(held.started):
                        break
            assert answered == set(held.started)


@pytest.mark.parametrize("place", SURVIVING)
async def test_a_process_that_is_killed_ends_its_own_calls_and_no_others(
    place: str, tmp_path: Path
) -> None:
    limits = httpx2.Limits(max_connections=None)
    async with gate() as held, served(place, held, tmp_path) as url:
        async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as http:
            streams = Streams(http)
            async with anyio.create_task_group() as tasks:
                for number in range(STREAMS):
                    tasks.start_soon(streams.call, ERAS[number % 2])
                await held.wait_for(held=STREAMS)
                for process, stream in held.held:
                    await stream.send(str(process).encode())
                await streams.all_begun.wait()
                killed, _ = held.held[0]
                os.kill(killed, signal.SIGKILL)
                await held.release()
            lost = streams.begun.pop(killed)
            assert streams.broken == {killed: lost}
            assert streams.whole == streams.begun
        async with client(url, "modern") as mcp:
            answers = [await mcp.call_tool("process") for _ in range(20)]
        assert str(killed) not in {each.content[0].text for each in answers}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("place", "tool", "expected"),
    [
        ("uvicorn", "silent", "Server disconnected without sending a response."),
        ("uvicorn", "relay", "SSE stream ended without a response"),
        pytest.param("nginx", "silent", "Server returned an error response", marks=needs("nginx")),
        pytest.param("nginx", "relay", "SSE stream ended without a response", marks=needs("nginx")),
    ],
)
async def test_a_client_is_told_at_once_that_its_process_has_gone(
    place: str, tool: str, expected: str, era: Era, tmp_path: Path
) -> None:
    """It neither waits nor takes what had arrived for the whole."""
    begun = anyio.Event()

    async def on_progress(*_: object) -> None:
        begun.set()

    async def one() -> None:
        async with client(url, era) as mcp:
            await mcp.call_tool(tool, progress_handler=on_progress)

    async def kill() -> None:
        await held.wait_for(held=1)
        if tool == "relay":
            await held.send("begun")
            await begun.wait()
        os.kill(held.held[0][0], signal.SIGKILL)

    told = pytest.RaisesExc((MCPError, httpx2.RemoteProtocolError), match=expected)
    async with gate() as held, served(place, held, tmp_path) as url:
        with anyio.fail_after(20), pytest.RaisesGroup(told):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one)
                tasks.start_soon(kill)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("server", [each for each in SURVIVING if each.values != ("nginx",)])
async def test_calls_are_told_that_their_server_is_shutting_down(server: str, era: Era) -> None:
    """R3: those in every process, and the server then ends by itself."""
    begun, ended = Counter[int](), list[str]()
    all_begun = anyio.Event()

    async def one(number: int) -> None:
        async def on_progress(*_: object) -> None:
            begun[number] += 1
            if len(begun) == 8:
                all_begun.set()

        async with client(url, era) as mcp:
            result = await mcp.call_tool(
                "relay", progress_handler=on_progress, raise_on_error=False
            )
            ended.append(result.content[-1].text)

    async with gate() as held, workers(server, held) as (url, program):
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(one, number)
                await held.wait_for(held=8)
                await held.send("begun")
                await all_begun.wait()
                program.terminate()
            assert await anyio.to_thread.run_sync(program.wait) in {0, -signal.SIGTERM}
    note = "[The response ends here, because the server is shutting down. There may be more.]"
    assert ended == [note] * 8


@needs("nginx")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("listen", "options"),
    [
        ("", ""),
        ("", "gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; gzip_http_version 1.0;"),
        ("http2", ""),
        ("http2", "gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;"),
    ],
    ids=["default", "gzip", "http2", "http2-gzip"],
)
async def test_nginx_passes_each_event_on_as_it_comes(
    listen: str, options: str, era: Era, tmp_path: Path
) -> None:
    """Whole events, with nothing set for them: each is read before the next one is sent."""
    if listen:
        pytest.importorskip("h2", reason="HTTP/2 needs h2: `make servers` installs it")
    headers, body = envelope(era, "tools/call", {"name": "relay", "arguments": {}}, token="p")
    async with (
        gate() as held,
        behind_nginx(held, tmp_path, listen=listen, options=options) as url,
        httpx2.AsyncClient(base_url=url, http1=not listen, http2=bool(listen)) as http,
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(20):
            tasks.start_soon(_send_first, held)
            async with http.stream("POST", "/mcp", headers=headers, json=body) as response:
                assert response.http_version == ("HTTP/2" if listen else "HTTP/1.1")
                assert (response.headers.get("content-encoding") == "gzip") is bool(options)
                lines = response.aiter_lines()
                assert await said(lines) == "0"
                for number in range(1, 20):
                    await held.send(str(number))
                    assert await said(lines) == str(number)


async def _send_first(held: Gate) -> None:
    await held.wait_for(held=1)
    await held.send("0")
