"""The pages of docs/: their examples run, their links lead somewhere, and the site has them all."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastmcp import FastMCP

from tests.support import tools

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PYTHON: dict[str, list[str]] = {
    name: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, text in PAGES.items()
}
# The examples of the rules are parts of apps, and are checked as such.
BLOCKS = [
    (name, count)
    for name, blocks in PYTHON.items()
    for count in range(len(blocks))
    if name != "check.md"
]


def run(name: str, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "block"}
    exec(compile(PYTHON[name][count], name, "exec"), found)  # noqa: S102 - it is ours
    return found


@pytest.mark.parametrize(("name", "count"), BLOCKS)
def test_each_python_block_runs(name: str, count: int) -> None:
    assert run(name, count)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_each_link_leads_to_a_file_and_a_heading(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if not link.startswith(("http://", "https://")):
            file, _, anchor = link.partition("#")
            target = (ROOT / "docs" / (file or name)).resolve()
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def test_the_site_has_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert {*re.findall(r": (\S+\.md)$", text, re.MULTILINE)} == {*PAGES}
    assert yaml.safe_load(text)["nav"]
    assert {*re.findall(r"\]\(([a-z-]+\.md)\)", PAGES["README.md"])} == {*PAGES} - {"README.md"}


async def test_who_comes_from_from_fastapi_finds_every_option() -> None:
    """Docs: option by option, and the example does what the old lines did."""
    text = PAGES["coming-from.md"].partition("## From FastMCP")[2]
    named = [*re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)][1:]
    assert named == [*inspect.signature(FastMCP.from_fastapi).parameters]
    assert {*await tools(run("coming-from.md", 1)["app"])} == {"get_part", "convert"}


async def test_the_test_of_the_page_about_testing_passes() -> None:
    """Docs: what it shows runs in a project that has nothing else."""
    await run("testing.md", 0)["test_parts_are_listed"]()
