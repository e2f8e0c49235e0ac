"""fastapi-mcp, in an environment of its own."""

from fastapi_mcp import FastApiMCP

from benchmarks.application import build_full

app = build_full()
FastApiMCP(app).mount_http()
