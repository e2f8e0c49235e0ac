"""How turns of a model are read, from servers that keep to OpenAI's API more or less."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import changed, http_client
from tests.mock_api.openai import DONE, KEY, Item, chunk, fake_model, in_turn, words

SLUGS = ("workflow-templates", "baseline-a-structure")


def part(number: int | None, name: str | None, arguments: str, call_id: str | None) -> Item:
    """Return a chunk with a piece of a call, without the fields that are None."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    fields = {"index": number, "id": call_id, "function": function}
    return chunk(
        {"tool_calls": [{key: value for key, value in fields.items() if value is not None}]}
    )


def whole(slug: str) -> str:
    return json.dumps({"slug": slug})


SERVERS: dict[str, list[Item]] = {
    "pieces of two calls take turns": [
        part(1, "get_article", "", "b"),
        part(0, "get_article", "", "a"),
        part(1, None, whole(SLUGS[1])[:9], None),
        part(0, None, whole(SLUGS[0]), None),
        part(1, None, whole(SLUGS[1])[9:], None),
        chunk({}, "tool_calls"),
    ],
    "every call whole, with one index": [
        part(0, "get_article", whole(SLUGS[0]), "a"),
        part(0, "get_article", whole(SLUGS[1]), "b"),
        chunk({}, "tool_calls"),
    ],
    "no index": [
        part(None, "get_article", whole(SLUGS[0]), "a"),
        part(None, "get_article", whole(SLUGS[1])[:5], "b"),
        part(None, None, whole(SLUGS[1])[5:], None),
        chunk({}, "tool_calls"),
    ],
    "no ids": [
        part(1, "get_article", whole(SLUGS[0]), None),
        part(2, "get_article", whole(SLUGS[1]), None),
        chunk({}, "tool_calls"),
    ],
    "id and name in every piece": [
        part(1, "get_article", whole(SLUGS[0])[:4], "a"),
        part(1, "get_article", whole(SLUGS[0])[4:], "a"),
        part(2, "get_article", whole(SLUGS[1]), "b"),
        chunk({}, "tool_calls"),
    ],
    "the end is called stop": [
        part(1, "get_article", whole(SLUGS[0]), "a"),
        part(2, "get_article", whole(SLUGS[1]), "b"),
        chunk({}, "stop"),
    ],
    "the end comes with the last piece": [
        part(1, "get_article", whole(SLUGS[0]), "a"),
        chunk({"tool_calls": [{"index": 2, "id": "b", "function": {"name": "get_article"}}]}),
        chunk({"tool_calls": [{"index": 2, "function": {"arguments": whole(SLUGS[1])}}]}, "stop"),
    ],
}


@pytest.mark.parametrize("server", SERVERS)
async def test_calls_are_put_together_whatever_the_server_leaves_out(
    settings: Settings, server: str
) -> None:
    """Agent: by their index where there is one; each has an id and its own arguments."""
    async with fake_model(in_turn([*SERVERS[server], DONE], words("Read."))) as model:
        app = create_app(model.settings(settings))
        async with http_client(app) as client:
            assert (await client.post("/chat", json={"prompt": "Hi"})).text == "Read."
    assert [json.loads(output)["slug"] for output in model.outputs] == [*SLUGS]
    asked, *answered = model.requests[-1]["messages"][2:]
    ids = [each["id"] for each in asked["tool_calls"]]
    assert len({*ids}) == 2
    assert [each["tool_call_id"] for each in answered] == ids


async def test_a_call_that_was_cut_off_is_not_made(settings: Settings) -> None:
    """Agent: half of a call may be another call."""
    items = [part(1, "delete_article", whole(SLUGS[0]), "a"), chunk({}, "length"), DONE]
    async with fake_model(in_turn(items)) as model:
        app = create_app(model.settings(settings))
        async with http_client(app) as client:
            response = await client.post("/chat", json={"prompt": "Hi"})
            assert response.status_code == 502
            assert (await client.get(f"/articles/{SLUGS[0]}")).status_code == 200


def test_without_a_key_openais_client_is_not_even_imported() -> None:
    """Agent: a service without a model starts as fast as before."""
    code = (
        "import sys; from mock_api.app import create_app; from mock_api.settings import Settings;"
        "create_app(Settings(openai_api_key=None)); assert 'openai' not in sys.modules;"
        "create_app(Settings(openai_api_key='k')); assert 'openai' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_blank_is_unset_and_the_rest_has_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agent: as for the other settings."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.setenv(name, " ")
    settings = Settings()
    assert (settings.openai_api_key, settings.openai_base_url) == (None, None)
    assert settings.openai_model == "gpt-5.4-mini"
    assert not settings.chat_fallback
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("CHAT_FALLBACK", "true")
    settings = Settings()
    assert settings.openai_api_key
    assert settings.openai_api_key.get_secret_value() == KEY
    assert settings.chat_fallback
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"openai_api_key": "two words"},
        {"openai_api_key": "schlüssel"},
        {"openai_base_url": "localhost:11434"},
        {"chat_max_rounds": 0},
        {"chat_max_tokens": 0},
        {"chat_timeout": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_stop_the_start(
    settings: Settings, wrong: dict[str, object]
) -> None:
    """Agent: and the message does not hold the key."""
    with pytest.raises(ValidationError) as refused:
        changed(settings, **wrong)
    assert "two words" not in str(refused.value)
    assert "schlüssel" not in str(refused.value)
