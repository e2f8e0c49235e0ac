"""Answers of a model that uses the service's own tools."""

import json
import logging
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from fastmcp import Client

from mcp_mount import Mounted
from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import http_client
from tests.mock_api.openai import DONE, KEY, Item, calls, chunk, fake_model, in_turn, words
from tests.mock_api.streaming import streamed
from tests.support import ERAS, Era, call, connected, served

QUESTION = {"prompt": "What is a baseline?"}
SLUG = {"slug": "baseline-a-structure"}


async def ask(app: FastAPI, prompt: str = "What is a baseline?", **headers: str) -> httpx.Response:
    async with http_client(app) as client:
        return await client.post("/chat", json={"prompt": prompt}, headers=headers)


async def test_the_model_searches_reads_and_answers(settings: Settings) -> None:
    """Agent: several rounds, each with what the tools have said."""
    script = in_turn(
        calls(("search_articles", {"q": "baseline", "limit": 2})),
        calls(("get_article", SLUG)),
        words("A baseline ", "freezes ", "it."),
    )
    async with fake_model(script) as model:
        response = await ask(create_app(model.settings(settings)))
    assert response.text == "A baseline freezes it."
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    first, second, third = model.requests
    assert [each["role"] for each in first["messages"]] == ["system", "user"]
    assert first["messages"][1]["content"] == "What is a baseline?"
    assert (first["model"], first["stream"]) == ("fake", True)
    found = json.loads(second["messages"][-1]["content"])
    assert found["items"][0]["slug"] == "baseline-a-structure"
    asked, said = third["messages"][-2:]
    assert asked["tool_calls"] == [
        {
            "id": "call_00Xy",
            "type": "function",
            "function": {"name": "get_article", "arguments": json.dumps(SLUG)},
        }
    ]
    assert (said["role"], said["tool_call_id"]) == ("tool", "call_00Xy")
    assert json.loads(said["content"])["slug"] == "baseline-a-structure"
    assert set(model.keys) == {f"Bearer {KEY}"}


async def test_tools_are_offered_as_functions_with_their_schemas(settings: Settings) -> None:
    """Agent: name, description and parameters are those of the list of tools."""
    async with fake_model(in_turn(words("Hi."))) as model:
        await ask(create_app(model.settings(settings)))
    tools = {tool["function"]["name"]: tool for tool in model.requests[0]["tools"]}
    search = tools["search_articles"]
    assert search["type"] == "function"
    assert search["function"]["description"].startswith("Search the articles.")
    assert search["function"]["parameters"]["properties"].keys() == {"q", "tag", "limit", "offset"}


async def test_calls_of_a_round_run_at_the_same_time(settings: Settings) -> None:
    """Agent: parallel tool calls; each waits here until both have started."""
    script = in_turn(calls(("meet", {"name": "a"}), ("meet", {"name": "b"})), words("Met."))
    async with fake_model(script) as model:
        app = create_app(model.settings(settings))
        here: set[str] = set()
        both = anyio.Event()

        @app.get("/meet", openapi_extra={"x-mcp": {"name": "meet"}})
        async def meet(name: str) -> str:
            here.add(name)
            if len(here) == 2:
                both.set()
            with anyio.fail_after(30):
                await both.wait()
            return f"{name} met"

        assert (await ask(app)).text == "Met."
    assert model.outputs == ['"a met"', '"b met"']


async def test_words_of_the_model_are_sent_on_as_they_arrive(settings: Settings) -> None:
    """Agent: the second word is said after the first was received."""
    for accept, first, second in (
        ("text/plain", b"One ", b"two."),
        ("text/event-stream", b"data: One \n\n", b"data: two.\n\n"),
    ):
        heard = anyio.Event()
        items: list[Item] = [chunk({"content": "One "}), heard, *words("two.")]
        async with fake_model(in_turn(items)) as model:
            app = create_app(model.settings(settings, chat_pace=3_600))
            headers = {"accept": accept}
            async with streamed(app, "POST", "/chat", QUESTION, headers=headers) as response:
                assert await response.chunk() == first
                heard.set()
                assert await response.chunk() == second
                assert await response.chunk() is None


