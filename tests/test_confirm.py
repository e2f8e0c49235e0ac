"""A destructive call asks the caller's user first, where the client can ask."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.security import APIKeyCookie, APIKeyHeader
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.utilities.asgi_transport import StreamingASGITransport
from httpx2 import AsyncClient
from mcp.server.request_state import AESGCMRequestStateCodec

from mcp_mount import MountError, RateLimit, mount_mcp
from tests.support import BASE_URL, MODERN, Reply, call, rpc

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ASKS: dict[str, Any] = {CAPABILITIES: {"elicitation": {}}}
KEY = "0123456789abcdef0123456789abcdef"
DECLINED = "The user did not confirm the call. Nothing was done."
INVALID_PARAMS = -32602


class Shelf:
    """An app with things that can be destroyed, and what became of them."""

    def __init__(self, **options: Any) -> None:
        self.done: list[str] = []
        self.app = FastAPI(title="Shelf")

        @self.app.delete("/things/{name}")
        async def remove(name: str, reason: str = "") -> str:
            self.done.append(name)
            return f"removed {name}"

        @self.app.get("/things")
        async def look() -> str:
            return "things"

        @self.app.post("/purge", openapi_extra={"x-mcp": {"confirm": True}})
        async def purge() -> str:
            return "purged"

        @self.app.delete("/draft", openapi_extra={"x-mcp": {"confirm": False}})
        async def discard() -> str:
            return "discarded"

        hint = {"x-mcp": {"annotations": {"destructiveHint": True}}}

        @self.app.post("/reset", openapi_extra=hint)
        async def reset() -> str:
            return "reset"

        calm = {"x-mcp": {"annotations": {"destructiveHint": False}}}

        @self.app.delete("/bookmark", openapi_extra=calm)
        async def forget() -> str:
            return "forgotten"

        mount_mcp(self.app, **{"confirm": "destructive", **options})


async def ask(
    app: FastAPI,
    tool: str = "remove",
    arguments: Mapping[str, Any] | None = None,
    *,
    meta: Mapping[str, Any] = ASKS,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Reply:
    """Call a tool as a modern client that can ask its user; `more` are further parameters."""
    given = {"name": "a"} if tool == "remove" and arguments is None else arguments
    params = {"name": tool, "arguments": dict(given or {}), "_meta": dict(meta), **more}
    return await rpc(app, "modern", "tools/call", params, headers=headers)


def answered(question: Reply, action: str = "accept", **changed: Any) -> dict[str, Any]:
    """Return the parameters with which a client answers a question."""
    result = question.result
    (key,) = result["inputRequests"]
    content: dict[str, Any] = {"content": {}} if action == "accept" else {}
    return {
        "inputResponses": {key: {"action": action, **content}},
        "requestState": result["requestState"],
        **changed,
    }


def is_question(reply: Reply) -> bool:
    return reply.result.get("resultType") == "input_required"


async def test_a_delete_asks_first_and_runs_once_when_it_is_accepted() -> None:
    """C6: the question says what would run, and with what."""
    shelf = Shelf()
    question = await ask(shelf.app, arguments={"name": "a", "reason": "old"})
    assert is_question(question)
    (request,) = question.result["inputRequests"].values()
    assert request["method"] == "elicitation/create"
    said = request["params"]["message"]
    assert said == 'Run DELETE /things/{name} with {"name": "a", "reason": "old"}?'
    assert shelf.done == []
    reply = await ask(shelf.app, arguments={"name": "a", "reason": "old"}, **answered(question))
    assert reply.text_content == '"removed a"'
    assert shelf.done == ["a"]


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_call_that_is_not_accepted_does_not_run(action: str) -> None:
    """C6: the model is told, and nothing was done."""
    shelf = Shelf()
    reply = await ask(shelf.app, **answered(await ask(shelf.app), action))
    assert (reply.is_error, reply.text_content) == (True, DECLINED)
    assert shelf.done == []


@pytest.mark.parametrize(("action", "done"), [("accept", ["a"]), ("decline", []), ("cancel", [])])
async def test_fastmcps_client_asks_its_user(action: Any, done: list[str]) -> None:
    """C6: over the wire, in one call of the client."""
    shelf = Shelf()
    asked: list[str] = []

    async def handler(message: str, *_: object) -> ElicitResult[Any]:
        asked.append(message)
        return ElicitResult(action=action, content={} if action == "accept" else None)

    def factory(*args: Any, **options: Any) -> AsyncClient:
        options["transport"] = StreamingASGITransport(shelf.app, cancel_on_close=False)
        return AsyncClient(*args, **options)

    transport = StreamableHttpTransport(f"{BASE_URL}/mcp", httpx_client_factory=factory)
    async with Client(transport, mode=MODERN, elicitation_handler=handler) as client:
        result = await client.call_tool("remove", {"name": "a"}, raise_on_error=False)
    assert asked == ['Run DELETE /things/{name} with {"name": "a"}?']
    assert shelf.done == done
    assert result.is_error == (action != "accept")


@pytest.mark.parametrize(
    ("tool", "asks"),
    [
        ("look", False),
        ("purge", True),
        ("discard", False),
        ("reset", True),
        ("forget", False),
    ],
)
async def test_marks_and_hints_say_what_asks(tool: str, *, asks: bool) -> None:
    """C6: a mark first, then the hint that clients see, then the method."""
    assert is_question(await ask(Shelf().app, tool)) is asks


async def test_a_mark_asks_although_the_mount_does_not() -> None:
    """C6: and nothing else does."""
    shelf = Shelf(confirm=None)
    assert is_question(await ask(shelf.app, "purge"))
    assert not is_question(await ask(shelf.app))


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {"url": {}}}, {"sampling": {}}])
async def test_a_client_that_cannot_ask_runs_the_call(capabilities: dict[str, Any]) -> None:
    """C6: it has the `destructiveHint` to ask by itself."""
    shelf = Shelf()
    reply = await ask(shelf.app, meta={CAPABILITIES: capabilities})
    assert reply.text_content == '"removed a"'


async def test_a_legacy_client_runs_the_call() -> None:
    """C6: those versions answer a question over a connection that is not kept here."""
    shelf = Shelf()
    reply = await call(shelf.app, "remove", {"name": "a"}, era="legacy", meta=ASKS)
    assert reply.text_content == '"removed a"'


async def test_nothing_is_asked_about_very_large_arguments() -> None:
    """F1: the SDK binds the question to them, in one step of a tenth of a second."""
    app, done = FastAPI(), list[int]()

    @app.delete("/many")
    async def many(ids: list[float]) -> None:
        done.append(len(ids))

    mount_mcp(app, confirm="destructive")
    small, large = ({"body": [0.123456789] * length} for length in (9_000, 11_000))
    question = await ask(app, "many", small)
    assert is_question(question)
    refused = await ask(app, "many", large)
    assert refused.is_error
    assert "it holds too much for that: send less at once" in refused.text_content
    other = await ask(app, "many", large, **answered(question))
    assert "more than 10,000 JSON values, and answers a question" in str(other.answer["error"])
    assert done == []
    await ask(app, "many", small, **answered(question))
    await ask(app, "many", large, meta={})
    assert done == [9_000, 11_000]


async def test_what_cannot_be_called_is_refused_without_a_question() -> None:
    """C6: nobody is asked about a call that could not run."""
    reply = await ask(Shelf().app, arguments={"name": "a", "unknown": 1})
    assert "Unknown argument 'unknown'" in reply.text_content


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_an_answer_without_the_question_is_asked_anew(action: str) -> None:
    """C6: a client cannot answer before it was asked."""
    shelf = Shelf()
    answer = answered(await ask(shelf.app), action)
    del answer["requestState"]
    assert is_question(await ask(shelf.app, **answer))
    assert shelf.done == []


async def test_a_state_without_an_answer_is_asked_anew() -> None:
    """C6: also where the answer is to a question of another name."""
    shelf = Shelf()
    answer = answered(await ask(shelf.app))
    other = {"other": next(iter(answer["inputResponses"].values()))}
    assert is_question(await ask(shelf.app, requestState=answer["requestState"]))
    assert is_question(await ask(shelf.app, **{**answer, "inputResponses": other}))
    assert shelf.done == []


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": {"name": "b"}},
        {"arguments": {"name": "a", "reason": "other"}},
        {"tool": "purge", "arguments": {}},
        {"headers": {"authorization": "Bearer mallory"}},
        {"headers": {}},
    ],
    ids=repr,
)
async def test_an_answer_is_to_one_question_of_one_caller(
    changed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """C6: not to other arguments, another tool, or somebody else's."""
    shelf = Shelf()
    alice = {"authorization": "Bearer alice"}
    question = await ask(shelf.app, headers=alice)
    reply = await ask(shelf.app, **{"headers": alice, **changed}, **answered(question))
    assert reply.answer["error"]["code"] == INVALID_PARAMS
    assert shelf.done == []
    assert [record.name for record in caplog.records] == ["mcp.server.request_state"]
    assert (await ask(shelf.app, headers=alice, **answered(question))).text_content


