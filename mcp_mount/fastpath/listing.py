"""The answer to ``tools/list``, rendered once for each change of the tools."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import anyio
from fastmcp import FastMCP
from fastmcp.tools import Tool

from mcp_mount.access.auth import Scopes, granted_scopes, scopes_to_request
from mcp_mount.conversion.texts import write_ascii
from mcp_mount.fastpath.writer import ServerMeta
from mcp_mount.listed import strip_fastmcp_meta, write_list
from mcp_mount.loops import PerLoop, make_in_thread
from mcp_mount.openapi.sizes import fits

_FEW: Final = 50
_SMALL: Final = 200_000
"""Tools, and characters of their schemas, that the event loop renders itself, in some
milliseconds."""

_LARGE: Final = 1_000_000
"""Characters of a list from which on it is written in parts."""


_Rendered = tuple[str, list[str], str]
"""What stands before the tools, each of them, and what stands behind, as JSON."""


class ToolList:
    """Renders the tools that a server offers, in FastMCP's order and words.

    Each tool is rendered for itself, because callers of different scopes see different tools.
    """

    def __init__(
        self,
        server: FastMCP[Any],
        offered: Callable[[], Awaitable[Mapping[str, Tool] | None]],
        finish: Callable[[Sequence[Tool]], Awaitable[Sequence[Tool]]],
        ttl: int = 0,
    ) -> None:
        """Take what makes up the list.

        Args:
            server: Has the tools that users add.
            offered: Returns the other tools by name; another mapping where they are
                others, and None where only FastMCP can find out.
            finish: Does to the tools that users add what is done to them before they are listed.
            ttl: Milliseconds for which a client can keep the list.
        """
        self._server = server
        self._offered = offered
        self._finish = finish
        self._render = partial(_render, ttl)
        self._lock = PerLoop(anyio.Lock)
        self._seen: tuple[object, ...] = ()
        self._scoped: list[tuple[int, Sequence[Scopes]]] = []
        self._tools: list[Tool] = []
        self._rendered: dict[str, _Rendered] = {}
        self._some: tuple[Sequence[Tool], Mapping[str, _Rendered]] = ((), {})

    async def render(self, version: str, meta: ServerMeta) -> Sequence[str] | None:
        """Return the result as JSON, in parts; None where only FastMCP can tell who sees what.

        Raises:
            MountError: the operations cannot be offered as they are.
        """
        own = await self._server.local_provider.list_tools()
        if any(tool.auth is not None or tool.version is not None for tool in own):
            return None
        offered = await self._offered()
        if offered is None:
            return None
        seen = (offered, *own)
        async with self._lock.get():
            # Who comes while it is rendered waits for that.
            if [*map(id, seen)] != [*map(id, self._seen)]:
                self._remember(seen, [*(await self._finish(own)), *offered.values()], offered)
            if version not in self._rendered:
                tools = self._tools
                if _are_few(tools):
                    rendered = self._render(tools, version, meta)
                else:
                    rendered = await make_in_thread(partial(self._render, tools, version, meta))
                if tools is not self._tools:
                    return None
                self._rendered[version] = rendered
            before, parts, after = self._rendered[version]
            granted = granted_scopes.get()
            hidden = {index for index, each in self._scoped if scopes_to_request(each, granted)}
        if hidden:
            parts = [part for index, part in enumerate(parts) if index not in hidden]
        return _join((before, parts, after))

    async def render_these(
        self, tools: Sequence[Tool], version: str, meta: ServerMeta
    ) -> Sequence[str]:
        """Return a result with some tools as JSON, in parts; it is kept for who asks next."""
        if tools != self._some[0] or version not in self._some[1]:
            finished = await self._finish(tools)
            if _are_few(finished):
                rendered = self._render(finished, version, meta)
            else:
                rendered = await make_in_thread(partial(self._render, finished, version, meta))
            kept = self._some[1] if tools == self._some[0] else {}
            self._some = tools, {**kept, version: rendered}
            return _join(rendered)
        return _join(self._some[1][version])

    def _remember(
        self, seen: tuple[object, ...], tools: Sequence[Tool], offered: Mapping[str, Tool]
    ) -> None:
        self._seen, self._rendered = seen, {}
        # A tool that users add stands in the place of another of its name.
        first: dict[str, Tool] = {}
        for tool in tools:
            first.setdefault(tool.name, tool)
        self._tools = [*first.values()]
        # A tool that users add has none, whatever it stands in the place of. By name each would be
        # looked for in the document, which takes as long as there are routes.
        scopes = (
            (index, getattr(tool, "scopes", ()) if offered.get(tool.name) is tool else ())
            for index, tool in enumerate(self._tools)
        )
        self._scoped = [(index, alternatives) for index, alternatives in scopes if alternatives]


def _join(rendered: _Rendered) -> Sequence[str]:
    before, parts, after = rendered
    if sum(map(len, parts)) < _LARGE:
        return before, ",".join(parts), after
    # Not a tuple, so that others run while it is written.
    separated = [each for part in parts for each in (",", part)]
    return [before, *separated[1:], after]


def _are_few(tools: Sequence[Tool]) -> bool:
    written = [each for tool in tools for each in (tool.parameters, tool.output_schema, tool.meta)]
    return len(tools) <= _FEW and fits(written, _SMALL)


def _render(ttl: int, tools: Sequence[Tool], version: str, meta: ServerMeta) -> _Rendered:
    parts: list[str] = []
    # Pydantic lets nobody else run, in whichever thread, until what it is given is written.
    for tool in tools:
        parts += [write_ascii(each) for each in _write(ttl, (tool,), version)["tools"]]
    result = _write(ttl, (), version)
    if meta.is_modern:
        result.setdefault("resultType", "complete")
        result["_meta"] = {**result.get("_meta", {}), **meta.meta}
    before, _, after = write_ascii(result).partition('"tools":[]')
    return f'{before}"tools":[', parts, f"]{after}"


def _write(ttl: int, tools: Sequence[Tool], version: str) -> dict[str, Any]:
    """Return a list as a version of the protocol has it."""
    listed = [tool.to_mcp_tool(name=tool.name) for tool in tools]
    strip_fastmcp_meta(listed)
    return write_list("tools/list", listed, version, ttl)
