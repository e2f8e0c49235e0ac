"""X2: what the fast lane answers is what FastMCP answers, over generated requests."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from starlette.types import ASGIApp

from tests.generated import lists, near_misses, requests
from tests.kinds import every_kind
from tests.lanes import (
    Answer,
    HeaderPairs,
    closed,
    comparable,
    exchange,
    handled_by_fastmcp,
    request_of,
)
from tests.starting import started
from tests.support import ERAS, MODERN, Era


@dataclass(frozen=True)
class Pair:
    """The same app with the lane and without it, and how many requests each way took."""

    open: ASGIApp
    closed: ASGIApp
    ways: Counter[str]

    async def compare(self, headers: HeaderPairs, body: bytes) -> Answer:
        """Send a request to both; return what the lane answered, once the answers are the same."""
        with handled_by_fastmcp() as handled:
            answer = await exchange(self.open, headers, body)
            self.ways["fastmcp" if handled else "lane"] += 1
        expected = await exchange(self.closed, headers, body)
        handshake = (b"mcp-protocol-version", MODERN.encode()) not in headers
        assert comparable(answer, handshake=handshake) == comparable(expected, handshake=handshake)
        return answer


@pytest.fixture(scope="module")
async def pair(anyio_backend: str) -> AsyncIterator[Pair]:
    one, _ = every_kind()
    other, mounted = every_kind()
    closed(mounted)
    with pytest.MonkeyPatch.context() as patch:
        # Routes that do not listen are waited for, at the end of each request.
        patch.setattr("mcp_mount.backends.app_call.GRACE", 0.001)
        async with started(one) as lane, started(other) as no_lane:
            both = Pair(lane, no_lane, Counter())
            yield both
    # Otherwise FastMCP would have been compared with itself.
    assert both.ways["lane"] > 0.4 * both.ways.total(), both.ways


GENERATED = settings(
    max_examples=200,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@pytest.mark.parametrize("tool", ["lines", "events"])
@pytest.mark.parametrize("era", ERAS)
async def test_the_progress_of_a_stream_is_told_the_same_way(
    pair: Pair, era: Era, tool: str
) -> None:
    """X2: every notification, down to how its number is written."""
    params = {"name": tool, "arguments": {"count": 3}}
    answer = await pair.compare(*request_of(era, "tools/call", params, token='é\u2028"'))
    assert len(answer.messages) == 4


@GENERATED
@given(request=requests())
async def test_generated_requests_are_answered_the_same_way(
    pair: Pair, request: tuple[HeaderPairs, bytes]
) -> None:
    """X2: status, headers that matter, and every JSON-RPC message."""
    await pair.compare(*request)


@GENERATED
@given(both=near_misses())
async def test_a_request_in_order_vouches_for_no_other(
    pair: Pair, both: tuple[tuple[HeaderPairs, bytes], tuple[HeaderPairs, bytes]]
) -> None:
    """X2: what the lane remembers of a request holds for the same words only."""
    for request in both:
        await pair.compare(*request)


@GENERATED
@given(request=lists())
async def test_lists_with_odd_parameters_are_answered_the_same_way(
    pair: Pair, request: tuple[HeaderPairs, bytes]
) -> None:
    """X2: with a cursor, and with what nobody looks at."""
    await pair.compare(*request)


@pytest.mark.parametrize(
    "odd",
    [
        {"_meta": {"x": {"y": [1, None, "é", 1.5]}}},
        {"_meta": {"progress_token": 1, "io.modelcontextprotocol/other": {}}},
        {"_meta": {"io.modelcontextprotocol/logLevel": "info"}},
        {"_meta": {"fastmcp": {"version": "1"}}},
        {"cursor": "x"},
        {"cursor": None},
        {"task": {"ttl": 1}, "x": 1},
    ],
)
@pytest.mark.parametrize("era", ERAS)
async def test_a_list_with_odd_parameters_is_one_of_the_lane(
    pair: Pair, era: Era, odd: dict[str, Any]
) -> None:
    """F1: FastMCP writes all tools anew for each request."""
    before = pair.ways["lane"]
    await pair.compare(*request_of(era, "tools/list", odd))
    assert pair.ways["lane"] == before + 1


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("era", ERAS)
async def test_a_list_has_no_argument_that_a_header_could_mirror(
    pair: Pair, era: Era, times: int
) -> None:
    """F1."""
    headers, body = request_of(era, "tools/list")
    before = pair.ways["lane"]
    await pair.compare([*headers, *[(b"mcp-param-x", b"x")] * times], body)
    assert pair.ways["lane"] == before + 1
