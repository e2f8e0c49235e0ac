"""A selector of a gateway that matches no tool is told once, with the names that are near."""

from typing import Any

import pytest

from mcp_mount import API, Remote, gateway_app
from tests.api import PARTS
from tests.others import Heard, heard, offered, parts_server
from tests.starting import started
from tests.support import ERAS, Era, tools


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"include": ["parts_find", "parts_fnd"]},
            "'parts_fnd' matches no tool. Near are: 'parts_",
        ),
        ({"include": ["parts_find"], "exclude": ["parts_cuont"]}, "'parts_cuont' matches no tool"),
    ],
)
async def test_a_selector_that_matches_no_tool_is_told_when_the_servers_are_known(
    options: dict[str, Any], said: str
) -> None:
    """Gateway: nothing waits for the servers at the start, and so it does not stop that."""
    with offered(parts_server()) as url, heard() as log:
        remote = Remote("parts", url=url, refresh=0.1)
        async with started(gateway_app([remote], **options)) as app:
            await log.line(said)
            assert {*await tools(app)} == {"parts_find"}
    assert times(log, "matches no tool") == 1


async def test_nothing_is_said_of_a_server_that_is_down() -> None:
    """Gateway: its tools may have these names."""
    down = Remote("down", url="http://127.0.0.1:9/mcp")
    with offered(parts_server()) as url, heard() as log:
        options: dict[str, Any] = {"include": ["down_*", "parts_find", "parts_nothing"]}
        async with started(gateway_app([down, Remote("parts", url=url)], **options)):
            await log.line("'down' is down")
            await log.line("'parts_nothing' matches no tool")
    assert times(log, "matches no tool") == 1


async def test_a_selector_of_an_api_is_told_at_the_start() -> None:
    with heard() as log:
        api = API("shop", openapi=PARTS, upstream="http://127.0.0.1:9")
        gateway_app([api], include=["shop_*", "shop_lst_parts"], exclude=["shop_get_part"])
    assert times(log, "'shop_lst_parts' matches no tool. Near are: 'shop_list_parts'") == 1
    assert times(log, "matches no tool") == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_pinned_tool_that_no_server_has_is_told(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    with offered(parts_server()) as url, heard() as log:
        options: dict[str, Any] = {"surface": "search", "pinned": ["parts_find", "parts_fnd"]}
        async with started(gateway_app([Remote("parts", url=url)], **options)) as app:
            await log.line("'parts' is up")
            for _ in range(2):
                assert "parts_find" in await tools(app, era=era)
    assert caplog.text.count("pinned= has 'parts_fnd', which matches no tool") == 1


def times(log: Heard, part: str) -> int:
    return sum(part in line for line in log.lines)
