"""`FastMCP.from_fastapi`, stateless, mounted as its documentation says."""

from fastmcp import FastMCP

from benchmarks.application import build_full

app = build_full()
_mcp = FastMCP.from_fastapi(app).http_app(path="/", stateless_http=True)
app.router.lifespan_context = _mcp.lifespan
app.mount("/mcp", _mcp)
