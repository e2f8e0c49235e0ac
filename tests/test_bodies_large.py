"""Bodies of very many parts, or very long ones, are written soon or refused."""

import json
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import pytest

from mcp_mount.conversion.encoding import Field, body_writer
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.bodies import Body, Encoding
from mcp_mount.tools.confirm import _write_question
from tests.test_linear import within_seconds

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@pytest.mark.parametrize("media_type", FORMS)
@pytest.mark.parametrize("kind", ["fields", "files", "names", "nothing"])
def test_a_form_of_very_many_parts_is_refused_soon(kind: str, media_type: str) -> None:
    """F1: whatever they are, and under how many names."""
    is_file = kind == "files" and media_type != FORMS[0]
    fields = [Field(f"a{number}", f"a{number}", is_file=is_file) for number in range(30)]
    write = body_writer(Body(media_type, {}), fields, None)
    arguments: dict[str, Any] = {each.argument: ["x"] * 4_000 for each in fields}
    if kind in {"names", "nothing"}:
        write = body_writer(Body(media_type, {}), (), "body")
        value = None if kind == "nothing" else 1
        arguments = {"body": {f"a{number}": value for number in range(60_000)}}
    with within_seconds(0.1), pytest.raises(InvalidArguments, match="takes 5,000 in all"):
        write(arguments)


def test_long_names_of_files_are_refused() -> None:
    """F1: 5,000 of 780 characters took 57 ms."""
    write = body_writer(Body(FORMS[1], {}), [Field("a", "a", is_file=True)], None)
    files = [{"text": "x", "filename": "b" * 99}] * 2_000
    assert write({"a": files}) is not None
    with pytest.raises(InvalidArguments, match="200,000 characters of names"):
        write({"a": [*files, {"text": "x", "filename": "b"}]})


@pytest.mark.parametrize("media_type", FORMS)
@pytest.mark.parametrize("value", ["one", ["of", "many"] * 2_000, {"a": ["b"] * 4_000}])
def test_a_long_name_in_a_form_is_refused_soon(value: Any, media_type: str) -> None:
    """It is written again for each item: three megabytes, 5,000 times."""
    deep = {"body": Encoding(style="deepObject")} if isinstance(value, dict) else {}
    write = body_writer(Body(media_type, {}, encodings=deep), (), "body")
    name = '"' * 3_000_000
    given = {"body": {name: value}} if not deep else {"body": {"body": {name: value}}}
    with within_seconds(0.1), pytest.raises(InvalidArguments, match="name"):
        write(given)


def test_the_media_type_of_a_file_is_refused_soon() -> None:
    """A text of four megabytes took 0.1 s."""
    write = body_writer(Body("image/*", {}), (), "body")
    with within_seconds(0.05), pytest.raises(InvalidArguments, match="media_type"):
        write({"body": {"text": "", "media_type": "a/" + "a" * 4_000_000 + "\0"}})


@pytest.mark.parametrize("text", ["a", "\xe9", "a ", "a\xe9", "&_method=DELETE", "\n"])
def test_a_long_form_is_written_soon_and_says_the_same(text: str) -> None:
    """F1: four megabytes took 0.3 s."""
    long = text * (2_000_000 // len(text))
    write = body_writer(Body(FORMS[0], {}), [Field("a b", "a b"), Field("c", "c")], None)
    with within_seconds(0.1):
        content = write({"a b": long, "c": "d"})
    assert content is not None
    assert parse_qs(content[0].decode()) == {"a b": [long], "c": ["d"]}


def test_base64_in_very_many_lines_is_read_soon() -> None:
    """F1."""
    write = body_writer(Body("image/png", {}), (), "body")
    with within_seconds(0.1):
        content = write({"body": {"base64": "AA \n" * 1_000_000}})
    assert content == (bytes(1_500_000), "image/png")


NUMBERS = [number / 7 for number in range(1, 150_000)]


def seconds_of(function: Callable[[], object]) -> float:
    """Return the processor time that it takes, the least of several."""
    times = []
    for _ in range(5):
        started = time.thread_time()
        assert function() is not None
        times.append(time.thread_time() - started)
    return min(times)


@pytest.mark.parametrize("media_type", ["application/json", *FORMS])
@pytest.mark.parametrize("odd", [None, 10**30, "\xe9"])
def test_very_many_numbers_are_written_soon(odd: object, media_type: str) -> None:
    """Python's own writer takes half a microsecond for each, and wrote what held one null."""
    write = body_writer(Body(media_type, {}), [Field("a", "a")], None)
    given = [[odd, *NUMBERS]]
    assert seconds_of(lambda: write({"a": given})) < 0.7 * seconds_of(lambda: json.dumps(given))


def test_a_question_about_very_many_numbers_is_written_soon() -> None:
    """It shows the two ends of them."""
    asked = partial(_write_question, "DELETE /a", {"a": NUMBERS}, ())
    assert seconds_of(asked) < 0.7 * seconds_of(lambda: json.dumps(NUMBERS))
    assert len(asked()) < 300


SMALL = [number * 1e-300 for number in NUMBERS[:30_000]]
"""Python's own writer takes longest for these."""


@pytest.mark.parametrize("media_type", ["application/json", *FORMS])
def test_very_many_fractions_beside_half_a_character_are_refused_soon(media_type: str) -> None:
    """Only Python's own writer takes half of a character: 140,000 fractions took it 0.23 s."""
    write = body_writer(Body(media_type, {}), [Field("a", "a")], None)
    given = [["\ud800", *[0.5] * 150_000, *SMALL]]

    def refused() -> bool:
        with pytest.raises(InvalidArguments, match="half of a character"):
            write({"a": given})
        return True

    assert seconds_of(refused) < 0.2 * seconds_of(lambda: json.dumps(given))
    assert write({"a": [["\ud800", *SMALL[:1_000]]]}) is not None


def test_what_is_kept_of_a_task_is_written_soon() -> None:
    """A message of 4 MB held the event loop for 0.24 s before it was refused for its size."""
    seal = pytest.importorskip("mcp_mount.tasks.seal").Seal(None)
    assert seconds_of(lambda: seal.close(SMALL)) < 0.7 * seconds_of(lambda: json.dumps(SMALL))
    for value in ("\ud800", "é\U0001f600", [math.inf, None, 2**70], {"": {"a": [0.1]}}):
        assert seal.open(seal.close(value)) == value


def test_json_is_written_as_it_was_given() -> None:
    """Also where some encoders know no way to write it."""
    write = body_writer(Body("application/json", {}), [Field("a", "a")], None)
    values: list[object] = [None, 2**70, 1e22, -0.0, 1e-7, 1.0, "\ud800", "\u2028\x7f\0é", "null"]
    for value in (*values, [[]], {}):
        content = write({"a": value})
        assert content is not None
        assert json.loads(content[0]) == {"a": value}
    assert write({"a": [math.nan, -math.inf]}) == (b'{"a":[NaN,-Infinity]}', "application/json")
