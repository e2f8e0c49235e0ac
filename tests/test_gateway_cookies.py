"""Cookies of other servers: none goes from one caller to another, and few are kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from mcp_mount import Remote
from tests.others import Raw, gateway, text, tool
from tests.starting import turns_taken
from tests.support import ERAS, Era, call, served

eras = pytest.mark.parametrize("era", ERAS)
# Written out, they look like the request that opens a session.
ARGUMENTS = {"method": "initialize"}
sessions = pytest.mark.parametrize("session", ["caller", "shared", "call"])


@contextmanager
def setting(
    *, modern: bool, each: int = 1, length: int = 1, old: int = 0
) -> Iterator[tuple[Raw, str]]:
    """Serve a server that sets other cookies with each answer; yield it and its URL.

    Their names tell which request set them, and by which method. There are `old` ones in the form
    of RFC 2965.
    """
    answers: dict[str, Any] = {"tools/list": {"tools": [tool()]}, "tools/call": text("x")}
    server = Raw(answers, modern=modern)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def sets(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers, number = MutableHeaders(scope=message), len(server.requests)
                method = server.requests[-1].get("method", "").replace("/", "_") or "none"
                for count in range(each):
                    headers.append("set-cookie", f"{method}-{number}-{count}={'v' * length}")
                if old:
                    headers["set-cookie2"] = "a," * old
                if method == "initialize":
                    headers["mcp-session-id"] = f"s{number}"
            await send(message)

        await server(scope, receive, sets)

    with served(app) as url:
        yield server, f"{url}/mcp"


def cookies_of_calls(server: Raw) -> list[list[str]]:
    """Return the cookies that came with each call, by name."""
    return [
        [each.partition("=")[0] for each in headers.get("cookie", "").split("; ") if each]
        for request, headers in zip(server.requests, server.headers, strict=True)
        if request.get("method") == "tools/call"
    ]


async def calls(server: Raw, url: str, session: Any, era: Era) -> list[list[str]]:
    """Call as two callers in turns; return what came with the calls."""
    async with gateway(Remote("raw", url=url, session=session)) as app:
        for caller in ("alice", "bob", "alice"):
            headers = {"authorization": f"Bearer {caller}"}
            reply = await call(app, "raw_tool", ARGUMENTS, era=era, headers=headers)
            assert reply.text_content == "x"
    return cookies_of_calls(server)


@eras
@sessions
async def test_what_a_modern_server_sets_goes_to_nobody(session: str, era: Era) -> None:
    """Gateway: one connection serves all callers."""
    with setting(modern=True) as (server, url):
        assert await calls(server, url, session, era) == [[], [], []]


@eras
@sessions
async def test_a_session_keeps_what_was_set_when_it_was_opened(session: str, era: Era) -> None:
    """Gateway: a load balancer before the server finds it so; what a call is given is dropped."""
    with setting(modern=False) as (server, url):
        sent = await calls(server, url, session, era)
    assert all(len(names) == 1 and names[0].startswith("initialize-") for names in sent)
    alice, bob, again = sent
    assert (alice == bob, alice == again) == {
        "caller": (False, True),
        "shared": (True, True),
        "call": (False, False),
    }[session]


async def test_a_session_keeps_few_cookies_and_short_ones() -> None:
    """Gateway: whatever a server sets, as often as it likes."""
    with setting(modern=False, each=900) as (server, url):
        sent = await calls(server, url, "shared", "modern")
    assert [len(names) for names in sent] == [10, 10, 10]
    with setting(modern=False, length=5_000) as (server, url):
        assert await calls(server, url, "shared", "modern") == [[], [], []]


async def test_old_cookies_of_a_server_hold_up_nobody() -> None:
    """Gateway: Python parses `Set-Cookie2` in a time that grows with its square."""
    with setting(modern=False, old=48_000) as (server, url):
        async with turns_taken() as turns:
            sent = await calls(server, url, "shared", "modern")
    assert [len(names) for names in sent] == [1, 1, 1]
    assert max(turns) < 0.2
