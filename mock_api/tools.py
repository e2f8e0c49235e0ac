"""The service's own tools, as an answer uses them: listed and called over MCP, as the asker.

* Everything goes through the mounted endpoint, in process: who asks is shown, and may call, what it
  could call itself, and each call is in the log like any other.
* `chat` is not among them, nor one of another server whose name ends so, and a question that comes
  from an answer is refused (`refuse_loop`). The header that tells it reaches no other server.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, cast

import anyio
import httpx2
from fastapi import Request
from fastmcp import Client
from fastmcp.exceptions import FastMCPError
from mcp.shared.exceptions import MCPError
from mcp_types import ContentBlock, EmbeddedResource, TextContent, TextResourceContents, Tool

from mcp_mount import Mounted
from mock_api.errors import Loop, Unavailable
from mock_api.middleware import REQUEST_ID_HEADER, TOOL_KEY
from mock_api.settings import Settings
from mock_api.tokens import WRITE

WITHIN_CHAT: Final = "X-Within-Chat"
"""The header that tells a request made for an answer; tool calls carry it on, as all of `X-…`."""

MOST_OFFERED: Final = 128
"""Tools that a model is offered, which is what OpenAI takes; another server can list a thousand."""

CALL_SECONDS: Final = 20.0
"""How long one call may take."""

# Beside errors of the protocol: a connection that broke before (RuntimeError), and arguments that
# are nested too deeply to be written (ValueError).
_FAILURES: Final = (MCPError, FastMCPError, httpx2.HTTPError, RuntimeError, ValueError)

# The one would ask itself, and the other never ends; a gateway that lists this service has them as
# `kb_chat` and `kb_watch_changes`.
_LEFT_OUT: Final = re.compile(r"(?:.*[^A-Za-z0-9])?(?:chat|watch_changes)")


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool has answered: as text, and as data where it gave any."""

    text: str
    is_error: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


def refuse_loop(request: Request) -> None:
    """Refuse a question that comes from an answer.

    Raises:
        Loop: it does.
    """
    if WITHIN_CHAT in request.headers:
        raise Loop(
            "This question comes from the answer to another one, which could go on for ever."
            " Use search_articles and get_article instead of chat."
        )


def connect(request: Request) -> Client[Any]:
    """Return a client of the service's own tools, for who asks; use it with `async with`."""
    mounted = cast("Mounted", request.app.state.mounted)
    return mounted.client(
        request, headers={WITHIN_CHAT: "1", REQUEST_ID_HEADER: request.state.request_id}
    )


def may_write(request: Request) -> bool:
    """Tell whether an answer to this request may change the knowledge base.

    Over MCP it may not: `chat` is published there as a tool that only reads, and who may write has
    the tools that do, for which clients ask their users.
    """
    settings: Settings = request.app.state.settings
    is_allowed = not settings.chat_read_only and TOOL_KEY not in request.scope
    return is_allowed and WRITE in request.state.caller.scopes


async def offered(client: Client[Any], *, writing: bool) -> dict[str, Tool]:
    """Return the tools that a model may use, by name: those that only read, or all.

    The service's own are listed first, so that those of another server are left out beyond 128.

    Raises:
        Unavailable: they cannot be listed.
    """
    try:
        tools: Sequence[Tool] = await client.list_tools()
    except _FAILURES:
        raise Unavailable("The tools cannot be listed now. Try again later.") from None
    fitting = (
        tool
        for tool in tools
        if not _LEFT_OUT.fullmatch(tool.name) and (writing or only_reads(tool))
    )
    return {tool.name: tool for tool in islice(fitting, MOST_OFFERED)}


def only_reads(tool: Tool) -> bool:
    """Tell whether the tool says that it changes nothing."""
    return tool.annotations is not None and tool.annotations.read_only_hint is True


async def call(client: Client[Any], name: str, arguments: dict[str, Any]) -> Output:
    """Call a tool; whatever goes wrong is an output that says so."""
    result = None
    with anyio.move_on_after(CALL_SECONDS):
        try:
            result = await client.call_tool_mcp(name, arguments)
        except _FAILURES:
            return Output(f"The tool {name!r} could not be called.", is_error=True)
    if result is None:
        return Output(f"{name!r} took longer than {CALL_SECONDS:.0f} seconds.", is_error=True)
    text = "\n".join(map(_text, result.content))
    return Output(text, bool(result.is_error), result.structured_content or {})


def _text(block: ContentBlock) -> str:
    """Return a block's text, or say what else it holds: a model reads no bytes."""
    if isinstance(block, TextContent):
        return block.text
    held = block.resource if isinstance(block, EmbeddedResource) else block
    if isinstance(held, TextResourceContents):
        return held.text
    return f"[{held.mime_type or 'A file'}: not shown here.]"
