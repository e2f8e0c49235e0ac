"""Secrets are planted everywhere, and must come out nowhere: in no response and in no log."""

import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Body, Cookie, Depends, FastAPI, Header, Request, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, field_validator

from mcp_mount import RateLimit, mount_mcp
from tests.support import ERAS, Era, Reply, call, envelope, http, read_messages

HEADERS = {
    "authorization": "Bearer PLANTED-authorization",
    "cookie": "session=PLANTED-cookie",
    "x-api-key": "PLANTED-key",
    "x-tenant-token": "PLANTED-custom",
}
PLANTED = "PLANTED-"
RAISED = "RAISED-"
"""In what the app raises: that goes to the server's log, and to no client."""


class Log(logging.Handler):
    """Keeps every record of every logger, whatever the loggers are set to."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> Iterator[tuple[logging.LogRecord, str]]:
        """Yield each record with all that a formatter could make of it."""
        formatter = logging.Formatter()
        for record in self.records:
            yield record, f"{formatter.format(record)} {record.__dict__}"


@pytest.fixture
def log() -> Iterator[Log]:
    handler = Log()
    root = logging.getLogger()
    names = ["mcp_mount", "mcp_mount.calls", "fastmcp", "mcp", "uvicorn", *root.manager.loggerDict]
    loggers = [root, *map(logging.getLogger, names)]
    before = [(logger, logger.level) for logger in loggers]
    ends = [logger for logger in {*loggers} if logger is root or not logger.propagate]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    for logger in ends:
        logger.addHandler(handler)
    yield handler
    for logger in ends:
        logger.removeHandler(handler)
    for logger, level in before:
        logger.setLevel(level)


class Account(BaseModel):
    """A body with a rule of its own."""

    password: str
    age: int = 0

    @field_validator("age")
    @classmethod
    def check(cls, value: int) -> int:
        if value > 99:
            raise ValueError("too old")
        return value


def build() -> FastAPI:
    """Return an app that takes secrets in all places, and loses some of its own."""
    app = FastAPI()
    add_takers(app)
    add_failures(app)
    limit = RateLimit("1000/hour")
    mount_mcp(app, rate_limit=limit, confirm="destructive", forward_cookies=True)
    return app


def add_takers(app: FastAPI) -> None:
    """Add routes that take a secret in the path, the query, headers, cookies, bodies and files."""
    key = APIKeyHeader(name="X-Api-Key")

    @app.get("/open/{path}", dependencies=[Depends(key), Depends(HTTPBearer())])
    async def take(
        path: str,
        query: str,
        session: Annotated[str, Cookie()] = "",
        x_tenant_token: Annotated[str, Header()] = "",
    ) -> int:
        return len(path + query + session + x_tenant_token)

    @app.post("/account")
    async def account(account: Annotated[Account, Body()]) -> int:
        return account.age

    @app.post("/file")
    async def file(upload: UploadFile) -> int:
        return len(await upload.read())

    @app.delete("/thing")
    async def remove(query: str) -> str:
        return "removed"

    @app.get("/stuck", openapi_extra={"x-mcp": {"limits": {"timeout": 0.02}}})
    async def stuck(query: str) -> None:
        await anyio.sleep_forever()


def add_failures(app: FastAPI) -> None:
    """Add routes that raise before, while and after they answer, with a secret in the exception."""

    @app.exception_handler(LookupError)
    async def sorry(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "sorry"}, status_code=409)

    async def fail(text: str) -> None:
        raise RuntimeError(text)

    @app.get("/raising")
    async def raising(query: str) -> None:
        await fail(f"{RAISED}text")

    @app.get("/handled")
    async def handled(query: str) -> None:
        try:
            await fail(f"{RAISED}cause")
        except RuntimeError as error:
            raise KeyError(f"{RAISED}text") from error

    @app.get("/breaking")
    async def breaking(query: str) -> StreamingResponse:
        async def chunks() -> Any:
            yield "begun"
            await fail(f"{RAISED}chunk")

        return StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/wrong")
    async def wrong(query: str) -> int:
        return f"{RAISED}value"  # type: ignore[return-value]

    @app.get("/later")
    async def later(query: str, tasks: BackgroundTasks) -> str:
        tasks.add_task(fail, f"{RAISED}later")
        return "soon"


SECRET = f"{PLANTED}argument"
FILE = {"filename": f"{PLANTED}name", "base64": b64encode(f"{PLANTED}file".encode()).decode()}
ARGUMENTS: list[tuple[str, Mapping[str, Any]]] = [
    ("take", {"path": SECRET, "query": SECRET}),
    ("take", {"path": f"../{SECRET}", "query": SECRET}),
    ("take", {"path": SECRET}),
    ("take", {"path": SECRET, "query": SECRET, "unknown": SECRET}),
    ("take", {"path": SECRET, "query": {"a": [SECRET]}}),
    ("account", {"password": SECRET, "age": 20}),
    ("account", {"password": SECRET, "age": 100}),
    ("account", {"password": SECRET, "age": SECRET}),
    ("file", {"upload": FILE}),
    ("file", {"upload": {**FILE, "media_type": SECRET}}),
    ("file", {"upload": SECRET}),
    ("raising", {"query": SECRET}),
    ("handled", {"query": SECRET}),
    ("breaking", {"query": SECRET}),
    ("wrong", {"query": SECRET}),
    ("later", {"query": SECRET}),
    ("stuck", {"query": SECRET}),
    ("remove", {"query": SECRET}),
    ("nothing", {"query": SECRET}),
]
ASKS: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


def assert_silent(log: Log) -> None:
    """See that no log of ours says anything, and no other one that people read in production."""
    for record, text in log.texts():
        ours = record.name.startswith("mcp_mount")
        if ours or record.levelno >= logging.INFO:
            assert PLANTED not in text, f"{record.name} {record.levelname}: {text}"
        if RAISED in text:
            assert record.name == "mcp_mount", f"{record.name} {record.levelname}: {text}"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("headers", [HEADERS, {}], ids=["authorized", "anonymous"])
@pytest.mark.parametrize("asks", [True, False], ids=["asks", "runs"])
async def test_no_log_says_what_a_call_was_given(
    era: Era, log: Log, headers: Mapping[str, str], *, asks: bool
) -> None:
    """R3: neither headers nor arguments, whatever becomes of the call."""
    app = build()
    options: dict[str, Any] = {"meta": ASKS} if asks else {"token": "p"}
    for tool, arguments in ARGUMENTS:
        await call(app, tool, arguments, era=era, headers=headers, **options)
    assert_silent(log)
    lines = [text for record, text in log.texts() if record.name == "mcp_mount.calls"]
    assert len(lines) == len(ARGUMENTS) - 1, "one a call, but for the unknown tool"


@pytest.mark.parametrize("era", ERAS)
async def test_no_response_says_what_the_caller_did_not_send_as_an_argument(
    era: Era, log: Log
) -> None:
    """R3: neither credentials, nor what the app raised, nor where it did."""
    app = build()
    for tool, arguments in ARGUMENTS:
        reply = await call(app, tool, arguments, era=era, headers=HEADERS, token="p")
        told = f"{reply.text}{dict(reply.headers)}"
        for secret in HEADERS.values():
            assert secret.split("PLANTED")[-1] not in told, tool
        for hidden in (RAISED, "Traceback", "RuntimeError", "tests/", "site-packages", PLANTED):
            if hidden != PLANTED or tool in {"raising", "handled", "breaking", "later", "stuck"}:
                assert hidden not in told, f"{tool}: {told}"
    raised = "".join(text for record, text in log.texts() if record.name == "mcp_mount")
    for where in ("text", "chunk", "later", "value"):
        assert f"{RAISED}{where}" in raised, "the server's own log says why"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "broken",
    [
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"take","arguments":{"q":"%s"',
        '{"jsonrpc":"2.0","id":1,"method":"%s","params":{}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":3,"arguments":{"q":"%s"}}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"take","arguments":"%s"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":{}}}',
        '{"jsonrpc":"2.0","id":{"a":"%s"},"method":"tools/call"}',
        '["%s"]',
        "%s",
    ],
)
async def test_no_log_says_what_was_in_a_request_that_is_wrong(
    era: Era, log: Log, broken: str
) -> None:
    """R3: a request that cannot be read may hold anything."""
    headers, _ = envelope(era, "tools/call", {"name": "take", "arguments": {}})
    content = broken.replace("%s", SECRET).encode()
    async with http(build()) as client:
        await client.post("/mcp", headers={**HEADERS, **headers}, content=content)
    assert_silent(log)


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_of_one_caller_comes_out_at_another(era: Era, log: Log) -> None:
    """R3: calls that run at the same time, and fail in every way."""
    app = build()
    replies: dict[str, list[Reply]] = {"alice": [], "bob": []}

    async def one(caller: str, tool: str, arguments: Mapping[str, Any]) -> None:
        own = {
            name: value.replace(PLANTED, f"{PLANTED}{caller}-") for name, value in HEADERS.items()
        }
        given = _renamed(arguments, caller)
        replies[caller].append(await call(app, tool, given, era=era, headers=own))

    async with anyio.create_task_group() as tasks:
        for tool, arguments in ARGUMENTS * 3:
            for caller in replies:
                tasks.start_soon(one, caller, tool, arguments)
    for caller, other in (("alice", "bob"), ("bob", "alice")):
        told = "".join(f"{reply.text}{dict(reply.headers)}" for reply in replies[caller])
        assert f"{PLANTED}{other}" not in told
        assert f"{PLANTED}{caller}" in told, "their own validation errors say what was wrong"
    assert_silent(log)


def _renamed(value: Any, caller: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(item, caller) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, caller) for item in value]
    return value.replace(PLANTED, f"{PLANTED}{caller}-") if isinstance(value, str) else value


async def test_an_unreadable_state_is_in_no_log(log: Log) -> None:
    """R3: nor is the answer that came with it."""
    answers = {"confirm": {"action": "accept", "content": {"a": SECRET}}}
    params = {"name": "remove", "arguments": {"query": SECRET}, "_meta": ASKS}
    headers, body = envelope("modern", "tools/call", params)
    body["params"] |= {"requestState": SECRET, "inputResponses": answers}
    async with http(build()) as client:
        reply = await client.post("/mcp", headers={**HEADERS, **headers}, json=body)
    assert "error" in read_messages(reply.headers["content-type"], reply.text)[-1]
    assert_silent(log)
