"""What tools of one's own return, before FastMCP converts it.

FastMCP looks at each item of a list several times, on the event loop: a million took two seconds.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Final

from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, ToolError, ValidationError
from fastmcp.resources import ResourceResult
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.function_tool import FunctionTool
from fastmcp.utilities.versions import VersionSpec
from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from mcp_mount.conversion.structure import CONTAINER, MAX_VALUES, NAME
from mcp_mount.loops import in_thread
from mcp_mount.tools.uris import SHORT_URI, is_soon_matched
from mcp_mount.turns import Turns

_FEW: Final = 1_000
"""Values that are soon converted."""

_MOST_ERRORS: Final = 100
"""Wrong values that are told one by one."""

_LONGEST_ERROR: Final = 20_000
"""Characters of what is told of them."""


class OwnServer(FastMCP[Any]):
    """A server that bounds what the functions return that users add to it as tools.

    And how long it takes to find which of their resources is asked for.
    """

    async def get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        """Return a tool by name, as FastMCP does."""
        tool = await super().get_tool(name, version)
        return BoundedTool.of(tool) if type(tool) is FunctionTool else tool

    async def read_resource(
        self, uri: str, *, version: VersionSpec | None = None, run_middleware: bool = True
    ) -> ResourceResult:
        """Read a resource, as FastMCP does.

        Raises:
            NotFoundError: there is none, or to find it would take too long.
        """
        if run_middleware and len(uri) > SHORT_URI:
            # Those of its providers, as they are compared: shown to the caller or not.
            templates = await super(FastMCP, self).list_resource_templates()
            if not is_soon_matched((each.uri_template for each in templates), uri):
                raise NotFoundError(f"Unknown resource: {uri!r}")
        return await super().read_resource(uri, version=version, run_middleware=run_middleware)


class _Unconverted(ToolResult):
    """Stands for a result until it is converted."""

    value: Any

    def __init__(self, value: Any) -> None:
        # FastMCP's own would convert it.
        BaseModel.__init__(self, content=[], value=value)


class BoundedTool(FunctionTool):
    """A function whose value is counted, and converted in a thread where there is much of it."""

    @classmethod
    def of(cls, tool: FunctionTool) -> "BoundedTool":
        """Return the same tool, bounded."""
        same = {name: getattr(tool, name) for name in FunctionTool.model_fields}
        return cls.model_construct(tool.model_fields_set, **same)

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Run the function.

        Raises:
            ToolError: it returns too much.
        """
        with suppress(RuntimeError):
            # Who runs a tool by itself has no context.
            _let_others_run(get_context())
        result = await super().run(arguments)
        # FastMCP converts it, and the SDK writes it; hundreds may be ready at once.
        await Turns().begin()
        if not isinstance(result, _Unconverted):
            return result
        convert = partial(super().convert_result, result.value)
        if not _has_more(result.value, _FEW):
            return convert()
        if await in_thread(partial(_has_more, result.value, MAX_VALUES)):
            raise ToolError(f"The result has more than {MAX_VALUES:,} values.")
        return await in_thread(convert)

    async def _execute(self, *arguments: Any, **options: Any) -> Any:
        """Validate the arguments and call the function; say briefly what is wrong with many.

        FastMCP would write all of it, more than once. There is no public way to it.
        """
        try:
            return await super()._execute(*arguments, **options)
        except PydanticValidationError as error:
            wrong = error.error_count()
            text = str(error) if wrong <= _MOST_ERRORS else ""
        if text and len(text) <= _LONGEST_ERROR:
            raise ValidationError(text, log_level=logging.WARNING)
        said = text[:_LONGEST_ERROR] or "They are not as the tool's inputSchema says."
        raise ValidationError(f"{wrong:,} values are wrong. {said}", log_level=logging.WARNING)

    def convert_result(self, raw_value: Any) -> ToolResult:
        """Leave that to `run`, which can do it in a thread."""
        return raw_value if isinstance(raw_value, ToolResult) else _Unconverted(raw_value)


def _let_others_run(context: Context) -> None:
    """Have what tells a client of a call end turns: where nobody is told, it never waits."""
    turns = Turns()

    def in_turns(tell: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def tell_in_turns(*arguments: Any, **options: Any) -> None:
            await tell(*arguments, **options)
            await turns.take()

        return tell_in_turns

    # `info` and its like call `log`.
    for name in ("log", "report_progress", "send_notification"):
        setattr(context, name, in_turns(getattr(context, name)))


def _has_more(value: object, most: int) -> bool:
    """Whether there are more values than that in a value, however deep, counted as in JSON."""
    count, values = 1, [value]
    while values and count <= most:
        weight, members = _members(values.pop())
        others = len(values)
        values.extend(islice(members, most + 1))
        count += weight * (len(values) - others) + (CONTAINER - 1 if weight else 0)
    return count > most


def _members(value: object) -> tuple[int, Iterable[object]]:
    """Return what each member counts, and the members; 0 and none where it holds none."""
    if isinstance(value, Mapping):
        return NAME + 1, value.values()
    if isinstance(value, list | tuple | set | frozenset | deque):
        return 1, value
    if isinstance(value, BaseModel):
        return NAME + 1, chain(value.__dict__.values(), (value.__pydantic_extra__ or {}).values())
    if is_dataclass(value) and not isinstance(value, type):
        return NAME + 1, (getattr(value, each.name, None) for each in fields(value))
    return 0, ()
