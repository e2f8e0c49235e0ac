"""Spans and metrics of MCP calls in the console.

    pip install opentelemetry-sdk
    uvicorn examples.telemetry:app

Replace the two console exporters by those of your collector (OTLP, Prometheus, …).
"""

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from mcp_mount import mount_mcp

spans = TracerProvider()
spans.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(spans)
reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), export_interval_millis=10_000)
metrics.set_meter_provider(MeterProvider([reader]))

app = FastAPI(title="Parts")
tracer = trace.get_tracer("parts")


@app.get("/parts/{number}")
async def get_part(number: int) -> dict[str, int]:
    """Return a part."""
    with tracer.start_as_current_span("look up"):
        return {"number": number}


mount_mcp(app)
