"""What `docs/commands.md` says of the commands is so."""

import re
from pathlib import Path

from mcp_mount import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")


def test_every_option_that_the_page_names_is_one() -> None:
    known = {
        name
        for command in ("run", "proxy", "gateway", "list", "call", "check", "export", "connect")
        for argument in cli.app[command].assemble_argument_collection()
        for name in argument.names
    }
    assert {*re.findall(r"`(--[a-z-]+)", PAGE)} - {"--help"} <= known


def test_each_door_of_the_security_page_has_a_test() -> None:
    """Docs: the tests that `docs/security.md` names are there."""
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = {*re.findall(r"`(test_[a-z_]+)`", page)}
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert named
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []
