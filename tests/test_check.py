"""`mcp-mount check`: each rule finds what its example shows, and the page has them all."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from mcp_mount import MountError, mount_mcp
from mcp_mount.check.formats import as_github
from mcp_mount.check.report import Report, as_json, check_tools, grade_of
from mcp_mount.check.rules import RULES, check_silenced
from mcp_mount.check.settings import read_settings
from mcp_mount.check.subject import Subject
from mcp_mount.commands.target import Target
from mock_api.app import create_app
from mock_api.settings import Settings
from tests.test_linear import within_seconds

PAGE = (Path(__file__).parent.parent / "docs" / "check.md").read_text("utf-8")
_, RULES_OF_PAGE = PAGE.split("# Rules\n")
HEAD, *SECTIONS = re.split(r"^## ", RULES_OF_PAGE, flags=re.MULTILINE)
EXAMPLES = {text.partition("\n")[0]: text for text in SECTIONS}
BY_ID = {rule.id: rule for rule in RULES}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def check(app: Any, *silenced: str) -> Report:
    return check_tools(await Target("app", {}, app).subjects(), frozenset(silenced))


async def check_example(language: str, text: str) -> set[str]:
    if language == "json":
        report = check_tools([Subject(json.loads(text))])
    else:
        ((_, head),) = BLOCK.findall(HEAD)
        names: dict[str, Any] = {"__name__": "example"}
        exec(f"{head}\n{text}", names)  # noqa: S102 - our own page
        report = await check(names["app"])
    return {finding.rule.id for finding in report.everything}


def test_the_page_has_every_rule_in_the_order_of_the_code_and_with_its_level() -> None:
    assert [*EXAMPLES] == [rule.id for rule in RULES]
    for name, text in EXAMPLES.items():
        article = "An error." if BY_ID[name].level == "error" else "A warning."
        assert text.split("\n\n")[1].startswith(article), name


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.filterwarnings("ignore")
async def test_a_rule_finds_its_bad_example_and_not_its_good_one(name: str) -> None:
    bad, good = BLOCK.findall(EXAMPLES[name])
    assert name in await check_example(*bad)
    assert name not in await check_example(*good)


@pytest.mark.parametrize("name", ["t", "t{}"])
def test_a_list_is_checked_in_time_that_grows_with_its_length(name: str) -> None:
    tool = {"description": "Say the same.", "inputSchema": {"type": "object", "$ref": "#"}}
    subjects = [Subject({"name": name.format(number), **tool}) for number in range(5_000)]
    with within_seconds(3):
        report = check_tools(subjects)
    assert len(report.tools) == 5_000


def app_with_secret(**mark: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/login", operation_id="login", status_code=204, openapi_extra={"x-mcp": mark})
    async def login(password: str) -> None:
        """Let a user in who is known here."""

    mount_mcp(app)
    return app


async def test_a_rule_is_silenced_by_a_mark_by_its_id_and_for_one_tool() -> None:
    found = await check(app_with_secret())
    assert [each.rule.id for each in found.everything] == [
        "argument-description",
        "secret-argument",
    ]
    assert (found.errors, found.silenced) == (1, 0)
    for app, silenced in (
        (app_with_secret(silence=["secret-argument"]), ()),
        (app_with_secret(), ("secret-argument",)),
        (app_with_secret(), ("login:secret-argument",)),
    ):
        report = await check(app, *silenced)
        assert (report.errors, report.silenced) == (0, 1)
    assert (await check(app_with_secret(), "logout:secret-argument")).errors == 1


async def test_what_silences_no_rule_is_told_what_is_near() -> None:
    with pytest.raises(MountError, match=r"mark of 'login'.*Did you mean 'secret-argument'"):
        await check(app_with_secret(silence=["secret-arguments"]))
    with pytest.raises(MountError, match=r"--silence names 'x', which is no rule\. There are: arg"):
        check_silenced(["x"], "--silence")


async def test_the_formats_say_the_same() -> None:
    report = await check(app_with_secret())
    said = as_json(report)
    assert json.loads(json.dumps(said)) == said
    assert (said["grade"], said["points"]) == ("D", 55)
    (tool,) = said["tools"]
    assert [each["rule"] for each in tool["findings"]] == [
        "argument-description",
        "secret-argument",
    ]
    assert tool["bytes"] == said["bytes"] > 4 * (tool["tokens"] - 1)
    warning, error = as_github(report)
    assert warning.startswith("::warning title=argument-description::login: Arguments without")
    assert error.startswith("::error title=secret-argument::login: It takes a secret")


def test_a_long_word_in_capitals_is_soon_read() -> None:
    """It was looked through once for each of its letters."""
    subject = Subject({"name": "a", "inputSchema": {}, "description": "A" * 50_000})
    with within_seconds(0.5):
        check_tools([subject, subject])


def test_a_line_for_github_cannot_be_broken_out_of() -> None:
    name = "a%0A\n::error::b"
    hostile = {"name": name, "inputSchema": {"type": "object", "properties": {}}}
    lines = [*as_github(check_tools([Subject(hostile)]))]
    assert lines
    assert not any("\n" in line for line in lines)
    assert "a%250A%0A::error::b" in lines[0]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": True},
        {"type": "object", "properties": {"a": True, "b": {"type": "array", "items": [1]}}},
        {"type": ["object"], "anyOf": 3, "properties": {"x y": {"properties": []}}},
        {},
    ],
)
def test_what_a_server_elsewhere_publishes_is_reported_and_not_stumbled_over(schema: Any) -> None:
    report = check_tools([Subject({"name": "x", "inputSchema": schema, "outputSchema": schema})])
    assert "refused-schema" in {finding.rule.id for finding in report.everything}


def test_grades() -> None:
    points = (100, 90, 89, 80, 79, 65, 64, 50, 49, 0)
    assert "".join(map(grade_of, points)) == "AABBCCDDFF"
    assert check_tools([]).grade == "F"


def test_a_project_says_what_it_silences(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mcp-mount]\nsilence = ["long-name"]\nstrict = true\n', "utf-8"
    )
    below = tmp_path / "src"
    below.mkdir()
    found = read_settings(below)
    assert (found.settings.silence, found.settings.strict) == (("long-name",), True)
    (tmp_path / "pyproject.toml").write_text("[tool.mcp-mount]\nsilenced = []\n", "utf-8")
    with pytest.raises(MountError, match="Did you mean 'silence'"):
        read_settings(below)
    (tmp_path / "pyproject.toml").write_text("[tool.mcp-mount]\nsilence = 3\n", "utf-8")
    with pytest.raises(MountError, match=r"cannot be read: Expected `array`"):
        read_settings(below)


def test_the_demo_gets_the_best_grade(tmp_path: Path) -> None:
    """Docs: the demo shows how it is done."""
    app = create_app(Settings(kb_database=tmp_path / "kb.sqlite3"))
    report = anyio.run(check, app)
    assert (report.grade, report.errors) == ("A", 0)
    assert {tool.grade for tool in report.tools} == {"A"}
