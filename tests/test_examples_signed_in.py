"""The example of an app that gives out its own tokens, which needs SQLModel."""

import base64
import importlib

import anyio
import pytest

from tests.support import ERAS, Era, call, http, rpc, tools

pytest.importorskip("sqlmodel", reason="SQLModel is installed with the extra 'examples'")
signed_in = importlib.import_module("examples.signed_in")


async def sign_in(name: str, password: str) -> dict[str, str]:
    async with http(signed_in.app) as client:
        form = {"username": name, "password": password}
        token = (await client.post("/token", data=form)).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("era", ERAS)
async def test_each_caller_of_the_app_with_tokens_has_notes_of_their_own(era: Era) -> None:
    """Access: an app's own JWT is all that MCP needs."""
    alice, bob = await sign_in("alice", "wonderland"), await sign_in("bob", "builder")
    assert (await rpc(signed_in.app, era, "tools/list")).status == 401
    made_up = {"authorization": "Bearer made.up.token"}
    refused = await rpc(signed_in.app, era, "tools/list", headers=made_up)
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert {*await tools(signed_in.app, era=era, headers=alice)} == {"list_notes", "write_note"}
    assert {*await tools(signed_in.app, era=era, headers=bob)} == {"list_notes"}
    text = {"text": f"Late for tea, {era}."}
    await call(signed_in.app, "write_note", text, era=era, headers=alice)
    assert (await call(signed_in.app, "write_note", text, era=era, headers=bob)).status == 403
    assert (
        text["text"]
        in (await call(signed_in.app, "list_notes", era=era, headers=alice)).text_content
    )
    theirs = await call(signed_in.app, "list_notes", era=era, headers=bob)
    assert theirs.result["structuredContent"] == {"result": []}


async def test_a_wrong_password_gives_no_token() -> None:
    async with http(signed_in.app) as client:
        for name in ("alice", "nobody"):
            form = {"username": name, "password": "guess"}
            assert (await client.post("/token", data=form)).status_code == 400


async def test_its_models_are_what_a_model_is_told() -> None:
    """Schemas: SQLModel's fields, and no owner that a model could set."""
    alice = await sign_in("alice", "wonderland")
    listed = await tools(signed_in.app, headers=alice)
    text = listed["write_note"]["inputSchema"]["properties"]
    assert text.keys() == {"text"}
    assert text["text"]["description"] == "The note, as plain text."
    reply = await call(signed_in.app, "write_note", {"text": "x" * 2_001}, headers=alice)
    assert reply.is_error
    assert "2000" in reply.text_content


async def test_callers_at_the_same_time_get_notes_of_their_own() -> None:
    """On one connection for all threads, callers got the id and the text of another's note."""
    alice = await sign_in("alice", "wonderland")
    answers: dict[str, dict[str, object]] = {}
    async with http(signed_in.app) as client:

        async def write(text: str) -> None:
            response = await client.post("/notes", json={"text": text}, headers=alice)
            answers[text] = response.json()

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(write, f"Note {number}")
    assert [answer["text"] for answer in answers.values()] == [*answers]
    assert len({answer["id"] for answer in answers.values()}) == 30


@pytest.mark.parametrize("header", ['{"alg":"HS256","crit":1}', '{"alg":"HS256","crit":[[]]}'])
async def test_a_token_whose_header_is_odd_is_one_that_is_not_valid(header: str) -> None:
    token = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=") + ".e30.AA"
    async with http(signed_in.app) as client:
        refused = await client.get("/notes", headers={"authorization": f"Bearer {token}"})
    assert refused.status_code == 401