async def test_over_a_socket_words_arrive_one_by_one_and_leaving_ends_the_model(
    settings: Settings,
) -> None:
    """Agent: as `curl -N` sees it, and the model's server too."""
    heard = anyio.Event()
    items: list[Item] = [chunk({"content": "One "}), heard, chunk({"content": "two"})]
    async with fake_model(in_turn([*items, anyio.Event()])) as model:
        with anyio.fail_after(20), served(create_app(model.settings(settings))) as url:
            async with httpx.AsyncClient() as client:
                async with client.stream("POST", f"{url}/chat", json=QUESTION) as response:
                    pieces = response.aiter_text()
                    assert await anext(pieces) == "One "
                    heard.set()
                    assert await anext(pieces) == "two"
                await model.gone.wait()


@pytest.mark.parametrize("era", ERAS)
async def test_words_of_the_model_arrive_over_mcp_as_progress(settings: Settings, era: Era) -> None:
    """Agent, S1: like any other stream."""
    heard = anyio.Event()
    seen: list[str | None] = []
    items: list[Item] = [chunk({"content": "One "}), heard, *words("two.")]

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message)
        heard.set()

    async with fake_model(in_turn(items)) as model:
        app = create_app(model.settings(settings))
        with anyio.fail_after(30):
            async with connected(app, era, "http://localhost:8000/mcp") as client:
                result = await client.call_tool("chat", QUESTION, progress_handler=hear)
    assert seen == ["One ", "two."]
    block: Any = result.content[0]
    assert block.text == "One two."


async def test_as_json_the_answer_comes_whole(settings: Settings) -> None:
    """Agent."""
    script = in_turn(calls(("get_server_time", {})), words("It ", "is late."))
    async with fake_model(script) as model:
        response = await ask(create_app(model.settings(settings)), accept="application/json")
    assert response.json() == {"answer": "It is late."}


