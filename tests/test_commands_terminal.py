"""What the commands write of a server that is hostile."""

import pytest

from mcp_mount.commands import refusals
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


def test_a_link_is_shown_by_its_address(shell: Shell) -> None:
    link = {"type": "resource_link", "uri": "data://parts/1", "name": "part"}
    picture = {"type": "image", "data": "", "mimeType": "image/png"}
    answer = {"content": [link, picture]}
    with raw([tool("get")], modern=False, call=answer) as (_, url):
        assert shell("call", url, "get").out == "[data://parts/1]\n[image/png]\n"


def test_no_more_is_read_than_a_bound(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_MOST_ANSWERED", 10_000)
    with raw([tool("get", description="x" * 10_000)], modern=False) as (_, url):
        ran = shell("list", url)
    assert (ran.code, ran.err) == (1, "mcp-mount: The answer is larger than 10000 bytes.\n")
