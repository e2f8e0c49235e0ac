"""What `list`, `call` and `check` say where a server or an app answers something else than MCP."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from mcp_mount.finding import import_app
from tests.support import served
from tests.test_app_commands import Shell

APP = """
from contextlib import asynccontextmanager
from os import environ

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from mcp_mount import mount_mcp


@asynccontextmanager
async def lifespan(app):
    if "BROKEN" in environ:
        raise ValueError("no database")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/a", operation_id="get_a")
async def get_a() -> str:
    return "a"


mount_mcp(app)


@app.middleware("http")
async def authenticate(request: Request, call_next):
    key = request.headers.get("x-api-key")
    if key == "boom":
        raise ValueError("no such table")
    return await call_next(request) if key == "s3cret" else JSONResponse(
        {"detail": "Not authenticated"}, 401 if key is None else 403
    )


async def bare(scope, receive, send):
    if scope["type"] == "http":
        raise KeyError("bare")
    await app(scope, receive, send)
"""
WHO = "Say who calls with --auth TOKEN, or with --header, such as --header 'X-Api-Key: KEY'.\n"
WRONG = "The key or token in 'X-Api-Key' is not accepted, or may not do this.\n"
UNKNOWN = f'mcp-mount: The server answers 401 Unauthorized: {{"detail":"Not authenticated"}}. {WHO}'


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    (tmp_path / "guarded.py").write_text(APP, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield Shell(capsys)
    sys.modules.pop("guarded", None)


@pytest.mark.parametrize("words", [("list",), ("check",), ("call", "get_a")])
def test_who_is_not_known_reads_so_and_what_to_do(shell: Shell, words: tuple[str, ...]) -> None:
    command, *rest = words
    with served(import_app("guarded:app")) as url:
        ran = shell(command, f"{url}/mcp", *rest)
        assert (ran.code, ran.out, ran.err) == (1, "", UNKNOWN)
        known = shell(command, f"{url}/mcp", *rest, "-H", "X-Api-Key: s3cret")
        assert "get_a" in known.out if command != "call" else known.out == '"a"\n'
        ran = shell(command, f"{url}/mcp", *rest, "-H", "X-Api-Key: other")
        assert (ran.code, ran.err) == (
            1,
            UNKNOWN.replace("401 Unauthorized", "403 Forbidden").replace(WHO, WRONG),
        )
        ran = shell(command, f"{url}/mcp", *rest, "-H", "X-Other: s3cret")
        assert (ran.code, ran.err) == (1, UNKNOWN)
        ran = shell(command, f"{url}/mcp", *rest, "-H", "X-Api-Key: boom")
        assert ran.code == 1
        # The server's own log stands before it.
        assert ran.err.endswith(
            "\nmcp-mount: The server answers 500 Internal Server Error: Internal Server Error.\n"
        )


def test_an_app_in_this_process_reads_the_same(shell: Shell) -> None:
    ran = shell("call", "guarded:app", "get_a")
    assert (ran.code, ran.err) == (1, UNKNOWN.replace("The server", "The app"))
    assert shell("call", "guarded:app", "get_a", "-H", "X-Api-Key: s3cret").out == '"a"\n'


@pytest.mark.parametrize(
    ("app", "error"), [("app", "ValueError('no such table')"), ("bare", "KeyError('bare')")]
)
def test_what_an_app_in_this_process_raises_is_shown_once(
    shell: Shell, app: str, error: str
) -> None:
    ran = shell("call", f"guarded:{app}", "get_a", "-H", "X-Api-Key: boom")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("Traceback (most recent call last)") == 1
    assert 'guarded.py", line' in ran.err
    assert ran.err.endswith(f"mcp-mount: The app raised {error}: its traceback is above.\n")
    assert "/mcp behind it" not in ran.err


def test_an_app_that_cannot_start_is_shown_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "1")
    ran = shell("call", "guarded:app", "get_a")
    assert (ran.code, ran.err.count("Traceback (most recent call last)")) == (1, 1)
    assert "The app raised ValueError('no database'): its traceback is above." in ran.err


async def odd(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as the path says, with a text that no terminal should be sent."""
    if scope["type"] != "http":
        return
    status = int(scope["path"].split("/")[1])
    body = f"\x1b[31mno\r\n\u202e {'x' * 100_000}"
    await PlainTextResponse(body, status)(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "says", "hints"),
    [
        ("404/mcp", "404 Not Found: [31mno xxx", True),
        ("405/mcp/", "405 Method Not Allowed: [31mno xxx", True),
        ("500/mcp/", "500 Internal Server Error: [31mno xxx", False),
        ("502/api", "502 Bad Gateway: [31mno xxx", True),
    ],
)
def test_a_body_is_one_short_line_and_the_hint_stands_where_it_helps(
    shell: Shell, path: str, says: str, *, hints: bool
) -> None:
    with served(odd) as url:
        ran = shell("list", f"{url}/{path}")
    assert ran.code == 1
    assert f"mcp-mount: The server answers {says}" in ran.err
    assert ("The URL is that of the endpoint, with /mcp behind it?" in ran.err) == hints
    assert len(ran.err) < 400
    assert ran.err.strip().isprintable()
