"""X5: no request does work in proportion to the number of tools, but the first after a change."""

import inspect
import json
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from types import FrameType
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import RateLimit, Tasks, mount_mcp
from mcp_mount.conversion.structure import SLICE
from mcp_mount.fastpath.messages import MessageReader
from tests.access import static
from tests.lanes import HeaderPairs, exchange, request_of, scope_of
from tests.sse import initialized
from tests.starting import started
from tests.support import ERAS, Era, call, tools
from tests.test_session_unread import opened
from tests.tracing import traced

MOST_FUNCTIONS = 114
"""Of this package, coroutines not counted, in one call of a tool."""


def large_app(routes: int, *middleware: Middleware) -> FastAPI:
    """Return an app with the operations ``number_0``, ``number_1`` and so on, and the endpoint."""
    app = FastAPI()

    async def number(number: int) -> int:
        return number

    for index in range(routes):
        app.add_api_route(f"/{index}/{{number}}", number, operation_id=f"number_{index}")
    server = mount_mcp(app).server
    for each in middleware:
        server.add_middleware(each)
    return app


def _is_for_turns(frame: FrameType | None) -> bool:
    """Return whether a function of `turns` begins, or one that it calls.

    Each call makes as many turns; whether they end in it, the clock says.
    """
    while frame is not None:
        if frame.f_globals.get("__name__") == "mcp_mount.turns":
            return frame.f_code.co_qualname != "Turns.__init__"
        frame = frame.f_back
    return False


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the calls of this package's functions, and of the one that renders a tool.

    Those that run when a time has come are not, in one call out of many: the timer's, and what
    a turn that has ended begins.
    """
    counts: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        ours = frame.f_globals.get("__name__", "").startswith("mcp_mount.")
        timed = code.co_qualname.startswith("Patience._tick") or _is_for_turns(frame)
        # What is resumed, a coroutine or a generator, is seen as a call each time.
        resumed = code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR)
        if (
            event == "call"
            and not resumed
            and not timed
            and (ours or code.co_name == "to_mcp_tool")
        ):
            counts[code.co_qualname] += 1

    sys.setprofile(profile)
    try:
        yield counts
    finally:
        sys.setprofile(None)


async def counted_call(routes: int, era: Era, *, lane: bool = True) -> Counter[str]:
    """Return which of our functions one call of a tool runs, after the first list."""
    app = large_app(routes) if lane else large_app(routes, Middleware())
    async with started(app) as served:
        assert len(await tools(served, era=era)) == routes
        await call(served, "number_3", {"number": 1}, era=era)
        with counted() as counts:
            reply = await call(served, "number_3", {"number": 7}, era=era)
    assert reply.result["structuredContent"] == {"result": 7}
    return counts


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_does_the_same_work_for_ten_routes_and_for_five_hundred(
    era: Era, *, lane: bool
) -> None:
    """X5: every function of ours is called exactly as often, and no schema is written."""
    few = await counted_call(10, era, lane=lane)
    many = await counted_call(500, era, lane=lane)
    assert few == many
    assert few["Arguments.request"] == 1
    assert few["to_mcp_tool"] == few["Tool.to_mcp_tool"] == few["_Writer.write"] == 0


async def test_a_modern_call_finds_the_schema_of_its_tool_without_a_list() -> None:
    """X5: the SDK looks for `x-mcp-header` parameters in it, and would render every tool."""
    assert (await counted_call(5, "modern", lane=False))["_input_schema"] == 1


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_is_built_anew_while_nothing_changed(era: Era) -> None:
    """M4."""
    app = large_app(5)
    async with started(app) as served:
        await tools(served, era=era)
        with counted() as counts:
            await tools(served, era=era)
            await call(served, "number_3", {"number": 7}, era=era)
        assert counts["Following.read"] > 1
        assert counts["OperationProvider._build"] == 0
        app.add_api_route("/late", lambda: 1)
        with counted() as counts:
            assert len(await tools(served, era=era)) == 6
            assert len(await tools(served, era=era)) == 6
        # In a thread, which is not counted here.
        assert counts["OperationProvider._build"] == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_document_written_anew_but_the_same_changes_nothing(era: Era) -> None:
    """M4: an `openapi` of the app's own, and it may be set after the endpoint is mounted."""
    app = large_app(5)
    write, title = app.openapi, ["Mine"]

    def openapi() -> dict[str, Any]:
        document = deepcopy(write())
        document["paths"]["/0/{number}"]["get"]["summary"] = title[0]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    async with started(app) as served:
        before = (await tools(served, era=era))["number_0"]
        with counted() as counts:
            await tools(served, era=era)
            await call(served, "number_3", {"number": 7}, era=era)
        title[0] = "Other"
        after = (await tools(served, era=era))["number_0"]
    assert counts["OperationProvider._build"] == 0
    assert (before["title"], after["title"]) == ("Mine", "Other")


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_does_not_ask_for_a_document_that_the_app_writes_itself(
    era: Era, *, lane: bool, is_kept: bool
) -> None:
    """X5, M4: it costs as much as the app is large, whether the app keeps it or writes it anew."""
    app = large_app(5) if lane else large_app(5, Middleware())
    first, asked = app.openapi(), 0

    def openapi() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return first if is_kept else deepcopy(FastAPI.openapi(app))

    app.openapi = openapi  # type: ignore[method-assign]
    async with started(app) as served:
        await tools(served, era=era)
        await call(served, "number_3", {"number": 7}, era=era)
        asked = 0
        with counted() as counts:
            reply = await call(served, "number_3", {"number": 7}, era=era)
        assert asked == 0
        assert counts["Routing._find_contenders"] == 0
        assert reply.result["structuredContent"] == {"result": 7}
        app.add_api_route("/late", lambda: "late", operation_id="late")
        late = await call(served, "late", era=era)
        assert ("error" in late.answer) == is_kept
        assert asked > 0


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_call_asks_for_the_document_when_the_app_writes_another(
    *, is_kept: bool, lane: bool
) -> None:
    """M4: by another function, or by forgetting the one it keeps, as FastAPI's manual shows."""
    app = large_app(5) if lane else large_app(5, Middleware())
    hidden: list[str] = []

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = deepcopy(get_openapi(title="Mine", version="1", routes=app.routes))
            document["paths"] = {
                path: item for path, item in document["paths"].items() if path not in hidden
            }
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    async with started(app) as served:
        for _ in range(2):
            assert not (await call(served, "number_3", {"number": 7})).is_error
        hidden.append("/3/{number}")
        if is_kept:
            app.openapi_schema = None
        else:
            document = {**openapi(), "paths": {}}
            app.openapi = lambda: document  # type: ignore[method-assign]
        assert (await call(served, "number_3", {"number": 7})).answer["error"]["code"] == -32602


