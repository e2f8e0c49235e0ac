"""Bodies of very many parts, or very long ones, are written soon or refused."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from mcp_mount.conversion.encoding import Field, body_writer
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.bodies import Body
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
