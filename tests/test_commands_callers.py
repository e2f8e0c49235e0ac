"""Who calls with `list`, `call` and `check`: a token, and what it may not do."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_mount.finding import import_app
from tests.support import served
from tests.test_app_commands import Shell

APP = '''
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import HTTPBearer
from mcp_mount import mount_mcp

routes = APIRouter()
USERS = {"ann-1": ["admin"], "ben-1": []}


def current_user(given: Annotated[object, Depends(HTTPBearer())]) -> str:
    if given.credentials not in USERS:
        raise HTTPException(401, "Sign in.", {"WWW-Authenticate": "Bearer"})
    return given.credentials[:3]


def scopes_of(request: Request) -> list[str]:
    return USERS[request.headers["authorization"].removeprefix("Bearer ")]


@routes.get("/me", operation_id="who_am_i")
async def who_am_i(user: Annotated[str, Depends(current_user)]) -> str:
    """Tell who calls."""
    return user


@routes.delete("/books/{book_id}", operation_id="delete_book")
async def delete_book(
    book_id: int, user: Annotated[str, Security(current_user, scopes=["admin"])]
) -> str:
    """Delete a book for good."""
    return f"{user} deletes {book_id}"


@routes.get("/books", operation_id="list_books")
async def list_books(about: str = "") -> str:
    """List the books."""
    return about


app = FastAPI()
app.include_router(routes)
mount_mcp(app, dependencies=[Depends(current_user)], scopes_of=scopes_of)

large = FastAPI()
large.include_router(routes)
mount_mcp(large, surface="search")
'''
TARGETS = ["app", "url"]


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    (tmp_path / "library.py").write_text(APP, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield Shell(capsys)
    sys.modules.pop("library", None)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, shell: Shell) -> Iterator[str]:
    if request.param == "app":
        yield "library:app"
        return
    with served(import_app("library:app")) as url:
        yield f"{url}/mcp"


def test_a_token_says_who_calls(shell: Shell, target: str) -> None:
    ran = shell("call", target, "who_am_i", "--auth", "ann-1")
    assert (ran.code, ran.out) == (0, '"ann"\n')
    assert "who_am_i" in shell("list", target, "--auth", "ann-1").out
    assert "delete_book" in shell("list", target, "--auth", "ann-1").out
    assert "delete_book" not in shell("list", target, "--auth", "ben-1").out
    assert "who_am_i" in shell("export", target, "--auth", "ben-1").out
    checked = shell("check", target, "--format", "json", "--auth", "ben-1").out
    assert [each["name"] for each in json.loads(checked)["tools"]] == ["who_am_i", "list_books"]


@pytest.mark.parametrize("words", [("list",), ("check",), ("export",), ("call", "who_am_i")])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--auth", "t0ken", "-H", "authorization: Bearer b"), "Give --auth or --header"),
        (("--auth", "Bearer t0ken"), "--auth is the token alone"),
        (("--auth", ""), "--auth is the token alone"),
    ],
)
def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated(
    shell: Shell, words: tuple[str, ...], options: tuple[str, ...], says: str
) -> None:
    command, *rest = words
    ran = shell(command, "library:app", *rest, *options)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "t0ken" not in ran.err


def test_a_call_of_a_hidden_tool_says_which_scope_to_ask_for(shell: Shell, target: str) -> None:
    ran = shell("call", target, "delete_book", "book_id=1", "--auth", "ben-1")
    who = "The app" if target == "library:app" else "The server"
    says = f"mcp-mount: {who} answers 403 Forbidden: This call needs the scope admin.\n"
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith(says)
    ran = shell("call", target, "delete_book", "book_id=1", "--auth", "ann-1")
    assert (ran.code, ran.out) == (0, '"ann deletes 1"\n')


def test_a_tool_that_there_is_not_reads_so(shell: Shell, target: str) -> None:
    ran = shell("call", target, "who_am_y", "--auth", "ben-1")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith("mcp-mount: There is no tool 'who_am_y'. Did you mean 'who_am_i'?\n")


def test_a_tool_that_is_found_by_a_search_is_called_by_its_name(shell: Shell) -> None:
    """Its arguments are JSON where they can be, because their types are not known here."""
    assert "list_books" not in shell("list", "library:large", "--auth", "ann-1").out
    ran = shell("call", "library:large", "list_books", "about=ships", "--auth", "ann-1")
    assert (ran.code, ran.out) == (0, '"ships"\n')
    ran = shell("call", "library:large", "list_boks", "about=ships", "--auth", "ann-1")
    assert (ran.code, "There is no tool 'list_boks'." in ran.err) == (2, True)
    ran = shell("call", "library:large", "list_books", "ships", "--auth", "ann-1")
    assert (ran.code, "'ships' has not the form name=value." in ran.err) == (2, True)
