"""Addresses in what a server answers, as this gateway can read them."""

import string
from collections.abc import Container
from typing import Any, Final, TypeVar

import mcp_types
from mcp_types import BlobResourceContents, EmbeddedResource, ResourceLink, TextResourceContents

from mcp_mount.remotes.remote import is_remote_name
from mcp_mount.remotes.uris import add_prefix

Answer = TypeVar("Answer", bound=mcp_types.Result)

_WEB = {"https", "http"}
_SPACE: Final = string.whitespace.encode()
_MAX_HOST: Final = 253


def with_our_links(answer: Answer, name: str, listed: Container[str]) -> Answer:
    """Return a result in which each address of a resource is ours, e.g. ``data://wiki/parts``.

    Addresses of the web stay as they are, unless they are listed as resources: a client opens them
    by itself (MCP "Resources", "Common URI Schemes"). So do those without ``//``, as ``data:,x``:
    none of ours is one. Where a host could be the name of a server, the address could be ours for
    one of that server's resources, and becomes one of this server.
    """

    def ours(uri: str) -> str:
        scheme, slashes, rest = _without_space(uri).partition("://")
        plain = f"{scheme.lower()}://{rest}"
        is_web = scheme.lower() in _WEB and not _is_remote_name(rest.partition("/")[0])
        return uri if not slashes or (is_web and plain not in listed) else add_prefix(plain, name)

    if isinstance(answer, mcp_types.CallToolResult):
        return answer.model_copy(
            update={"content": [_relink(each, ours) for each in answer.content]}
        )
    if isinstance(answer, mcp_types.GetPromptResult):
        messages = [
            each.model_copy(update={"content": _relink(each.content, ours)})
            for each in answer.messages
        ]
        return answer.model_copy(update={"messages": messages})
    return answer


def _without_space(uri: str) -> str:
    """Return an address without what readers skip; of a megabyte of it `split` makes a list."""
    return (
        uri.encode("utf-8", "surrogatepass")
        .translate(None, _SPACE)
        .decode("utf-8", "surrogatepass")
    )


def _is_remote_name(host: str) -> bool:
    """Whether a host could be read as the name of a server; no name of a host is so long."""
    return len(host) > _MAX_HOST or is_remote_name("".join(host.split()))


def _relink(block: Any, ours: Any) -> Any:
    if isinstance(block, ResourceLink):
        return block.model_copy(update={"uri": ours(str(block.uri))})
    if isinstance(block, EmbeddedResource):
        resource: TextResourceContents | BlobResourceContents = block.resource
        moved = resource.model_copy(update={"uri": ours(str(resource.uri))})
        return block.model_copy(update={"resource": moved})
    return block
