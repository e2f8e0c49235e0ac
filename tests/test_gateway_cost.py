"""X5: a call of a remote's tool does no work in proportion to the number of tools."""

from collections import Counter

import pytest

from mcp_mount import Remote
from tests.others import gateway, raw, text, tool
from tests.support import ERAS, Era, call, tools
from tests.test_cost import counted


async def counted_call(number: int, era: Era) -> Counter[str]:
    """Return which of our functions one call runs, beside that many tools."""
    listing = [tool(f"tool_{index}") for index in range(number)]
    with raw(listing, call=text("done")) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            assert len(await tools(app, era=era)) == number
            await call(app, "raw_tool_1", era=era)
            with counted() as counts:
                assert (await call(app, "raw_tool_1", era=era)).text_content == "done"
    return counts


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_costs_the_same_beside_two_and_beside_five_hundred_tools(era: Era) -> None:
    """Gateway, X5: it is looked up by its name, and no list is rendered."""
    few, many = await counted_call(2, era), await counted_call(500, era)
    assert few["to_mcp_tool"] == many["to_mcp_tool"] == 0
    assert {name: count for name, count in many.items() if count > few[name] + 5} == {}
