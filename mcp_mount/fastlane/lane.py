"""Answers the hot requests without the generic machinery, in the same words.

* ``tools/call`` of an operation, and ``tools/list``, in the versions that clients speak today.
* It recognizes what it is sure of, with the SDK's own checks, and never refuses anything: whatever
  is in any way unusual goes to FastMCP. So does everything as soon as the server's user has added
  what would see a call: middleware, transforms, providers, tools, an auth provider, a tracer.
* The operation runs in the request's own task. Its answer is written when the route's response is
  complete; background tasks run after that, as over REST.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import fastmcp
from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp.server.lowlevel import Server
from mcp_types import SERVER_INFO_META_KEY
from opentelemetry import trace
from starlette.types import Message, Receive, Send

from mcp_mount.backends.request import RequestContext, request_context
from mcp_mount.errors import MountError
from mcp_mount.fastlane.direct import DirectCall
from mcp_mount.fastlane.recognize import Recognized, Recognizer
from mcp_mount.fastlane.writer import UNSTAMPED, ResponseWriter, ServerMeta, write_json
from mcp_mount.remotes.provider import RemoteProvider
from mcp_mount.tools.provider import OperationProvider


class FastLane:
    """Answers for one server. A class because it keeps the lists that it has learned."""

    def __init__(
        self,
        server: FastMCP[Any],
        low_level: Server[Any],
        provider: OperationProvider,
        remotes: RemoteProvider | None = None,
    ) -> None:
        """Take the server as it is when nothing has been added to it."""
        self._server = server
        self._low_level = low_level
        self._provider = provider
        self._remotes = remotes
        self._middleware = [*server.middleware]
        self._providers = [*server.providers]
        self._lists: dict[str, str] = {}
        self._listed: object = None
        self.recognize = Recognizer().recognize

    async def is_open(self) -> bool:
        """Whether the server has only what this module knows the answers of."""
        server = self._server
        return (
            server.auth is None
            and server.middleware == self._middleware
            and server.providers == self._providers
            and not server.transforms
            and not any(provider.transforms for provider in self._providers)
            and not self._has_extensions
            and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
            # FastMCP's guard of hosts and origins, which is off unless its settings say otherwise.
            and not fastmcp.settings.http_host_origin_protection
            and not await server.local_provider.list_tools()
        )

    @cached_property
    def _has_extensions(self) -> bool:
        # They are registered before the server serves; one is FastMCP's own.
        return len(self._low_level.get_capabilities().extensions or {}) > 1

    @cached_property
    def _stamp(self) -> ServerMeta:
        """What every result of the modern era says of the server."""
        return ServerMeta({SERVER_INFO_META_KEY: self._low_level.server_info_stamp})

    async def answer(
        self, recognized: Recognized, served: RequestContext, receive: Receive, send: Send
    ) -> bool:
        """Answer a request; False where that is FastMCP's to do."""
        try:
            if recognized.method == "tools/list":
                self._provider.tools()
                tool = None
            else:
                tool = self._provider.ready(recognized.params["name"])
        except MountError:
            return False
        wire = ResponseWriter(recognized, send)
        if recognized.method == "tools/list":
            known = self._known_lists(self._listing()).get(recognized.version)
            if known is not None:
                await wire.write((known,))
            return known is not None
        if tool is None:
            return False
        binding = tool.binding
        if binding.asks:
            return False
        token = request_context.set(served)
        try:
            stamp = self._stamp if recognized.is_modern else UNSTAMPED
            call = DirectCall(
                recognized.params, binding, wire, stamp, served=served, receive=receive
            )
            await call.run()
        finally:
            request_context.reset(token)
        return True

    def _listing(self) -> Mapping[str, Tool]:
        """Return the tools that a list names; another object when they are others."""
        tools = self._provider.listed
        return tools if self._remotes is None else self._remotes.beside(tools)

    def learning(self, recognized: Recognized, send: Send) -> Send:
        """Return a `send` that keeps a list which FastMCP answers with, for the next request.

        The first answer is given like the later ones.
        """
        if recognized.method != "tools/list":
            return send
        tools = self._listing()
        held: list[Message] = []

        async def keep(message: Message) -> None:
            held.append(message)
            if message["type"] != "http.response.body" or message.get("more_body", False):
                return
            known = None
            if tools is self._listing():
                text = b"".join(each.get("body", b"") for each in held).decode()
                known = self._learn(recognized, text, tools)
            if known is not None:
                await ResponseWriter(recognized, send).write((known,))
            else:
                for each in held:
                    await send(each)

        return keep

    def _learn(self, recognized: Recognized, text: str, tools: Mapping[str, Tool]) -> str | None:
        """Keep the list in an answer, and return it; None where it is not that of the tools."""
        result = json.loads(text).get("result")
        if result is None or tools.keys() != {tool["name"] for tool in result["tools"]}:
            return None
        known = self._known_lists(tools)[recognized.version] = write_json(result)
        return known

    def _known_lists(self, tools: Mapping[str, Tool]) -> dict[str, str]:
        """Return the lists by version, as long as the tools are those that were listed."""
        if tools is not self._listed:
            self._listed, self._lists = tools, {}
        return self._lists
