"""What the environment and `.env` say, and what the start says of it."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from mcp_mount import mount_mcp
from mock_api.addresses import base_url
from mock_api.app import create_app
from mock_api.settings import FileSettings, Settings
from tests.mock_api.conftest import changed, http_client, with_tokens
from tests.mock_api.issuer import Issuer
from tests.mock_api.openai import calls, fake_model, in_turn, words
from tests.starting import started
from tests.support import served

ROOT = Path(__file__).parent.parent.parent


def test_what_the_environment_leaves_open_is_read_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\ufeff# A comment\nCHAT_PACE=0.5\nOPENAI_MODEL='small one'\nLOG_LEVEL=debug\nOTHER=1\n"
    (tmp_path / ".env").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAT_PACE", "0.25")
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    settings = FileSettings()
    assert (settings.chat_pace, settings.openai_model) == (0.25, "small one")
    assert settings.log_level == "DEBUG"
    # An application that is made in a program of somebody else's reads no file.
    assert Settings().openai_model == "gpt-5.4-mini"


def test_the_example_names_every_setting_and_can_be_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    named = {line.lstrip("# ").partition("=")[0] for line in example.splitlines() if "=" in line}
    assert {name.upper() for name in Settings.model_fields} <= named
    (tmp_path / ".env").write_text(example, "utf-8")
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert FileSettings().model_dump() == Settings().model_dump()


def run_main(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    script = "import logging, mock_api.main\n"
    script += "for name in ('mock_api', 'mcp_mount'): print(logging.getLogger(name).level)"
    return subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
        timeout=60,
    )


def test_the_level_is_that_of_both_logs(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=warning\n", "utf-8")
    assert run_main(tmp_path).stdout.split() == [str(logging.WARNING)] * 2
    assert run_main(tmp_path, LOG_LEVEL="").stdout.split() == [str(logging.INFO)] * 2


def test_a_wrong_setting_is_named_without_a_traceback(tmp_path: Path) -> None:
    done = run_main(tmp_path, LOG_LEVEL="loud", CHAT_PACE="-1")
    assert done.returncode != 0
    assert "LOG_LEVEL: Input should be 'DEBUG', 'INFO'" in done.stderr
    assert "CHAT_PACE: " in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_front_door_leads_to_the_page(client: httpx.AsyncClient, app: FastAPI) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/mcp")
    transport = httpx.ASGITransport(app, root_path="/kb")
    async with httpx.AsyncClient(transport=transport, base_url="http://kb") as behind:
        assert (await behind.get("/kb/")).headers["location"] == "/kb/mcp"


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("uvicorn mock_api.main:app", "http://localhost:8000"),
        ("/venv/bin/uvicorn mock_api.main:app --port 9000", "http://localhost:9000"),
        ("/lib/uvicorn/__main__.py a:b --host 0.0.0.0", "http://localhost:8000"),
        ("uvicorn a:b --host kb.example --port 80 --root-path /kb", "http://kb.example:80/kb"),
        ("uvicorn a:b --host 2001:db8::1", "http://[2001:db8::1]:8000"),
        ("uvicorn a:b --ssl-certfile x --port 443", "https://localhost:443"),
        ("uvicorn a:b --port 0", None),
        ("uvicorn a:b --uds /run/kb.sock", None),
        ("gunicorn a:b", None),
        ("-c", None),
    ],
)
def test_where_uvicorn_serves_is_read_as_it_reads_it(command: str, url: str | None) -> None:
    assert base_url(command.split()) == url


async def test_the_start_tells_both_urls(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "mock_api")
    monkeypatch.setattr(sys, "argv", ["uvicorn", "mock_api.main:app", "--port", "9000"])
    async with started(create_app(settings)):
        assert "http://localhost:9000/docs" in caplog.text
        assert "http://localhost:9000/mcp" in caplog.text
    async with started(create_app(changed(settings, public_url="https://kb.example.com"))):
        assert "MCP endpoint: https://kb.example.com/mcp" in caplog.text


def other_server() -> FastAPI:
    other = FastAPI(title="Weather")

    @other.get("/weather", operation_id="weather")
    async def weather(town: str) -> str:
        return f"rain in {town}"

    mount_mcp(other)
    return other


async def has_tool(client: httpx.AsyncClient, name: str) -> bool:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"accept": "application/json, text/event-stream"}
    return name in (await client.post("/mcp", json=body, headers=headers)).text


async def test_the_tools_of_another_server_are_used_for_answers(settings: Settings) -> None:
    script = in_turn(calls(("other_weather", {"town": "Ulm"})), words("It rains."))
    with served(other_server()) as url:
        async with fake_model(script) as model:
            app = create_app(model.settings(settings, mcp_server_url=f"{url}/mcp"))
            with served(app) as base:
                async with httpx.AsyncClient(base_url=base, timeout=20) as client:
                    with anyio.fail_after(20):
                        while not await has_tool(client, "other_weather"):
                            await anyio.lowlevel.checkpoint()
                    response = await client.post("/chat", json={"prompt": "Is it raining?"})
            assert response.text.endswith("It rains.")
            assert {"other_weather", "get_article"} <= model.offered
            (said,) = model.outputs
            assert "rain in Ulm" in said


async def test_the_model_is_not_asked_anew_by_way_of_another_server(settings: Settings) -> None:
    """A gateway that lists this service has its `chat` under another name, `kb_chat`."""
    other = other_server()
    for name in ("chat", "kb_chat", "kb_watch_changes", "kb_chat_rooms"):
        other.add_api_route(f"/{name}", lambda: "No.", operation_id=name)
    script = in_turn(calls(("other_kb_chat", {})), words("Done."))
    with served(other) as url:
        async with fake_model(script) as model:
            app = create_app(model.settings(settings, mcp_server_url=f"{url}/mcp"))
            with served(app) as base:
                async with httpx.AsyncClient(base_url=base, timeout=20) as client:
                    with anyio.fail_after(20):
                        while not await has_tool(client, "other_kb_chat"):
                            await anyio.lowlevel.checkpoint()
                    await client.post("/chat", json={"prompt": "Who else knows?"})
            offered = {name for name in model.offered if name.startswith("other_")}
            assert offered == {"other_weather", "other_kb_chat_rooms"}
            assert model.outputs[0].startswith("Error: There is no tool 'other_kb_chat'.")


async def test_a_server_that_is_away_takes_nothing_from_the_own_tools(settings: Settings) -> None:
    app = create_app(changed(settings, mcp_server_url="http://127.0.0.1:9/mcp"))
    with served(app) as base:
        async with httpx.AsyncClient(base_url=base, timeout=20) as client:
            assert await has_tool(client, "search_articles")
            response = await client.post("/chat", json={"prompt": "What is a revision rule?"})
    assert "Sources: revision-rules" in response.text


def test_behind_tokens_the_other_server_is_for_those_who_may_read(
    settings: Settings, issuer: Issuer
) -> None:
    guarded = with_tokens(
        settings,
        issuer,
        mcp_server_url="http://127.0.0.1:9/mcp",
        public_url="https://kb.example.com/",
    )
    assert set(create_app(guarded).state.mounted.remotes) == {"other"}


async def test_the_front_door_asks_for_the_key_too(settings: Settings) -> None:
    async with http_client(create_app(changed(settings, mcp_api_key="secret"))) as client:
        assert (await client.get("/")).status_code == 401
