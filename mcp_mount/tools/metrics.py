"""Metrics of calls, through OpenTelemetry's API; nothing is collected where no provider is set.

``mcp.server.operation.duration`` is named by the semantic conventions for MCP. What these have no
name for has one of ours. Attributes are few and bounded: tools that exist, and outcomes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from opentelemetry import metrics

from mcp_mount.tools.access_log import CallOutcome
from mcp_mount.version import __version__

_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BYTES: Final = tuple(4**power for power in range(4, 14))

_meter = metrics.get_meter("mcp_mount", __version__)
_duration = _meter.create_histogram(
    "mcp.server.operation.duration",
    "s",
    "How long a call took, from its arguments to its result.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
_size = _meter.create_histogram(
    "mcp_mount.response.size",
    "By",
    "Bytes of the response that a call read.",
    explicit_bucket_boundaries_advisory=_BYTES,
)
_active = _meter.create_up_down_counter("mcp_mount.calls.active", "{call}", "Calls that run.")
_waiting = _meter.create_up_down_counter(
    "mcp_mount.calls.waiting", "{call}", "Calls that wait for one of the slots."
)
_streams = _meter.create_up_down_counter(
    "mcp_mount.streams.active", "{call}", "Calls whose response is shown while it comes."
)


Kind = Literal["tool", "prompt", "resource"]

_NAMED: Final[dict[Kind, tuple[str, str]]] = {
    "tool": ("tools/call", "gen_ai.tool.name"),
    "prompt": ("prompts/get", "gen_ai.prompt.name"),
    "resource": ("resources/read", "mcp.resource.uri"),
}


class CallMetrics:
    """What is measured of one call."""

    __slots__ = ("_attributes", "_is_stream")

    def __init__(self, name: str, kind: Kind = "tool", *, is_stream: bool = False) -> None:
        """Count a call that begins; `is_stream` says that its response is shown as progress."""
        method, named = _NAMED[kind]
        self._attributes = {"mcp.method.name": method, named: name}
        self._is_stream = is_stream
        _active.add(1, self._attributes)
        if is_stream:
            _streams.add(1, self._attributes)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the call among those that wait for a slot."""
        _waiting.add(1, self._attributes)
        try:
            yield
        finally:
            _waiting.add(-1, self._attributes)

    def end(self, outcome: CallOutcome, seconds: float, size: int | None) -> None:
        """Record how the call went; `size` in bytes, None where no response was to come."""
        _active.add(-1, self._attributes)
        if self._is_stream:
            _streams.add(-1, self._attributes)
        attributes = {**self._attributes, "mcp_mount.outcome": outcome}
        if outcome not in {"ok", "asked"}:
            attributes["error.type"] = "tool_error" if outcome == "error" else outcome
        _duration.record(seconds, attributes)
        if size is not None:
            _size.record(size, attributes)
