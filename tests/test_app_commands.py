"""The commands for who writes an app: `list`, `call`, `check`, `export` and `connect`."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_mount import MountError, cli
from mcp_mount.check.subject import Subject
from mcp_mount.commands.values import read_arguments
from mcp_mount.finding import import_app
from tests.support import served

APP = '''
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from mcp_mount import mount_mcp

app = FastAPI(title="Parts")


@app.get("/parts/{part_id}", operation_id="get_part")
async def get_part(part_id: int, request: Request, note: str = "") -> dict[str, str]:
    """Find where a part is stored."""
    if part_id == 0:
        raise HTTPException(404, "There is no part 0.")
    return {"part": str(part_id), "note": note, "user": request.headers.get("x-user", "")}


@app.get("/words", operation_id="say_words")
async def words() -> StreamingResponse:
    """Say two words."""

    async def produce() -> AsyncIterator[str]:
        yield "one "
        yield "two"

    return StreamingResponse(produce(), media_type="text/plain")
'''


class Ran:
    """What a command has written, and its code."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Shell:
    """Runs commands in this process, in a folder that has an app."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            cli.app(words)
        said = self._capsys.readouterr()
        return Ran(ended.value.code, said.out, said.err)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    (tmp_path / "parts.py").write_text(f"{APP}\n\nmount_mcp(app)\n", "utf-8")
    (tmp_path / "plain.py").write_text(APP, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield Shell(capsys)
    for name in ("parts", "plain"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("app", ["parts:app", "parts.py", "parts.py:app", "plain:app"])
def test_the_tools_of_an_app_are_listed_however_it_is_named(shell: Shell, app: str) -> None:
    ran = shell("list", app)
    assert ran.code == 0
    assert re.search(r"get_part +Find where .* +part_id \[note\] +GET /parts/\{part_id\}", ran.out)
    assert ("no MCP endpoint yet" in ran.err) == (app == "plain:app")


def test_the_list_is_json_for_programs_and_an_export_is_sorted(shell: Shell) -> None:
    listed, exported = shell("list", "parts:app", "--json"), shell("export", "parts:app")
    assert json.loads(listed.out) == json.loads(exported.out)
    names = [tool["name"] for tool in json.loads(exported.out)]
    assert names == sorted(names) == ["get_part", "say_words"]
    assert shell("export", "parts:app", "--output", "tools.json").out == ""
    assert Path("tools.json").read_text("utf-8") == exported.out


def test_a_call_writes_the_result_and_shows_who_calls(shell: Shell) -> None:
    ran = shell("call", "parts:app", "get_part", "part_id=3", "note=7", "-H", "X-User: alice")
    assert (ran.code, json.loads(ran.out)) == (0, {"part": "3", "note": "7", "user": "alice"})
    whole = json.loads(shell("call", "parts:app", "get_part", "part_id=3", "--json").out)
    assert whole["structuredContent"]["part"] == "3"
    assert whole["isError"] is False


def test_a_stream_is_written_once(shell: Shell) -> None:
    assert shell("call", "parts:app", "say_words").out == "one two\n"


def test_an_error_of_the_tool_is_code_1_and_on_stderr(shell: Shell) -> None:
    ran = shell("call", "parts:app", "get_part", "part_id=0")
    assert (ran.code, ran.out) == (1, "")
    assert "There is no part 0." in ran.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("list", "prats:app"), "There is no module 'prats' in"),
        (("list", "parts:ap"), "Did you mean 'app'?"),
        (("list", "other.py"), "There is no file 'other.py' in"),
        (
            ("call", "parts:app", "get_prat"),
            "There is no tool 'get_prat'. Did you mean 'get_part'?",
        ),
        (("call", "parts:app", "get_part", "part=3"), "Did you mean 'part_id'?"),
        (("call", "parts:app", "get_part", "3"), "'3' has not the form name=value."),
        (("check", "parts:app", "--silence", "long-nam"), "Did you mean 'long-name'?"),
        (("list", "parts:app", "-H", "x"), "--header has the form 'Name: value'."),
        (
            ("list", "parts:app", "-H", "x: a\nb"),
            "--header has the form 'Name: value', in one line.",
        ),
        (("list", "parts:app", "-H", "x: a\x01b"), "--header has the form 'Name: value', in one l"),
        (("connect", "kb.example", "--client", "zed"), "It begins with http:// or https://."),
    ],
)
def test_what_cannot_be_done_is_code_2_with_the_next_step(
    shell: Shell, words: tuple[str, ...], hint: str
) -> None:
    ran = shell(*words)
    assert (ran.code, ran.out) == (2, "")
    assert hint.lower() in ran.err.lower()


def test_check_ends_with_1_over_errors_and_with_strict_over_anything(shell: Shell) -> None:
    warned = shell("check", "parts:app")
    assert warned.code == 0
    assert "Grade" in warned.out
    assert shell("check", "parts:app", "--strict", "--format", "github").code == 1
    Path("pyproject.toml").write_text("[tool.mcp-mount]\nstrict = true\n", "utf-8")
    assert shell("check", "parts:app").code == 1
    assert json.loads(shell("check", "parts:app", "--format", "json").out)["tools"]


def test_a_running_server_and_a_document_are_checked_too(shell: Shell, tmp_path: Path) -> None:
    app = import_app("parts:app")

    with served(app) as url:
        listed = shell("list", f"{url}/mcp").out
        # Of a server only the tools are known.
        assert ("get_part" in listed, "operation" in listed) == (True, False)
        assert shell("call", f"{url}/mcp", "say_words").out == "one two\n"
        assert "answers 404 Not Found: " in shell("list", f"{url}/nothing").err
    ran = shell("list", f"{url}/mcp")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    (tmp_path / "openapi.json").write_text(json.dumps(app.openapi()), "utf-8")
    assert "get_part" in shell("list", "openapi.json").out
    ran = shell("call", "openapi.json", "say_words")
    assert (ran.code, "mcp-mount proxy --openapi openapi.json" in ran.err) == (2, True)


def test_values_are_read_as_the_schema_says() -> None:
    properties = {
        "text": {"type": "string"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "numbers": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
        "filter": {"type": "object"},
    }
    subject = Subject({"name": "t", "inputSchema": {"type": "object", "properties": properties}})
    words = [
        "text=7",
        "maybe=null",
        "count=7",
        "tags=1",
        "tags=b",
        "numbers=[1,2]",
        'filter={"a":1}',
    ]
    assert read_arguments(subject, words) == {
        "text": "7",
        "maybe": "null",
        "count": 7,
        "tags": ["1", "b"],
        "numbers": [1, 2],
        "filter": {"a": 1},
    }
    with pytest.raises(MountError, match="'count' is given twice"):
        read_arguments(subject, ["count=1", "count=2"])


UPLOAD = """
from fastapi import FastAPI, Form, UploadFile

