"""What an application's own OpenTelemetry SDK collects of calls."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support import ERAS

ROOT = Path(__file__).parent.parent

# In a process of its own, because providers are set once for a process.
SCRIPT = """
    import asyncio, json, sys
    import httpx2
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import StreamingResponse
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from mcp_mount import mount_mcp
    from tests.support import call

    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    metrics.set_meter_provider(MeterProvider([reader]))
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(spans)
    tracer = trace.get_tracer("app")
    app = FastAPI(title="Parts")
    during = []

    def points():
        data = json.loads(reader.get_metrics_data().to_json())
        return {
            metric["name"]: (metric["unit"], metric["data"]["data_points"])
            for resource in data["resource_metrics"]
            for scope in resource["scope_metrics"]
            if scope["scope"]["name"] == "mcp_mount"
            for metric in scope["metrics"]
        }

    @app.get("/parts/{number}")
    async def get_part(number: int) -> int:
        with tracer.start_as_current_span("look up"):
            return number

    @app.get("/fails")
    async def fails() -> None:
        raise HTTPException(404, "gone")

    @app.get("/lines")
    async def lines() -> StreamingResponse:
        async def chunks():
            during.append(points())
            yield "one"

        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app)

    async def main(era):
        # What the client says of its trace goes in the request's _meta.
        trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        parent = f"00-{trace_id}-{span_id}-01"
        await call(app, "get_part", {"number": 1}, era=era, meta={"traceparent": parent})
        await call(app, "fails", era=era)
        await call(app, "lines", era=era, token="p")
        await call(app, "get_part", {"number": "x", "other": 1}, era=era)

    asyncio.run(main(sys.argv[1]))
    told = [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
    print(json.dumps([points(), during, told]))
"""


@pytest.fixture(scope="module", params=ERAS)
def collected(request: pytest.FixtureRequest) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), request.param],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def counted(points: list[Any], **wanted: str) -> int:
    """Return how many calls with these attributes there were."""
    return sum(
        point["count"] if "count" in point else point["value"]
        for point in points
        if wanted.items()
        <= {k.replace(".", "_"): v for k, v in point["attributes"].items()}.items()
    )


def test_each_call_is_measured_by_the_conventions_names(collected: Any) -> None:
    """C3: which tool, how long, and what came of it."""
    unit, points = collected[0]["mcp.server.operation.duration"]
    assert unit == "s"
    assert counted(points, mcp_method_name="tools/call") == 4
    assert counted(points, gen_ai_tool_name="get_part", mcp_mount_outcome="ok") == 1
    assert counted(points, gen_ai_tool_name="fails", error_type="tool_error") == 1
    assert counted(points, gen_ai_tool_name="get_part", error_type="refused") == 1
    unit, points = collected[0]["mcp_mount.response.size"]
    assert (unit, counted(points)) == ("By", 3)


def test_calls_and_streams_that_run_are_counted(collected: Any) -> None:
    """C3: while they run, and not after."""
    after, (during,), _ = collected
    for name in ("mcp_mount.calls.active", "mcp_mount.streams.active"):
        assert counted(during[name][1], gen_ai_tool_name="lines") == 1
        assert counted(after[name][1]) == 0


def test_one_trace_leads_from_the_client_to_the_route(collected: Any) -> None:
    """C1, M7: the client's span, the call of the tool, and what the route does."""
    spans = [
        s for s in collected[2] if s["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"
    ]
    (route,) = (span for span in spans if span["name"] == "look up")
    (served,) = (span for span in spans if span["name"] == "tools/call get_part")
    assert served["parent_id"] == "0xb7ad6b7169203331"
    assert served["attributes"]["gen_ai.tool.name"] == "get_part"
    by_id = {span["context"]["span_id"]: span for span in spans}
    above = route
    while above is not served:
        above = by_id[above["parent_id"]]
