"""What `connect` refuses, and what it tells a person beside what it writes."""

import sys
from pathlib import Path

import pytest

from tests.test_app_commands import Shell

URL = "https://kb.example/mcp"
PLAIN = "in plain text: do not commit it."


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return Shell(capsys)


@pytest.mark.parametrize("header", ["X-Api-Key s3cret", "X-Api-Key=s3cret!;", "", "X Key: s3cret"])
@pytest.mark.parametrize("more", [(), ("--write",)])
def test_a_header_without_its_colon_is_refused_and_not_repeated(
    shell: Shell, header: str, more: tuple[str, ...]
) -> None:
    ran = shell("connect", URL, "--client", "vscode", "--header", header, *more)
    assert (ran.code, ran.out) == (2, "")
    assert "--header has the form 'Name: value'" in ran.err
    assert "s3cret" not in ran.err
    assert not Path(".vscode").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [("https://kb.example", True), ("https://kb.example/", True), ("https://kb.example/x", False)],
)
def test_a_url_without_a_path_is_told_of_once(shell: Shell, url: str, *, told: bool) -> None:
    ran = shell("connect", url, "--client", "claude")
    assert (ran.code, url in ran.out) == (0, True)
    assert ran.err.count(f"{url!r} has no path: an endpoint usually has /mcp behind it.\n") == told


@pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")
@pytest.mark.parametrize(
    ("client", "file"),
    [
        ("vscode", ".vscode/mcp.json"),
        ("cursor", ".cursor/mcp.json"),
        ("claude", ".mcp.json"),
        ("gemini", ".gemini/settings.json"),
        ("codex", None),
        ("zed", None),
    ],
)
def test_a_key_in_a_file_of_a_project_is_warned_of(
    shell: Shell, client: str, file: str | None
) -> None:
    words = ("connect", URL, "--client", client, "--write")
    assert PLAIN not in shell(*words, "--name", "open").err
    ran = shell(*words, "--header", "X-Api-Key: s3cret")
    assert ran.code == 0
    assert (f"The header's value stands in {file!r} {PLAIN}\n" in ran.err) == (file is not None)
    assert "s3cret" not in ran.err
    # Nor is it left unsaid because it was there before.
    assert (PLAIN in shell(*words, "--header", "X-Api-Key: s3cret").err) == (file is not None)


def test_claude_code_asks_before_it_uses_a_project_s_server(shell: Shell) -> None:
    ran = shell("connect", URL, "--client", "claude", "--write")
    assert ran.err == "'kb' is in '.mcp.json' now. Run 'claude' here, and approve the server.\n"
    ran = shell("connect", URL, "--client", "vscode", "--write")
    assert ran.err == "'kb' is in '.vscode/mcp.json' now. Restart VS Code to see it.\n"
