"""Documents that are short, and take long: how much structure they have is counted first."""

import gc
import json
import time
from collections.abc import Mapping

import msgspec
import pytest
from fastapi import FastAPI, Response

from mcp_mount import mount_mcp
from mcp_mount.conversion.structure import MAX_VALUES, SLICE, Meter, is_simple, weigh_values
from mcp_mount.conversion.values import TooManyValues, read_json
from tests.starting import turns_taken
from tests.support import ERAS, Era, call, tools

MEGABYTE = 1_000_000


def many(item: str, size: int = MEGABYTE) -> str:
    return f"[{','.join([item] * (size // (len(item) + 1)))}]"


HEAVY: Mapping[str, str] = {
    "lists": many("[]"),
    "nested lists": many("[[[[]]]]"),
    "objects": many('{"a":1}'),
    "numbers": many("11"),
    "names in objects": many('{"anyOf":[{"$ref":"#"},{}]}', 380_000),
    "names": json.dumps({str(number): 1 for number in range(300_000)}),
    "long numbers": many("1" * 4_000),
    "fractions": many("2.2250738585072011" + "9" * 700 + "e-308"),
    "fractions of 40 digits": many("2.2250738585072011" + "9" * 23 + "e-308"),
    # Near the ends of what a processor knows, and in the middle between two that it knows.
    "far numbers": many("1e308", 64_000),
    "far numbers that say so otherwise": many("-1.5E-00308", 64_000),
    "far numbers without exponents": many(f"0.{'0' * 300}12345678901234567"),
    "middle numbers": many("9007199254740993.5"),
    "middle numbers with exponents": many("1e+23"),
    "middle numbers of 20 digits": many("1.0000000000000001110"),
    "after a text": f'["{"a" * MEGABYTE}",{many("[]")}]',
    "after quotation marks": f'["{chr(92)}"{chr(92)}{chr(92)}",{many("[]")}]',
}
LIGHT: Mapping[str, str] = {
    "a text": json.dumps(", [{" * 200_000),
    "texts": many('"a, b, [c]"'),
    "quotation marks": json.dumps('",[' * 200_000),
    "rows": many(json.dumps({"id": 1.25, "name": "a" * 40, "tags": ["b"]})),
    "fractions of 17 digits": many("0.00012345678901234567"),
    "fractions of 17 digits after many zeros": many("0.0000012345678901234567"),
    "scientific numbers": many("1.2e-05"),
    "exponents in texts": many('"1e308 1E+999 9007199254740993.5"'),
    "digits in a text": many('"' + "1" * 299 + '"'),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_document_that_takes_long_is_not_parsed(name: str) -> None:
    """S3: nothing else in the process runs while a parser does, in a thread or not."""
    with pytest.raises(TooManyValues):
        read_json(HEAVY[name])


@pytest.mark.parametrize("name", LIGHT)
def test_what_is_parsed_soon_is_parsed(name: str) -> None:
    """S3: what stands in a string is no structure."""
    assert read_json(LIGHT[name]) == (json.loads(LIGHT[name]), True)


@pytest.mark.parametrize("name", [*HEAVY, *LIGHT])
@pytest.mark.parametrize("size", [7, 1_000, 65_536])
def test_chunks_make_no_difference(name: str, size: int) -> None:
    """S3: but for a number, of which a part in each of two chunks can be too short to count."""
    data = {**HEAVY, **LIGHT}[name].encode()
    if size == 7 and ("numbers" in name or "fractions" in name):
        return
    meter = Meter(len(data))
    found = all(meter.add(data[start : start + size]) for start in range(0, len(data), size))
    assert found == (name in LIGHT)


@pytest.mark.parametrize(
    "item",
    [
        *("[]", "{}", '{"a":[]}', "[[[]]]", "1", '"ab"', "2.5", "1" * 4_000),
        *("1e308", "17263.176280959381806e+301", "5e-324", f"0.{'0' * 300}12345678901234567"),
        *("1e23", "9007199254740993.5", "19101638.4035020864E+11", "15299243177375916963e92"),
        # Of nearly forty digits, which count twenty.
        *("1" * 39, f"2.2250738585072011{'9' * 22}", f"2.2250738585072011{'9' * 22}e-30"),
    ],
)
def test_what_may_be_parsed_is_parsed_soon(item: str) -> None:
    """S3: the largest that is let in takes as long as a small part of a second."""
    low, high = 1, MAX_VALUES
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_simple(many(item, middle * 8)) else (low, middle - 1)
    text = many(item, low * 8)
    # What is there already is none of the parser's garbage to collect.
    gc.collect()
    gc.freeze()
    started = time.thread_time()
    msgspec.json.decode(text)
    seconds = time.thread_time() - started
    gc.unfreeze()
    # Twice what is aimed at, for a machine that is busy.
    assert seconds < 0.1


@pytest.mark.parametrize(
    "piece",
    [
        *("x", "0" * 20 + "x", "1" * 19 + "x", "0.00012345678901234567x", "0" * 99 + "x"),
        *("0.00012345678901234567,", '"', '"x', '""x', "e,", "\N{GRINNING FACE}", "\\x"),
    ],
)
async def test_what_is_no_json_is_weighed_soon_and_in_turns(piece: str) -> None:
    """S3: though a parser gives it up at once, it has to be weighed before."""
    text = piece * (4 * MEGABYTE // len(piece.encode()))
    longest, seconds = [], []
    for _ in range(3):
        async with turns_taken() as turns:
            await weigh_values(text)
        longest.append(max(turns))
        seconds.append(sum(turns))
    # Twice what is aimed at, for a machine that is busy.
    assert min(seconds) < 0.08
    assert min(longest) < 0.01


@pytest.mark.parametrize("size", [1, 7, SLICE])
def test_many_strings_are_no_strings_without_a_place(size: int) -> None:
    """R1: in whatever chunks they come."""
    texts = json.dumps([{"a": "b", "c": ["d, e", "f" * 20]}] * 12_000).encode()
    meter = Meter(len(texts))
    assert all(meter.add(texts[start : start + size]) for start in range(0, len(texts), size))


def lists_app(text: str) -> FastAPI:
    app = FastAPI()

    @app.get("/lists")
    async def lists() -> list[list[int]]:
        return Response(text, media_type="application/json")  # type: ignore[return-value]

    @app.get("/any", response_model=None)
    async def anything() -> Response:
        return Response(text, media_type="application/json")

    mount_mcp(app)
    return app


@pytest.mark.parametrize("era", ERAS)
async def test_of_a_large_structure_the_text_is_given(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """R1, S3: all of it; and where a schema is published, the structure conforms to it."""
    app = lists_app(HEAVY["lists"])
    assert "outputSchema" in (await tools(app, era=era))["lists"]
    for name, structure in (
        ("lists", {"undocumented": HEAVY["lists"]}),
        ("anything", None),
    ):
        reply = await call(app, name, era=era)
        assert not reply.is_error
        assert reply.text_content == HEAVY["lists"]
        assert reply.result.get("structuredContent") == structure
    assert "GET /lists answered 200 OK with more JSON values than are read" in caplog.text
