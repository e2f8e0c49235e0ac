"""X2, M7: every kind of request is answered the same whichever way it goes, however it is mounted.

One app answers as it likes, the other one the generic way; both have had the same requests.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pprint import pformat
from typing import Annotated, Any

import pytest
from fastapi import Depends, Header, HTTPException, Response
from fastmcp import FastMCP
from starlette.requests import Request
from starlette.types import ASGIApp

from mcp_mount import Limits, RateLimit, Remote, mount_mcp
from tests.access import bearer, static
from tests.lanes import Answer, exchange
from tests.messages import KINDS, MOST_BYTES, every_answer
from tests.others import heard, offered, parts_server
from tests.starting import started
from tests.support import ERAS, Era
from tests.tracing import traced
from tests.ways import WAYS, Way, force

COMPARED = frozenset(
    {"content-type", "allow", "www-authenticate", "cache-control", "location", "x-guard"}
)


def own_tool(server: FastMCP[Any]) -> None:
    @server.tool
    def own(word: str) -> str:
        return f"own {word}"


def own_prompt(server: FastMCP[Any]) -> None:
    @server.prompt
    def greet(name: str) -> str:
        return f"Greet {name}."


def own_resource(server: FastMCP[Any]) -> None:
    @server.resource("data://own")
    def data() -> str:
        return "data"


def check_key(response: Response, x_key: Annotated[str, Header()] = "") -> None:
    response.headers["x-guard"] = "passed"
    if x_key != "right":
        raise HTTPException(403, "Wrong key")


def scopes_of(request: Request) -> list[str]:
    return request.headers.get("x-scopes", "").split()


@dataclass(frozen=True)
class Configuration:
    """How the app is mounted, and who calls it, by the headers that they send."""

    options: Mapping[str, Any] = field(default_factory=dict)
    add: Callable[[FastMCP[Any]], None] = lambda _: None
    callers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"": {}})


CONFIGURATIONS: dict[str, Configuration] = {
    "bare": Configuration(),
    "rate_limit": Configuration({"rate_limit": RateLimit("1000000/day")}),
    "dependencies": Configuration(
        {"dependencies": [Depends(check_key)]},
        callers={"right": {"x-key": "right"}, "wrong": {"x-key": "wrong"}},
    ),
    "scopes_of": Configuration(
        {"scopes_of": scopes_of}, callers={"none": {}, "admin": {"x-scopes": "admin"}}
    ),
    "auth": Configuration(
        {"auth": static(reader=["read"], admin=["admin"])},
        callers={
            "reader": bearer("reader"),
            "admin": bearer("admin"),
            "nobody": {},
            "stranger": bearer("x"),
        },
    ),
    "own tool": Configuration(add=own_tool),
    "own prompt": Configuration(add=own_prompt),
    "own resource": Configuration(add=own_resource),
    "sessions": Configuration({"sessions": True}),
    "tracer": Configuration(),
    "remote": Configuration(),
    "search": Configuration({"surface": "search"}),
    "sse_path": Configuration({"sse_path": "/sse"}),
}


@dataclass(frozen=True)
class Side:
    """One of the two apps, as a client of the handshake versions has opened it."""

    app: ASGIApp
    session: Mapping[str, str]

    async def answer(self, era: Era, kind: str, given: Mapping[str, str]) -> object:
        """Return what must be the same either way: the answer, and the lines of the log."""
        of_session = self.session if era == "legacy" else {}
        headers, body = KINDS[kind].request(era, {**of_session, **given})
        with logged() as lines:
            answer = await exchange(self.app, headers, body, **KINDS[kind].more)
        return comparable(answer), lines


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect what the lines of the log say of calls, but for the time that they took."""
    lines: list[dict[str, Any]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            call: dict[str, Any] = record.__dict__["call"]
            lines.append({key: value for key, value in call.items() if key != "ms"})

    logger, handler = logging.getLogger("mcp_mount.calls"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


async def opened(stack: AsyncExitStack, configuration: Configuration, way: Way) -> Side:
    """Mount and start the app so; open a session, where there are any."""
    app = every_answer()
    limits = Limits(max_request_bytes=MOST_BYTES)
    mounted = mount_mcp(app, limits=limits, **configuration.options)
    configuration.add(mounted.server)
    force(mounted, way)
    served = await stack.enter_async_context(started(app))
    if not configuration.options.get("sessions"):
        return Side(served, {})
    headers, body = KINDS["initialize"].request("legacy", {})
    answer = await exchange(served, headers, body)
    return Side(served, {"mcp-session-id": answer.headers["mcp-session-id"]})


@pytest.fixture(scope="module")
async def sides(anyio_backend: str, request: pytest.FixtureRequest) -> AsyncIterator[list[Side]]:
    """Both apps of a configuration, for all kinds of requests."""
    configuration = CONFIGURATIONS[request.param]
    async with AsyncExitStack() as stack:
        if request.param == "tracer":
            stack.enter_context(traced())
        if request.param == "remote":
            url = stack.enter_context(offered(parts_server()))
            log = stack.enter_context(heard())
            remotes = {"remotes": [Remote("other", url=url)]}
            configuration = replace(configuration, options=remotes)
        both = [await opened(stack, configuration, way) for way in WAYS]
        if request.param == "remote":
            await log.line("'other' is up", times=2)
        yield both


def comparable(answer: Answer) -> tuple[int, dict[str, str], str]:
    """Return what must be the same either way."""
    headers = {name: value for name, value in answer.headers.items() if name in COMPARED}
    # As text, so that 1, 1.0 and true are three things.
    text = json.dumps(answer.messages or answer.body.decode(), sort_keys=True, indent=1)
    # A question is sealed anew each time, and each app names itself to the servers behind it.
    for changing in (r'"requestState": "[^"]+"', r'"mcp-mount/via": \[[^]]+\]'):
        text = re.sub(changing, '"…"', text)
    return answer.status, headers, text


CALLERS = [(name, caller) for name, each in CONFIGURATIONS.items() for caller in each.callers]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("sides", "caller"),
    CALLERS,
    indirect=["sides"],
    ids=["-".join(filter(None, each)) for each in CALLERS],
)
async def test_every_kind_of_request_is_answered_the_same_either_way(
    sides: list[Side], caller: str, era: Era, request: pytest.FixtureRequest
) -> None:
    """X2, M7: status, headers that matter, every message, and the line of the log."""
    configuration = CONFIGURATIONS[request.node.callspec.params["sides"]]
    # With sessions, the one opens a stream that does not end, and the other ends the session.
    left_out = {"GET", "DELETE"} if configuration.options.get("sessions") else set()
    different: dict[str, object] = {}
    # One test for all kinds: as a test for each, they would take four times as long.
    for kind in (each for each in KINDS if each not in left_out):
        given = configuration.callers[caller]
        quick, generic = [await side.answer(era, kind, given) for side in sides]
        if quick != generic:
            different[kind] = {"quick": quick, "generic": generic}
    assert not different, "\n" + pformat(different, width=200)
