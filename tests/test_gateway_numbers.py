"""Numbers that a server writes and that not every client can read."""

from typing import Any

import pytest

from mcp_mount import Remote
from tests.others import gateway, raw
from tests.support import ERAS, Era, rpc

LONG = int("9" * 300)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("total", "told"), [(7, 7), (LONG, None), (-1, None)], ids=["usual", "long", "negative"]
)
async def test_how_many_completions_there_are_is_a_number_for_every_client(
    total: int, told: int | None, era: Era
) -> None:
    """Gateway: or is not told."""
    answers: dict[str, Any] = {
        "prompts/list": {"prompts": [{"name": "p", "arguments": [{"name": "a"}]}]},
        "completion/complete": {"completion": {"values": ["x"], "total": total}},
        "discover": {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"prompts": {}, "completions": {}},
        },
    }
    asked = {"ref": {"type": "ref/prompt", "name": "raw_p"}, "argument": {"name": "a", "value": ""}}
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await rpc(app, era, "completion/complete", asked)
    assert reply.result["completion"].get("total") == told
    assert reply.result["completion"]["values"] == ["x"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("code", "told"), [(-32050, -32050), (LONG, -32603), (-LONG, -32603)], ids=["usual", "+", "-"]
)
async def test_the_code_of_an_error_is_a_number_for_every_client(
    code: int, told: int, era: Era
) -> None:
    """Gateway: or is that of an internal error."""
    answers: dict[str, Any] = {
        "prompts/list": {"prompts": [{"name": "p"}]},
        "prompts/get": {"code": code, "message": "No such day."},
    }
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await rpc(app, era, "prompts/get", {"name": "raw_p"})
    assert reply.answer["error"]["code"] == told
    assert reply.answer["error"]["message"] == "No such day."
