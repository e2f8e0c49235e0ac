"""What `connect` refuses, and what it tells a person beside what it writes."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pytest
from anyio import to_thread
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import APIKeyHeader
from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from mcp_mount import mount_mcp
from tests.commands import MCP_MOUNT
from tests.others import free_port
from tests.support import served
from tests.test_app_commands import Shell

URL = "https://kb.example/mcp"
KEY = "s3cret ${NAME} $1"
PLAIN = "in plain text: do not commit it."


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return Shell(capsys)


@pytest.mark.parametrize(
    "header", ["X-Api-Key s3cret", "X-Api-Key=s3cret!;", "", "X Key: s3cret", "X-Key: a\ns3cret"]
)
@pytest.mark.parametrize("more", [(), ("--write",)])
def test_a_header_without_its_colon_is_refused_and_not_repeated(
    shell: Shell, header: str, more: tuple[str, ...]
) -> None:
    ran = shell("connect", URL, "--client", "vscode", "--name", "kb", "--header", header, *more)
    assert (ran.code, ran.out) == (2, "")
    assert "--header has the form 'Name: value'" in ran.err
    assert "s3cret" not in ran.err
    assert not Path(".vscode").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [("https://kb.example", True), ("https://kb.example/", True), ("https://kb.example/x", False)],
)
def test_a_url_without_a_path_is_told_of_once(shell: Shell, url: str, *, told: bool) -> None:
    ran = shell("connect", url, "--client", "claude", "--name", "kb")
    assert (ran.code, url in ran.out) == (0, True)
    assert ran.err.count(f"{url!r} has no path: an endpoint usually has /mcp behind it.\n") == told


@pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")
@pytest.mark.parametrize(
    ("client", "file"),
    [
        ("vscode", ".vscode/mcp.json"),
        ("cursor", ".cursor/mcp.json"),
        ("claude", ".mcp.json"),
        ("gemini", ".gemini/settings.json"),
        ("codex", None),
        ("zed", None),
    ],
)
def test_a_key_in_a_file_of_a_project_is_warned_of(
    shell: Shell, client: str, file: str | None
) -> None:
    words = ("connect", URL, "--client", client, "--write", "--name")
    assert PLAIN not in shell(*words, "open").err
    ran = shell(*words, "kb", "--header", "X-Api-Key: s3cret")
    assert ran.code == 0
    assert (f"The header's value stands in {file!r} {PLAIN}\n" in ran.err) == (file is not None)
    assert "s3cret" not in ran.err
    # Nor is it left unsaid because it was there before.
    assert (PLAIN in shell(*words, "kb", "--header", "X-Api-Key: s3cret").err) == (file is not None)


def test_claude_code_asks_before_it_uses_a_project_s_server(shell: Shell) -> None:
    ran = shell("connect", URL, "--client", "claude", "--name", "kb", "--write")
    assert ran.err == "'kb' is in '.mcp.json' now. Run 'claude' here, and approve the server.\n"
    ran = shell("connect", URL, "--client", "vscode", "--name", "kb", "--write")
    assert ran.err == "'kb' is in '.vscode/mcp.json' now. Restart VS Code to see it.\n"


def parts_app() -> FastAPI:
    """Return an app that lets in who has the key."""

    def check_key(key: Annotated[str, Depends(APIKeyHeader(name="X-Api-Key"))]) -> None:
        if key != KEY:
            raise HTTPException(401, "The key is wrong.")

    app = FastAPI(title="Parts & Bolts", dependencies=[Depends(check_key)])

    @app.get("/parts", operation_id="list_parts")
    async def list_parts() -> list[str]:
        return ["bolt"]

    mount_mcp(app, dependencies=[Depends(check_key)])
    return app


def test_a_server_has_the_name_that_it_says_of_itself(shell: Shell) -> None:
    """Commands: as on the page, and as its own clients show it."""
    with served(parts_app()) as url:
        words = ("connect", f"{url}/mcp", "--client", "claude", "--header")
        ran = shell(*words, f"X-Api-Key: {KEY}")
        assert (ran.code, "claude mcp add --transport http parts-bolts " in ran.out) == (0, True)
        assert "--name" not in ran.err
        ran = shell(*words, f"X-Api-Key: {KEY}", "--name", "mine")
        assert " mine " in ran.out
        # It tells strangers nothing.
        ran = shell(*words, "X-Api-Key")
        assert (ran.code, " 127 " in ran.out) == (0, True)
        assert "it is '127' here; --name says another" in ran.err


def test_a_server_that_is_not_there_has_the_name_of_its_host(shell: Shell) -> None:
    ran = shell("connect", f"http://localhost:{free_port()}/mcp", "--client", "claude")
    assert (ran.code, " localhost " in ran.out) == (0, True)
    assert "it is 'localhost' here; --name says another" in ran.err


async def test_what_claude_desktop_starts_carries_to_the_server_with_the_key(shell: Shell) -> None:
    """Commands: it needs no other program, and the key is in no list of processes."""
    with served(parts_app()) as url:
        words = ("connect", f"{url}/mcp", "--client", "claude-desktop", "--header")
        ran = await to_thread.run_sync(shell, *words, f"X-Api-Key: {KEY}")
        server = json.loads(ran.out)["mcpServers"]["parts-bolts"]
        args, env = server["args"], server["env"]
        assert Path(server["command"]).stem == "mcp-mount"
        assert KEY not in " ".join(args)
        # The same command, also in a checkout that is not installed.
        started = [*MCP_MOUNT, *args]
        env |= {"PYTHONPATH": str(Path(__file__).parent.parent)}
        # Pytest's standard error is no file that a program could write to.
        transport = StdioTransport(started[0], started[1:], env, log_file=Path("log"))
        async with Client(transport) as client:
            result = await client.call_tool("list_parts")
    assert result.structured_content == {"result": ["bolt"]}
