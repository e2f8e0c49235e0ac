"""The README is run: every Python block, and every command with the output it shows."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_mount.example import hello_world
from mcp_mount.gateway import read_servers
from mock_api.app import create_app
from mock_api.settings import Settings
from tests.support import served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)
GATEWAY = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    (command, output)
    for language, text in BLOCKS
    if language == "console"
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
]
# Commands are found beside the interpreter that runs the tests, activated or not.
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("readme") / "kb.sqlite3"
    settings = Settings(kb_database=file, chat_pace=0, openai_api_key=None)
    with served(create_app(settings)) as base:
        yield base


def run(command: list[str]) -> str:
    environment = {"PATH": PATH, "COLUMNS": "200", "NO_COLOR": "1"}
    environment |= {"HOME": str(ROOT), "FASTMCP_CHECK_FOR_UPDATES": "off", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=environment,
    )
    return result.stdout


def matches(shown: str, found: str) -> bool:
    """Whether the output is what the README shows, where `…` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None


def test_the_readme_has_blocks_to_run() -> None:
    assert len(PYTHON) == 4
    assert len(COMMANDS) == 5


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_each_command_of_the_readme_answers_what_it_shows(
    command: str, shown: str, url: str
) -> None:
    words = shlex.split(command.replace("http://localhost:8000", url))
    if words[0] == "curl" and not shutil.which("curl", path=PATH):
        pytest.skip("curl is not installed")
    found = run(words)
    assert matches(shown, found), found


@pytest.mark.parametrize(
    "code",
    PYTHON,
    ids=["quick start", "testing", "options", "access"],
)
def test_each_python_block_of_the_readme_runs(code: str, url: str) -> None:
    # A test is run as pytest would.
    for name in re.findall(r"^async def (test_\w+)", code, re.MULTILINE):
        code += f"\nimport asyncio\n\nasyncio.run({name}())\n"
    found = run([sys.executable, "-W", "error", "-c", code.replace("http://localhost:8000", url)])
    assert "Traceback" not in found, found


def test_each_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_the_exported_openapi_document_is_that_of_the_app(tmp_path: Path) -> None:
    app = create_app(Settings(kb_database=tmp_path / "kb.sqlite3"))
    exported = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    assert exported == app.openapi(), "openapi.json is stale: run `make openapi`"


def test_the_servers_of_the_gateway_page_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateway: the example of a file."""
    (text,) = re.findall(r"^```json\n(.*?)^```$", GATEWAY, re.MULTILINE | re.DOTALL)
    file = tmp_path / "servers.json"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("WIKI_KEY", "secret")
    assert [remote.name for remote in read_servers(file)] == ["wiki", "files"]


def test_the_example_of_the_readme_prints_what_it_shows() -> None:
    """Gateway: one command, and one call; `test_gateway_command.py` makes it as a command."""
    assert "fastmcp call http://localhost:8490/mcp example_hello_world" in README
    assert hello_world() in README


def test_each_file_that_the_readme_links_is_there() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert linked
    assert [file for file in linked if not (ROOT / file).exists()] == []
