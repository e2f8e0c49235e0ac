"""M7: whoever collects spans gets the same ones, whichever way a request goes."""

import time
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace

from mcp_mount import mount_mcp
from tests.lanes import called, exchange, request_of
from tests.messages import KINDS, TRACE, every_answer
from tests.support import ERAS, Era
from tests.tracing import traced
from tests.ways import WAYS, Way, either_way, force

pytestmark = pytest.mark.parametrize("era", ERAS)

GIVEN = int(TRACE["traceparent"].split("-")[1], 16)
TOLD = ["no arguments", "arguments", "unknown argument", "404", "500", "trace"]


async def spans_of(way: Way, era: Era, kind: str) -> list[Any]:
    """Return what is told of the spans of one request."""
    app = every_answer()
    force(mount_mcp(app), way)
    with traced() as provider:
        await exchange(app, *KINDS[kind].request(era, {}))
    for span in provider.spans:
        # Without sessions it is made up for each request.
        span.attributes.pop("mcp.session.id", None)
    return [
        (span.name, span.kind, span.attributes, span.status, span.is_ended, span.parent == GIVEN)
        for span in provider.spans
    ]


@pytest.mark.parametrize("kind", [*TOLD, "list"])
async def test_a_request_has_the_same_spans_either_way(era: Era, kind: str) -> None:
    """M7: names, kinds, attributes and outcomes, and all of them have ended."""
    quick, generic = [await spans_of(way, era, kind) for way in WAYS]
    assert quick == generic
    assert quick
    assert all(is_ended for *_, is_ended, _ in quick)


async def test_the_span_of_a_call_of_no_tool_is_that_of_a_call(era: Era) -> None:
    """M7: unless middleware is asked for what is near: FastMCP names the span after that list."""
    quick, generic = [await spans_of(way, era, "unknown tool") for way in WAYS]
    assert [each[0] for each in quick] == ["POST /mcp", "tools/call nonsense"]
    assert [(kind, *rest) for _, kind, _, *rest in quick] == [
        (kind, *rest) for _, kind, _, *rest in generic
    ]
    assert all(is_ended for *_, is_ended, _ in quick)


@either_way
async def test_the_span_of_the_call_is_current_in_the_route(way: Way, era: Era) -> None:
    """C1, C3: what the route does belongs to it."""
    app = FastAPI()

    @app.get("/span")
    async def span() -> bool:
        return trace.get_current_span().get_span_context().is_valid

    force(mount_mcp(app), way)
    with traced():
        answer = await called(app, era, "span")
    assert answer.text == "true"


@either_way
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("baggage", "a=b\nforged " * 10_000),
        ("tracestate", "a=b" + " " * 100_000),
        ("tracestate", ["a=b" + " " * 100_000]),
        ("tracestate", "a=" + " " * 1_000 + "b"),
        ("traceparent", f"{TRACE['traceparent']}-{' ' * 100_000}\nx"),
    ],
    ids=["baggage", "tracestate", "list", "blanks", "traceparent"],
)
async def test_what_no_header_could_hold_is_no_trace(  # noqa: PLR0917 - a row of the table
    way: Way, era: Era, method: str, key: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Most versions of OpenTelemetry take hours to read a megabyte; others write it to the log."""
    app = FastAPI()
    mounted = mount_mcp(app)
    mounted.server.prompt(lambda: "Hello", name="ping")
    force(mounted, way)
    params = {"name": "ping", "arguments": {}, "_meta": {**TRACE, key: value}}
    headers, body = request_of(era, method, params)
    with traced():
        began = time.thread_time()
        answer = await exchange(app, headers, body)
        assert time.thread_time() - began < 1
    assert answer.status == 400
    assert answer.messages[-1]["error"]["message"] == f"{key!r} in _meta is no trace context."
    assert not caplog.text
