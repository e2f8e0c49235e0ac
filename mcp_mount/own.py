"""What is sent to tools and prompts of one's own, looked at before FastMCP reads it.

FastMCP has pydantic read it, which writes an error of each wrong value, in one step.
"""

from collections.abc import Mapping
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from fastmcp.prompts import Prompt
from fastmcp.prompts.function_prompt import FunctionPrompt
from fastmcp.tools import Tool
from fastmcp.tools.function_tool import FunctionTool
from fastmcp.tools.tool_transform import TransformedTool

from mcp_mount.conversion.comparing import Comparison
from mcp_mount.conversion.structure import MAX_VALUES, weigh_values
from mcp_mount.remotes.text import count_values
from mcp_mount.turns import Turns

_MANY: Final = 1_000
"""Values of arguments, of fewer of which errors are soon written."""

_MOST_WORK: Final = 10_000_000
"""Values times alternatives: to compare so much takes 50 ms."""

_MOST_IN_PROMPT: Final = 5_000
"""JSON values in a text for an argument of a prompt that is no text, counted as for responses."""

_MOST_NAMED: Final = 10_000_000
"""Characters of names that errors could repeat, if each value were wrong."""

_LOOKED_AT: Final = 100
_LONGEST_NAME: Final = 64
_MOST_NAMES: Final = 10


def misfit_of_names(tool: Tool, arguments: Mapping[str, Any] | None) -> str | None:
    """Return which arguments are not those of a tool that a `ToolTransform` has changed.

    FastMCP logs a traceback then, and the caller is not told why.
    """
    if not isinstance(tool, TransformedTool) or tool.fn is not tool.forwarding_fn:
        return None
    given, known = arguments or {}, tool.parameters.get("properties", {})
    if unknown := [name for name in given if name not in known]:
        named = ", ".join(repr(name[:_LONGEST_NAME]) for name in unknown[:_MOST_NAMES])
        takes = ", ".join(map(repr, known)) if known else "no arguments"
        return f"Unknown argument {named}. The tool takes: {takes}."
    needed = [name for name in tool.parameters.get("required", ()) if name not in given]
    missing = [name for name in needed if "default" not in known.get(name, {})]
    return f"Missing argument {', '.join(map(repr, missing))}." if missing else None


async def misfit_of_tool(tool: Tool, arguments: object) -> str | None:
    """Return what is wrong with large arguments of an own tool; None for small ones."""
    if not isinstance(arguments, dict):
        return None
    if await _is_repeated_much(arguments):
        return "The names in the arguments are too long for so many values."
    if not _has_more(arguments, _MANY):
        return None
    if not isinstance(tool, FunctionTool) or tool.version is not None:
        return None
    # Without those that are missing, each can be compared by itself.
    comparison = Comparison({**tool.parameters, "required": []})
    most = _MOST_WORK // (comparison.work + 1)
    if most < MAX_VALUES and _has_more(arguments, most):
        return None
    if comparison.is_valid(arguments):
        return None
    each = islice(arguments.items(), _LOOKED_AT)
    wrong = next((name for name, value in each if not comparison.is_valid({name: value})), "")
    return (
        f"The argument {wrong[:_LONGEST_NAME]!r} is not as the tool's inputSchema says. "
        f"Among more than {_MANY:,} values no text is converted into a number."
    )


async def misfit_of_prompt(
    prompt: Prompt | None, arguments: Mapping[str, str] | None
) -> str | None:
    """Return what is too much in the arguments of an own prompt; None where nothing is.

    Where an argument is no text, FastMCP parses what is given as JSON.
    """
    turns = Turns()
    for argument, text in (arguments or {}).items():
        if len(text) <= _MANY or _takes_text(_annotations(prompt).get(argument, str)):
            continue
        if len(text) > _MOST_IN_PROMPT and await weigh_values(text, turns) > _MOST_IN_PROMPT:
            return f"The argument {argument!r} has more than {_MOST_IN_PROMPT:,} JSON values."
        if await _is_repeated_much(_parsed(text)):
            return f"The names in the argument {argument!r} are too long for so many values."
    return None


def _parsed(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Whatever it is, it has no names.
        return None


async def _is_repeated_much(value: object) -> bool:
    """Whether errors could repeat many names: one of each value repeats those that lead to it."""
    turns, named, left = Turns(), 0, [(value, 0)]
    while left and named <= _MOST_NAMED:
        each, length = left.pop()
        named += length
        if isinstance(each, dict):
            left.extend((member, length + len(name)) for name, member in each.items())
        elif isinstance(each, list):
            left.extend((member, length) for member in each)
        await turns.take()
    return named > _MOST_NAMED


def _annotations(prompt: Prompt | None) -> Mapping[str, Any]:
    """Return those of a prompt's function, as they were written where a name is not known."""
    if not isinstance(prompt, FunctionPrompt):
        return {}
    try:
        return get_type_hints(prompt.fn, include_extras=True)
    except (NameError, TypeError):
        return prompt.fn.__annotations__


def _takes_text(kind: object) -> bool:
    if get_origin(kind) in {Annotated, Union, UnionType}:
        return any(map(_takes_text, get_args(kind)))
    return kind is str or kind == "str"


def _has_more(value: object, most: int) -> bool:
    """Whether there are more values than that in a value; `count_values` counts itself."""
    return count_values(value, most + 1) > most + 1
