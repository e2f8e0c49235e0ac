"""What clients hear of servers that come late, restart, or offer something else."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from fastapi import Depends, Header, HTTPException
from fastmcp import Client
from fastmcp.utilities.asgi_transport import StreamingASGITransport
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ToolsListChanged, listen
from starlette.types import ASGIApp

from mcp_mount import RateLimit, Remote, gateway_app
from mcp_mount.remotes import standing
from mcp_mount.shutdown import shutdown
from tests.access import static
from tests.others import Heard, free_port, heard, raw, tool
from tests.starting import started
from tests.support import BASE_URL, ERAS, MODERN, Era, call, connected, envelope, rpc, tools

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server that is down asked twice a second, however long that lasts."""
    monkeypatch.setattr(standing, "_MAX_FAILURES", 0)
    monkeypatch.setattr(standing, "_FAILURES_AFTER_SUCCESS", 0)


theirs = pytest.mark.parametrize("theirs", ERAS)


@contextmanager
def changing(port: int, era: Era, *names: str) -> Iterator[None]:
    """Run a server in a process of its own."""
    arguments = [sys.executable, "-m", "tests.changing", str(port), era, *names]
    with subprocess.Popen(arguments) as process:
        try:
            yield
        finally:
            process.kill()


class Told:
    """Waits for what a client is told. A class because it counts."""

    def __init__(self) -> None:
        self._times = anyio.Semaphore(0)

    async def hear(self, message: object) -> None:
        if "ToolListChanged" in type(message).__name__:
            self.add()

    def add(self) -> None:
        self._times.release()

    async def wait(self) -> None:
        with anyio.fail_after(20):
            await self._times.acquire()


@asynccontextmanager
async def listening(app: ASGIApp, era: Era) -> AsyncIterator[Told]:
    """Connect a client that is told of changes, with the way of its era."""
    told = Told()
    if era == "legacy":
        async with connected(app, era, message_handler=told.hear) as client:
            await client.list_tools()
            yield told
        return
    transport = StreamingASGITransport(app, cancel_on_close=True)
    async with (
        httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as http,
        streamable_http_client(f"{BASE_URL}/mcp", http_client=http) as (read, write),
        ClientSession(read, write) as session,
        anyio.create_task_group() as tasks,
    ):
        await session.discover()
        said = session.server_capabilities
        assert said is not None
        assert said.tools is not None
        assert said.tools.list_changed

        async def follow(*, task_status: Any) -> None:
            async with listen(session, tools_list_changed=True) as changes:
                task_status.started()
                async for each in changes:
                    assert each == ToolsListChanged()
                    told.add()

        await tasks.start(follow)
        yield told
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def gateway_to(port: int, *, sessions: bool = True) -> AsyncIterator[tuple[ASGIApp, Heard]]:
    """Start a gateway that asks a server once in ten minutes."""
    remote = Remote("far", url=f"http://127.0.0.1:{port}/mcp", refresh=600)
    with heard() as log:
        async with started(gateway_app([remote], sessions=sessions)) as app:
            yield app, log


@eras
@theirs
async def test_clients_hear_of_a_server_that_comes_late_and_restarts(era: Era, theirs: Era) -> None:
    """Gateway: nobody asks a server that says nothing; its end is seen, and its new list."""
    port = free_port()
    async with gateway_to(port) as (app, log):
        await log.line("'far' is down")
        async with listening(app, era) as told:
            with changing(port, theirs, "old"):
                await told.wait()
                assert "far_old" in await tools(app)
            with changing(port, theirs, "new"):
                while "far_new" not in await tools(app):
                    await told.wait()
            assert "far_old" not in await tools(app)


@eras
@theirs
async def test_clients_hear_of_what_a_server_says_that_it_has_changed(
    era: Era, theirs: Era
) -> None:
    """Gateway: it is asked at once, and again after the next change."""
    port = free_port()
    with changing(port, theirs):
        async with gateway_to(port) as (app, log):
            await log.line("'far' is up")
            async with listening(app, era) as told:
                for name in ("one", "two"):
                    url = f"http://127.0.0.1:{port}/mcp"
                    mode = MODERN if theirs == "modern" else "legacy"
                    async with Client(url, mode=mode) as client:
                        # Beside the gateway, which is told on a stream of its own.
                        await client.call_tool("learn", {"name": name})
                    await told.wait()
                    assert f"far_{name}" in await tools(app)


async def test_a_known_tool_of_a_server_that_restarts_is_unavailable_and_not_unknown() -> None:
    """Gateway: a model that calls it then is told to come back."""
    port = free_port()
    async with gateway_to(port, sessions=False) as (app, log):
        with changing(port, "modern", "old"):
            await log.line("'far' is up")
        await log.line("'far' is down", times=2)
        for era in ERAS:
            refused = await call(app, "far_old", era=era)
            assert "is unavailable. Try again" in refused.text
            assert "far_old" not in await tools(app)


def named(params: dict[str, str]) -> dict[str, str]:
    """Return the header of what is asked for."""
    return {"mcp-name": next(iter(params.values()))}


READS = (
    ("resources/read", {"uri": "data://far/parts"}),
    ("resources/read", {"uri": "data://far/parts/1"}),
    ("resources/read", {"uri": "data://far/unlisted"}),
    ("prompts/get", {"name": "far_ask"}),
)


