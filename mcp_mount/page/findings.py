"""What `mcp-mount check` would say of the list that a caller is shown."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from fastmcp import FastMCP

from mcp_mount.check.report import as_json, check_tools
from mcp_mount.check.subject import known_operations, subject_of
from mcp_mount.errors import MountError
from mcp_mount.loops import PerLoop, make_in_thread
from mcp_mount.tools.provider import OperationProvider

if TYPE_CHECKING:
    from mcp_mount.tools.tool import OperationTool

_MOST_KEPT: Final = 8
"""Callers of different scopes see different lists; those of the last few are kept."""


@dataclass(slots=True)
class PageFindings:
    """Checks lists of tools, each of them once.

    `listed` returns the answer to ``tools/list`` for the caller, as JSON in parts; None where only
    FastMCP can tell it.
    """

    server: FastMCP[Any]
    provider: OperationProvider
    listed: Callable[[], Awaitable[Sequence[str] | None]]
    _of: Mapping[str, "OperationTool"] = field(default_factory=dict, init=False)
    _kept: dict[bytes, bytes] = field(default_factory=dict, init=False)
    _lock: PerLoop[anyio.Lock] = field(default_factory=lambda: PerLoop(anyio.Lock), init=False)

    async def check(self) -> bytes:
        """Return what is found in the list of a caller whose scopes are known, as JSON."""
        try:
            parts = await self.listed()
            return b"null" if parts is None else await self._check_once("".join(parts).encode())
        except MountError as error:
            # E.g. a mark that silences what is no rule.
            return _write({"problem": str(error)})

    async def _check_once(self, listed: bytes) -> bytes:
        async with self._lock.get():
            # Who asks for the same list meanwhile waits for it: a thousand tools take a while.
            tools, key = self.provider.tools(), hashlib.sha256(listed).digest()
            if tools is not self._of:
                self._of, self._kept = tools, {}
            if key not in self._kept:
                known = await known_operations(self.server, self.provider)
                self._kept[key] = await make_in_thread(partial(_check, listed, known))
                if len(self._kept) > _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
            return self._kept[key]


def _check(listed: bytes, known: Mapping[str, "OperationTool"]) -> bytes:
    tools = json.loads(listed)["tools"]
    return _write(
        as_json(check_tools([subject_of(each, known.get(each["name"])) for each in tools]))
    )


def _write(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
