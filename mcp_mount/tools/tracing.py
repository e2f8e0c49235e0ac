"""The trace of a call, from its client over the tool to the route (W3C Trace Context)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()
_KEYS: Final = {"traceparent": 512, "tracestate": 8_192, "baggage": 8_192}
"""What tells of a trace, and how many characters of each there may be (W3C Baggage §3.3.2)."""


def is_traced() -> bool:
    """Whether the process has a tracer at all."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def trace_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return the trace context of a message's ``_meta``, or of headers, without what is unsound."""
    return {key: meta[key] for key in _KEYS if _is_sound(key, meta.get(key))}


def unsound_trace(meta: Mapping[str, Any]) -> str | None:
    """Return a key of ``_meta`` whose value no library should read; None where all are harmless.

    Most versions of OpenTelemetry look at many blanks anew for each of them, which takes hours for
    a megabyte, and others write what is too long to the log as it is, line breaks too.
    """
    return next((key for key in _KEYS if key in meta and not _is_harmless(key, meta[key])), None)


def _is_harmless(key: str, value: object) -> bool:
    text = str(value)
    return len(text) <= _KEYS[key] and "  " not in text and text.isprintable()


def _is_sound(key: str, value: object) -> bool:
    """Whether a header can hold a value."""
    return isinstance(value, str) and value.isascii() and _is_harmless(key, value)


def joined_trace(
    meta: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]]
) -> AbstractContextManager[None]:
    """Serve a request within the trace of its client, which HTTP headers or ``_meta`` name.

    Where the headers do, what instruments the HTTP server has joined it already.
    """
    return _joined_trace(meta, headers) if is_traced() else _NOTHING


@contextmanager
def _joined_trace(
    meta: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]]
) -> Iterator[None]:
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    has_joined = "traceparent" in sent
    named = trace_of(sent if has_joined else meta)
    has_joined = has_joined and trace.get_current_span().get_span_context().is_valid
    if has_joined or "traceparent" not in named:
        yield
        return
    token = otel_context.attach(propagate.extract(named, otel_context.get_current()))
    try:
        yield
    finally:
        otel_context.detach(token)


def trace_headers(meta: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a request to the route joins the trace of its call.

    The span that is current names it, or else the ``_meta`` of the MCP request.
    """
    named = {} if meta.keys().isdisjoint(_KEYS) else trace_of(meta)
    if is_traced() and trace.get_current_span().get_span_context().is_valid:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        named = {key: value for key, value in named.items() if key == "baggage"} | carrier
    if not named:
        return []
    return [
        (key.encode(), value.encode())
        for key, value in named.items()
        if value.isascii() and value.isprintable()
    ]
