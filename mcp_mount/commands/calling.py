"""A call of a tool, whose stream is shown while it arrives."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from mcp_mount.commands.output import (
    FAILED,
    Header,
    Token,
    console,
    did_you_mean,
    exiting,
    note,
    one_line,
    print_json,
    read_headers,
    write,
)
from mcp_mount.commands.values import read_arguments
from mcp_mount.errors import MountError

if TYPE_CHECKING:
    from mcp_types import CallToolResult
    from rich.progress import Progress

    from mcp_mount.commands.target import Target

_MOST_MESSAGES: Final = 1_000_000
_MOST_CHARACTERS: Final = 64 * 1024 * 1024
"""Of the progress of one call."""

_MOST_OF_A_BAR: Final = 1e15


def call(
    app: str,
    tool: str,
    /,
    *arguments: str,
    header: Header = (),
    auth: Token = None,
    json: bool = False,
) -> int:
    """Call a tool of an app, a file or a running server.

    What streams is written while it arrives. The code is 1 where the tool answers with an error.

    Args:
        app: "module:attribute", a Python file, or the URL of an MCP endpoint.
        tool: The tool's name.
        arguments: name=value; a list item by item, everything that is no text as JSON.
            name=@path sends a file, or its text; name=@@text stands for text that begins with "@".
        header: Send this with each request, "Name: value".
        auth: Send this access token with each request, as "Authorization: Bearer TOKEN".
        json: Write the whole result, as clients get it, as JSON when it is there.
    """
    import anyio

    from mcp_mount.commands.target import find_target

    with exiting():
        target = find_target(app, read_headers(header, auth))
        with _Shown(is_live=not json) as shown:
            result = anyio.run(_call, target, tool, arguments, shown)
    if result is None:
        return FAILED
    if json:
        content = [
            block.model_dump(mode="json", by_alias=True, exclude_none=True)
            for block in result.content
        ]
        print_json(
            {
                "content": content,
                "structuredContent": result.structured_content,
                "isError": result.is_error,
            }
        )
    else:
        shown.write_result(_text_of(result), is_error=result.is_error)
    return FAILED if result.is_error else 0


async def _call(
    target: "Target", tool: str, words: tuple[str, ...], shown: "_Shown"
) -> "CallToolResult | None":
    """Return the result; None where nobody reads it any more."""
    import anyio
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS

    from mcp_mount.check.subject import Subject
    from mcp_mount.commands.asking import MOST_OF_A_CALL, listed_tools

    async with target.client(MOST_OF_A_CALL) as client:
        tools = {each["name"]: each for each in await listed_tools(client)}
        arguments = read_arguments(Subject(tools.get(tool) or _unlisted(tool, words)), words)
        with anyio.CancelScope() as scope:
            shown.cancel = scope.cancel
            try:
                return await client.call_tool_mcp(tool, arguments, progress_handler=shown.show)
            except MCPError as error:
                if tool in tools or error.code != INVALID_PARAMS:
                    raise
                hint = did_you_mean(tool, [*tools])
                raise MountError(f"There is no tool {tool!r}. {hint}") from None
    if shown.is_endless:
        raise RuntimeError("The tool tells of its progress without an end; it is left.")
    return None


def _unlisted(tool: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Return a tool that takes what it is given: it may be hidden from the caller, or searched."""
    names = [word.partition("=")[0] for word in words]
    return {"name": tool, "inputSchema": {"properties": {name: {} for name in names}}}


def _text_of(result: "CallToolResult") -> str:
    blocks = []
    for block in result.content:
        text = getattr(block, "text", None)
        # A link is its address, and of an image or a sound it is said what it is.
        kind = getattr(block, "uri", None) or getattr(block, "mime_type", None) or block.type
        blocks.append(text if text is not None else f"[{one_line(str(kind))}]")
    return "\n".join(blocks)


def _drawable(number: float) -> float:
    """Return a number that a bar can be drawn of: it is multiplied, and divided, as it is drawn."""
    return max(-_MOST_OF_A_BAR, min(number, _MOST_OF_A_BAR)) if number == number else 0.0  # noqa: PLR0124


class _Shown:
    """What has been shown of a call: a stream as text, long work as a bar."""

    def __init__(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self._parts: list[str] = []
        self._bar: Progress | None = None
        self._messages = self._characters = 0
        self.cancel: Callable[[], None] | None = None

    @property
    def is_endless(self) -> bool:
        """Whether more was told than anybody waits for; the server says when a call ends."""
        return self._messages > _MOST_MESSAGES or self._characters > _MOST_CHARACTERS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    async def show(self, progress: float, total: float | None, message: str | None) -> None:
        """Show one notification of progress."""
        self._messages += 1
        self._characters += len(message or "")
        if self.is_endless and self.cancel is not None:
            self.cancel()
        elif total is not None:
            self._advance(_drawable(progress), _drawable(total), message or "")
        elif message is not None and self._is_live:
            try:
                write(message)
            except SystemExit:
                # Here it would end a task of the SDK, and not the command.
                if self.cancel is not None:
                    self.cancel()
            self._parts.append(message)

    def _advance(self, progress: float, total: float, message: str) -> None:
        from rich.markup import escape
        from rich.progress import Progress

        if self._bar is None:
            self._bar = Progress(console=console(stderr=True), transient=True)
            self._bar.add_task("", total=total)
            self._bar.start()
        task = self._bar.tasks[0].id
        self._bar.update(
            task, completed=progress, total=total, description=escape(one_line(message))
        )

    def write_result(self, text: str, *, is_error: bool) -> None:
        """Write what of a result has not been shown yet; an error on stderr."""
        shown = "".join(self._parts)
        if is_error:
            write("\n" if shown else "")
            note(text)
            return
        # A stream's result is what streamed, or its beginning; other servers tell what they do.
        rest = text.removeprefix(shown) if text.startswith(shown) else f"\n{text}"
        if shown and shown.startswith(text):
            rest = ""
        write(f"{rest}\n")
