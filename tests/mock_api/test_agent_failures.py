"""What is answered when the model does not: an error that helps, or the embedded answer."""

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import changed, http_client
from tests.mock_api.openai import DONE, KEY, Item, calls, chunk, fake_model, in_turn, words
from tests.mock_api.streaming import streamed
from tests.support import call, http

pytestmark = pytest.mark.faults

QUESTION = {"prompt": "What is a baseline?"}
EMBEDDED = "You asked: What is a baseline?"


def refused(status: int) -> Response:
    # OpenAI's own errors tell a part of the key.
    said = {"message": f"Incorrect API key provided: {KEY}", "type": "e", "code": "c"}
    return JSONResponse({"error": said}, status, headers={"x-should-retry": "false"})


def first(*items: Item) -> Sequence[Item]:
    return [chunk({"role": "assistant", "content": ""}), *items]


FAILURES: dict[str, tuple[Callable[..., Sequence[Item] | Response], int, str]] = {
    "key refused": (lambda: refused(401), 503, "check OPENAI_API_KEY and OPENAI_BASE_URL"),
    "not allowed": (lambda: refused(403), 503, "check OPENAI_API_KEY and OPENAI_BASE_URL"),
    "no such model": (lambda: refused(404), 503, "check OPENAI_MODEL"),
    "too many": (lambda: refused(429), 503, "asked too often"),
    "server failed": (lambda: refused(500), 503, "The model's server has failed"),
    "overloaded": (lambda: refused(529), 503, "The model's server has failed"),
    "bad request": (lambda: refused(400), 502, "does not accept the request"),
    "a page": (lambda: HTMLResponse("<h1>Hello</h1>"), 502, "check whether OPENAI_BASE_URL"),
    "nothing": (list, 502, "cannot be read"),
    "done at once": (lambda: [DONE], 502, "cannot be read"),
    "empty": (words, 502, "said nothing"),
    "no JSON": (lambda: first("data: {nope\n\n"), 502, "cannot be read"),
    "no object": (lambda: first("data: [1]\n\n"), 502, "cannot be read"),
    "no choices": (lambda: first('data: {"choices": 7}\n\n'), 502, "cannot be read"),
    "no text": (lambda: first(chunk({"content": [1]})), 502, "cannot be read"),
    "no UTF-8": (lambda: first("data: \udcff\n\n"), 502, "cannot be read"),
    "error inside": (lambda: first({"error": {"message": f"Oh {KEY}"}}), 502, "broken off"),
    "connection lost": (lambda: first(RuntimeError("cut")), 503, "cannot be reached"),
    "half": (lambda: first(chunk({"content": None})), 502, "broken off"),
    "never": (lambda: first(anyio.Event()), 504, "not finished in 0.3 seconds"),
    "filtered": (lambda: words(finish="content_filter"), 502, "provider has withheld"),
    "declined": (
        lambda: [chunk({"refusal": "I can"}), chunk({"refusal": "not."}), *words()],
        502,
        "The model refuses to answer: I cannot.",
    ),
}
kinds = pytest.mark.parametrize("kind", FAILURES)


def seconds(kind: str) -> float:
    return 0.3 if kind == "never" else 50


async def ask(app: FastAPI, accept: str = "text/plain") -> httpx.Response:
    async with http_client(app) as client:
        return await client.post("/chat", json=QUESTION, headers={"accept": accept})


