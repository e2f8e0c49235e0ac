"""`docs/reference.md` is what the code says."""

import dataclasses
import inspect

import pytest

import mcp_mount
from mcp_mount import cli
from mcp_mount.tools.marks import ToolOverrides
from tests.reference import PAGE, write

TEXT = PAGE.read_text("utf-8")


def test_the_reference_is_that_of_the_code() -> None:
    """Docs: every option stands in the reference, in the code's own words."""
    assert write() == TEXT, "docs/reference.md is stale: run `make docs`"


def test_every_public_name_that_has_options_has_a_section() -> None:
    named = [name for name in mcp_mount.__all__ if callable(getattr(mcp_mount, name))]
    errors = {name for name in named if TEXT.find(f"| `{name}` | `") > 0}
    others = {"MountOptions", "Operation", "ScopesOf", "Selector"}
    assert {f"## {name}" for name in {*named} - errors - others} <= {*TEXT.splitlines()}
    commands = {f"## mcp-mount {name}" for name in cli.app if not name.startswith("-")}
    assert commands <= {*TEXT.splitlines()}


@pytest.mark.parametrize(
    "names",
    [
        [*inspect.signature(mcp_mount.mount_mcp).parameters][1:],
        [*mcp_mount.MountOptions.__annotations__],
        [*ToolOverrides.__struct_fields__],
        [field.name for field in dataclasses.fields(mcp_mount.Remote)],
    ],
    ids=["mount_mcp", "MountOptions", "x-mcp", "Remote"],
)
def test_no_option_is_without_words(names: list[str]) -> None:
    rows = {line.split(" | ")[0]: line for line in TEXT.splitlines() if line.startswith("| `")}
    for name in names:
        assert len(rows[f"| `{name}`"].split(" | ")[3]) > len("| |")
