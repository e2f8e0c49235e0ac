"""`FastMCP.from_fastapi` with sessions, which is its default."""

from fastmcp import FastMCP

from benchmarks.application import build_full

app = build_full()
_mcp = FastMCP.from_fastapi(app).http_app(path="/")
app.router.lifespan_context = _mcp.lifespan
app.mount("/mcp", _mcp)