class Deriving(FastAPI):
    """An app that writes its document by a method of its own."""

    asked = 0

    def openapi(self) -> dict[str, Any]:
        self.asked += 1
        return deepcopy(super().openapi())


async def test_a_method_of_a_derived_app_is_not_asked_for_either() -> None:
    """X5."""
    app = Deriving()
    app.add_api_route("/number", lambda: 7, operation_id="number")
    mount_mcp(app)
    await call(app, "number")
    app.asked = 0
    assert not (await call(app, "number")).is_error
    assert app.asked == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_runs_few_functions_of_ours(era: Era) -> None:
    """What a call costs is told by their number; whoever needs another one may raise it here."""
    assert (await counted_call(5, era)).total() <= MOST_FUNCTIONS


@pytest.mark.parametrize("is_session", [True, False], ids=["session", "sse"])
async def test_a_large_message_is_counted_once(*, is_session: bool) -> None:
    """Its values are wanted where it is let in, and where it waits to be answered."""
    app = FastAPI()
    app.add_api_route("/number", lambda: 7, operation_id="number")
    mount_mcp(app, sessions=is_session, sse_path=None if is_session else "/sse")
    arguments = {"a": "x" * 10 * SLICE}
    params = {"name": "number", "arguments": arguments}
    async with started(app) as served:
        if is_session:
            session = await opened(served)
            with counted() as counts:
                await call(served, "number", arguments, era="legacy", headers=session)
        else:
            content = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            async with initialized(served) as stream:
                with counted() as counts:
                    await stream.post(json.dumps(content).encode())
                await stream.message()
    assert counts["Meter.add"] == 11


async def let_in() -> None:
    """Let every caller in; as a plain function it would run in a thread."""


def own_tool(server: FastMCP[Any]) -> None:
    server.tool(lambda: "own", name="own")


def own_prompt(server: FastMCP[Any]) -> None:
    server.prompt(lambda: "own", name="own")


def own_resource(server: FastMCP[Any]) -> None:
    server.resource("data://own")(lambda: "own")


Furnish = Callable[[FastMCP[Any]], None]

CONFIGURATIONS: dict[str, tuple[dict[str, Any], Furnish | None]] = {
    "bare": ({}, None),
    "rate_limit": ({"rate_limit": RateLimit("1000000/day")}, None),
    "dependencies": ({"dependencies": [Depends(let_in)]}, None),
    "scopes_of": ({"scopes_of": lambda _: ["read"]}, None),
    "auth": ({"auth": static(token=["read"])}, None),
    "own tool": ({}, own_tool),
    "own prompt": ({}, own_prompt),
    "own resource": ({}, own_resource),
    "sessions": ({"sessions": True}, None),
    "sse_path": ({"sse_path": "/sse"}, None),
    "tasks": ({"tasks": Tasks()}, None),
    "tracer": ({}, None),
}


