"""A short run of the guard over what others answer; `make fuzz` is the long one."""

import anyio
import pytest
from fastapi import FastAPI, Response

from mcp_mount import mount_mcp
from tests import hostile
from tests.foreign import HELD, Heartbeat, run
from tests.support import call

pytestmark = pytest.mark.faults


async def test_no_answer_of_others_holds_the_event_loop_or_is_left_behind() -> None:
    """S3: of the app, of a server, of a program, and of a document."""
    findings = await run(seed=5, answers=60)
    assert findings.found == []
    assert findings.answers == 60


@pytest.mark.parametrize(
    "body", [b"data: 1\n\n" * 300_000, b"{}\n" * 1_000_000], ids=["events", "lines"]
)
async def test_what_comes_of_many_small_parts_lets_others_run(body: bytes) -> None:
    """S3: by the time that has gone, and not only by the bytes."""
    app = FastAPI()

    @app.get("/many")
    async def many() -> Response:
        return Response(body, media_type="text/event-stream")

    mount_mcp(app)
    heart = Heartbeat()

    async def act() -> None:
        assert (await call(app, "many")).text_content.startswith(("1 1", "{}"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heart.beat)
        held = await heart.during(act)
        tasks.cancel_scope.cancel()
    assert held < HELD


@pytest.mark.parametrize("name", ["content-type", "content-disposition"])
@pytest.mark.parametrize("unit", [";", '";"', ";=", "a*0=;", "a="])
async def test_a_header_of_many_parameters_lets_others_run(name: str, unit: str) -> None:
    """S3: a header may be as long as the HTTP library takes it."""
    app = FastAPI()
    number = iter(range(100))

    @app.get("/file")
    async def file() -> Response:
        # Another one each time, because types are remembered.
        value = f'application/x-{next(number)}; filename="{unit * (90_000 // len(unit))}'
        return Response(b"\xff\0", headers={"content-type": "application/x", name: value})

    mount_mcp(app)
    heart = Heartbeat()

    async def act() -> None:
        assert "resource" in (await call(app, "file")).result["content"][0]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heart.beat)
        held = await heart.during(act)
        tasks.cancel_scope.cancel()
    assert held < HELD


def test_an_answer_can_be_made_again_from_its_seed_and_number() -> None:
    assert hostile.response(3, 41) == hostile.response(3, 41)
    assert hostile.result(3, 41) != hostile.result(4, 41)