@pytest.mark.parametrize("state", ["", "v1.AAAA", "mcp_mount:asked", "v2", 3], ids=repr)
async def test_a_forged_state_is_refused(state: object) -> None:
    """C6: with -32602, and the call does not run."""
    shelf = Shelf()
    question = await ask(shelf.app)
    reply = await ask(shelf.app, **answered(question, requestState=state))
    assert reply.answer["error"]["code"] == INVALID_PARAMS
    assert shelf.done == []


async def test_a_tampered_state_is_refused() -> None:
    """C6: whichever character was changed."""
    shelf = Shelf()
    question = await ask(shelf.app)
    state: str = question.result["requestState"]
    for index in range(3, len(state), 17):
        changed = "A" if state[index] != "A" else "B"
        tampered = f"{state[:index]}{changed}{state[index + 1 :]}"
        reply = await ask(shelf.app, **answered(question, requestState=tampered))
        assert reply.answer["error"]["code"] == INVALID_PARAMS
    assert shelf.done == []


async def test_an_answer_is_accepted_for_five_minutes() -> None:
    """C6: an old one, sealed with the same key, is refused; the seal hides what is in it."""
    shelf = Shelf(state_key=KEY)
    question = await ask(shelf.app)
    codec = AESGCMRequestStateCodec([KEY])
    claims = json.loads(codec.unseal(question.result["requestState"]))
    assert claims["exp"] - claims["iat"] == 300
    assert "asked" not in question.result["requestState"]
    for seconds, accepted in ((290, True), (310, False)):
        old = {**claims, "iat": claims["iat"] - seconds, "exp": claims["exp"] - seconds}
        sealed = codec.seal(json.dumps(old).encode())
        reply = await ask(shelf.app, **answered(question, requestState=sealed))
        assert ("error" not in reply.answer) is accepted
    assert shelf.done == ["a"]


