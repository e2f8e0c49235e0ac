"""What `export --output` leaves where it cannot write."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.test_app_commands import Shell
from tests.test_long_texts import files_of_at_most

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Parts", "version": "1"},
    "paths": {"/parts": {"get": {"operationId": "list_parts", "responses": {}}}},
}
WRITE = ("export", "parts.json", "--output", "tools.json")


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    Path("parts.json").write_text(json.dumps(DOCUMENT), "utf-8")
    return Shell(capsys)


def test_a_file_stays_as_it_was_where_the_disk_is_full(shell: Shell) -> None:
    Path("tools.json").write_text("precious", "utf-8")
    with files_of_at_most(50):
        ran = shell(*WRITE)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert Path("tools.json").read_text("utf-8") == "precious"
    assert {each.name for each in Path().iterdir()} == {"parts.json", "tools.json"}


@pytest.mark.skipif(os.name != "posix", reason="The rights of files are those of POSIX.")
def test_a_file_keeps_its_rights_and_a_new_one_has_those_of_any(shell: Shell) -> None:
    path, other = Path("tools.json"), Path("other")
    other.touch()
    assert shell(*WRITE).code == 0
    assert path.stat().st_mode == other.stat().st_mode
    path.chmod(0o640)
    assert shell(*WRITE).code == 0
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files.")
def test_a_pipe_is_written_to_and_stays_one(shell: Shell) -> None:
    path, read = Path("tools.json"), list[str]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text("utf-8")), daemon=True)
    reader.start()
    assert shell(*WRITE).code == 0
    reader.join(5)
    assert [each["name"] for each in json.loads(read[0])] == ["list_parts"]
    assert path.is_fifo()


def test_a_folder_that_is_not_there_is_not_made(shell: Shell) -> None:
    ran = shell(*WRITE[:-1], "tool/tools.json")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert not Path("tool").exists()
