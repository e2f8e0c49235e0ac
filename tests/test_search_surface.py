"""surface="search": an API that is too large to list is searched, described and called."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from mcp_mount import Mounted, mount_mcp
from tests.support import ERAS, Era, Reply, call, tools
from tests.ways import Way, either_way, force

eras = pytest.mark.parametrize("era", ERAS)


class Part(BaseModel):
    name: str


def parts_app(**options: Any) -> tuple[FastAPI, Mounted]:
    app = FastAPI(title="Parts", openapi_tags=[{"name": "billing", "description": "Money."}])
    bearer = HTTPBearer(auto_error=False)

    @app.get("/parts", tags=["parts"])
    async def list_parts() -> list[str]:
        """List the parts in stock."""
        return ["bolt"]

    @app.get("/parts/{part_id}", tags=["parts"])
    async def get_part(part_id: int) -> Part:
        """Get one part."""
        return Part(name=f"part {part_id}")

    @app.delete("/parts/{part_id}", tags=["parts"])
    async def delete_part(part_id: int) -> None:
        """Delete a part."""

    @app.post("/x17", tags=["billing"], openapi_extra={"x-mcp": {"keywords": ["reconciliation"]}})
    async def x17(part: Part) -> str:
        return f"paid {part.name}"

    @app.get("/secret", tags=["vault"], dependencies=[Security(bearer, scopes=["admin"])])
    async def read_vault() -> str:
        """Read the vault."""
        return "gold"

    return app, mount_mcp(app, **{"surface": "search", "scopes_of": scopes_of, **options})


def scopes_of(request: Request) -> list[str]:
    return request.headers.get("x-scopes", "").split()


ADMIN = {"x-scopes": "admin"}
ALL = ["search_tools", "describe_tool", "call_read_tool", "call_tool"]


def found(reply: Reply) -> list[str]:
    return [each["name"] for each in json.loads(reply.text_content)["tools"]]


@eras
@either_way
async def test_a_few_tools_stand_for_all(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    listed = await tools(app, era=era)
    assert list(listed) == ALL
    hints = {name: tool["annotations"]["readOnlyHint"] for name, tool in listed.items()}
    assert hints == dict(zip(ALL, [True, True, True, False], strict=True))
    assert "parts (3), billing (1)" in listed["search_tools"]["description"]


@eras
@either_way
async def test_a_tool_is_found_described_and_called(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    reply = await call(app, "search_tools", {"query": "remove the part"}, era=era)
    assert found(reply)[0] == "delete_part"
    described = await call(app, "describe_tool", {"name": "get_part"}, era=era)
    said = json.loads(described.text_content)
    assert said["inputSchema"]["required"] == ["part_id"]
    assert said["call_with"] == "call_read_tool"
    answer = await call(
        app, "call_read_tool", {"name": "get_part", "arguments": {"part_id": 3}}, era=era
    )
    direct = await call(app, "get_part", {"part_id": 3}, era=era)
    assert answer.result == direct.result
    paid = await call(app, "call_tool", {"name": "x17", "arguments": {"name": "bolt"}}, era=era)
    assert paid.text_content == '"paid bolt"'
