"""What a client says of its trace goes no further than a header can hold it."""

import logging

import pytest

from mcp_mount.tools.tracing import joined_trace, trace_headers, trace_of
from tests.messages import TRACE
from tests.tracing import traced


@pytest.mark.parametrize("given", ["a=1," * 500_000, "a=1\nWARNING: forged", "a=é"])
def test_what_no_header_holds_is_left_out(given: str, caplog: pytest.LogCaptureFixture) -> None:
    """OpenTelemetry wrote two megabytes into the log, for each call."""
    meta = {**TRACE, "baggage": given}
    caplog.set_level(logging.DEBUG)
    with traced(), joined_trace(trace_of(meta), []):
        assert b"baggage" not in dict(trace_headers(meta))
    assert "baggage" not in caplog.text.lower()
    assert trace_of(meta)["traceparent"] == TRACE["traceparent"]
