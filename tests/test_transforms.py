"""FastMCP's transforms on `mounted.server`: tools keep their streams, limits and scopes."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, HTTPException, Security
from fastapi.security import HTTPBearer
from fastmcp.server.transforms import Namespace, ToolTransform, Transform
from fastmcp.tools.tool_transform import ArgTransformConfig, ToolTransformConfig
from pydantic import BaseModel

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, connected, tools

pytestmark = pytest.mark.parametrize("era", ERAS)


class Part(BaseModel):
    number: int


def namespace() -> Transform:
    return Namespace("kb")


def renaming() -> Transform:
    """Rename each tool, and an argument of one."""
    count = {"count": ArgTransformConfig(name="how_many")}
    return ToolTransform(
        {
            "stream_parts": ToolTransformConfig(name="kb_stream_parts", arguments=count),
            **{
                name: ToolTransformConfig(name=f"kb_{name}")
                for name in ("slow", "find_part", "add_part")
            },
        }
    )


TRANSFORMS = pytest.mark.parametrize(
    ("transform", "count"), [(namespace, "count"), (renaming, "how_many")]
)


class Parts:
    """An app whose stream waits for the event after its first part."""

    def __init__(self, transform: Callable[[], Transform]) -> None:
        self.app = FastAPI()
        self.seen = anyio.Event()
        self.add_routes(self.app)
        mounted = mount_mcp(
            self.app, scopes_of=lambda request: request.headers.get("x-scopes", "").split()
        )
        mounted.server.add_transform(transform())

    def add_routes(self, app: FastAPI) -> None:
        scheme = HTTPBearer(auto_error=False)

        @app.get("/parts", operation_id="stream_parts")
        async def stream_parts(count: int = 2) -> AsyncIterator[Part]:
            for number in range(count):
                yield Part(number=number)
                await self.seen.wait()

        @app.get(
            "/slow",
            operation_id="slow",
            openapi_extra={"x-mcp": {"limits": {"timeout": 0.01}}},
        )
        async def slow() -> Part:
            await anyio.sleep_forever()
            raise AssertionError

        @app.get("/part", operation_id="find_part")
        async def find_part(number: int) -> Part:
            if number == 0:
                raise HTTPException(404, "no such part")
            return Part(number=number)

        @app.post(
            "/part",
            operation_id="add_part",
            dependencies=[Security(scheme, scopes=["parts:write"])],
        )
        async def add_part() -> Part:
            return Part(number=9)


@TRANSFORMS
async def test_streams_arrive_while_they_are_made(
    era: Era, transform: Callable[[], Transform], count: str
) -> None:
    parts = Parts(transform)
    received: list[Any] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        received.append(message)
        parts.seen.set()

    with anyio.fail_after(30):
        async with connected(parts.app, era) as client:
            result = await client.call_tool(
                "kb_stream_parts", {count: 3}, progress_handler=progress
            )
    assert received[0] == '{"number":0}'
    assert result.structured_content == {"result": [{"number": each} for each in range(3)]}


@TRANSFORMS
async def test_limits_and_errors_are_kept(
    era: Era, transform: Callable[[], Transform], count: str
) -> None:
    app = Parts(transform).app
    slow = await call(app, "kb_slow", era=era)
    assert slow.is_error
    assert "0.01 seconds" in slow.text_content
    missing = await call(app, "kb_find_part", {"number": 0}, era=era)
    assert missing.is_error
    assert missing.text_content == '404 Not Found\n{"detail":"no such part"}'
    found = await call(app, "kb_find_part", {"number": 3}, era=era)
    assert found.result["structuredContent"] == {"number": 3}
    listed = await tools(app, era=era)
    assert listed["kb_find_part"]["annotations"]["readOnlyHint"] is True
    assert listed["kb_find_part"]["outputSchema"]["properties"] == {"number": {"type": "integer"}}


@TRANSFORMS
async def test_scopes_are_kept(era: Era, transform: Callable[[], Transform], count: str) -> None:
    """Whoever lacks them does not see the tool, and is told which to ask for."""
    app = Parts(transform).app
    writer = {"x-scopes": "parts:write"}
    assert "kb_add_part" not in await tools(app, era=era)
    assert "kb_add_part" in await tools(app, era=era, headers=writer)
    done = await call(app, "kb_add_part", era=era, headers=writer)
    assert done.result["structuredContent"] == {"number": 9}
    refused = await call(app, "kb_add_part", era=era)
    assert refused.status == 403
    assert 'scope="parts:write"' in refused.headers["www-authenticate"]
    unknown = await call(app, "kb_add_parts", era=era)
    assert "'kb_add_part'" not in unknown.answer["error"]["message"]
    # The name that the tool had before is nobody's.
    assert (await call(app, "add_part", era=era)).answer["error"]["code"] == -32602
    assert (await call(app, "add_part", era=era, headers=writer)).status == 200