@contextmanager
def counting_all(total: list[int]) -> Iterator[None]:
    """Count the calls of Python functions in this thread, whosever they are."""

    def profile(frame: FrameType, event: str, argument: object) -> None:
        resumed = frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_GENERATOR)
        total[0] += event == "call" and not resumed

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


async def python_calls(app: ASGIApp, pairs: HeaderPairs, body: bytes, **more: Any) -> int:
    """Return how many Python functions one request calls, once others like it were served."""
    total = [0]

    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        with counting_all(total):
            await app(scope, receive, send)

    found = []
    for _ in range(5):
        total[0] = 0
        answer = await exchange(measured, pairs, body, **more)
        found.append(total[0])
    assert answer.status == 200
    assert b"7" in answer.body
    # The least of them: a worker of tasks may look for some while a request is served.
    return min(found)


async def calls_over_rest(era: Era, configuration: str) -> int:
    """Return how many Python functions a call of a tool calls that the REST request does not."""
    options, furnish = CONFIGURATIONS[configuration]
    app = FastAPI()

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    mounted = mount_mcp(app, **options)
    if furnish is not None:
        furnish(mounted.server)
    bearer = [(b"authorization", b"Bearer token")]
    with traced() if configuration == "tracer" else nullcontext():
        async with started(app) as served:
            path = {"method": "GET", "path": "/number/7", "raw_path": b"/number/7"}
            rest = await python_calls(served, bearer, b"", **path)
            params = {"name": "number", "arguments": {"number": 7}}
            pairs, body = request_of(era, "tools/call", params)
            return await python_calls(served, [*pairs, *bearer], body) - rest


MOST_TIMES = 2.5
"""What a call may cost more than that of the bare mount, whatever is mounted with it."""


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_as_quick_however_the_app_is_mounted(era: Era, configuration: str) -> None:
    """M7: only middleware and transforms of FastMCP's may cost what FastMCP costs."""
    if configuration == "tasks":
        pytest.importorskip("fastmcp_tasks")
    if (era, configuration) == ("legacy", "sessions"):
        pytest.skip("A session is FastMCP's to keep.")
    bare = await calls_over_rest(era, "bare")
    found = await calls_over_rest(era, configuration)
    assert found <= MOST_TIMES * bare, f"{found} calls of functions, {bare} for the bare mount"


@pytest.mark.parametrize("era", ERAS)
async def test_the_words_that_all_calls_share_are_checked_once(era: Era) -> None:
    """X2, cheaply: other arguments and another id are no reason to check them again."""
    counts = await counted_call(5, era)
    assert counts["MessageReader.read"] == 1
    assert counts["_is_valid_client"] == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_short_call_is_not_watched_for_its_client(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2, cheaply: a task for it would cost as much as the call does."""
    monkeypatch.setattr("mcp_mount.backends.app_call.WATCH_AFTER", 60)
    app = large_app(5)
    async with started(app) as served:
        await call(served, "number_3", {"number": 1}, era=era)
        with counted() as counts:
            for number in range(10):
                await call(served, "number_3", {"number": number}, era=era)
    assert counts["_ClientWatch.stop"] == 10
    assert counts["_ClientWatch.start"] == 0


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_a_large_body_is_not_read_in_the_event_loop(era: Era, *, lane: bool) -> None:
    """C1, X5: parsing it takes seconds that other callers would wait; a small one is read there."""
    app = FastAPI()
    app.add_api_route("/numbers/{count}", lambda count: [*range(int(count))], name="numbers")
    server = mount_mcp(app).server
    if not lane:
        server.add_middleware(Middleware())
    counts = {}
    async with started(app) as served:
        for size in (10, 50_000):
            with counted() as counts[size]:
                reply = await call(served, "numbers", {"count": str(size)}, era=era)
            assert reply.result["structuredContent"] == {"result": [*range(size)]}
    assert (counts[10]["to_result"], counts[50_000]["to_result"]) == (1, 0)


@pytest.mark.parametrize("odd", ["header", "client"])
def test_what_is_remembered_of_requests_is_little(odd: str) -> None:
    """S3: whoever calls chooses the words, and could fill the memory with them."""
    reader, filler = MessageReader(), "x" * 20_000
    tracemalloc.start()
    try:
        for number in range(100):
            info = {"name": f"{number}{filler if odd == 'client' else ''}", "version": "1"}
            meta = {"io.modelcontextprotocol/clientInfo": info}
            headers, body = request_of("modern", "tools/call", {"name": "x", "_meta": meta})
            if odd == "header":
                headers = [*headers, (f"mcp-{number}{filler}".encode(), b"")]
            assert reader.read(scope_of(headers), body) is not None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
