"""No answer holds the event loop, whatever it is made of."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import FastAPI, Response

from mcp_mount import Limits, mount_mcp
from mcp_mount.conversion.styles import query_writer
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.parameters import Parameter
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
    """F1: a validator takes a microsecond to compare a fraction with one of fifty."""
    body = json.dumps([value] * 50_000).encode()
    schema = {"type": "array", "items": {"enum": options}}
    assert await held(answering(body, "application/json", schema=schema)) < 5 * HELD


def indexed(number: int) -> str:
    """Return an element whose index has the same hash as that of all others."""
    return f'{{"index":{number * (2**61 - 1)}}}'


def chunks(members: Iterable[str]) -> bytes:
    """Return the events of a chat completion, each with another member."""
    start = 'data: {"object":"chat.completion.chunk",'
    return "".join(f"{start}{member}}}\n\n" for member in members).encode()


@pytest.mark.parametrize(
    "members",
    [
        # Integers of one hash.
        [
            f'"choices":[{",".join(map(indexed, range(at, at + 1_700)))}]'
            for at in range(0, 60_000, 1_700)
        ],
        [f'"choices":[],"k{each}":[{",".join(["0.12345678"] * 80_000)}]' for each in range(10)],
    ],
    ids=["indexes", "fractions"],
)
async def test_chunks_that_add_to_what_goes_on(members: list[str]) -> None:
    """F1: each new one was compared with all that have the same hash."""
    body = chunks(members)
    assert await held(answering(body, "text/event-stream")) < 5 * HELD


async def test_what_goes_on_is_kept_as_json_where_it_is_much() -> None:
    """F1, S2: nothing of it is lost, and the text is one."""
    many = ",".join(["{}"] * 30_000)
    members = [
        f'"choices":[{{"index":0,"delta":{{"content":"{each}"}}}}],"k{each}":[{many}]'
        for each in range(9)
    ]
    app = answering(chunks(members), "text/event-stream")
    tracemalloc.start()
    reply = await call(app, "found")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    structured = reply.result["structuredContent"]
    assert structured["text"] == "012345678"
    assert len(structured["result"]) == 5
    assert peak < 30_000_000


async def test_a_line_of_fractions_that_was_shown() -> None:
    """F1: it was written with Python's own encoder to see how much of it fits."""
    body = f"[{','.join(['0.1234567890123456'] * 190_000)}]\n".encode()
    app = answering(body, "application/jsonl")
    assert await held(app, token="t") < 5 * HELD


@pytest.mark.in_process
def test_a_deep_answer_is_cut_soon() -> None:
    """F1: each level was written twice; a body of 120 KB held the loop for a second."""
    value: Any = [1] * 60_000
    for _ in range(90):
        value = [value]
    app = answering(json.dumps(value).encode(), "application/json", max_result_chars=3_000)
    begun = time.process_time()
    for _ in range(3):
        reply = asyncio.run(call(app, "found"))
    assert time.process_time() - begun < 1
    assert len(reply.text_content) < 3_000


@pytest.mark.in_process
def test_a_name_that_no_query_takes_is_refused_before_it_is_written() -> None:
    """F1: four megabytes were percent-encoded first."""
    write = query_writer([("a", Parameter("a", "query", {}, style="deepObject", explode=True))])
    begun = time.process_time()
    with pytest.raises(InvalidArguments):
        write({"a": {"/" * 3_900_000: 1}})
    assert time.process_time() - begun < 0.05