app = FastAPI()


@app.post("/photos", operation_id="upload_photo")
async def upload(file: UploadFile, others: list[UploadFile] = [], by: str = Form("")) -> list[str]:
    read = [f"{each.filename} {each.content_type} {await each.read()!r}" for each in others]
    return [f"{file.filename} {file.content_type} {await file.read()!r}", *read, by]
"""


def test_files_are_sent_and_text_is_read_from_them(shell: Shell) -> None:
    Path("shop.py").write_text(UPLOAD, "utf-8")
    Path("bolt.png").write_bytes(b"\x89PNG\xff")
    Path("note").write_text("Made by Ada.", "utf-8")
    words = ("call", "shop.py", "upload_photo", "file=@bolt.png")
    ran = shell(*words, "others=@note", "others=@bolt.png", "by=@note")
    bolt = "bolt.png image/png b'\\x89PNG\\xff'"
    assert json.loads(ran.out) == [
        bolt,
        "note application/octet-stream b'Made by Ada.'",
        bolt,
        "Made by Ada.",
    ]
    assert json.loads(shell(*words, "by=@@ada").out)[-1] == "@ada"
    ran = shell(*words, "by=@ada")
    assert (ran.code, "write '@@ada' for the text itself" in ran.err) == (2, True)
    ran = shell(*words, "by=@bolt.png")
    assert (ran.code, "is no text, and the argument takes no file" in ran.err) == (2, True)


def test_a_file_is_base64_where_the_schema_says_so() -> None:
    schema = {"anyOf": [{"type": "null"}, {"type": "string", "contentEncoding": "base64"}]}
    tool = {"name": "t", "inputSchema": {"type": "object", "properties": {"data": schema}}}
    assert read_arguments(Subject(tool), [f"data=@{__file__}"])["data"].startswith("IiIi")


URL = "https://kb.example/mcp"
KEY = 'X-Api-Key: it\'s "secret"'


def written(client: str) -> tuple[Path, Any]:
    home = Path("home")
    path = {
        "vscode": Path(".vscode/mcp.json"),
        "cursor": Path(".cursor/mcp.json"),
        "claude": Path(".mcp.json"),
        "claude-desktop": home / ".config/Claude/claude_desktop_config.json",
        "codex": home / ".codex/config.toml",
        "gemini": Path(".gemini/settings.json"),
        "windsurf": home / ".codeium/windsurf/mcp_config.json",
        "zed": home / ".config/zed/settings.json",
    }[client]
    text = path.read_text("utf-8")
    return path, tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


@pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")
@pytest.mark.parametrize(
    ("client", "group", "url"),
    [
        ("vscode", "servers", "url"),
        ("cursor", "mcpServers", "url"),
        ("claude", "mcpServers", "url"),
        ("claude-desktop", "mcpServers", "args"),
        ("codex", "mcp_servers", "url"),
        ("gemini", "mcpServers", "httpUrl"),
        ("windsurf", "mcpServers", "serverUrl"),
        ("zed", "context_servers", "url"),
    ],
)
def test_a_client_s_file_is_written_once_and_keeps_what_it_has(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, client: str, group: str, url: str
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert shell("connect", URL, "--client", client, "--name", "one", "--write").code == 0
    path, _ = written(client)
    path.chmod(0o640)
    words = ("connect", URL, "--client", client, "--name", "two", "--header", KEY, "--write")
    assert shell(*words).code == 0
    _, found = written(client)
    assert [*found[group]] == ["one", "two"]
    assert URL in found[group]["two"][url]
    assert 'it\'s \\"secret\\"' in json.dumps(found[group]["two"])
    before = path.read_bytes()
    assert "already" in shell(*words).err
    other = shell(
        "connect", "https://x.example/mcp", "--client", client, "--name", "two", "--write"
    )
    assert (other.code, path.read_bytes()) == (2, before)
    assert "another server 'two'" in other.err
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text", ['{\n  // mine\n  "servers": {}\n}', '{"a": 1, "a": 2}', '{"servers": []}', "[]", "{"]
)
def test_a_file_that_could_not_be_written_back_is_left_alone(shell: Shell, text: str) -> None:
    Path(".vscode").mkdir()
    path = Path(".vscode/mcp.json")
    path.write_text(text, "utf-8")
    ran = shell("connect", URL, "--client", "vscode", "--name", "kb", "--write")
    assert (ran.code, path.read_text("utf-8")) == (2, text)
    assert "'.vscode/mcp.json'" in ran.err


def test_a_file_keeps_its_indentation_and_its_link_and_toml_its_comments(shell: Shell) -> None:
    Path("dotfiles").mkdir()
    real = Path("dotfiles/mcp.json")
    real.write_text('{\n\t"inputs": ["ü"]\n}', "utf-8")
    Path(".vscode").mkdir()
    Path(".vscode/mcp.json").symlink_to(real.resolve())
    assert shell("connect", URL, "--client", "vscode", "--name", "kb", "--write").code == 0
    assert Path(".vscode/mcp.json").is_symlink()
    assert real.read_text("utf-8").startswith('{\n\t"inputs": [\n\t\t"ü"\n\t],\n\t"servers": {')
    codex = Path("home/.codex/config.toml")
    codex.parent.mkdir(parents=True)
    codex.write_text('# mine\nmodel = "x"', "utf-8")
    assert shell("connect", URL, "--client", "codex", "--name", "kb", "--write").code == 0
    assert codex.read_text("utf-8").startswith('# mine\nmodel = "x"\n\n[mcp_servers.kb]\nurl = ')


def test_the_query_of_a_url_goes_along(shell: Shell) -> None:
    url = f"{URL}?surface=search&pin=a"
    assert f"kb '{url}'" in shell("connect", url, "--client", "claude", "--name", "kb").out
    assert shell("connect", url, "--client", "vscode", "--name", "kb", "--write").code == 0
    assert written("vscode")[1]["servers"]["kb"]["url"] == url


def test_without_write_nothing_is_written(shell: Shell) -> None:
    ran = shell("connect", URL, "--client", "vscode", "--name", "kb", "--header", "X-Api-Key")
    assert json.loads(ran.out)["servers"]["kb"]["headers"] == {"X-Api-Key": "YOUR_KEY"}
    assert not Path(".vscode").exists()
    ran = shell(
        "connect", URL, "--client", "vscode", "--name", "kb", "--header", "X-Api-Key", "--write"
    )
    assert (ran.code, "needs the header's value" in ran.err) == (2, True)


def test_the_help_of_the_commands_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom mcp_mount import cli\n"
        "try:\n    cli.app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*{'fastapi', 'fastmcp', 'httpx2'} & sys.modules.keys(), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == ""
    assert {"list", "call", "check", "export", "connect"} <= {*ran.stdout.split()}


OWN = '''
from fastapi import FastAPI
from fastmcp import Context
from mcp_mount import mount_mcp

app = FastAPI()


@mount_mcp(app).server.tool
async def work(ctx: Context, steps: int, total: bool) -> str:
    """Work for a while."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps if total else None, f"Step {step + 1}. ")
    return "Done."
'''


@pytest.mark.parametrize(
    ("total", "out"), [("true", "Done.\n"), ("false", "Step 1. Step 2. \nDone.\n")]
)
def test_long_work_has_a_bar_on_stderr_and_what_a_tool_says_is_shown(
    shell: Shell, total: str, out: str
) -> None:
    Path("work_app.py").write_text(OWN, "utf-8")
    ran = shell("call", "work_app.py", "work", "steps=2", f"total={total}")
    assert (ran.code, ran.out) == (0, out)


@pytest.mark.parametrize("words", [("call", "parts:app", "say_words"), ("export", "parts:app")])
def test_a_reader_that_has_gone_ends_the_command_without_a_word(
    shell: Shell, words: tuple[str, ...]
) -> None:
    """Commands: as behind `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mcp_mount", *words],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
