"""No answer holds the event loop, whatever it is made of: each took a tenth of a second or more."""

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI, Response

from mcp_mount import Limits, mount_mcp
from tests.foreign import HELD, Heartbeat
from tests.support import call

MOST = 4 * 1024 * 1024


def answering(
    body: bytes, media_type: str, status: int = 200, schema: Any = None, **limits: Any
) -> FastAPI:
    """Return an app with the tool ``found`` that answers so."""
    app = FastAPI()

    @app.get("/found", operation_id="found")
    async def found() -> Response:
        return Response(body, status, headers={"content-type": media_type})

    if schema is not None:
        document = app.openapi()
        content = document["paths"]["/found"]["get"]["responses"]["200"]["content"]
        content["application/json"] = {"schema": schema}
    mount_mcp(app, limits=Limits(**limits))
    return app


async def held(app: FastAPI, **options: Any) -> float:
    """Return for how long a call holds the event loop."""
    heart = Heartbeat()

    async def act() -> None:
        await call(app, "found", **options)

    beating = asyncio.create_task(heart.beat())
    try:
        return await heart.during(act)
    finally:
        beating.cancel()


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"\x81" * MOST, "text/plain; charset=cp1252", 500),
        (b"\xff\xfe" + b"\x00\xd8" * (MOST // 2 - 1), "application/json", 200),
    ],
)
async def test_a_body_of_nothing_but_wrong_characters(
    body: bytes, media_type: str, status: int
) -> None:
    """F1: to replace them took 1.8 s in one step, in a thread, too."""
    assert await held(answering(body, media_type, status)) < 5 * HELD


@pytest.mark.parametrize(
    ("options", "value"), [([each + 0.5 for each in range(50)], 49.5), ([*range(50)], 49.0)]
)
async def test_numbers_that_are_compared_with_an_enumeration(
    options: list[float], value: float
) -> None:
    """F1: a validator takes a microsecond for each option; 190,000 numbers took it nine seconds."""
    body = json.dumps([value] * 50_000).encode()
    schema = {"type": "array", "items": {"enum": options}}
    assert await held(answering(body, "application/json", schema=schema)) < 5 * HELD
