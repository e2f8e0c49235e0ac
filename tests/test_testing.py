"""What `mcp_mount.testing` promises those who test an app of their own."""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastmcp.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from mcp_mount import MountError, mount_mcp
from mcp_mount.testing import Era, client
from tests.support import ERAS

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent


def parts_app(**options: Any) -> FastAPI:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        events.append("start")
        yield {"store": "open"}
        events.append("stop")

    app = FastAPI(lifespan=lifespan)
    app.state.events = events

    @app.get("/parts/{part_id}", operation_id="get_part")
    async def get_part(part_id: int, request: Request) -> dict[str, Any]:
        caller = request.headers.get("x-user")
        return {"part_id": part_id, "caller": caller, "store": request.state.store}

    mount_mcp(app, **options)
    return app


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_is_called_as_the_caller_of_the_headers_while_the_lifespan_runs(
    era: Era,
) -> None:
    app = parts_app()
    async with client(app, era=era, headers={"X-User": "alice"}) as mcp:
        assert [tool.name for tool in await mcp.list_tools()] == ["get_part"]
        result = await mcp.call_tool("get_part", {"part_id": 1})
        assert result.structured_content == {"part_id": 1, "caller": "alice", "store": "open"}
        assert app.state.events == ["start"]
    assert app.state.events == ["start", "stop"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_stream_arrives_while_it_is_produced(era: Era) -> None:
    app, has_arrived = FastAPI(), anyio.Event()

    @app.get("/words", operation_id="words")
    async def words() -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            yield "one "
            await has_arrived.wait()
            yield "two"

        return StreamingResponse(produce(), media_type="text/plain")

    async def show(progress: float, total: float | None, message: str | None) -> None:
        has_arrived.set()

    mount_mcp(app)
    async with client(app, era=era) as mcp:
        with anyio.fail_after(30):
            result = await mcp.call_tool("words", progress_handler=show)
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text == "one two"


async def test_what_a_test_raises_comes_out_as_it_is_and_the_app_is_stopped() -> None:
    app = parts_app()
    with pytest.raises(ToolError, match="Unknown argument 'id'"):
        async with client(app) as mcp:
            await mcp.call_tool("get_part", {"id": 1})
    assert app.state.events == ["start", "stop"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_stranger_is_refused_before_a_tool_is_called(era: Era) -> None:
    """Docs: the block is not entered, and the app is stopped."""

    def check_user(user: Annotated[str | None, Header(alias="X-User")] = None) -> None:
        if user is None:
            raise HTTPException(401, "Who are you?")

    app = parts_app(dependencies=[Depends(check_user)])
    with pytest.raises(MCPError):
        async with client(app, era=era):
            pytest.fail("the block was entered")
    assert app.state.events == ["start", "stop"]
    async with client(app, era=era, headers={"X-User": "alice"}) as mcp:
        assert (await mcp.call_tool("get_part", {"part_id": 1})).data


async def test_the_endpoint_is_found_wherever_it_is() -> None:
    async with client(parts_app(path="/ai/mcp")) as mcp:
        assert len(await mcp.list_tools()) == 1


async def test_an_app_below_another_is_reached_with_path() -> None:
    outer = FastAPI()
    outer.mount("/parts", parts_app())
    async with client(outer, path="/parts/mcp", lifespan=False) as mcp:
        assert len(await mcp.list_tools()) == 1


async def test_an_app_without_an_endpoint_is_told_what_is_missing() -> None:
    with pytest.raises(MountError, match=r"no MCP endpoint: call mount_mcp\(app\)"):
        async with client(FastAPI()):
            pass


async def test_an_app_that_cannot_start_says_why() -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if app.state.has_no_database:
            raise OSError("no database")
        yield

    app = FastAPI(lifespan=lifespan)
    app.state.has_no_database = True
    mount_mcp(app)
    with pytest.raises(RuntimeError, match=r"at its startup.*no database") as raised:
        async with client(app):
            pass
    assert isinstance(raised.value.__cause__, OSError)


APP = """
from fastapi import FastAPI
from mcp_mount import mount_mcp

app = FastAPI()
app.get("/parts", operation_id="list_parts")(lambda: ["bolt"])
mount_mcp(app)
"""
TEST = """
import pytest

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it(mcp_client, anyio_backend):
    async with mcp_client(era="legacy") as mcp:
        result = await mcp.call_tool("list_parts")
    assert result.structured_content == {"result": ["bolt"]}
"""


def run_pytest(pytester: pytest.Pytester) -> pytest.RunResult:
    # By its module, and not a second time by its entry point: a checkout may not be installed.
    pytester.syspathinsert(ROOT)
    return pytester.runpytest_subprocess("-p", "mcp_mount.pytest_plugin", "-p", "no:mcp_mount")


def test_the_fixture_is_connected_to_the_app_of_the_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(parts=APP, test_it=TEST)
    pytester.makeini("[pytest]\nmcp_app = parts:app\npythonpath = .")
    run_pytest(pytester).assert_outcomes(passed=1)


def test_the_fixture_is_connected_to_the_app_of_a_fixture(pytester: pytest.Pytester) -> None:
    own = "import parts, pytest\n\n@pytest.fixture\ndef mcp_app():\n    return parts.app\n"
    pytester.makepyfile(parts=APP, conftest=own, test_it=TEST)
    pytester.makeini("[pytest]\npythonpath = .")
    run_pytest(pytester).assert_outcomes(passed=1)


def test_a_fixture_without_an_app_says_where_to_name_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=TEST)
    result = run_pytest(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*write mcp_app = *module:attribute*"])


def test_pytest_finds_the_fixture_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {
        "mcp_mount": "mcp_mount.pytest_plugin"
    }
