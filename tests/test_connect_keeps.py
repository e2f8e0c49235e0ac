"""What `connect` keeps of a file that it writes to, and of a key that it shows."""

import codecs
import json
import shlex
from pathlib import Path

import pytest

from tests.test_app_commands import Shell

URL = "https://kb.example/mcp"
WRITE = ("connect", URL, "--client", "vscode", "--name", "kb", "--write")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    Path(".vscode").mkdir()
    return Shell(capsys)


@pytest.mark.parametrize(
    "value",
    [
        *("1e400", "1.00000000000000000001", "12345678901234567890.5", "1E2", "-0", "-0.0", "7"),
        *("9" * 5_000, r'"\ud800"', r'"a\udc00b"', '"😀"', '"\u2028"', r'"\u0000"'),
        '"1e400"',
    ],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=ascii)
def test_what_a_file_holds_is_written_as_it_was(shell: Shell, value: str, end: str) -> None:
    path = Path(".vscode/mcp.json")
    lines = ["{", f'  "a": {value},', '  "b": [', f"    {value}", "  ]", "}", ""]
    path.write_bytes(end.join(lines).encode())
    path.chmod(0o640)
    assert shell(*WRITE).code == 0
    kept = [*lines[:4], "  ],", '  "servers": {']
    assert path.read_bytes().startswith(end.join(kept).encode())
    assert json.loads(path.read_bytes().replace(b"9" * 5_000, b"9"))["servers"]["kb"]["url"] == URL
    assert path.stat().st_mode & 0o777 == 0o640
    assert [*path.parent.iterdir()] == [path]
    assert "already" in shell(*WRITE).err


@pytest.mark.parametrize("client", ["vscode", "codex"])
def test_what_everybody_could_read_is_its_owners_alone_with_a_key_and_keeps_its_mark(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = {"vscode": Path(".vscode/mcp.json"), "codex": Path(".codex/config.toml")}[client]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(codecs.BOM_UTF8 + {"vscode": b"{}", "codex": b"a = 1\n"}[client])
    path.chmod(0o644)
    words = ("connect", URL, "--client", client, "--write", "--name")
    assert shell(*words, "open").code == 0
    assert path.stat().st_mode & 0o777 == 0o644
    ran = shell(*words, "kb", "--header", "X-Api-Key: s3cret")
    assert (ran.code, path.stat().st_mode & 0o777) == (0, 0o600)
    written = path.read_bytes()
    assert written.startswith(codecs.BOM_UTF8)
    assert written.count(codecs.BOM_UTF8) == 1
    assert b"s3cret" in written
    path.chmod(0o644)
    ran = shell(*words, "kb", "--header", "X-Api-Key: s3cret")
    assert (ran.code, path.stat().st_mode & 0o777) == (0, 0o600)
    assert "already" in ran.err
    assert path.read_bytes() == written


def test_a_key_in_the_url_is_the_owners_alone_too(shell: Shell) -> None:
    path = Path(".vscode/mcp.json")
    path.write_text("{}")
    path.chmod(0o644)
    ran = shell("connect", f"{URL}?key=s3cret", "--client", "vscode", "--name", "kb", "--write")
    assert (ran.code, path.stat().st_mode & 0o777) == (0, 0o600)
    assert "The URL, with what may be a key, stands in '.vscode/mcp.json' in plain text" in ran.err


@pytest.mark.parametrize(
    "text", ["mcp_servers = 3\n", "[[mcp_servers]]\nx = 1\n", 'mcp_servers = "kb"\n']
)
def test_a_group_of_another_form_is_left_alone(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    """Under the last of several tables, the server would be nobody's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = Path(".codex/config.toml")
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    ran = shell("connect", URL, "--client", "codex", "--name", "kb", "--write")
    assert (ran.code, path.read_text("utf-8")) == (2, text)
    assert "'mcp_servers' is no table in it." in ran.err


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, '{"a": 01}'])
def test_what_is_no_json_is_left_alone(shell: Shell, text: str) -> None:
    path = Path(".vscode/mcp.json")
    path.write_text(text, "utf-8")
    ran = shell(*WRITE)
    assert (ran.code, path.read_text("utf-8")) == (2, text)
    assert "Add by hand what the command prints without --write." in ran.err
    assert ran.err.count("\n") == 1


def test_nothing_stays_of_a_file_that_cannot_be_written(shell: Shell) -> None:
    path = Path(".vscode/mcp.json")
    path.mkdir()
    path.joinpath("kept").touch()
    for words in (WRITE, (*WRITE, "--header", "X-Api-Key: \udcff")):
        assert shell(*words).code == 2
    path.joinpath("kept").unlink()
    path.rmdir()
    assert shell(*WRITE, "--header", "X-Api-Key: \udcff").code == 0
    assert [*path.parent.iterdir()] == [path]


def test_half_a_character_is_not_written_to_toml(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("connect", URL, "--client", "codex", "--name", "kb", "--write")
    ran = shell(*words, "--header", "X-Api-Key: \udcff")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert not Path(".codex").exists()


@pytest.mark.parametrize("client", ["claude", "gemini"])
@pytest.mark.parametrize("key", ["a'$(touch pwned)'b", 'a"b\\c', "ü", "a b"])
def test_a_command_for_a_shell_has_the_key_as_one_word(shell: Shell, client: str, key: str) -> None:
    words = ("connect", f"{URL}?a=1&b=2", "--client", client, "--name", "kb")
    ran = shell(*words, "--header", f"X-Api-Key: {key}")
    shown = shlex.split(ran.out)
    assert f"X-Api-Key: {key}" in shown
    assert f"{URL}?a=1&b=2" in shown
    assert len(shown) == len(shlex.split(shell(*words, "--header", "X-Api-Key").out))