async def test_the_time_is_asked_for_over_mcp_and_a_joke_is_not(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: the embedded answerer uses the tools too."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    told = await ask(app, "What is the current server time?")
    assert told.text.startswith("[MCP Server Time] 2")
    assert tools_called(caplog) == ["get_server_time"]
    caplog.clear()
    assert "[MCP Server Time]" not in (await ask(app, "Tell me a joke")).text
    assert "get_server_time" not in tools_called(caplog)
    caplog.clear()
    await ask(app, "What is a baseline?")
    called = tools_called(caplog)
    assert called[0] == "search_articles"
    assert set(called[1:]) == {"get_article"}


async def test_with_a_model_the_time_comes_from_the_tool(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: the model repeats what the tool said, and needs no tool for a joke."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")

    def script(body: Any) -> list[Item]:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return words(last["content"])
        return calls(("get_server_time", {})) if "time" in last["content"] else words("Knock knock")

    async with fake_model(script) as model:
        app = create_app(model.settings(settings))
        told = await ask(app, "What is the current server time?")
        assert told.text.startswith("[MCP Server Time] 2")
        assert tools_called(caplog) == ["get_server_time"]
        assert (await ask(app, "Tell me a joke")).text == "Knock knock"
        assert tools_called(caplog) == ["get_server_time"]


def tools_called(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.name == "mcp_mount.calls"]
    return [word[5:] for line in lines for word in line.split() if word.startswith("tool=")]


async def test_what_goes_wrong_in_a_call_is_told_to_the_model(settings: Settings) -> None:
    """Agent: tool errors, names that are made up, and arguments that are none."""
    asked: list[tuple[str, object]] = [
        ("get_article", {"slug": "nowhere"}),
        ("get_article", {"slag": "x"}),
        ("make_coffee", {}),
        ("rm -rf /", "{}"),
        ("get_article", '{"slug": "cut o'),
        ("get_article", "[1]"),
        ("get_article", '{"slug": NaN}'),
        ("get_article", '{"slug": "\\ud800"}'),
        ("get_article", "[" * 5_000),
        ("get_server_time", ""),
    ]
    async with fake_model(in_turn(calls(*asked), words("Sorry."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Sorry."
    missing, unknown, *others, time = model.outputs
    assert missing.startswith("Error: ")
    assert "There is no article 'nowhere'" in missing
    assert "Unknown argument 'slag'" in unknown
    assert others[0].startswith("Error: There is no tool 'make_coffee'. The tools are: search_art")
    assert others[1].startswith("Error: There is no tool 'rm -rf /'.")
    assert set(others[2:]) == {"Error: The arguments are no JSON object. Send one."}
    assert time.startswith("[MCP Server Time]")
    echoed = [each["function"] for each in model.requests[-1]["messages"][2]["tool_calls"]]
    assert all(isinstance(json.loads(each["arguments"]), dict) for each in echoed)
    assert echoed[3]["name"] == "rm_-rf__"


async def test_a_call_that_never_ends_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agent: the model is told, and goes on."""
    monkeypatch.setattr("mock_api.tools.CALL_SECONDS", 0.05)
    async with fake_model(in_turn(calls(("wait", {})), words("Enough."))) as model:
        app = create_app(model.settings(settings))

        @app.get("/wait", operation_id="wait")
        async def wait() -> None:
            await anyio.sleep_forever()

        with anyio.fail_after(30):
            assert (await ask(app)).text == "Enough."
    assert model.outputs == ["Error: 'wait' took longer than 0 seconds."]


async def test_files_and_long_outputs_are_bounded_before_the_model_gets_them(
    settings: Settings,
) -> None:
    """Agent: no bytes, and a note where something was cut."""
    image = {"slug": "architecture-tiers", "filename": "tiers.png"}
    asked: list[tuple[str, object]] = [("get_attachment", image), ("export_articles", {})]
    async with fake_model(in_turn(calls(*asked), words("Seen."))) as model:
        await ask(create_app(model.settings(settings)))
    picture, export = model.outputs
    assert picture == "[image/png: not shown here.]"
    assert len(export) < 20_100
    assert export.endswith("more characters are left out.]")


async def test_the_outputs_of_a_round_have_a_bound_together(settings: Settings) -> None:
    """Agent: many long outputs are cut shorter than a few."""
    many = calls(*[("export_articles", {})] * 12)
    async with fake_model(in_turn(many, words("Seen."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Seen."
    assert len(model.outputs) == 12
    assert 59_000 < sum(map(len, model.outputs)) < 61_000


async def test_many_calls_at_once_are_bounded(settings: Settings) -> None:
    """Agent: of those beyond the bound their number is told, and they are not sent back."""
    many = calls(*[("get_server_time", {})] * 50)
    async with fake_model(in_turn(many, words("Fifty."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Fifty."
    assert [each.startswith("[MCP Server Time]") for each in model.outputs] == [True] * 16
    note = "\n[34 more were not called: 16 calls at once are the most.]"
    assert [each.endswith(note) for each in model.outputs] == [False] * 15 + [True]
    assert len(model.requests[-1]["messages"][2]["tool_calls"]) == 16


async def test_calls_with_one_id_are_told_apart(settings: Settings) -> None:
    """Agent: the model's server wants an answer to each, under an id of its own."""
    twice = calls(("get_article", SLUG), ("get_server_time", {}), ids=["same", "same"])
    async with fake_model(in_turn(twice, words("Ok."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Ok."
    asked, *answered = model.requests[-1]["messages"][2:]
    ids = [each["id"] for each in asked["tool_calls"]]
    assert len(set(ids)) == 2
    assert [each["tool_call_id"] for each in answered] == ids
    assert answered[1]["content"].startswith("[MCP Server Time]")


async def test_words_before_a_call_are_kept_apart_from_those_after_it(settings: Settings) -> None:
    """Agent: the conversation tells the model what it has said."""
    first: list[Item] = [chunk({"content": "Let me look."}), *calls(("get_server_time", {}))]
    async with fake_model(in_turn(first, words("Done."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Let me look.\n\nDone."
    assert model.requests[-1]["messages"][2]["content"] == "Let me look."


async def test_rounds_have_a_bound(settings: Settings) -> None:
    """Agent: the last round may not call tools, and a model that does so all the same is ended."""
    async with fake_model(lambda _: calls(("get_server_time", {}))) as model:
        response = await ask(create_app(model.settings(settings, chat_max_rounds=3)))
    assert response.status_code == 502
    assert response.json()["detail"].startswith("The model has not come to an answer in 3 rounds")
    assert len(model.requests) == 3
    assert [each.get("tool_choice") for each in model.requests] == [None, None, "none"]


async def test_tokens_have_a_bound_in_all_rounds_together(settings: Settings) -> None:
    """Agent: what was used is no longer there in the next round."""
    script = in_turn(calls(("get_server_time", {})), calls(("get_server_time", {})), words("Late."))
    async with fake_model(script) as model:
        assert (await ask(create_app(model.settings(settings, chat_max_tokens=100)))).text
        assert [each["max_completion_tokens"] for each in model.requests] == [100, 91, 82]
        refused = await ask(create_app(model.settings(settings, chat_max_tokens=10)))
    assert refused.status_code == 502
    assert "limit of 10 tokens, which CHAT_MAX_TOKENS sets" in refused.json()["detail"]


async def test_an_answer_cut_by_its_limit_says_so(settings: Settings) -> None:
    """Agent: whether the model's server keeps the limit or forgets it."""
    for items in (words("Half a", finish="length"), words(*["word "] * 1_000)):
        async with fake_model(in_turn(items)) as model:
            response = await ask(create_app(model.settings(settings, chat_max_tokens=50)))
        assert response.status_code == 200
        assert response.text.endswith(
            "\n\n[The answer ends here: The answer has reached its limit of 50 tokens, which"
            " CHAT_MAX_TOKENS sets. Ask for less.]\n"
        )


async def test_the_agent_does_not_ask_itself(settings: Settings) -> None:
    """Agent: `chat` is not offered, nor called when the model makes up its name."""
    async with fake_model(in_turn(calls(("chat", QUESTION)), words("No."))) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "No."
    assert "chat" not in model.offered
    assert "watch_changes" not in model.offered
    assert model.outputs[0].startswith("Error: There is no tool 'chat'.")


@pytest.mark.parametrize("era", ERAS)
async def test_a_question_that_comes_back_by_a_detour_is_refused(
    settings: Settings, era: Era
) -> None:
    """Agent: a tool that asks `chat` in its turn, over MCP or REST, gets an error and no loop."""
    async with fake_model(in_turn(calls(("detour", {})), words("Stopped."))) as model:
        app = create_app(model.settings(settings))
        mounted: Mounted = app.state.mounted

        @app.get("/detour", operation_id="detour")
        async def detour(request: Request) -> list[str]:
            async with http_client(app) as rest, Client(mounted.server) as memory:
                headers = {name: request.headers[name] for name in ("x-within-chat",)}
                over_rest = await rest.post("/chat", json=QUESTION, headers=headers)
                over_mcp = await call(app, "chat", QUESTION, era=era, headers=headers)
                in_memory = await memory.call_tool_mcp("chat", QUESTION)
            block: Any = in_memory.content[0]
            return [over_rest.text, over_mcp.text_content, block.text]

        with anyio.fail_after(30):
            assert (await ask(app)).text == "Stopped."
    assert len(model.requests) == 2
    assert model.outputs[0].count("This question comes from the answer to another one") == 3
    async with http_client(app) as client:
        refused = await client.post("/chat", json=QUESTION, headers={"x-within-chat": "1"})
    assert refused.status_code == 508


async def test_the_log_names_the_question_that_a_call_was_made_for(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: every request of an answer has the id of the one that asked."""
    caplog.set_level(logging.INFO, "mock_api.access")
    async with fake_model(in_turn(calls(("get_server_time", {})), words("Late."))) as model:
        await ask(create_app(model.settings(settings)), **{"x-request-id": "q-1"})
    lines = [each.getMessage() for each in caplog.records if each.name == "mock_api.access"]
    assert len(lines) >= 4
    assert all("id=q-1" in line for line in lines)
    assert any("GET /server-time" in line and "tool=get_server_time" in line for line in lines)


async def test_done_without_more_is_the_end(settings: Settings) -> None:
    """Agent: chunks without a choice and without words are nothing."""
    items: list[Item] = [
        ": keep-alive\n\n",
        chunk(None, prompt_filter_results=[]),
        chunk({}),
        chunk({"content": None}),
        chunk({"content": "Hi"}),
        chunk({"content": "\ud83d"}),
        chunk({}, "stop"),
        DONE,
    ]
    async with fake_model(in_turn(items)) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Hi"
