"""Large answers of other servers that are no messages."""

import asyncio
import json
import time
from functools import partial

import pytest
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from mcp_mount.loops import in_thread
from mcp_mount.remotes.events import Events
from mcp_mount.remotes.large import (
    _has_half,
    event_without_large_result,
    without_large_result,
)
from mcp_mount.remotes.outgoing import OutgoingRequest
from tests.foreign import Heartbeat

LARGE = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"a": "x" * 3_000_000}})
LISTS = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"a": [[]] * 1_000_000}})


@pytest.mark.parametrize(
    "message",
    [
        "x" * 9_000_000,
        LARGE.replace('"id": 1, ', ""),
        LARGE.replace('"id": 1, ', '"method": "notifications/a", '),
        *(LISTS.encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
    ],
    ids=["no JSON", "no id", "a notice", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32"],
)
async def test_what_is_large_and_no_message_is_refused_in_few_words(message: str | bytes) -> None:
    """F1: the SDK writes all of it into two errors, and `json` guesses encodings: 0.25 s."""
    data, outgoing = message.encode() if isinstance(message, str) else message, OutgoingRequest()
    left = await without_large_result(data, outgoing)
    assert len(left) < 100
    with pytest.raises(ValidationError):
        jsonrpc_message_adapter.validate_json(left)
    assert outgoing.large_result == (None, None)


async def test_half_characters_of_a_large_result_are_mended_while_others_run() -> None:
    """F1: numbers that stand beside one were written and read again, which took 0.2 s."""
    numbers, heartbeat = ",".join(["0.12345678901234567"] * 190_000), Heartbeat()
    said = f'{{"jsonrpc":"2.0","id":1,"result":{{"a":["\\ud800",{numbers}]}}}}'.encode()
    outgoing = OutgoingRequest()

    async def read() -> None:
        await without_large_result(said, outgoing)

    beating = asyncio.create_task(heartbeat.beat())
    held = await heartbeat.during(read)
    beating.cancel()
    assert held < 0.1
    kept = outgoing.large_result[1]
    assert kept is not None
    assert kept["a"][0] == "\ufffd"


@pytest.mark.parametrize("lines", [2, 999, 1_000])
async def test_a_large_result_in_several_lines_is_kept_from_the_sdk(lines: int) -> None:
    """F1: 20 MB in two lines held the event loop for 1.7 s; in very many, it is no message."""
    outgoing, said = OutgoingRequest(), {"a": ["x" * 150_000, *range(lines - 2)]}
    rows = [f"data: {each},\n" for each in range(lines - 2)]
    begin = f'data: {{"jsonrpc":"2.0","id":1,"result":{{"a":["{"x" * 150_000}"'
    event = "".join([begin, *([",\n", *rows] if rows else "\n")])
    event = event.rstrip(",\n") + "\ndata: ]}}\nevent: message\n\n"
    left = await event_without_large_result(event.encode(), outgoing)
    assert len(left) < 100
    assert left.endswith(b"\nevent: message\n\n")
    if lines == 1_000:
        assert left.startswith(b"data: {\n")
    else:
        assert outgoing.large_result == (1, said)


async def test_a_large_notice_and_a_large_result_are_read() -> None:
    """R1: one as it is, the other kept."""
    outgoing = OutgoingRequest()
    notice = json.dumps({"jsonrpc": "2.0", "method": "a", "params": {"a": "x" * 200_000}}).encode()
    assert await without_large_result(notice, outgoing) == notice
    event = await event_without_large_result(b"data: " + LARGE.encode() + b"\n\n", outgoing)
    assert json.loads(event.removeprefix(b"data: ")) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert outgoing.large_result == (1, json.loads(LARGE)["result"])


async def test_a_large_event_is_not_copied_in_the_event_loop() -> None:
    """F1: the chunk that ended 20 MB held it for 55 ms, and for 65 directly after that."""
    said = {"jsonrpc": "2.0", "id": 1, "result": {"a": "a" * 20_000_000}}
    text = b"data: " + json.dumps(said).encode()
    times = []
    for _ in range(3):
        events, outgoing = Events(), OutgoingRequest()
        assert not [*events.add(text)]
        begun = time.thread_time()
        (event,) = events.add(b"\n\n")
        await event_without_large_result(event, outgoing)
        times.append(time.thread_time() - begun)
        assert outgoing.large_result == (1, said["result"])
    assert min(times) < 0.05


@pytest.mark.parametrize("beside", [b": ", b"event: message\n" * 4_000 + b"x: "])
def test_an_event_is_little_beside_its_data(beside: bytes) -> None:
    """F1: the SDK copies all of it several times, also a comment of 20 MB."""
    events = Events()
    answer = b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n'
    assert [*events.add(answer + beside + b"x" * 300_000 + b"\n\n")] == [b""]
    assert events.dropped == 1
    assert not [*events.add(answer + b"x" * 300_000)]
    assert events.rest() == b""


@pytest.mark.parametrize("unit", [b"\\ud7", rb"\\u"])
async def test_halves_of_characters_are_looked_for_while_others_run(unit: bytes) -> None:
    """F1: an expression that is let begin everywhere took 75 ms for 20 MB, in one step."""
    text, heartbeat = unit * (80_000_000 // len(unit)), Heartbeat()

    async def look() -> None:
        assert not await in_thread(partial(_has_half, text))

    beating = asyncio.create_task(heartbeat.beat())
    held = await heartbeat.during(look)
    beating.cancel()
    assert held < 0.1
    for at in (0, 65_533, 65_535, 65_536):
        assert _has_half(b"x" * at + b"\\ud8")