@eras
async def test_what_is_no_tool_of_a_server_that_restarts_is_unavailable_too(era: Era) -> None:
    """Gateway: resources, those of templates, and prompts are not listed meanwhile."""
    port = free_port()
    async with gateway_to(port, sessions=False) as (app, log):
        with changing(port, "modern"):
            await log.line("'far' is up")
            for method, params in READS[:2] + READS[3:]:
                assert (await rpc(app, era, method, params, headers=named(params))).result
        await log.line("'far' is down", times=2)
        for method, params in READS:
            error = (await rpc(app, era, method, params, headers=named(params))).answer["error"]
            assert "is unavailable. Try again" in error["message"], params
        for method, what in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
            ("prompts/list", "prompts"),
        ):
            assert (await rpc(app, era, method)).result[what] == []


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
async def test_a_list_can_be_kept_for_a_short_time(method: str) -> None:
    """Gateway: a client without a stream sees a change within seconds."""
    with raw([tool()]) as (_, url):
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            result = (await rpc(app, "modern", method)).result
            assert (result["ttlMs"], result["cacheScope"]) == (5_000, "private")
            assert "ttlMs" not in (await rpc(app, "legacy", method)).result


def refuse_strangers(authorization: Annotated[str, Header()]) -> None:
    if authorization not in {"Bearer alice", "Bearer bob"}:
        raise HTTPException(401)


DOORS: list[dict[str, Any]] = [
    {"auth": static(alice=[], bob=[])},
    {"dependencies": [Depends(refuse_strangers)]},
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: next(iter(door)))
async def test_a_stream_of_changes_is_behind_the_door_and_a_caller_has_only_some(
    door: dict[str, Any],
) -> None:
    """Gateway, C3, F2: who has too many keeps nobody else from one, and gets one back.

    A made-up key beside a real one changes nothing.
    """
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x://a"]}
    headers, body = envelope("modern", "subscriptions/listen", {"notifications": wanted})
    with raw([tool()]) as (_, url), anyio.fail_after(20):
        app = gateway_app([Remote("raw", url=url)], **door)
        transport = StreamingASGITransport(app, cancel_on_close=True)
        async with (
            started(app),
            httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client,
        ):
            # Kept, because the response is over with its iterator.
            parts: list[AsyncIterator[bytes]] = []

            async def ask(key: str) -> tuple[httpx2.Response, str]:
                beside = {"x-api-key": f"made up {len(parts)}"}
                shown = {**headers, "authorization": f"Bearer {key}", **beside}
                request = client.build_request("POST", "/mcp", json=body, headers=shown)
                response = await client.send(request, stream=True)
                parts.append(aiter(response.aiter_raw()))
                return response, (await anext(parts[-1], b"")).decode()

            refused, _ = await ask("eve")
            assert refused.status_code == 401
            asked = [await ask("alice") for _ in range(20)]
            for response, said in asked:
                assert response.status_code == 200
                assert "notifications/subscriptions/acknowledged" in said
                # Nobody tells us when what a resource holds is another.
                assert "x://a" not in said
            assert "There are too many subscriptions" in (await ask("alice"))[1]
            others, said = await ask("bob")
            assert "acknowledged" in said
            for response, _ in asked[1:]:
                await response.aclose()
            again, said = await ask("alice")
            assert "acknowledged" in said
            for response in (asked[0][0], others, again):
                await response.aclose()


async def test_a_stream_of_changes_is_asked_for_with_few_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway, F2: each is counted."""
    monkeypatch.setattr("mcp_mount.access.principals._MOST_SHOWN", 1)
    wanted = {"notifications": {"toolsListChanged": True}}
    shown = {"authorization": "Bearer alice", "x-api-key": "made up"}
    with raw([tool()]) as (_, url):
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            refused = await rpc(app, "modern", "subscriptions/listen", wanted, headers=shown)
    assert "Too many credentials are shown: 2. Show one." in refused.answer["error"]["message"]


async def test_streams_of_changes_count_against_whom_calls_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway, F2: `caller_of=`, also where it cannot tell who calls."""
    monkeypatch.setattr("mcp_mount.remotes.changes._MOST_OF_A_CALLER", 0)
    rate = RateLimit("9/hour", caller_of=lambda request: request.headers["x-name"])
    wanted = {"notifications": {"toolsListChanged": True}}
    with raw([tool()]) as (_, url):
        async with started(gateway_app([Remote("raw", url=url)], rate_limit=rate)) as app:
            for shown, said in (({"x-name": "alice"}, "too many"), ({}, "cannot be checked")):
                refused = await rpc(app, "modern", "subscriptions/listen", wanted, headers=shown)
                assert said in refused.answer["error"]["message"]


async def test_a_stream_of_changes_ends_when_the_server_stops() -> None:
    """Gateway: at once, and with an answer, so that a server that waits for it can stop."""
    wanted = {"notifications": {"toolsListChanged": True}}
    headers, body = envelope("modern", "subscriptions/listen", wanted)
    with raw([tool()]) as (_, url), anyio.fail_after(20):
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            transport = StreamingASGITransport(app, cancel_on_close=True)
            async with (
                httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client,
                client.stream("POST", "/mcp", json=body, headers=headers) as response,
            ):
                parts = aiter(response.aiter_text())
                assert "acknowledged" in await anext(parts)
                shutdown.get().begin()
                rest = "".join([each async for each in parts])
    assert '"result"' in rest
