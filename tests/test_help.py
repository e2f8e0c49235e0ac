"""What `mcp-mount --help` and the help of each command say."""

import inspect

import pytest

from mcp_mount import cli
from mcp_mount.commands import calling, checking, connecting, listing, working
from tests.commands import run

LAZY = {
    "list": listing.list_tools,
    "call": calling.call,
    "check": checking.check,
    "export": listing.export,
    "connect": connecting.connect,
    "worker": working.worker,
}


def about(name: str) -> str:
    """Return what the command's function says of itself, before its arguments."""
    return inspect.cleandoc(LAZY[name].__doc__ or "").partition("Args:")[0].strip()


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def overview() -> str:
    return words(run("mcp-mount", "--help").stdout)


@pytest.mark.parametrize("name", LAZY)
def test_the_help_has_the_first_sentence_of_each_command(overview: str, name: str) -> None:
    assert f" {name} {words(about(name).splitlines()[0])} " in overview


@pytest.mark.parametrize("name", LAZY)
def test_the_help_of_a_command_is_whole(name: str) -> None:
    """Given to cyclopts before the command is loaded, a help stands for the function's own."""
    assert cli.app[name].help == about(name)
    assert words(about(name)) in words(run("mcp-mount", name, "--help").stdout)
