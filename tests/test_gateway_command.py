"""The command ``mcp-mount gateway`` and the file of servers."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_mount import API, MountError, Remote, gateway_app
from mcp_mount.gateway import read_servers
from tests.commands import MCP_MOUNT, run
from tests.others import free_port, offered, parts_server

pytestmark = pytest.mark.faults


def written(tmp_path: Path, servers: Any) -> Path:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps(servers), "utf-8")
    return file


def read(tmp_path: Path, **servers: Any) -> list[Remote | API]:
    return read_servers(written(tmp_path, {"mcpServers": servers}))


def test_the_example_answers_at_once() -> None:
    """Gateway: one command, and `fastmcp call` prints the greeting."""
    port = free_port()
    with subprocess.Popen(
        [*MCP_MOUNT, "gateway", "--example", "--port", str(port)],
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
        files={"command": "npx", "args": ["-y", "files"], "env": {"DEBUG": 1}, "timeout": 20},
        other={"httpUrl": "https://other.example/mcp"},
        off={"url": "https://off.example/mcp", "disabled": True},
        **{"my server": {"serverUrl": "https://my.example/mcp", "alwaysAllow": []}},
    )
    assert remotes == [
        Remote("wiki", url="https://wiki.example/mcp", headers={"X-Key": "k"}),
        Remote("files", command="npx", args=["-y", "files"], env={"DEBUG": "1"}, timeout=20),
        Remote("other", url="https://other.example/mcp"),
        Remote("my_server", url="https://my.example/mcp"),
    ]


def test_a_file_says_of_each_server_what_a_remote_can(tmp_path: Path) -> None:
    """Gateway: which tools, how long, for whom, and within which limits."""
    said: dict[str, Any] = {
        "url": "https://wiki.example/mcp",
        "tools": ["get_*"],
        "timeout": 20,
        "refresh": 60,
        "scopes": ["wiki:read"],
        "limits": {"timeout": 5, "max_concurrency": 2},
    }
    (wiki,) = read(tmp_path, wiki=said)
    assert wiki == Remote("wiki", **said)


def test_what_clients_keep_for_themselves_is_ignored_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Gateway: files of VS Code, Claude and Cursor are read as they are."""
    server = {"type": "http", "url": "https://wiki.example/mcp", "autoApprove": ["*"]}
    file = written(tmp_path, {"inputs": [{"id": "key"}], "servers": {"wiki": server}})
    assert read_servers(file) == [Remote("wiki", url="https://wiki.example/mcp")]
    (line,) = (each.getMessage() for each in caplog.records)
    assert line.endswith("'autoApprove' is for clients, and is ignored.")


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
    assert isinstance(wiki, Remote)
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
        (
            {"url": "https://x.example/mcp", "hedaers": {}},
            "'hedaers', which is not known. Near: headers",
        ),
        ({"url": "https://x.example/mcp", "envFile": ".env"}, "'envFile'"),
        ({"url": "https://x.example/mcp", "timeout": 3000}, "a timeout of 3000 seconds; write 3?"),
        ({"url": "https://x.example/mcp", "limits": {"time": 3}}, "limits= of the remote 'x'"),
        ({"url": "https://x.example/mcp", "limits": {"timeout": -3}}, "limits= of the remote 'x'"),
        ({"url": "https://x.example/mcp", "tools": "all"}, "tools= of the remote 'x'"),
        ({"url": "https://x.example/mcp", "type": "ws"}, "'ws'"),
        ({"url": "https://${NOT_SET_ANYWHERE}/mcp"}, "'NOT_SET_ANYWHERE'"),
        ({"url": "https://x.example/mcp", "auth": "oauth"}, "login in a browser"),
        ("https://x.example/mcp", "must be a mapping"),
        (None, "must be a mapping"),
        ({"url": 5}, "must begin with http://"),
        ({"url": "https://x.example/mcp", "type": ["http"]}, "['http']"),
        ({"command": ["npx", "-y"]}, "command= of the remote 'x' must be a string"),
        ({"command": "x\0y"}, "command= of the remote 'x' must be a string"),
        ({"command": "x", "args": [1]}, "args= of the remote 'x' must be a list of strings"),
        ({"command": "x", "args": {"a": "b"}}, "args= of the remote 'x'"),
        ({"command": "x", "env": ["A=1"]}, "env= of the remote 'x' must be a mapping"),
        ({"command": "x", "cwd": 5}, "cwd= of the remote 'x' must be a string"),
        ({"url": "https://x.example/mcp", "headers": "a"}, "headers= of the remote 'x'"),
        ({"url": "https://x.example/mcp", "headers": {"a b": "c"}}, "that HTTP allows"),
        ({"url": "https://x.example/mcp", "headers": {"a": "b\r\nc: d"}}, "that HTTP allows"),
        ({"url": "https://x.example/mcp", "headers": {"a": "ü"}}, "that HTTP allows"),
        ({"url": "https://x.example/mcp", "auth": {"type": "x"}}, "auth= of the remote 'x'"),
        ({"url": "https://x.example/mcp", "auth": "ü"}, "auth= of the remote 'x'"),
        ({"openapi": {}, "auth": {"token_url": "https://x.example"}}, "an auth that is none"),
        ({"url": "https://x.example/mcp", "headers": {"a": "${input:key}"}}, "'${input:key}'"),
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
    ("text", "said"),
    [
        ('{"mcpServers": {"a b": {"url": "http://x/"}, "a.b": {"url": "http://y/"}}}', "'a_b'"),
        ('{"mcpServers": {"a": {"url": "http://x/"}, "a": {"url": "http://y/"}}}', "'a' twice"),
        ('{"mcpServers": {"数据": {"url": "http://x/"}}}', "'数据'"),
        ('{"mcpServers": {"2fa": {"url": "http://x/"}}}', "'2fa'"),
        ('{"mcpServers": {"a": {"url": "http://x/", "disabled": true}}}', "are disabled"),
        ("[" * 100_000, "no JSON"),
    ],
    ids=["same after cleaning", "twice", "no letters", "digit", "all disabled", "deep"],
)
def test_a_file_that_cannot_mean_what_it_says_stops_the_start(
    tmp_path: Path, text: str, said: str
) -> None:
    """Gateway: no server is left out unseen."""
    file = tmp_path / "servers.json"
    file.write_text(text, "utf-8")
    with pytest.raises(MountError, match=re.escape(said)):
        read_servers(file)


