"""The page in a real browser, as a person uses it. Run with `make page`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from fastmcp.tools import Tool

from mcp_mount import mount_mcp
from tests.access import static
from tests.page.apps import HOSTILE, Stream, large, workshop
from tests.page.conftest import OpenPage
from tests.support import served

pytestmark = pytest.mark.slow


@pytest.fixture
def stream() -> Iterator[Stream]:
    stream = Stream()
    yield stream
    stream.may_go_on.set()


@pytest.fixture
def page(open_page: OpenPage, stream: Stream) -> Iterator[Any]:
    with served(workshop(stream)) as url:
        yield open_page(url, permissions=["clipboard-read", "clipboard-write"])


def choose(page: Any, tool: str) -> None:
    page.get_by_role("button", name=tool, exact=True).click()


def call(page: Any) -> Any:
    """Press the button, and return the region of the result once it is whole."""
    page.get_by_role("button", name="Call", exact=True).click()
    return settled(page)


def settled(page: Any, status: str = "Done") -> Any:
    region = page.get_by_role("region", name="Result")
    region.get_by_text(status, exact=True).wait_for()
    return region


def fill(page: Any, **values: str) -> None:
    for name, value in values.items():
        page.get_by_label(re.compile(rf"^{name}\b")).fill(value)


def structured(region: Any) -> Any:
    """Return the JSON that the result shows last."""
    return json.loads(region.locator("pre.json").last.inner_text())


def test_it_says_what_the_server_is_and_what_it_offers(page: Any) -> None:
    page.get_by_role("heading", name="Workshop").wait_for()
    assert page.title() == "Workshop"
    main = page.locator("main").inner_text()
    for words in ("Version 2", "Builds things.", "8\ntools", "tokens", "Left out"):
        assert words in main
    page.get_by_text("Left out").click()
    assert "Its mark (x-mcp) hides it." in page.locator("main").inner_text()
    choose(page, "get_part")
    facts = page.get_by_role("list", name="Facts").inner_text()
    assert "Reads" in facts
    assert "GET /parts/{part_id}" in facts
    docs = page.get_by_role("link", name="API docs").get_attribute("href")
    assert docs == "/docs#/parts/get_part_parts__part_id__get"


def test_large_numbers_are_shown_and_sent_to_the_last_digit(open_page: OpenPage) -> None:
    """A browser has no such integers, and an id that is one off is that of something else."""
    app = FastAPI()
    number = 9007199254740993

    @app.get("/echo/{number}", operation_id="echo")
    def echo(number: int) -> dict[str, int]:
        return {"id": number}

    mount_mcp(app)
    with served(app) as url:
        page = open_page(url)
        choose(page, "echo")
        fill(page, number=str(number))
        region = call(page)
        assert structured(region) == {"id": number}
        region.get_by_text("Raw messages").click()
        assert region.get_by_text(f'"number": {number}').count() == 1
        assert region.get_by_text(f'"id": {number}').count() >= 2
        page.get_by_role("button", name="JSON", exact=True).click()
        assert (
            json.loads(page.get_by_label("JSON of the arguments").input_value())["number"] == number
        )
        assert structured(call(page)) == {"id": number}


def test_an_argument_may_be_called_as_what_scripts_have_of_their_own(open_page: OpenPage) -> None:
    app = FastAPI()

    @app.get("/echo", operation_id="echo")
    def echo(proto: Annotated[str, Query(alias="__proto__")]) -> dict[str, str]:
        return {"given": proto}

    mount_mcp(app)
    with served(app) as url:
        page = open_page(url)
        choose(page, "echo")
        fill(page, __proto__="a")
        assert structured(call(page)) == {"given": "a"}


def test_a_schema_that_needs_itself_many_times_is_opened_in_part(open_page: OpenPage) -> None:
    """Twelve such properties were 250,000 groups of fields, and the tab stood still."""
    names = [f"part{number}" for number in range(6)]
    part: dict[str, Any] = {"type": "object", "required": names}
    part["properties"] = {name: {"$ref": "#/$defs/Part"} for name in names}
    app = FastAPI()
    mounted = mount_mcp(app)

    tool = Tool.from_function(lambda: None, name="build", description="Build it.")
    tool.parameters = {**part, "$defs": {"Part": part}}
    mounted.server.add_tool(tool)
    with served(app) as url:
        page = open_page(url)
        choose(page, "build")
        page.get_by_role("button", name="Call", exact=True).wait_for()
        assert 50 < page.locator("fieldset").count() < 500
        page.get_by_role("button", name="Add part5", exact=True).first.click()
        assert page.get_by_role("button", name="Leave part5 out", exact=True).count() == 1


def test_an_address_that_nobody_could_read_shows_the_server(page: Any) -> None:
    page.get_by_role("heading", name="Workshop").wait_for()
    page.goto(f"{page.url.partition('#')[0]}#/%")
    page.reload()
    page.get_by_role("heading", name="Workshop").wait_for()


def test_it_says_what_to_mend_in_the_list_and_in_each_tool(page: Any) -> None:
    findings = page.get_by_role("region", name="Findings")
    rule = findings.get_by_role("listitem").filter(has_text="argument-description").first
    assert "Describe each one with Query(description=…)" in rule.inner_text()
    assert "Warning" in rule.inner_text()
    health = page.get_by_role("region", name="Health of the list").inner_text()
    assert re.search(r"\b[A-F]\ngrade, \d+ of 100\b", health)
    rule.get_by_text("argument-description").click()
    rule.get_by_role("link", name="get_part", exact=True).click()
    page.get_by_role("heading", name="get_part").wait_for()
    facts = page.get_by_role("list", name="Facts")
    facts.get_by_role("button", name=re.compile(r"^Grade [A-F] · \d findings$")).click()
    findings = page.get_by_role("region", name="Findings")
    assert findings.evaluate("element => element === document.activeElement")
    assert "Arguments without a description: 'part_id', 'full'." in findings.inner_text()


def test_findings_of_hostile_words_do_nothing(open_page: OpenPage) -> None:
    app = FastAPI()

    @app.get("/x", operation_id="script_window_hacked", description="<script>window.hacked")
    async def hacked() -> str:
        return "x"

    mount_mcp(app)
    with served(app) as url:
        page = open_page(url)
        choose(page, "script_window_hacked")
        findings = page.get_by_role("region", name="Findings").inner_text()
        assert "says no more than its name: '<script>window.hacked'." in findings
        assert page.evaluate("window.hacked") is None
        assert page.locator("main img, main script, main style").count() == 0


def test_a_search_finds_by_every_word(page: Any) -> None:
    box = page.get_by_role("searchbox")
    box.fill("part delete")
    assert page.locator("aside button:visible .name").all_inner_texts() == ["delete_part"]
    page.get_by_text("1 of 11").wait_for()
    box.fill("nothing like it")
    assert page.locator("aside button:visible").count() == 0
    box.press("Escape")
    assert page.locator("aside li").count() == 11


def test_a_call_is_made_and_shown_as_a_model_sees_it(page: Any) -> None:
    choose(page, "get_part")
    fill(page, part_id="7")
    page.get_by_label(re.compile(r"^full\b")).select_option("true")
    region = call(page)
    assert structured(region) == {"id": 7, "full": True}
    assert "tokens" in region.inner_text()
    region.get_by_text("Raw messages").click()
    assert '"method": "tools/call"' in region.inner_text()
    assert "Mcp-Name: get_part" in region.inner_text()


def test_an_error_is_shown_as_a_model_sees_it(page: Any) -> None:
    choose(page, "get_part")
    page.get_by_role("button", name="Call", exact=True).click()
    assert "part_id" in settled(page, "Error").inner_text()
    fill(page, part_id="seven")
    page.get_by_role("button", name="Call", exact=True).click()
    page.get_by_role("region", name="Result").get_by_text("seven").first.wait_for()


def test_a_stream_is_shown_while_it_arrives(page: Any, stream: Stream) -> None:
    choose(page, "stream_words")
    page.get_by_role("button", name="Call", exact=True).click()
    region = settled(page, "Arriving …")
    region.get_by_text("first part", exact=True).wait_for()
    assert not stream.left.is_set()
    stream.may_go_on.set()
    assert "first part, second part" in settled(page).inner_text()


def test_a_stream_can_be_cancelled(page: Any, stream: Stream) -> None:
    choose(page, "stream_words")
    page.get_by_role("button", name="Call", exact=True).click()
    page.get_by_role("region", name="Result").get_by_text("first part").wait_for()
    page.get_by_role("button", name="Cancel").click()
    region = settled(page, "Cancelled")
    assert "first part" in region.inner_text()
    assert stream.left.wait(5), "the route went on"
    assert page.get_by_role("button", name="Call", exact=True).is_enabled()


def test_an_image_is_seen(page: Any) -> None:
    choose(page, "picture")
    image = call(page).get_by_role("img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8


def test_a_question_is_put_before_it_destroys(page: Any) -> None:
    choose(page, "delete_part")
    fill(page, part_id="3")
    page.get_by_role("button", name="Call", exact=True).click()
    region = settled(page, "It asks you first")
    assert 'Run DELETE /parts/{part_id} with {"part_id": 3}?' in region.inner_text()
    region.get_by_role("button", name="Do not").click()
    assert "Nothing was done" in settled(page, "Error").inner_text()
    page.get_by_role("button", name="Call", exact=True).click()
    region = settled(page, "It asks you first")
    region.get_by_role("button", name="Go on").click()
    assert "deleted 3" in settled(page).inner_text()


def test_a_form_holds_lists_objects_unions_and_maps(page: Any) -> None:
    choose(page, "order")
    fill(page, title="Two bolts", extra='{"weight": 3}')
    page.get_by_label(re.compile(r"^colour\b")).select_option("blue")
    fill(page, **{"tags 1": "new"})
    page.get_by_role("button", name="Add to tags").click()
    fill(page, **{"tags 2": "small"})
    page.get_by_label(re.compile(r"^shape\b")).select_option(index=2)
    fill(page, side="2.5")
    page.get_by_role("button", name="Add tree").click()
    tree = page.get_by_role("group", name=re.compile("^tree"))
    tree.get_by_label(re.compile(r"^name\b")).fill("root")
    tree.get_by_role("button", name="Add to children").click()
    tree.get_by_role("group", name=re.compile("^children 1")).get_by_label(
        re.compile(r"^name\b")
    ).fill("leaf")
    found = structured(call(page))
    assert found == {
        "title": "Two bolts",
        "colour": "blue",
        "urgent": False,
        "tags": ["new", "small"],
        "shape": {"kind": "square", "side": 2.5},
        "tree": {"name": "root", "children": [{"name": "leaf", "children": []}]},
        "extra": {"weight": 3},
    }


def test_arguments_can_be_written_as_json(page: Any) -> None:
    choose(page, "order")
    fill(page, title="A bolt")
    page.get_by_role("button", name="JSON", exact=True).click()
    text = page.get_by_label("JSON of the arguments")
    assert json.loads(text.input_value()) == {"title": "A bolt"}
    text.fill('{"title": "A nut", "urgent": true}')
    assert structured(call(page))["title"] == "A nut"
    text.fill("{")
    page.get_by_role("button", name="Call", exact=True).click()
    assert "not JSON" in settled(page, "Not sent").inner_text()


def test_a_union_of_values_and_a_file(page: Any, tmp_path: Path) -> None:
    choose(page, "choice")
    page.get_by_label("body kind").select_option(label="integer")
    fill(page, **{"body integer": "5"})
    assert structured(call(page)) == {"result": 5}
    file = tmp_path / "bolt.bin"
    file.write_bytes(bytes(range(256)) * 300)
    choose(page, "upload")
    page.get_by_label(re.compile(r"^file\b")).set_input_files(file)
    assert structured(call(page)) == {"name": "bolt.bin", "size": 76_800}


def test_hostile_words_do_nothing(page: Any) -> None:
    choose(page, "hostile")
    region = call(page)
    assert structured(region) == {HOSTILE: HOSTILE}
    assert page.locator("main .subtitle").inner_text() == HOSTILE
    assert "</script><script>window.hacked = 1" in page.locator("main .prose").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main style").count() == 0
    assert page.get_by_role("button", name="Call", exact=True).is_visible()


def test_resources_and_prompts_are_read(page: Any) -> None:
    choose(page, "words")
    page.get_by_role("button", name="Read", exact=True).click()
    assert "one two three" in settled(page).inner_text()
    choose(page, "word")
    fill(page, number="a/é")
    page.get_by_role("button", name="Read", exact=True).click()
    assert "word a/é" in settled(page).inner_text()
    choose(page, "greet")
    fill(page, name="Ada")
    page.get_by_role("button", name="Get", exact=True).click()
    assert "Greet Ada." in settled(page).inner_text()


def test_a_configuration_is_copied(page: Any) -> None:
    page.get_by_role("tab", name="Cursor").click()
    page.get_by_role("button", name="Copy for Cursor").click()
    page.get_by_role("button", name="Copy for Cursor").get_by_text("Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == {"mcpServers": {"workshop": {"url": page.url.partition("#")[0]}}}
    link = page.get_by_role("link", name="Add to Cursor").get_attribute("href")
    assert link.startswith("cursor://anysphere.cursor-deeplink/mcp/install?name=workshop&config=")
    page.get_by_role("tab", name="Cursor").press("ArrowLeft")
    link = page.get_by_role("link", name="Add to VS Code").get_attribute("href")
    assert link.startswith("vscode:mcp/install?%7B%22name%22%3A%20%22workshop%22")


def test_clients_are_connected_with_the_query_of_the_page(
    open_page: OpenPage, stream: Stream
) -> None:
    with served(workshop(stream)) as url:
        page = open_page(url)
        page.goto(f"{url}/mcp?surface=search")
        page.get_by_role("button", name="search_tools", exact=True).wait_for()
        page.get_by_role("tab", name="Claude Code").click()
        shown = page.get_by_role("tabpanel").inner_text()
        assert f"workshop '{url}/mcp?surface=search'" in shown


def test_a_key_is_asked_for_and_kept_for_the_tab(open_page: OpenPage, stream: Stream) -> None:
    with served(workshop(stream, auth=static(alice=[]))) as url:
        page = open_page(url)
        page.get_by_role("heading", name="Who is calling?").wait_for()
        assert "get_part" not in page.content()
        for key in ("mallory", "alice"):
            page.get_by_label("Key or token").fill(key)
            page.get_by_role("button", name="Use it").click()
            if key == "mallory":
                page.get_by_text("(HTTP 401)").wait_for()
                page.get_by_label("Key or token").and_(page.locator("[value=mallory]")).wait_for()
        choose(page, "get_part")
        fill(page, part_id="1")
        region = call(page)
        region.get_by_text("Raw messages").click()
        assert "Authorization: ••••" in region.inner_text()
        assert "alice" not in page.locator("body").inner_text()
        page.reload()
        page.get_by_role("link", name="Key").click()
        page.get_by_role("button", name="Forget it").click()
        page.get_by_role("heading", name="Who is calling?").wait_for()
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            *(0, 0, "")
        ]


def test_the_keyboard_is_enough(page: Any) -> None:
    page.get_by_role("searchbox").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("get_part")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="get_part").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "get_part"
    fill(page, part_id="9")
    page.keyboard.press("Enter")
    assert structured(settled(page))["id"] == 9
    page.go_back()
    page.get_by_role("heading", name="Workshop").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_one_thing_at_a_time(
    open_page: OpenPage, stream: Stream, scheme: str
) -> None:
    with served(workshop(stream)) as url:
        page = open_page(url, color_scheme=scheme, viewport={"width": 375, "height": 700})
        choose(page, "order")
        assert page.get_by_role("button", name="Call", exact=True).is_visible()
        assert not page.get_by_role("searchbox").is_visible()
        width = page.evaluate(
            "Math.max(...[...document.querySelectorAll('main, main *')]"
            ".map(element => element.getBoundingClientRect().right))"
        )
        assert width <= 375
        page.get_by_role("link", name="All tools").click()
        assert page.get_by_role("searchbox").is_visible()


def test_a_thousand_tools_are_shown_without_a_stutter(open_page: OpenPage) -> None:
    with served(large(1_000)) as url:
        page = open_page(url)
        page.get_by_text("1,000 tools", exact=True).wait_for()
        page.get_by_text("VS Code refuses more than 128").wait_for()
        spent = page.evaluate(
            """() => {
                const box = document.querySelector("[role=searchbox]");
                const texts = ["g", "get item 77", "get item 777", ""];
                const slowest = () => Math.max(...texts.map((text) => {
                    const start = performance.now();
                    box.value = text;
                    box.dispatchEvent(new Event("input"));
                    document.body.getBoundingClientRect();
                    return performance.now() - start;
                }));
                return Math.min(slowest(), slowest(), slowest());
            }"""
        )
        # Of three rounds, because other programs share the machine.
        assert spent < 100
        page.get_by_role("searchbox").fill("get_item_777")
        choose(page, "get_item_777")
        fill(page, item_id="5")
        assert structured(call(page))["id"] == 5