@kinds
@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream", "application/json"])
async def test_before_the_first_word_a_failure_is_an_error_that_says_what_to_do(
    settings: Settings, kind: str, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: model down, slow or refusing; no key and nothing of the model's server is told."""
    caplog.set_level(logging.DEBUG)
    answer, status, said = FAILURES[kind]
    with anyio.fail_after(30):
        async with fake_model(lambda _: answer()) as model:
            app = create_app(model.settings(settings, chat_timeout=seconds(kind)))
            response = await ask(app, accept)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert said in response.json()["detail"]
    assert "127.0.0.1" not in response.text
    assert KEY not in response.text + caplog.text
    assert any(each.name.startswith("mock_api") for each in caplog.records)


@kinds
async def test_where_it_is_allowed_the_embedded_answer_takes_its_place(
    settings: Settings, kind: str
) -> None:
    """Agent: a line says so."""
    answer, _, said = FAILURES[kind]
    with anyio.fail_after(30):
        async with fake_model(lambda _: answer()) as model:
            more = {"chat_timeout": seconds(kind), "chat_fallback": True}
            response = await ask(create_app(model.settings(settings, **more)))
    assert response.status_code == 200
    line, _, rest = response.text.partition("\n\n")
    assert said in line
    assert line.endswith("This answer is made of passages of the knowledge base.]")
    assert rest.startswith(EMBEDDED)
    assert "Sources: " in rest


async def test_a_model_that_nobody_serves_is_an_error_or_the_embedded_answer(
    settings: Settings,
) -> None:
    """Agent: the connection is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    down = changed(settings, openai_api_key=KEY, openai_base_url=f"http://127.0.0.1:{port}/v1")
    response = await ask(create_app(down))
    assert response.status_code == 503
    assert response.json() == {"detail": "The model cannot be reached. Try again later."}
    instead = await ask(create_app(changed(down, chat_fallback=True)))
    assert EMBEDDED in instead.text


async def test_a_failure_that_passes_is_not_seen(settings: Settings) -> None:
    """Agent: OpenAI's client tries once more by itself."""
    answers: list[Response | list[Item]] = [
        JSONResponse({}, 500, headers={"retry-after-ms": "1"}),
        words("Here."),
    ]
    async with fake_model(lambda _: answers.pop(0)) as model:
        assert (await ask(create_app(model.settings(settings)))).text == "Here."


AFTER_A_WORD: dict[str, tuple[Callable[[], Sequence[Item]], str]] = {
    "connection lost": (lambda: [RuntimeError("cut")], "The model cannot be reached."),
    "half": (lambda: [DONE], "The model has broken off its answer."),
    "no JSON": (lambda: ["data: {nope\n\n"], "The model's answer cannot be read."),
    "error inside": (lambda: [{"error": {"message": KEY}}], "The model has broken off"),
    "never": (lambda: [anyio.Event()], "The model has not finished in 2 seconds"),
    "filtered": (lambda: words(finish="content_filter"), "provider has withheld"),
    "tool after tool": (lambda: calls(("get_server_time", {})), "The model cannot be reached."),
}


@pytest.mark.parametrize("kind", AFTER_A_WORD)
@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream", "application/json"])
async def test_after_the_first_word_the_end_of_the_stream_says_what_went_wrong(
    settings: Settings, kind: str, accept: str
) -> None:
    """Agent: a last line, or an event `error`; JSON has not begun, and is an error still.

    The embedded answerer does not take over in the middle of a sentence.
    """
    answer, said = AFTER_A_WORD[kind]
    script = in_turn([chunk({"content": "Well, "}), *answer()], [RuntimeError("cut")])
    with anyio.fail_after(30):
        async with fake_model(script) as model:
            # Long enough for a busy machine to bring the first word.
            more = {"chat_timeout": 2 if kind == "never" else 50, "chat_fallback": True}
            response = await ask(create_app(model.settings(settings, **more)), accept)
    if accept == "application/json":
        assert response.status_code in {502, 503, 504}
        assert said in response.json()["detail"]
        # What has been told may be what has been changed.
        assert response.json()["answer"].startswith("Well, ")
    elif accept == "text/plain":
        assert response.text.startswith("Well, ")
        last = response.text.rstrip("\n").rpartition("\n")[2]
        assert last.startswith("[The answer ends here: ")
        assert said in last
    else:
        assert response.text.startswith("data: Well, \n\n")
        last = response.text.partition("\n\nevent: error\ndata: ")[2]
        assert said in last
        assert last.endswith("\n\n")
    assert KEY not in response.text
    assert EMBEDDED not in response.text


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream"])
async def test_the_models_stream_is_closed_when_the_client_goes(
    settings: Settings, accept: str
) -> None:
    """Agent, C7: the model's server sees it."""
    items: list[Item] = [chunk({"content": "One "}), anyio.Event()]
    with anyio.fail_after(30):
        async with fake_model(lambda _: items) as model:
            app = create_app(model.settings(settings))
            headers = {"accept": accept}
            async with streamed(app, "POST", "/chat", QUESTION, headers=headers) as response:
                assert await response.chunk()
            await model.gone.wait()


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream", "application/json"])
async def test_a_client_that_goes_before_the_first_word_is_noticed_too(
    settings: Settings, accept: str
) -> None:
    """Agent, C7: a model that thinks for long does not think for nobody."""
    arrived = anyio.Event()

    def script(_: object) -> list[Item]:
        arrived.set()
        return [anyio.Event()]

    with anyio.fail_after(30):
        async with fake_model(script) as model:
            app = create_app(model.settings(settings))
            async with anyio.create_task_group() as tasks, http(app) as client:

                async def post() -> None:
                    await client.post("/chat", json=QUESTION, headers={"accept": accept})

                tasks.start_soon(post)
                await arrived.wait()
                tasks.cancel_scope.cancel()
            await model.gone.wait()


async def test_the_tools_that_run_for_an_answer_end_when_the_client_goes(
    settings: Settings,
) -> None:
    """Agent, C7."""
    started, closed = anyio.Event(), anyio.Event()
    items: list[Item] = [chunk({"content": "One "}), *calls(("wait", {}))]
    with anyio.fail_after(30):
        async with fake_model(in_turn(items)) as model:
            app = create_app(model.settings(settings))

            @app.get("/wait", operation_id="wait")
            async def wait() -> None:
                started.set()
                try:
                    await anyio.sleep_forever()
                finally:
                    closed.set()

            async with streamed(app, "POST", "/chat", QUESTION) as response:
                assert await response.chunk() == b"One "
                assert await response.chunk() == b"\n\n"
                await started.wait()
            await closed.wait()


async def test_the_models_stream_is_closed_when_the_caller_over_mcp_goes(
    settings: Settings,
) -> None:
    """Agent, C7."""
    arrived = anyio.Event()

    def script(_: object) -> list[Item]:
        arrived.set()
        return [chunk({"content": "One "}), anyio.Event()]

    with anyio.fail_after(30):
        async with fake_model(script) as model:
            app = create_app(model.settings(settings))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call, app, "chat", QUESTION)
                await arrived.wait()
                tasks.cancel_scope.cancel()
            await model.gone.wait()


