"""Applications with a hundred or a thousand operations are listed whole, to every client."""

import pytest
from fastmcp import FastMCP
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.profile import check_tool, folded
from tests.scale.apps import ALL, Large, LoadLarge
from tests.support import BASE_URL, ERAS, MODERN, Era, connected, http, rpc, tools

pytestmark = pytest.mark.slow


@pytest.fixture(params=ALL)
def large(request: pytest.FixtureRequest) -> Large:
    load: LoadLarge = request.param
    return load()


@pytest.mark.parametrize("era", ERAS)
async def test_every_operation_is_listed_under_a_name_of_its_own(large: Large, era: Era) -> None:
    """P2: functions of one name are told apart, however many there are."""
    listed = await tools(large.app, era=era, path=large.path)
    assert len(listed) == len(large.operations()) >= 90


@pytest.mark.parametrize("era", ERAS)
async def test_every_tool_fits_the_publish_profile(large: Large, era: Era) -> None:
    """P1: no tool makes a client lose the list."""
    listed = await tools(large.app, era=era, path=large.path)
    assert len({folded(name) for name in listed}) == len(listed)
    for tool in listed.values():
        # Models as large as these may be cut before they lead back to themselves.
        check_tool(tool, shares=True)


async def test_fastmcps_client_reads_every_tool(large: Large) -> None:
    """P1: it finds nothing that it cannot read."""
    async with connected(large.app, "modern", f"{BASE_URL}{large.path}") as client:
        assert len(await client.list_tools()) == len(large.operations())


@pytest.mark.parametrize("era", ERAS)
async def test_the_sdks_client_reads_every_tool(large: Large, era: Era) -> None:
    """P1: as above; it follows the pages of a list only where it is told to."""
    read, cursor = 0, None
    async with http(large.app) as http_client:
        url = f"{BASE_URL}{large.path}"
        transport = streamable_http_client(url, http_client=http_client)
        async with Client(transport, mode=MODERN if era == "modern" else "legacy") as client:
            while read == 0 or cursor is not None:
                page = await client.list_tools(cursor=cursor)
                read, cursor = read + len(page.tools), page.next_cursor
    assert read == len(large.operations())


async def test_the_list_is_the_same_every_time_and_far_smaller_than_fastmcps(large: Large) -> None:
    """P4, M4: the order never changes, and a client's context is spent on what a model needs."""
    first, second = [
        (await rpc(large.app, "modern", "tools/list", path=large.path)).text for _ in range(2)
    ]
    peer = FastMCP.from_fastapi(large.app).http_app(path="/mcp", stateless_http=True)
    async with peer.router.lifespan_context(peer):
        theirs = (await rpc(peer, "modern", "tools/list")).text
    assert first == second
    assert len(first.encode()) <= min(large.most, large.share * len(theirs.encode()))
