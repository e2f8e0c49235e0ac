"""What the commands write of a server that is hostile."""

import json
import sys
from pathlib import Path

import pytest
from starlette.responses import Response

from tests.others import raw, text, tool
from tests.test_app_commands import Shell

COMMANDS = "\x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J\x9b31m\r"


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.mark.parametrize("words", [("list",), ("check",), ("call", "get"), ("call", "nope")])
def test_a_terminal_is_not_commanded(shell: Shell, words: tuple[str, ...]) -> None:
    """X7: not by names, descriptions or answers, nor by what is said of them."""
    tools = [tool("get", description=COMMANDS, title=COMMANDS), tool(f"a{COMMANDS}")]
    command, *rest = words
    with raw(tools, modern=False, call=text(COMMANDS)) as (_, url):
        ran = shell(command, url, *rest)
    assert ran.out or ran.err
    assert not {"\x1b", "\x07", "\x9b", "\r"} & {*ran.out, *ran.err}


JSON_OUT = [("list", "--json"), ("export",), ("check", "--format", "json")]


def described(shell: Shell, words: tuple[str, ...]) -> str:
    """Return what a command writes of a tool whose description would turn a terminal's text."""
    hidden = f"Größe 部品{COMMANDS}\x7f\u202e\u2028\U000e0041"
    tools = [tool("get", description=hidden, inputSchema={"type": "object", "title": hidden})]
    tools += [tool(f"a{hidden}")]
    command, *rest = words
    with raw(tools, modern=False) as (_, url):
        return shell(command, url, *rest).out


@pytest.mark.parametrize("words", JSON_OUT, ids=" ".join)
def test_json_on_a_terminal_commands_it_not_either(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """X7: what cannot be seen is escaped, and what people read is not."""
    redirected = described(shell, words)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = described(shell, words)
    assert shown.replace("\n", "").isprintable()
    assert "Größe 部品" in shown
    assert json.loads(shown) == json.loads(redirected)


def test_a_file_of_json_has_what_the_server_wrote(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    redirected = described(shell, ("export",))
    assert not described(shell, ("export", "--output", str(file)))
    assert "\x9b31m" in redirected
    assert file.read_text("utf-8") == redirected


def test_a_link_is_shown_by_its_address(shell: Shell) -> None:
    link = {"type": "resource_link", "uri": "data://parts/1", "name": "part"}
    picture = {"type": "image", "data": "", "mimeType": "image/png"}
    answer = {"content": [link, picture]}
    with raw([tool("get")], modern=False, call=answer) as (_, url):
        assert shell("call", url, "get").out == "[data://parts/1]\n[image/png]\n"


@pytest.mark.parametrize("words", [("list",), ("check",), ("call", "nope"), ("call", "get", "x=")])
def test_a_server_adds_no_line_of_its_own(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """X7: where each tool has a row, neither its name nor those of its arguments end it."""
    monkeypatch.setenv("COLUMNS", "500")
    forged = "a\nFORGED\r\n\tFORGED\u2028FORGED"
    schema = {"type": "object", "properties": {forged: {"type": "string"}}}
    tools = [tool(forged, inputSchema=schema), tool("get", inputSchema=schema)]
    command, *rest = words
    unknown = {"code": -32602, "message": f"Unknown tool {forged}"}
    with raw(tools, modern=False, call=unknown) as (_, url):
        ran = shell(command, url, *rest)
    said = f"{ran.out}\n{ran.err}"
    assert "FORGED" in said
    assert not [line for line in said.splitlines() if line.strip().startswith("FORGED")]


@pytest.mark.parametrize("modern", [True, False])
def test_what_a_server_logs_is_a_line_that_says_whose_it_is(shell: Shell, *, modern: bool) -> None:
    """X7: FastMCP writes it as it came."""
    message = {"level": "info", "logger": COMMANDS, "data": f"a{COMMANDS}\nb"}
    hidden = {"level": "debug", "data": "hidden"}
    other = {"level": "error", "data": {"a": [1, None]}}
    result = {"resultType": "complete", **text("ok")}

    def answer(_: object) -> Response:
        request = next(each["id"] for each in server.requests if each["method"] == "tools/call")
        said = [
            *(
                {"jsonrpc": "2.0", "method": "notifications/message", "params": each}
                for each in (message, hidden, other)
            ),
            {"jsonrpc": "2.0", "id": request, "result": result},
        ]
        events = "".join(f"data: {json.dumps(each)}\n\n" for each in said)
        # Of an event of an unknown name the SDK logs the name.
        return Response(f"event: {COMMANDS}\ndata: 1\n\n{events}", media_type="text/event-stream")

    with raw([tool("get")], modern=modern, call=answer) as (server, url):
        ran = shell("call", url, "get")
    assert (ran.code, ran.out) == (0, "ok\n")
    logged = [line for line in ran.err.splitlines() if "logs" in line]
    assert logged == [
        "The server logs (info, ]52;c;cm0gLXJmIH4= [2J 31m): a ]52;c;cm0gLXJmIH4= [2J 31m b",
        'The server logs (error): {"a": [1, null]}',
    ]
    assert ran.err.replace("\n", "").isprintable()
