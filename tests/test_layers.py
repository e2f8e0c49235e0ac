"""Imports go downward, and only through public doors."""

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from fastmcp.tools.function_tool import FunctionTool

import mcp_mount
from mcp_mount.own_results import BoundedTool

FOLDER = Path(mcp_mount.__file__).parent
SOURCES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts): path.read_text("utf-8")
    for path in sorted(FOLDER.rglob("*.py"))
}


def listed(package: str) -> Iterator[str]:
    """Yield the modules in reading order; for a folder, those that its docstring lists."""
    if package == "mcp_mount":
        text = (FOLDER.parent / "CONTRIBUTING.md").read_text("utf-8")
    else:
        text = ast.get_docstring(ast.parse(SOURCES[f"{package}.__init__"]), clean=False) or ""
    for name in re.findall(r"^ {4}(\w+/?) {2,}\S", text, re.MULTILINE):
        if name.endswith("/"):
            yield from listed(f"{package}.{name[:-1]}")
        else:
            yield f"{package}.{name}"


ORDER = list(listed("mcp_mount"))


def imports(source: str) -> Iterator[str]:
    """Yield the full names of what a module imports, ``mcp_mount.backends.request.Request``.

    A relative import keeps its dots, ``.call.Request``.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (f"{node.module}." if node.module else "")
            yield from (f"{base}{alias.name}" for alias in node.names)


def test_the_order_of_the_package_names_every_module() -> None:
    assert sorted(ORDER) == sorted(name for name in SOURCES if not name.endswith(".__init__"))


def test_each_module_imports_only_from_those_above_it() -> None:
    """Each folder imports only from those above it too: its modules stand together in the order."""
    upward = [
        f"{module} imports {name}"
        for position, module in enumerate(ORDER)
        for name in imports(SOURCES[module])
        if name.partition(".")[0] in {"mcp_mount", ""}
        and not any(f"{name}.".startswith(f"{above}.") for above in ORDER[:position])
    ]
    assert upward == []


def test_a_folder_hands_nothing_on() -> None:
    """Whoever imports one of its modules gets no other with it."""
    folders = [name for name in SOURCES if name.count(".") > 1 and name.endswith(".__init__")]
    assert folders
    assert [name for name in folders if len(ast.parse(SOURCES[name]).body) != 1] == []


def test_no_module_imports_what_another_package_keeps_private() -> None:
    private = [
        f"{module} imports {name}"
        for module, source in SOURCES.items()
        for name in imports(source)
        if any(re.match("_(?!_)", part) for part in name.split("."))
    ]
    assert private == []


def test_one_private_attribute_is_used_and_was_checked_with_this_fastmcp() -> None:
    """Without it, each modern call renders the list of all tools (X5); see `test_cost.py`."""
    used = [
        line.strip()
        for source in SOURCES.values()
        for line in source.splitlines()
        # A component is our own class.
        if "SLF001" in line and not line.strip().startswith("component.")
    ]
    assert used == ["return server._mcp_server  # noqa: SLF001"]
    checked_with = {"4.1.0", "4.1.2"}
    assert metadata.version("fastmcp") in checked_with, (
        "Look in FastMCP for a public way to set `get_tool_input_schema` of the low-level server. "
        "Where there is none, and tests/test_cost.py passes, write the new version here."
    )


def test_one_private_method_is_extended_and_was_checked_with_this_fastmcp() -> None:
    """F1: without it, FastMCP writes each wrong value of an own tool's arguments, three times."""
    assert "_execute" in vars(BoundedTool).keys() & vars(FunctionTool).keys()
    checked_with = {"4.1.0", "4.1.2"}
    assert metadata.version("fastmcp") in checked_with, (
        "Look in FastMCP for a public way to say what is wrong with arguments. Where there is "
        "none, and tests/test_own_limits.py passes, write the new version here."
    )


def test_what_counts_header_fields_was_checked_with_this_http_library() -> None:
    """F1: `outgoing/heads.py` extends classes that say nothing of what they keep."""
    checked_with = {("2.10.0", "2.10.0", "0.16.0"), ("2.16.2", "2.16.2", "0.16.0")}
    installed = tuple(metadata.version(name) for name in ("httpx2", "httpcore2", "h11"))
    assert installed in checked_with, (
        "Look for a bound of httpx2's own on the header fields of an answer. Where there is none, "
        "and tests/test_proxy_excess.py passes, write the new versions here."
    )