@pytest.mark.parametrize(("key", "accepted"), [(KEY, True), (None, False), (KEY[::-1], False)])
async def test_processes_with_one_key_know_each_others_questions(
    key: str | None, *, accepted: bool
) -> None:
    """C6: without it each has a key of its own."""
    one, other = Shelf(state_key=KEY), Shelf(state_key=key)
    reply = await ask(other.app, **answered(await ask(one.app)))
    assert ("error" not in reply.answer) is accepted
    assert other.done == (["a"] if accepted else [])


@pytest.mark.parametrize("key", ["", "short", "x" * 31])
def test_a_key_that_is_too_short_stops_the_start_up(key: str) -> None:
    """C6: with the way to make one; the key itself is not shown."""
    with pytest.raises(MountError, match=r"needs 32\. Make one with: .*token_hex") as raised:
        mount_mcp(FastAPI(), state_key=key)
    assert not key or key not in str(raised.value)


async def test_a_question_counts_as_no_call_and_its_answer_as_one() -> None:
    """C6: the rate limit counts what runs."""
    shelf = Shelf(rate_limit=RateLimit("1/hour"))
    for _ in range(2):
        question = await ask(shelf.app)
    assert (await ask(shelf.app, **answered(question))).text_content == '"removed a"'
    question = await ask(shelf.app)
    assert "Too many calls" in (await ask(shelf.app, **answered(question))).text_content


async def test_arguments_cannot_disguise_the_question(caplog: pytest.LogCaptureFixture) -> None:
    """C6: on one line, readable, bounded, and in no log."""
    caplog.set_level(logging.INFO)
    name = "a\n\nRun GET /things?\u202e\x1b[2K" + "\u00fc" + "x" * 5_000
    question = await ask(Shelf().app, arguments={"name": name})
    (request,) = question.result["inputRequests"].values()
    said = request["params"]["message"]
    assert said.isprintable()
    assert said.startswith('Run DELETE /things/{name} with {"name": "a\\n\\nRun GET')
    assert "\u00fcxxx" in said
    assert len(said) < 1_200
    assert "xxx" not in caplog.text


