"""Each example of docs/tools.md runs, and lists the tools that it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import ERAS, Era, call, tools

TEXT = (Path(__file__).parent.parent / "docs" / "tools.md").read_text("utf-8")
EXAMPLES: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n\nlists (.*?)\.\s", TEXT, re.MULTILINE | re.DOTALL
)
MARKS, PAGE, NAMESPACE, RENAMED, VISIBLE = EXAMPLES


def app_of(example: tuple[str, str]) -> Any:
    found: dict[str, Any] = {}
    exec(example[0], found)  # noqa: S102 - it is ours
    return found["app"]


def test_every_example_says_what_it_lists() -> None:
    assert len(EXAMPLES) == TEXT.count("```python")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("example", EXAMPLES, ids=[listed for _, listed in EXAMPLES])
async def test_each_example_lists_what_it_says(example: tuple[str, str], era: Era) -> None:
    assert {*await tools(app_of(example), era=era)} == {*re.findall(r"`(\w+)`", example[1])}


@pytest.mark.parametrize("era", ERAS)
async def test_the_examples_do_what_they_are_for(era: Era) -> None:
    listed = await tools(app_of(MARKS), era=era)
    assert all(tool["annotations"]["readOnlyHint"] for tool in listed.values())
    assert listed["search_orders"]["title"] == "Orders"
    page = await tools(app_of(PAGE), era=era)
    assert page["list_parts"]["_meta"] == {"ui": {"resourceUri": "ui://parts/table"}}
    assert "bolt" in (await call(app_of(NAMESPACE), "erp_list_parts", era=era)).text_content
    renamed = app_of(RENAMED)
    tool = (await tools(renamed, era=era))["find_orders"]
    assert {*tool["inputSchema"]["properties"]} == {"words"}
    found = await call(renamed, "find_orders", {"words": "bolt"}, era=era)
    assert found.result["structuredContent"] == {"result": ["acme", "bolt"]}
    hidden = await call(app_of(VISIBLE), "list_stock", era=era)
    assert hidden.answer["error"]["code"] == -32602
