"""The six lines: every operation of an app is an MCP tool.

uvicorn examples.minimal:app
fastmcp call http://localhost:8000/mcp get_part part_id=7
"""

from fastapi import FastAPI

from mcp_mount import mount_mcp

app = FastAPI(title="Parts")


@app.get("/parts/{part_id}")
async def get_part(part_id: int) -> dict[str, int]:
    """Return a part."""
    return {"part_id": part_id}


mount_mcp(app)
