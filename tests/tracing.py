"""A tracer that remembers: what collects spans, with OpenTelemetry's API alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, TraceFlags
from opentelemetry.util._decorator import _agnosticcontextmanager

_ids = count(1)


@dataclass
class Recorded:
    """What is told of one span."""

    name: str
    kind: SpanKind
    parent: int
    """The id of the trace that it joins; 0 where it begins one."""
    attributes: dict[str, Any] = field(default_factory=dict)
    status: str = "UNSET"
    is_ended: bool = False


class RecordingSpan(NonRecordingSpan):
    """A span that remembers what is set on it."""

    def __init__(self, recorded: Recorded, trace_id: int) -> None:
        flags = TraceFlags(TraceFlags.SAMPLED)
        context = SpanContext(trace_id, next(_ids), is_remote=False, trace_flags=flags)
        super().__init__(context)
        self._recorded = recorded

    def is_recording(self) -> bool:
        return not self._recorded.is_ended

    def end(self, end_time: int | None = None) -> None:  # noqa: ARG002
        self._recorded.is_ended = True

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._recorded.attributes.update(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self._recorded.attributes[key] = value

    def update_name(self, name: str) -> None:
        self._recorded.name = name

    def set_status(self, status: Any, description: str | None = None) -> None:  # noqa: ARG002
        code = status.status_code if isinstance(status, Status) else status
        self._recorded.status = code.name


class RecordingTracer(trace.Tracer):
    """Starts spans, and keeps them."""

    def __init__(self, spans: list[Recorded]) -> None:
        self._spans = spans

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        *_: Any,
        **__: Any,
    ) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        recorded = Recorded(name, kind, parent.trace_id, dict(attributes or {}))
        self._spans.append(recorded)
        return RecordingSpan(recorded, parent.trace_id or next(_ids))

    @_agnosticcontextmanager
    def start_as_current_span(
        self, name: str, *args: Any, end_on_exit: bool = True, **options: Any
    ) -> Iterator[Span]:
        span = self.start_span(name, *args, **options)
        with trace.use_span(span, end_on_exit=end_on_exit) as current:
            yield current


class RecordingProvider(trace.TracerProvider):
    """What an application sets up to have its spans collected."""

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return RecordingTracer(self.spans)


@contextmanager
def traced() -> Iterator[RecordingProvider]:
    """Collect spans; OpenTelemetry has a provider be set once for a process, and so is it not."""
    provider = RecordingProvider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield provider
