"""The gateway: several MCP servers behind one endpoint, each under its name."""

import json
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastmcp import Client

from mcp_mount import Remote, gateway_app, mount_mcp
from tests.others import gateway, offered, parts_server, program
from tests.starting import started
from tests.support import ERAS, Era, call, connected, http, rpc, served, tools

eras = pytest.mark.parametrize("era", ERAS)


@eras
async def test_tools_of_several_servers_stand_behind_their_names(era: Era) -> None:
    """Gateway: namespaced tools, over HTTP and of a program, in one list."""
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url), program("example")) as app:
            listed = await tools(app, era=era)
            assert {*listed} == {
                *("parts_find", "parts_fail", "parts_count", "parts_picture"),
                *("example_hello_world", "example_count_slowly"),
            }
            assert listed["parts_find"]["title"] == "Find parts"
            assert listed["parts_find"]["description"] == "Find parts by a word."
            assert listed["parts_find"]["annotations"]["readOnlyHint"] is True
            hello = await call(app, "example_hello_world", era=era)
            assert hello.text_content == "Hello from the example MCP server!"


@eras
async def test_a_result_is_passed_on_with_its_structure_and_its_blocks(era: Era) -> None:
    """Gateway: structured content and pictures are kept."""
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url)) as app:
            found = (await call(app, "parts_find", {"word": "bolt"}, era=era)).result
            assert found["structuredContent"] == {"found": ["bolt", "bolt"]}
            assert json.loads(found["content"][0]["text"]) == {"found": ["bolt", "bolt"]}
            picture = (await call(app, "parts_picture", era=era)).result
            assert picture["content"][0]["mimeType"] == "image/png"


@eras
async def test_the_servers_own_errors_are_passed_on(era: Era) -> None:
    """Gateway: a tool error stays one, with its text; a tool that is not there is -32602."""
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url)) as app:
            failed = await call(app, "parts_fail", {"reason": "rust"}, era=era)
            assert failed.is_error
            assert "It has failed: rust" in failed.text_content
            wrong = await call(app, "parts_find", {"limit": 1}, era=era)
            assert wrong.is_error
            assert "word" in wrong.text_content
            unknown = await call(app, "parts_nothing", era=era)
            assert unknown.answer["error"]["code"] == -32602


@pytest.mark.faults
@eras
@pytest.mark.parametrize("way", ["http", "program"])
async def test_progress_reaches_the_caller_who_wants_it_and_no_other(era: Era, way: str) -> None:
    """Gateway: progress is passed on in order, to the caller's own token; without one, none."""
    with offered(parts_server()) as url:
        remote, name, arguments = (
            (Remote("parts", url=url), "parts_count", {"to": 3})
            if way == "http"
            else (program("example"), "example_count_slowly", {"to": 3, "pause": 0})
        )
        async with gateway(remote) as app:
            wanted = await call(app, name, arguments, era=era, token="mine")
            sent = [each["params"] for each in wanted.messages[:-1]]
            assert [each["progress"] for each in sent] == [1, 2, 3]
            assert {each["progressToken"] for each in sent} == {"mine"}
            quiet = await call(app, name, arguments, era=era)
            assert len(quiet.messages) == 1


@pytest.mark.faults
async def test_callers_at_the_same_time_get_their_own_progress_and_results() -> None:
    """Gateway: one program serves all callers, and nothing of one reaches another."""
    seen: dict[int, list[str]] = {}

    async def caller(number: int, app: Any) -> None:
        arguments = {"to": number, "pause": 0.01}
        reply = await call(app, "example_count_slowly", arguments, token=f"caller {number}")
        assert {each["params"]["progressToken"] for each in reply.messages[:-1]} == {
            f"caller {number}"
        }
        assert reply.result["structuredContent"] == {"counted": number}
        seen[number] = reply.progress

    async with (
        gateway(program("example")) as app,
        anyio.create_task_group() as callers,
    ):
        for number in range(1, 9):
            callers.start_soon(caller, number, app)
    assert seen == {number: [str(step) for step in range(1, number + 1)] for number in range(1, 9)}


