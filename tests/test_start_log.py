"""What the log says when an app starts."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.security import OAuth2PasswordRequestForm
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from fastmcp import FastMCP
from pydantic import BaseModel, SecretStr

from mcp_mount import Remote, mount_mcp


class Token(BaseModel):
    access_token: str
    token_type: str


class Account(BaseModel):
    name: str
    credentials: "Credentials"


class Credentials(BaseModel):
    secret: SecretStr


class Keys(BaseModel):
    keys: list[dict[str, str]]
    newest: "Key"


class Key(BaseModel):
    apiKey: str  # noqa: N815 - as some write it


class Delta(BaseModel):
    token: str
    tokens: int


async def live(socket: WebSocket) -> None:
    await socket.close()


def lines(app: FastAPI, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Start the app, and return what the log says, with its level."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "mcp_mount"), TestClient(app):
        return [
            (each.levelname, each.getMessage())
            for each in caplog.records
            if each.name == "mcp_mount"
        ]


def with_tools(number: int) -> FastAPI:
    app = FastAPI()
    for index in range(number):
        app.get(f"/{index}", operation_id=f"tool_{index}")(lambda: "")
    return app


def test_one_line_says_how_many_tools_there_are(caplog: pytest.LogCaptureFixture) -> None:
    app = with_tools(1)
    mounted = mount_mcp(app, path="/api/mcp", sse_path="/sse")
    assert lines(app, caplog) == [("INFO", "1 tool at /api/mcp")]
    app = with_tools(3)
    mounted = mount_mcp(app, exclude=["tool_0"])
    mounted.server.tool(lambda: "", name="own")
    # It stands in the place of an operation.
    mounted.server.tool(lambda: "", name="tool_1")
    assert lines(app, caplog) == [("INFO", "3 tools at /mcp")]


def test_no_tool_at_all_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    app = with_tools(0)
    mount_mcp(app)
    ((level, message),) = lines(app, caplog)
    assert level == "WARNING"
    assert message.startswith("No tools at /mcp: the app has no operation that is offered.")
    app = with_tools(0)
    # Nobody knows before it is asked what this has.
    mount_mcp(app).server.mount(FastMCP("other"))
    assert lines(app, caplog) == [("INFO", "0 tools at /mcp")]


def test_what_other_servers_have_is_told_when_they_are_up(caplog: pytest.LogCaptureFixture) -> None:
    app = with_tools(0)
    mount_mcp(app, remotes=[Remote("wiki", url="http://127.0.0.1:9/mcp")])
    assert lines(app, caplog) == []


def keys_app() -> FastAPI:
    app = FastAPI()

    @app.post("/login", operation_id="log_in")
    async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        return {}

    @app.post("/refresh", operation_id="refresh")
    async def refresh() -> Token:
        return Token(access_token="a", token_type="b")

    @app.put("/accounts/{account_id}", operation_id="put_account")
    async def put_account(account_id: int, account: Account) -> None:
        return None

    @app.get("/keys", operation_id="list_keys")
    async def list_keys() -> list[Keys]:
        return []

    @app.get("/chat", operation_id="chat")
    async def chat(author: str, tokens: int = 1) -> Delta:
        return Delta(token="", tokens=0)

    return app


def test_what_takes_a_password_or_gives_out_a_token_is_named_and_what_leaves_it_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = keys_app()
    mount_mcp(app)
    first, (level, message) = lines(app, caplog)
    assert first == ("INFO", "5 tools at /mcp")
    assert level == "WARNING"
    exclude = ["POST /login", "POST /refresh", "PUT /accounts/{account_id}", "GET /keys"]
    assert message == (
        "Tools that take a password or give out a token, which a model would see: log_in, refresh, "
        f"put_account, list_keys. Leave them out with exclude={json.dumps(exclude)} "
        "if that is not meant."
    )
    app = keys_app()
    mount_mcp(app, exclude=exclude)
    assert lines(app, caplog) == [("INFO", "1 tool at /mcp")]


def test_of_many_that_take_a_password_some_are_named(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    for index in range(12):
        app.get(f"/{index}", operation_id=f"tool_{index}")(lambda password: password)
    mount_mcp(app)
    _, (_, message) = lines(app, caplog)
    assert "tool_9 and 2 more. Leave" in message
    assert message.endswith('"GET /8", "GET /9", …] if that is not meant.')


def test_what_is_no_operation_is_told_of(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    app = with_tools(1)
    app.mount("/v2", FastAPI())
    app.mount("/files", StaticFiles(directory=tmp_path))
    app.websocket("/live")(live)
    mount_mcp(app)
    _, (_, mounted), sockets = lines(app, caplog)
    assert mounted.startswith("Not offered: what is mounted at /v2. Mount MCP on that app too")
    assert sockets == ("INFO", "Not offered: the WebSockets at /live.")


def test_long_lines_name_some(caplog: pytest.LogCaptureFixture) -> None:
    app = with_tools(41)
    for number in range(12):
        app.websocket(f"/live/{number}")(live)
    mount_mcp(app)
    _, (level, message), (_, left_out) = lines(app, caplog)
    assert level == "WARNING"
    assert message.startswith("41 tools: models choose badly among more than 40.")
    assert left_out.endswith("/live/9 and 2 more.")


LOGGING = "import logging\n{setup}\n"
SERVED = """
from fastapi import FastAPI
from mcp_mount import mount_mcp

app = FastAPI()


@app.get("/a", operation_id="get_a")
async def get_a() -> str:
    return "a"


mount_mcp(app)
"""


@pytest.mark.parametrize(
    ("setup", "shown"),
    [
        ("", ["INFO:     1 tool at /mcp"]),
        ("logging.basicConfig(level='INFO')", ["INFO:mcp_mount:1 tool at /mcp"]),
        ("logging.basicConfig(level='WARNING')", []),
        ("logging.getLogger('mcp_mount').setLevel('ERROR')", []),
        ("logging.getLogger('mcp_mount').addHandler(logging.NullHandler())", []),
    ],
)
def test_a_server_started_as_usual_says_it_once(
    tmp_path: Path, setup: str, shown: list[str]
) -> None:
    """Log: uvicorn sets up its own loggers alone; who has set up logging gets what that says."""
    (tmp_path / "main.py").write_text(f"{LOGGING.format(setup=setup)}{SERVED}", "utf-8")
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", "0", "--no-use-colors"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    lines = []
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        for line in server.stderr:
            lines.append(line.rstrip())
            if "Uvicorn running on" in line:
                server.terminate()
    assert any("Uvicorn running on" in line for line in lines), lines
    assert [line for line in lines if "/mcp" in line] == shown