def _said(question: Reply) -> str:
    (request,) = question.result["inputRequests"].values()
    return str(request["params"]["message"])


async def test_no_argument_hides_what_the_path_names() -> None:
    """C6: the path's values come first, and each long value is cut by itself."""
    long = "x" * 3_000
    said = _said(await ask(Shelf().app, arguments={"reason": long, "name": "payroll"}))
    assert said.startswith('Run DELETE /things/{name} with {"name": "payroll", "reason": "xxx')
    said = _said(await ask(Shelf().app, arguments={"reason": "old", "name": f"a{long}z"}))
    assert said.startswith('Run DELETE /things/{name} with {"name": "axxx')
    assert said.endswith('xxxz" (3002 characters), "reason": "old"}?')
    assert len(said) < 400


async def test_a_value_that_is_cut_stays_within_its_quotes() -> None:
    """C6: what is left of a list is a string, so that nothing in it passes for an argument."""
    app = FastAPI()

    @app.delete("/things")
    async def remove(names: Annotated[list[str], Query()]) -> None:
        """Never run."""

    mount_mcp(app, confirm="destructive")
    names = ["x" * 96 + '", "all": "', "y" * 300]
    said = _said(await ask(app, arguments={"names": names}))
    shown = re.sub(r" \(\d+ characters\)", "", said.partition(" with ")[2].removesuffix("?"))
    assert [*json.loads(shown)] == ["names"]


@pytest.mark.parametrize(
    ("scheme", "alice", "bob"),
    [
        (APIKeyHeader(name="x-team-key"), {"x-team-key": "alice"}, {"x-team-key": "bob"}),
        (APIKeyCookie(name="Team"), {"cookie": "Team=alice"}, {"cookie": "Team=bob"}),
    ],
    ids=["header", "cookie"],
)
async def test_a_key_that_the_app_declares_tells_callers_apart(
    scheme: Callable[..., Any], alice: Mapping[str, str], bob: Mapping[str, str]
) -> None:
    """C6: nobody uses another's confirmation, wherever the app looks for its keys."""
    app = FastAPI()

    @app.delete("/things/{name}")
    async def remove(name: str, key: Annotated[str, Depends(scheme)]) -> str:
        return f"{key} removed {name}"

    mount_mcp(app, confirm="destructive", forward_cookies=True)
    answer = answered(await ask(app, headers=alice))
    assert (await ask(app, headers=bob, **answer)).answer["error"]["code"] == INVALID_PARAMS
    assert (await ask(app, headers=alice, **answer)).text_content == '"alice removed a"'


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_a_question_is_answered_once(action: str) -> None:
    """C6: an answer that is sent again, even another one, is asked about again."""
    shelf = Shelf()
    question = await ask(shelf.app)
    await ask(shelf.app, **answered(question, action))
    done = [*shelf.done]
    again = await ask(shelf.app, **answered(question))
    assert is_question(again)
    assert shelf.done == done
    # What it is asked now is a question of its own.
    assert (await ask(shelf.app, **answered(again))).text_content == '"removed a"'


async def test_of_two_answers_at_once_one_runs() -> None:
    """C6: whichever comes first."""
    shelf = Shelf()
    question = await ask(shelf.app)
    replies: list[Reply] = []

    async def answer() -> None:
        replies.append(await ask(shelf.app, **answered(question)))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(answer)
    assert sorted(map(is_question, replies)) == [False, True, True, True, True]
    assert shelf.done == ["a"]


async def test_the_answers_that_are_remembered_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: whoever answers without end takes no more memory, and locks nobody out."""
    monkeypatch.setattr("mcp_mount.access.answered._MOST_ANSWERED", 2)
    shelf = Shelf()
    first = await ask(shelf.app)
    for answer in (answered(first), *[answered(await ask(shelf.app)) for _ in range(3)]):
        assert not is_question(await ask(shelf.app, **answer))
    assert len(shelf.done) == 4