async def test_over_mcp_a_failure_is_a_tool_error(settings: Settings) -> None:
    """Agent, R3: with what to do, and no key."""
    async with fake_model(lambda _: refused(401)) as model:
        reply = await call(create_app(model.settings(settings)), "chat", QUESTION)
    assert reply.is_error
    assert "check OPENAI_API_KEY" in reply.text_content
    assert KEY not in reply.text


class Gate:
    """Middleware that lets nothing through to the endpoint."""

    def __init__(self, app: ASGIApp, status: int | None) -> None:
        self.app, self.status = app, status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != "/mcp":
            await self.app(scope, receive, send)
        elif self.status is None:
            raise RuntimeError("private")
        else:
            await Response("private", self.status)(scope, receive, send)


@pytest.mark.parametrize("status", [None, 401, 404, 429, 500, 200])
async def test_where_the_tools_cannot_be_used_the_answer_is_an_error(
    settings: Settings, status: int | None
) -> None:
    """Agent: whatever stands in the way of the endpoint, with a model and without one."""
    embedded = create_app(settings)
    embedded.add_middleware(Gate, status=status)
    response = await ask(embedded)
    assert response.status_code == 503
    assert response.json()["detail"].startswith("search_articles cannot be used now")
    async with fake_model(in_turn(words("Hi."))) as model:
        app = create_app(model.settings(settings))
        app.add_middleware(Gate, status=status)
        response = await ask(app)
    assert response.status_code == 503
    assert response.json() == {"detail": "The tools cannot be listed now. Try again later."}


async def test_where_the_knowledge_base_fails_so_does_the_embedded_answer(
    settings: Settings, tmp_path: Path
) -> None:
    """Agent, R3: the time can still be told."""
    app = create_app(changed(settings, kb_database=tmp_path))
    response = await ask(app)
    assert response.status_code == 503
    assert response.json()["detail"].startswith("search_articles cannot be used now")
    async with http_client(app) as client:
        assert (await client.post("/chat", json={"prompt": "What time is it?"})).status_code == 200
