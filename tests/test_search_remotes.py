"""surface="search" over other servers, and by the command line."""

import json

import pytest

from mcp_mount import Remote, gateway_app
from tests.commands import run, running
from tests.others import offered, parts_server
from tests.starting import started
from tests.support import ERAS, Era, call, tools

eras = pytest.mark.parametrize("era", ERAS)


def test_the_commands_take_the_surface_and_what_is_pinned() -> None:
    words = ["--example", "--surface", "search", "--pin", "example_hello_world"]
    with running("gateway", *words) as (url, _):
        listed = run("fastmcp", "list", f"{url}/mcp").stdout
        assert "search_tools(" in listed
        assert "example_hello_world(" in listed
        assert "example_count_slowly(" not in listed
        given = ["name=example_hello_world"]
        assert "Hello from the" in run("fastmcp", "call", f"{url}/mcp", "call_tool", *given).stdout


@eras
async def test_tools_of_other_servers_are_found_and_called(era: Era) -> None:
    with offered(parts_server()) as url:
        app = gateway_app([Remote("parts", url=url)], surface="search", pinned=["parts_count"])
        async with started(app) as served:
            listed = await tools(served, era=era)
            assert list(listed) == [
                *("search_tools", "describe_tool", "call_read_tool", "call_tool"),
                "parts_count",
            ]
            assert "parts (4)" in listed["search_tools"]["description"]
            reply = await call(served, "search_tools", {"query": "find a part by word"}, era=era)
            assert json.loads(reply.text_content)["tools"][0]["name"] == "parts_find"
            arguments = {"name": "parts_find", "arguments": {"word": "bolt"}}
            answer = await call(served, "call_read_tool", arguments, era=era)
            direct = await call(served, "parts_find", {"word": "bolt"}, era=era)
            assert answer.result == direct.result
            assert answer.result["structuredContent"] == {"found": ["bolt", "bolt"]}
