"""Who is measured: how each is served, and the message that asks it for the same thing."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.messages import Message, call, exchange, open_session, rest, result
from benchmarks.servers import Server, serving
from tests.support import Era


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the tables.

    Attributes:
        name: The row's title.
        module: The module of `benchmarks.contenders` that serves it.
        era: The era of MCP that it is asked in; None is REST.
        path: Its endpoint.
        sessions: Whether a call needs a session.
        python: The Python it runs on.
    """

    name: str
    module: str
    era: Era | None = None
    path: str = "/mcp"
    sessions: bool = False
    python: Path = Path(sys.executable)


REST = Contender("REST", "rest")
MINIMUM = Contender("hand-written minimum", "minimum", "modern")
MODERN = Contender("mcp_mount, modern", "mounted", "modern")
LEGACY = Contender("mcp_mount, legacy", "mounted", "legacy")
THEIRS = Contender("from_fastapi, modern", "from_fastapi", "modern", path="/mcp/")
THEIR_SESSIONS = Contender(
    "from_fastapi, legacy with sessions",
    "from_fastapi_sessions",
    "legacy",
    path="/mcp/",
    sessions=True,
)
FASTAPI_MCP = Contender(
    "fastapi-mcp, legacy with sessions",
    "fastapi_mcp",
    "legacy",
    sessions=True,
    python=servers.PEERS,
)
ALL = (REST, MINIMUM, MODERN, LEGACY, THEIRS, THEIR_SESSIONS, FASTAPI_MCP)


@contextmanager
def served(contenders: tuple[Contender, ...]) -> Iterator[Mapping[str, Server]]:
    """Serve contenders, each module once; yield the servers by the contenders' names."""
    with ExitStack() as stack:
        running: dict[str, Server] = {}
        for contender in contenders:
            if contender.module not in running:
                server = stack.enter_context(serving(contender.module, python=contender.python))
                running[contender.module] = server
        yield {contender.name: running[contender.module] for contender in contenders}


def ask(
    contender: Contender,
    server: Server,
    route: str,
    arguments: Mapping[str, Any],
    *,
    progress: bool = False,
) -> Message:
    """Return the message that calls a route, opening a session where one is needed.

    The route ``items/{item_id}`` is the tool ``get_item``; the others are tools of their own name.
    """
    if contender.era is None:
        query = dict(arguments)
        path = f"items/{query.pop('item_id')}" if route == "get_item" else route
        return rest(f"/{path}", **query)
    message = call(contender.era, route, arguments, path=contender.path, progress=progress)
    if not contender.sessions:
        return message
    session = open_session(lambda each: exchange(server.port, each)[0], {}, path=contender.path)
    return message.with_headers(session)


def check(contender: Contender, server: Server, message: Message, expected: object) -> None:
    """See that a contender answers as the route does.

    Raises:
        RuntimeError: it answers something else.
    """
    headers, body = exchange(server.port, message)
    if contender.era is None:
        answer = json.loads(body)
    else:
        answer = json.loads(result(headers["content-type"], body)["content"][0]["text"])
    if answer != expected:
        raise RuntimeError(f"{contender.name} answered {answer!r} instead of {expected!r}.")
