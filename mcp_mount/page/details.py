"""What the page shows beside what MCP says: methods and paths, scopes, limits, what is left out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from fastapi import FastAPI
from fastmcp import FastMCP
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_mount.access.auth import Scopes, granted_scopes, scopes_to_request
from mcp_mount.access.rates import RateLimit
from mcp_mount.clients import connections
from mcp_mount.limits import Limits
from mcp_mount.loops import make_in_thread
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.servers import origin_of
from mcp_mount.page.findings import PageFindings
from mcp_mount.page.negotiation import DETAILS_TYPE
from mcp_mount.tools.binding import ToolBinding
from mcp_mount.tools.provider import OperationProvider

if TYPE_CHECKING:
    from mcp_mount.remotes.provider import RemoteProvider

_HEADER_LENGTH: Final = 100
_HEADERS: Final = {
    "cache-control": "no-store",
    "vary": "accept",
    "x-content-type-options": "nosniff",
}
_OF_CALLS: Final = [each.name for each in fields(Limits) if each.name != "max_request_bytes"]


@dataclass(frozen=True, slots=True)
class PageDetails:
    """Answers the page's script, as far as its caller may know.

    `is_plain` says whether nothing on the server changes the list of tools for some callers: only
    FastMCP could tell then which of them a caller sees, and nothing is said of any here.
    """

    app: FastAPI
    server: FastMCP[Any]
    provider: OperationProvider
    remotes: "RemoteProvider | None"
    path: str
    public_url: str | None
    rate_limit: RateLimit | None
    is_plain: Callable[[], bool]
    findings: PageFindings

    async def respond(self, request: Request) -> Response:
        """Answer a caller whose scopes are known (`granted_scopes`)."""
        if request.query_params.get("part") == "findings":
            # Apart from the rest, which a long list does not hold up.
            content = await self.findings.check() if self.is_plain() else b"null"
            return Response(content, headers=_HEADERS, media_type=DETAILS_TYPE)
        own = {tool.name for tool in await self.server.local_provider.list_tools()}
        # Thousands of tools take a while.
        return await make_in_thread(partial(self._respond, request, own))

    def _respond(self, request: Request, own: set[str]) -> Response:
        details = self._details(request, own)
        return JSONResponse(details, headers=_HEADERS, media_type=DETAILS_TYPE)

    def _details(self, request: Request, own: set[str]) -> Mapping[str, Any]:
        plain = self.is_plain()
        docs = self._docs(request)
        return {
            "url": self.public_url,
            "rate": self.rate_limit.rate if self.rate_limit is not None else None,
            "docs": docs,
            "headers": sorted(n for where, n in self.provider.credentials() if where == "header"),
            "tools": dict(self._tools(docs, own)) if plain else {},
            "left_out": [*self._left_out()] if plain else [],
            "connections": [asdict(each) for each in self._connections(request)],
        }

    def _tools(self, docs: str | None, own: set[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        granted = granted_scopes.get()
        for name, tool in self.provider.tools().items():
            # A tool that users add stands in the place of the operation.
            if name not in own and not scopes_to_request(tool.binding.operation.scopes, granted):
                yield name, _describe(tool.binding, docs)
        remotes = self.remotes.tools() if self.remotes is not None else {}
        for name, remote in remotes.items():
            if name not in own and not scopes_to_request(remote.scopes, granted):
                yield name, {"group": remote.server_name, "scopes": _sorted(remote.scopes)}

    def _left_out(self) -> Iterator[Mapping[str, str]]:
        """Yield what is no tool and why, where the app publishes its document anyway."""
        if self.app.openapi_url is None:
            return
        granted = granted_scopes.get()
        for left in self.provider.left_out():
            if not scopes_to_request(left.operation.scopes, granted):
                yield {"operation": str(left.operation), "reason": left.reason}

    def _docs(self, request: Request) -> str | None:
        """Return the path of the app's own pages about its operations, e.g. ``"/api/docs"``."""
        if self.app.docs_url is None or self.app.openapi_url is None:
            return None
        root: str = request.scope.get("root_path", "")
        return f"{root.rstrip('/')}{self.app.docs_url}"

    def _connections(self, request: Request) -> Iterator[Any]:
        """Yield how clients connect, to the URL under which the page itself was found."""
        seen, header = request.query_params.get("url", ""), request.query_params.get("header", "")
        url = seen if origin_of(seen) is not None else ""
        if self.public_url is not None:
            # With what the page was opened with, such as "?surface=search".
            url = urlsplit(self.public_url)._replace(query=urlsplit(url).query).geturl()
        elif not url:
            root: str = request.scope.get("root_path", "")
            url = f"{request.url.scheme}://{request.url.netloc}{root.rstrip('/')}{self.path}"
        is_header = header.replace("-", "").isalnum() and header.isascii()
        known = header if is_header and len(header) <= _HEADER_LENGTH else None
        yield from connections(self.server.name, url, known)


def _describe(binding: ToolBinding, docs: str | None) -> Mapping[str, Any]:
    operation = binding.operation
    return {
        "group": operation.tags[0] if operation.tags else "",
        "method": operation.method,
        "path": operation.path,
        "scopes": _sorted(operation.scopes),
        "limits": {name: getattr(binding.limits, name) for name in _OF_CALLS},
        "confirm": binding.needs_confirmation,
        "docs": _docs_link(docs, operation),
    }


def _docs_link(docs: str | None, operation: Operation) -> str | None:
    """Return the link to an operation on the app's own pages, in the form of Swagger UI."""
    if docs is None or not operation.id:
        return None
    tag = operation.tags[0] if operation.tags else "default"
    return f"{docs}#/{quote(tag, safe='')}/{quote(operation.id, safe='')}"


def _sorted(scopes: tuple[Scopes, ...]) -> list[list[str]]:
    return [sorted(each) for each in scopes]
