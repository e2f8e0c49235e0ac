"""`Limits`: what they are by default, and what cannot be one."""

import dataclasses
import math
import re
from contextlib import nullcontext
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mcp_mount import InvalidMark, Limits, MountError, mount_mcp
from tests.support import ERAS, Era, call, tools

pytestmark = pytest.mark.usefixtures("either_caller")


def test_the_defaults_let_an_ordinary_call_through_and_end_an_endless_one() -> None:
    """C6: a minute, ten mebibytes, a thousand items, a thousand calls, events of a mebibyte."""
    assert dataclasses.asdict(Limits()) == {
        "timeout": 60.0,
        "max_bytes": 10 * 1024 * 1024,
        "max_items": 1_000,
        "max_event_bytes": 1024 * 1024,
        "max_concurrency": 1_000,
        "max_request_bytes": 4 * 1024 * 1024,
        "max_result_chars": None,
    }


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "5", None])
def test_a_limit_that_is_no_positive_number_is_refused_by_name(name: str, value: object) -> None:
    """C6: no call could succeed under it, or none would end."""
    is_off = value is None and name == "max_result_chars"
    message = rf"Limits\.{name} must be a positive .+{value!r}"
    with nullcontext() if is_off else pytest.raises(MountError, match=message):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        *("max_bytes", "max_items", "max_event_bytes"),
        *("max_concurrency", "max_request_bytes"),
        "max_result_chars",
    ],
)
def test_what_is_counted_is_counted_in_whole_numbers(name: str) -> None:
    """C6: one and a half calls at once would break the first of them."""
    with pytest.raises(MountError, match=rf"Limits\.{name} must be a positive integer.*, not 1\.5"):
        Limits(**{name: 1.5})  # type: ignore[arg-type]


def test_requests_cannot_be_larger_than_the_sdk_takes() -> None:
    """C6: a promise that the SDK would break."""
    with pytest.raises(MountError, match="max_request_bytes can be 4194304 at the most"):
        Limits(max_request_bytes=4 * 1024 * 1024 + 1)


def test_events_cannot_be_smaller_than_what_stands_around_a_text() -> None:
    """C6, S2: a promise that the message itself would break."""
    with pytest.raises(MountError, match="max_event_bytes must be 8192 at the least"):
        Limits(max_event_bytes=8191)
    assert Limits(max_event_bytes=8192).max_event_bytes == 8192


def test_limits_cannot_be_changed_after_they_were_checked() -> None:
    """C6."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().timeout = 0  # type: ignore[misc]


WRONG: list[tuple[object, str]] = [
    ({"timeout": -1}, "Limits.timeout must be a positive number, not -1"),
    ({"max_items": 0}, "Limits.max_items must be a positive integer, not 0"),
    ({"max_items": 1.5}, "Limits.max_items must be a positive integer, not 1.5"),
    ({"max_concurrency": True}, "Limits.max_concurrency must be a positive integer, not True"),
    ({"timeout": False}, "Limits.timeout must be a positive number, not False"),
    ({"timeout": "5"}, "Expected `bool | int | float | null`, got `str` - at `$.limits[...]`"),
    ({"max_request_bytes": 5}, "|max_result_chars)\\\\Z' - at `key` in `$.limits`"),
    ({"tiemout": 5}, "Expected `str` matching regex '\\\\A(timeout|max_bytes|"),
    (5, "Expected `object`, got `int` - at `$.limits`"),
]


@pytest.mark.in_process
@pytest.mark.parametrize(("limits", "said"), WRONG, ids=repr)
def test_a_wrong_limit_in_a_mark_stops_the_start_up_and_names_the_route(
    limits: object, said: str
) -> None:
    """C6: found when the app starts, not when the tool is called."""
    app = FastAPI()

    @app.get("/slow", openapi_extra={"x-mcp": {"limits": limits}})
    async def slow() -> None: ...

    mount_mcp(app)
    with pytest.raises(InvalidMark, match=f"GET /slow .*{re.escape(said)}"), TestClient(app):
        pass


@pytest.mark.parametrize("era", ERAS)
async def test_a_mark_sets_the_limits_of_its_own_tool_only(era: Era) -> None:
    """C6: the others keep those of the mount."""
    app = FastAPI()
    mark: dict[str, Any] = {"x-mcp": {"limits": {"max_bytes": 4}}}

    @app.get("/short", openapi_extra=mark)
    async def short() -> str:
        return "abcdefgh"

    @app.get("/long")
    async def long() -> str:
        return "abcdefgh"

    mount_mcp(app)
    assert "4 bytes (max_bytes)" in (await call(app, "short", era=era)).text_content
    assert (await call(app, "long", era=era)).text_content == '"abcdefgh"'
    assert set(await tools(app, era=era)) == {"short", "long"}
