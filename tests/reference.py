"""Writes `docs/reference.md` from the signatures and docstrings of the code: ``make docs``."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import docstring_parser
import msgspec

import mcp_mount
from mcp_mount import cli
from mcp_mount.options import ServeOptions
from mcp_mount.testing import client
from mcp_mount.tools.marks import StreamOverrides, ToolOverrides

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
INTRODUCTION = """\
# Every option

Written from the code by `make docs`; a test fails where it is stale. All options are keyword-only,
and one that is wrong raises `MountError` where it is given.
"""
MARK = """\
The value of `openapi_extra={"x-mcp": {…}}` on a route, where `False` in its place leaves the
operation out, and of each selector in `tools=`. [Tools](tools.md) has examples."""
TESTING = "An async context manager, for [the tests of an app](testing.md)."
COMMAND = "Options that these commands share stand [below](#what-these-commands-have)."

Row = tuple[str, str, str, str]


def write() -> str:
    """Return the text of the page."""
    both = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(ServeOptions)}
    shared = {*inspect.signature(mcp_mount.mount_mcp).parameters} - {"path", "sse_path", "remotes"}
    sections = [
        INTRODUCTION,
        _section("mount_mcp", _rows_of_function(mcp_mount.mount_mcp, {"app"})),
        _section("proxy_app", _rows_of_function(mcp_mount.proxy_app, shared - {"openapi"})),
        _section("gateway_app", _rows_of_function(mcp_mount.gateway_app, shared)),
        _section("The x-mcp mark", _rows_of_struct(ToolOverrides), MARK),
        _section("stream in an x-mcp mark", _rows_of_struct(StreamOverrides)),
        *(
            _section(each.__name__, _rows_of_dataclass(each), _summary(each))
            for each in (
                *(mcp_mount.Limits, mcp_mount.RateLimit, mcp_mount.Tasks, mcp_mount.Upstream),
                *(mcp_mount.Remote, mcp_mount.RemoteState, mcp_mount.API),
            )
        ),
        _section("ClientCredentials", _rows_of_function(mcp_mount.ClientCredentials.__init__)),
        _section("mcp_mount.testing.client", _rows_of_function(client, {"app"}), TESTING),
        _section("Mounted", _rows_of_members(mcp_mount.Mounted), "What `mount_mcp` returns."),
        *(
            _section(f"mcp-mount {each}", _rows_of_command(each, both), COMMAND, kind="variable")
            for each in ("run", "proxy", "gateway")
        ),
        _section(
            "What these commands have", _rows_of_command("run", both, only=True), kind="variable"
        ),
        *(
            _section(f"mcp-mount {each}", _rows_of_command(each, set()), kind="variable")
            for each in ("list", "call", "check", "export", "connect", "worker")
        ),
        _errors(),
    ]
    return "\n".join(sections)


def _section(title: str, rows: Iterable[Row], words: str = "", *, kind: str = "type") -> str:
    table = [f"| name | {kind} | default | what it says |", "|---|---|---|---|"]
    table += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    said = f"\n{words}\n" if words else ""
    return f"## {title}\n{said}\n" + "\n".join(table) + "\n"


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def _words(text: str | None) -> str:
    """Return a docstring's words as Markdown, which has one backtick where it has two."""
    return re.sub(r"``", "`", text or "")


def _summary(described: object) -> str:
    parsed = docstring_parser.parse(inspect.getdoc(described) or "")
    return _words(parsed.short_description)


def _described(described: object) -> dict[str, str]:
    parsed = docstring_parser.parse(inspect.getdoc(described) or "")
    return {each.arg_name: _words(each.description) for each in parsed.params}


def _rows_of_function(function: Callable[..., Any], without: Iterable[str] = ()) -> Iterator[Row]:
    words = _described(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in {"self", *without}:
            value = parameter.default
            default = "needed" if value is parameter.empty else _value(value)
            if parameter.kind is parameter.VAR_KEYWORD:
                default = ""
            yield f"`{name}`", _type(parameter.annotation), default, words[name]


def _rows_of_dataclass(described: Any) -> Iterator[Row]:
    words = _described(described)
    for field in dataclasses.fields(described):
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        default = "needed" if value is dataclasses.MISSING else _value(value)
        yield f"`{field.name}`", _type(field.type), default, words[field.name]


def _rows_of_struct(described: type[msgspec.Struct]) -> Iterator[Row]:
    words = _described(described)
    for field in msgspec.structs.fields(described):
        value = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        default = "" if isinstance(value, msgspec.Struct) else _value(value)
        yield f"`{field.name}`", _json_type(field.type), default, words[field.name]


def _rows_of_members(described: type) -> Iterator[Row]:
    words = _described(described)
    for field in dataclasses.fields(described):
        if field.name in words:
            yield f"`{field.name}`", _type(field.type), "", words[field.name]
    for name, member in vars(described).items():
        if name.startswith("_") or not isinstance(member, property | FunctionType):
            continue
        is_property = isinstance(member, property)
        function: Any = member.fget if isinstance(member, property) else member
        shown = f"`{name}`" if is_property else f"`{name}(…)`"
        returned = inspect.signature(function).return_annotation
        yield shown, _type(returned), "", _summary(member)


def _rows_of_command(name: str, both: set[str], *, only: bool = False) -> Iterator[Row]:
    function = cli.app[name].default_command
    words = _described(ServeOptions) | _described(function)
    for argument in cli.app[name].assemble_argument_collection():
        option = argument.names[0]
        if option == "*" or (option in both) != only:
            continue
        key = option.removeprefix("--").lower().replace("-", "_")
        parameter = argument.parameter
        shown = f"`{option}`" if parameter.show is not False else ""
        variables = ", ".join(f"`{each}`" for each in parameter.env_var or ())
        value = argument.field_info.default
        is_several = argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL
        is_needed = value is inspect.Parameter.empty and not is_several
        default = "" if is_several else _value(value)
        yield shown, variables, "needed" if is_needed else default, words[key]


def _errors() -> str:
    rows = []
    for name in mcp_mount.__all__:
        error = getattr(mcp_mount, name)
        if isinstance(error, type) and issubclass(error, Exception):
            rows.append(f"| `{name}` | `{error.__bases__[0].__name__}` | {_summary(error)} |")
    return "## Errors\n\n| name | is a | what it says |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _value(value: object) -> str:
    if value is None or (isinstance(value, tuple | list | dict) and not value):
        return ""
    if isinstance(value, mcp_mount.Limits):
        return "`Limits()`"
    if isinstance(value, Path):
        return f"`{value}`"
    return f"`{value!r}`"


def _type(annotation: object) -> str:
    if isinstance(annotation, str):
        text = annotation.strip("\"'")
    elif isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        text = annotation.__name__
    else:
        text = str(annotation)
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Z_a-z])", "", text)
    # Versions of Python write these in one way or the other.
    text = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)
    text = re.sub(r"^Union\[(\w+), (\w+)\]$", r"\1 | \2", text)
    text = re.sub(r"^Unpack\[(.*)\]$", r"\1", text)
    text = re.sub(r"\*?<class '(\w+)'>", r"\1", text)
    # The alias of a selector is clearer than what it stands for.
    return f"`{text.replace('str | Callable[[Operation], bool]', 'Selector')}`"


def _json_type(annotation: Any) -> str:
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", str(annotation))
    return _type(text.replace(StreamOverrides.__name__, "dict"))


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
