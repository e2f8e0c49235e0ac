"""Addresses in what a server answers, as this gateway can read them."""

import re
from collections.abc import Container
from typing import Any, Final, TypeVar

import mcp_types
from mcp_types import BlobResourceContents, EmbeddedResource, ResourceLink, TextResourceContents
from pydantic import AnyUrl, ValidationError

from mcp_mount.remotes.remote import is_remote_name
from mcp_mount.remotes.uris import add_prefix
from mcp_mount.tools.uris import MAX_URI
from mcp_mount.turns import Turns

Answer = TypeVar("Answer", bound=mcp_types.Result)

_WEB: Final = {"https", "http"}
_SPECIAL: Final = _WEB | {"ws", "wss", "ftp", "file"}
"""Schemes after which readers take one slash, a backslash or none for two (WHATWG URL)."""

_LONGEST: Final = 2 * MAX_URI
"""Characters of an address that tell where it leads; nothing with a longer one is read here."""

_SPACE: Final = dict.fromkeys(range(0x21))
_BEHIND_HOST: Final = re.compile(r"[/\\?#]")
_SLASHES: Final = "/\\"
_MAX_HOST: Final = 253


async def with_our_links(answer: Answer, name: str, listed: Container[str]) -> Answer:
    """Return a result in which each address of a resource is ours, e.g. ``data://wiki/parts``.

    Addresses of the web stay as they are, unless they are listed as resources: a client opens them
    by itself (MCP "Resources", "Common URI Schemes"). So do those without ``//``, as ``data:,x``:
    none of ours is one. Where a host could be the name of a server, the address could be ours for
    one of that server's resources, and becomes one of this server. An address of this server's that
    is too long to be read here is cut.
    """
    turns = Turns(0)

    def ours(uri: str) -> str:
        beginning = uri[:_LONGEST]
        scheme, _, rest = _without_space(beginning).partition(":")
        scheme, is_plain = scheme.strip().lower(), rest.startswith("//")
        if not is_plain and scheme not in _SPECIAL:
            # What has been cut off could have the slashes.
            return uri if len(rest) > 1 else beginning
        plain = f"{scheme}:{rest}" if is_plain else f"{scheme}://{rest.lstrip(_SLASHES)}"
        ends = len(uri) <= _LONGEST
        is_page = scheme in _WEB and is_plain and not _has_remote_name(scheme, rest, ends=ends)
        return uri if is_page and plain not in listed else add_prefix(plain, name)

    async def relink(block: Any) -> Any:
        if isinstance(block, ResourceLink | EmbeddedResource):
            # Names of hosts take time.
            await turns.take()
        return _relink(block, ours)

    if isinstance(answer, mcp_types.CallToolResult):
        return answer.model_copy(
            update={"content": [await relink(each) for each in answer.content]}
        )
    if isinstance(answer, mcp_types.GetPromptResult):
        messages = [
            each.model_copy(update={"content": await relink(each.content)})
            for each in answer.messages
        ]
        return answer.model_copy(update={"messages": messages})
    return answer


def _without_space(uri: str) -> str:
    """Return an address without what readers skip."""
    return uri.translate(_SPACE)


def _has_remote_name(scheme: str, rest: str, *, ends: bool) -> bool:
    """Whether a reader could see the name of a server as the host of an address of the web.

    Readers decode a host, and drop a port that goes without saying. `ends` tells that the address
    has not been cut.
    """
    host, *behind = _BEHIND_HOST.split(rest.lstrip(_SLASHES), maxsplit=1)
    if len(host) > _MAX_HOST or not (behind or ends):
        # No name of a host is so long, or it goes on.
        return True
    try:
        seen = AnyUrl(f"{scheme}://{host}")
    except ValidationError:
        return True
    return is_remote_name(str(seen).partition("://")[2].partition("/")[0])


def _relink(block: Any, ours: Any) -> Any:
    if isinstance(block, ResourceLink):
        return block.model_copy(update={"uri": ours(str(block.uri))})
    if isinstance(block, EmbeddedResource):
        resource: TextResourceContents | BlobResourceContents = block.resource
        moved = resource.model_copy(update={"uri": ours(str(resource.uri))})
        return block.model_copy(update={"resource": moved})
    return block