@eras
async def test_resources_and_prompts_stand_behind_the_servers_name(era: Era) -> None:
    """Gateway: namespaced resources, templates and prompts."""
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url)) as app, connected(app, era) as client:
            assert [str(each.uri) for each in await client.list_resources()] == [
                "data://parts/parts/all"
            ]
            (template,) = await client.list_resource_templates()
            assert template.uri_template == "data://parts/parts/{number}/text"
            whole = await client.read_resource("data://parts/parts/all")
            assert [getattr(each, "text", None) for each in whole] == ["all parts"]
            one = await client.read_resource("data://parts/parts/7/text")
            assert [getattr(each, "text", None) for each in one] == ["part 7"]
            (prompt,) = await client.list_prompts()
            assert (prompt.name, prompt.description) == ("parts_order", "Order a part.")
            rendered = await client.get_prompt("parts_order", {"part": "bolt"})
            assert getattr(rendered.messages[0].content, "text", None) == "Order bolt."


@pytest.mark.faults
@eras
async def test_an_app_whose_lifespan_is_never_run_answers_too(era: Era) -> None:
    """Gateway, M3: each request then asks the servers by itself; a program runs for one call."""
    with offered(parts_server()) as url:
        app = gateway_app([Remote("parts", url=url), program("example", timeout=10)])
        assert "parts_find" in await tools(app, era=era)
        assert (await call(app, "parts_find", {"word": "nut"}, era=era)).result[
            "structuredContent"
        ] == {"found": ["nut", "nut"]}


@eras
async def test_remotes_stand_beside_the_operations_of_an_app(era: Era) -> None:
    """Gateway: `remotes=` inside `mount_mcp`; the app's own tools are as they were."""
    app = FastAPI(title="Shop")

    @app.get("/price")
    async def price(part: str) -> dict[str, str]:
        return {"part": part}

    with offered(parts_server()) as url:
        mounted = mount_mcp(app, remotes=[Remote("parts", url=url)])
        assert {name: state.status for name, state in mounted.remotes.items()} == {
            "parts": "starting"
        }
        async with started(app) as serving:
            for _ in range(2):
                assert {"price", "parts_find"} <= {*await tools(serving, era=era)}
            own = await call(serving, "price", {"part": "nut"}, era=era)
            assert own.result["structuredContent"] == {"part": "nut"}
            theirs = await call(serving, "parts_find", {"word": "nut", "limit": 1}, era=era)
            assert theirs.result["structuredContent"] == {"found": ["nut"]}
            state = mounted.remotes["parts"]
            assert (state.status, state.tools) == ("up", 4)


async def test_a_gateway_has_no_operations_and_tells_how_its_servers_are() -> None:
    """Gateway: an empty OpenAPI document, and `/health`."""
    with offered(parts_server()) as url:
        assert gateway_app([Remote("parts", url=url)]).openapi()["paths"] == {}
        async with gateway(Remote("parts", url=url)) as app, http(app) as client:
            health = await client.get("/health")
    assert health.status_code == 200
    since = health.json()["remotes"]["parts"].pop("since")
    assert since.startswith("20")
    assert health.json() | {"remotes": {}} == {"status": "ok", "remotes": {}}
    assert (
        health.json()["remotes"]["parts"].items()
        >= {
            "status": "up",
            "tools": 4,
            "error": None,
        }.items()
    )


async def test_a_gateway_behind_a_gateway_works() -> None:
    """Gateway: two in a row, results and progress included."""
    with (
        offered(parts_server()) as url,
        served(gateway_app([Remote("parts", url=url)])) as inner,
    ):
        async with started(gateway_app([Remote("inner", url=f"{inner}/mcp")])) as app:
            assert "inner_parts_find" in await tools(app)
            reply = await call(app, "inner_parts_count", {"to": 2}, token="p")
            assert reply.progress == ["step 1", "step 2"]
            assert reply.text_content == "counted to 2"


@pytest.mark.faults
async def test_clients_over_a_socket_see_the_same() -> None:
    """Gateway: FastMCP's own client, over loopback."""
    with served(gateway_app([program("example")])) as url:
        async with Client(f"{url}/mcp") as client:
            result = await client.call_tool("example_hello_world")
    assert getattr(result.content[0], "text", None) == "Hello from the example MCP server!"


@eras
async def test_a_question_to_a_list_that_is_not_there_is_answered(era: Era) -> None:
    """Gateway: a server with tools only has no resources and no prompts."""
    with offered(parts_server()) as url:
        async with gateway(Remote("parts", url=url)) as app:
            unknown = await rpc(app, era, "prompts/get", {"name": "parts_x", "arguments": {}})
            assert "error" in unknown.answer
