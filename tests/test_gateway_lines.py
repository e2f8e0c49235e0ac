"""Lines of a program: what is a message is what the SDK takes for one, and is soon read."""

import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter
from pydantic import ValidationError

from mcp_mount.remotes.bounds import Pace
from mcp_mount.remotes.stdio import _Line
from tests.others import Chunks

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
OBJECTS = st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | OBJECTS
ERRORS = st.fixed_dictionaries({}, optional={"code": VALUES, "message": VALUES, "data": VALUES})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | VALUES,
        "id": VALUES,
        "method": st.just("ping") | VALUES,
        "params": VALUES,
        "result": VALUES,
        "error": ERRORS | VALUES,
    },
)


def read(line: bytes) -> Any:
    """Return the message of a line, or None."""
    return next(iter(anyio.run(Chunks(line + b"\n").messages, Pace())), None)


@pytest.mark.parametrize("begins", [b'%s{"result":"', b'{"id":1,%s"result":"'])
async def test_a_line_that_arrives_slowly_is_not_looked_at_as_a_whole(begins: bytes) -> None:
    """Gateway: with each of its bytes."""
    pace = Pace()
    pace.asked(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call"))
    line = begins % (b" " * 250_000) + b"x" * 13_000
    begun = time.thread_time()
    await Chunks(line, *[b"x"] * 2_000, b"\n").messages(pace)
    assert time.thread_time() - begun < 0.2


def by_sdk(line: bytes) -> Any:
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return None


@given(MESSAGES.map(json.dumps) | st.text(max_size=5).map('{{"jsonrpc":"2.0",{}}}'.format))
def test_a_message_is_what_the_sdk_takes_for_one(line: str) -> None:
    """Gateway: a line is read in another way than the SDK's, with the same outcome."""
    assert repr(read(line.encode())) == repr(by_sdk(line.encode()))


def least(act: Callable[[], object]) -> float:
    """Return the processor time of the quickest of ten tries."""
    times = []
    for _ in range(10):
        begun = time.thread_time()
        act()
        times.append(time.thread_time() - begun)
    return min(times)


@pytest.mark.parametrize("member", ["result", "error"])
def test_a_large_message_that_is_none_is_soon_refused(member: str) -> None:
    """F1: 300 KB of rows where an object is wanted held the event loop for 44 ms."""
    rows = [{"id": 1, "name": "abc"}] * 12_500
    value = rows if member == "result" else {"code": 1, "message": rows}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, member: value}).encode()
    assert read(line) is None
    assert least(lambda: read(line)) < 0.8 * least(lambda: by_sdk(line))


async def test_a_large_line_is_parsed_beside_the_event_loop() -> None:
    """F1: 20 MB with a wide character held it for 35 ms and more."""
    text = "x" * 20_000_000 + "\U0001f600"
    said = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"a": text}}, ensure_ascii=False)
    times = []
    for _ in range(3):
        line = _Line(30_000_000)
        line.add(said.encode())
        begun = time.thread_time()
        message = await line.parse()
        times.append(time.thread_time() - begun)
        assert message is not None
    assert min(times) < 0.02


@pytest.mark.parametrize("unit", [rb"\u1234", rb"\n", rb"a\n", rb"\\", rb"\""])
async def test_a_line_of_escapes_is_too_large(unit: bytes) -> None:
    """F1: a parser takes as long for some of them as for a value: 65 ms, and 85 over HTTP."""
    line = b'{"jsonrpc":"2.0","id":1,"result":{"a":"%s"}}\n'
    text = unit * (20_000_000 // len(unit))
    chunks = [line % text[:size] for size in (len(unit) * 1_000_000, len(text))]
    pace = Pace()
    for each in range(2):
        pace.asked(JSONRPCRequest(jsonrpc="2.0", id=each, method="tools/call"))
    found = [await Chunks(each).messages(pace) for each in chunks]
    assert [type(each).__name__ for (each,) in found] == ["JSONRPCResponse", "JSONRPCError"]
