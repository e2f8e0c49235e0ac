"""Each heading of docs/troubleshooting.md is what somebody reads who meets the fault."""

import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import pytest
from anyio import to_thread
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi.testclient import TestClient
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from mcp.shared.exceptions import MCPError

from mcp_mount import Limits, MountError, RateLimit, Remote, mount_mcp
from mcp_mount.testing import client
from tests.commands import run
from tests.support import call, rpc, served

TEXT = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text("utf-8")
HEADINGS: list[str] = re.findall(r"^### `(.*)`$", TEXT, re.MULTILINE)
KEY: Final = StaticTokenVerifier({"key": {"client_id": "alice", "scopes": []}})

Fault = Callable[[], Awaitable[str]]


def an_app() -> FastAPI:
    app = FastAPI(title="Parts")

    @app.get("/parts/{part_id}", operation_id="get_part")
    async def get_part(part_id: int) -> dict[str, int]:
        if part_id > 9:
            raise HTTPException(404, "No such part")
        return {"part_id": part_id}

    @app.get("/slow", operation_id="wait")
    async def wait() -> None:
        await anyio.sleep_forever()

    @app.get("/broken", operation_id="fail")
    async def fail() -> None:
        raise RuntimeError("postgres://user:password@db")

    scheme = OAuth2PasswordBearer(tokenUrl="token", scopes={"parts:write": ""})

    @app.delete("/parts/{part_id}", operation_id="delete_part")
    async def delete(
        part_id: int, token: Annotated[str, Security(scheme, scopes=["parts:write"])]
    ) -> None:
        """Delete a part."""

    @app.post("/token", operation_id="sign_in")
    async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> None:
        """Give a token."""

    return app


def refused(**options: Any) -> Fault:
    """Return how a mount with these options is refused."""

    async def fault() -> str:
        with pytest.raises(MountError) as error:
            mount_mcp(an_app(), **options)
        return str(error.value)

    return fault


def stopped(**options: Any) -> Fault:
    """Return what stops the start."""

    async def fault() -> str:
        app = an_app()
        mount_mcp(app, **options)
        with pytest.raises(MountError) as error, TestClient(app):
            pass
        return str(error.value)

    return fault


def called(tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> Fault:
    """Return what a model reads of a call."""

    async def fault() -> str:
        app = an_app()
        mount_mcp(app, **options)
        answer = (await call(app, tool, arguments)).answer
        if "error" in answer:
            return str(answer["error"]["message"])
        assert answer["result"]["isError"]
        return str(answer["result"]["content"][0]["text"])

    return fault


async def called_too_often() -> str:
    app = an_app()
    mount_mcp(app, rate_limit=RateLimit("1/day"))
    await call(app, "get_part", {"part_id": 1})
    return (await call(app, "get_part", {"part_id": 1})).text_content


async def started() -> str:
    app = an_app()
    with TestClient(app), pytest.raises(MountError) as error:
        mount_mcp(app)
    return str(error.value)


async def wrong_mark() -> str:
    app = an_app()
    app.get("/pieces", openapi_extra={"x-mcp": {"confrim": True}})(lambda: 1)
    mount_mcp(app)
    with pytest.raises(MountError) as error, TestClient(app):
        pass
    return str(error.value)


def logged(build: Callable[[], FastAPI]) -> Fault:
    """Return what the log says when an app starts."""

    async def fault() -> str:
        app, lines = build(), Lines()
        mount_mcp(app)
        logger = logging.getLogger("mcp_mount")
        logger.addHandler(lines)
        try:
            with TestClient(app):
                return "\n".join(lines.said)
        finally:
            logger.removeHandler(lines)

    return fault


class Lines(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def foreign_page() -> str:
    app = an_app()
    mount_mcp(app)
    reply = await rpc(app, "modern", "tools/list", headers={"origin": "https://evil.example"})
    assert reply.status == 403
    return str(reply.answer["error"]["message"])


async def too_large() -> str:
    app = an_app()
    mount_mcp(app, limits=Limits(max_request_bytes=100))
    reply = await rpc(app, "modern", "tools/list")
    assert reply.status == 413
    return str(reply.answer["error"]["message"])


async def no_token() -> str:
    app = an_app()
    mount_mcp(app, auth=KEY)
    reply = await rpc(app, "modern", "tools/list")
    assert reply.status == 401
    return f"WWW-Authenticate: {reply.headers['www-authenticate']}"


def guarded_app() -> FastAPI:
    app = an_app()
    mount_mcp(app, dependencies=[Depends(OAuth2PasswordBearer(tokenUrl="token"))])
    return app


async def not_registered() -> str:
    with served(guarded_app()) as url:
        return (await to_thread.run_sync(run, "fastmcp", "list", f"{url}/mcp")).stdout


async def not_accepted() -> str:
    with pytest.raises(MCPError) as error:
        async with client(guarded_app()):
            pass
    return str(error.value)


# In the order of the page.
FAULTS: Final[list[Fault]] = [
    started,
    refused(path="/slow"),
    stopped(include=["get_prat"]),
    refused(include="GET *"),
    stopped(tools={"get_part": {"name": "act"}, "wait": {"name": "act"}}),
    wrong_mark,
    refused(rate_limit=RateLimit("60")),
    refused(remotes=[Remote("wiki", url="https://wiki.example/mcp", scopes=["read"])]),
    logged(FastAPI),
    logged(an_app),
    called("get_part", {"id": 1}),
    called("get_part"),
    called("get_prat"),
    called("get_part", {"part_id": 10}),
    called("fail"),
    called("wait", limits=Limits(timeout=0.05)),
    called_too_often,
    foreign_page,
    too_large,
    no_token,
    not_registered,
    not_accepted,
]


@pytest.mark.parametrize(("heading", "fault"), [*zip(HEADINGS, FAULTS, strict=True)], ids=HEADINGS)
async def test_each_heading_is_what_is_read(heading: str, fault: Fault) -> None:
    """Docs: who searches for what they read finds it."""
    found = await fault()
    pattern = ".*".join(map(re.escape, heading.split("…")))
    assert any(re.fullmatch(pattern, line, re.DOTALL) for line in (found, *found.split("\n"))), (
        found
    )