def test_a_file_with_a_mark_before_its_text_is_read(tmp_path: Path) -> None:
    """Gateway: editors of Windows write one. VS Code calls the list `servers`."""
    file = tmp_path / "servers.json"
    file.write_text('{"servers": {"wiki": {"url": "https://wiki.example/mcp"}}}', "utf-8-sig")
    assert read_servers(file) == [Remote("wiki", url="https://wiki.example/mcp")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": "30"}, "timeout= of the remote 'x'"),
        ({"scopes": "read"}, "scopes= of the remote 'x'"),
        ({"scopes": [1]}, "scopes= of the remote 'x'"),
        ({"refresh": None}, "refresh= of the remote 'x'"),
    ],
    ids=str,
)
def test_an_option_of_another_type_is_refused_in_words(options: dict[str, Any], said: str) -> None:
    """Gateway: at the start, and not in each call."""
    with pytest.raises(MountError, match=re.escape(said)):
        Remote("x", url="https://x.example/mcp", **options)


@pytest.mark.parametrize("remotes", [Remote("x", url="https://x.example/mcp"), {"x"}], ids=type)
def test_what_is_no_list_of_remotes_is_refused_in_words(remotes: Any) -> None:
    with pytest.raises(MountError, match="must be a list such as"):
        gateway_app(remotes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "mcp-mount: Name a file with servers, or try it with --example."),
        (("/nowhere.json",), "mcp-mount: The file '/nowhere.json' cannot be read"),
        (("--example", "--port", "99999"), "Must be <= 65535"),
    ],
    ids=["nothing", "no file", "no port"],
)
def test_the_command_says_what_to_do(words: tuple[str, ...], said: str) -> None:
    """Gateway: a sentence, and no traceback."""
    done = run("mcp-mount", "gateway", *words)
    assert done.returncode in {1, 2}
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
            [*MCP_MOUNT, "gateway"],
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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_programs_end_with_the_gateway_however_it_is_told(tmp_path: Path, name: str) -> None:
    """Gateway: also one that ignores its input's end, and a terminal that is closed."""
    code = (
        "import os, sys, time\n"
        "print('process', os.getpid(), file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    servers = {"stubborn": {"command": sys.executable, "args": ["-c", code]}}
    file = written(tmp_path, {"mcpServers": servers})
    # Where these tests run under `nohup`, the command would inherit that it is to go on.
    was = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(
        [*MCP_MOUNT, "gateway", str(file), "--port", str(free_port())],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        signal.signal(signal.SIGHUP, was)
        assert process.stderr is not None
        try:
            lines = (re.search(r"stubborn: process (\d+)", line) for line in process.stderr)
            number = int(next(line for line in lines if line is not None)[1])
            program = os.pidfd_open(number)
            process.send_signal(signal.Signals[name])
            log = process.stderr.read()
            ended, _, _ = select.select([program], [], [], 5)
            assert ended, "the program still runs"
        finally:
            process.kill()
    assert "Traceback" not in log
    os.close(program)
