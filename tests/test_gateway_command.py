"""The command ``mcp-mount gateway`` and the file of servers."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_mount import MountError, Remote, gateway_app
from mcp_mount.gateway import read_servers
from tests.others import free_port, offered, parts_server

COMMANDS = Path(sys.executable).parent


def written(tmp_path: Path, servers: Any) -> Path:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps(servers), "utf-8")
    return file


def read(tmp_path: Path, **servers: Any) -> list[Remote]:
    return read_servers(written(tmp_path, {"mcpServers": servers}))


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command, *rest = words
    return subprocess.run(
        [str(COMMANDS / command), *rest],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env={
            "PATH": f"{COMMANDS}:/usr/bin:/bin",
            "HOME": "/tmp",  # noqa: S108 - nothing is written there
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "FASTMCP_CHECK_FOR_UPDATES": "off",
            **variables,
        },
    )


def test_the_example_answers_at_once() -> None:
    """Gateway: one command, and `fastmcp call` prints the greeting."""
    port = free_port()
    with subprocess.Popen(
        [str(COMMANDS / "mcp-mount"), "gateway", "--example", "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "Uvicorn running" in line:
                    break
            url = f"http://localhost:{port}/mcp"
            said = run("fastmcp", "call", url, "example_hello_world").stdout
            assert said.strip() == "Hello from the example MCP server!"
            assert "example_count_slowly" in run("fastmcp", "list", url).stdout
        finally:
            process.send_signal(signal.SIGTERM)
            log = process.stderr.read()
    assert "The remote 'example' is up: tools: 2" in log
    assert "Traceback" not in log


def test_urls_and_programs_are_read_as_clients_write_them(tmp_path: Path) -> None:
    """Gateway: the common `mcpServers` form."""
    remotes = read(
        tmp_path,
        wiki={"url": "https://wiki.example/mcp", "type": "http", "headers": {"X-Key": "k"}},
        files={"command": "npx", "args": ["-y", "files"], "env": {"DEBUG": 1}, "timeout": 3000},
        other={"httpUrl": "https://other.example/mcp"},
        off={"url": "https://off.example/mcp", "disabled": True},
        **{"my server": {"serverUrl": "https://my.example/mcp", "alwaysAllow": []}},
    )
    assert remotes == [
        Remote("wiki", url="https://wiki.example/mcp", headers={"X-Key": "k"}),
        Remote("files", command="npx", args=["-y", "files"], env={"DEBUG": "1"}),
        Remote("other", url="https://other.example/mcp"),
        Remote("my_server", url="https://my.example/mcp"),
    ]


def test_variables_of_the_environment_are_put_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateway: `${NAME}` and `${NAME:-default}`, so that no secret stands in the file."""
    monkeypatch.setenv("WIKI_TOKEN", "secret")
    (wiki,) = read(
        tmp_path,
        wiki={
            "url": "https://${WIKI_HOST:-wiki.example}/mcp",
            "headers": {"Authorization": "Bearer ${WIKI_TOKEN}"},
        },
    )
    assert wiki.url == "https://wiki.example/mcp"
    assert wiki.headers == {"Authorization": "Bearer secret"}
    assert "secret" not in repr(wiki)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"url": "https://x.example/sse"}, "old SSE transport"),
        ({"url": "https://x.example/mcp", "type": "sse"}, "old SSE transport"),
        ({"url": "ftp://x.example"}, "must begin with http://"),
        ({"url": "https://x.example/mcp", "command": "x"}, "either url= or command="),
        ({}, "either url= or command="),
        ({"command": "x", "headers": {"a": "b"}}, "headers= and auth= go with url="),
        ({"url": "https://x.example/mcp", "args": ["a"]}, "go with command="),
        ({"command": "x", "args": "a b"}, "list of strings"),
        ({"url": "https://x.example/mcp", "hedaers": {}}, "'hedaers'"),
        ({"url": "https://x.example/mcp", "type": "ws"}, "'ws'"),
        ({"url": "https://${NOT_SET_ANYWHERE}/mcp"}, "'NOT_SET_ANYWHERE'"),
        ({"url": "https://x.example/mcp", "auth": "oauth"}, "login in a browser"),
        ("https://x.example/mcp", "must be a mapping"),
    ],
    ids=str,
)
def test_a_server_that_cannot_be_used_stops_the_start(
    tmp_path: Path, server: Any, said: str
) -> None:
    """Gateway: errors are instructions, and hold no secret."""
    with pytest.raises(MountError, match=re.escape(said)):
        read(tmp_path, x=server)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"mcpServers": {}}', '{"mcpServers": 1}'])
def test_a_file_that_names_no_servers_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "servers.json"
    file.write_text(text, "utf-8")
    with pytest.raises(MountError, match=re.escape(str(file))):
        read_servers(file)


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a"), ("a", "A"), ("a", "a_b"), ("a-b", "a_b_c")]
)
def test_names_that_could_be_taken_for_each_other_stop_the_start(first: str, second: str) -> None:
    """Gateway: or one server's tool could have the name of another's."""
    remotes = [Remote(name, url="https://x.example/mcp") for name in (first, second)]
    with pytest.raises(MountError, match="none begins with another"):
        gateway_app(remotes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "mcp-mount: Name a file with servers, or try it with --example."),
        (("/nowhere.json",), "mcp-mount: The file '/nowhere.json' cannot be read"),
    ],
    ids=["nothing", "no file"],
)
def test_the_command_says_what_to_do(words: tuple[str, ...], said: str) -> None:
    """Gateway: a sentence, and no traceback."""
    done = run("mcp-mount", "gateway", *words)
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stdout


def test_a_file_of_a_url_and_a_program_works_from_the_command_line(tmp_path: Path) -> None:
    """Gateway: what a person does first."""
    port = free_port()
    with offered(parts_server()) as url:
        servers = {
            "parts": {"url": url},
            "example": {"command": sys.executable, "args": ["-m", "mcp_mount.example"]},
        }
        file = written(tmp_path, {"mcpServers": servers})
        environment = os.environ | {"PORT": str(port), "GATEWAY_SERVERS": str(file)}
        with subprocess.Popen(
            [str(COMMANDS / "mcp-mount"), "gateway"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stderr is not None
            try:
                for line in process.stderr:
                    if "Uvicorn running" in line:
                        break
                listed = run("fastmcp", "list", f"http://localhost:{port}/mcp").stdout
            finally:
                process.send_signal(signal.SIGTERM)
                process.stderr.read()
    assert "parts_find" in listed
    assert "example_hello_world" in listed
