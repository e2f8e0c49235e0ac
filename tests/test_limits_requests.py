"""Requests that are too large, or nested too deep, are refused before they cost anything."""

import json
import time
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, Reply, call, envelope, http, read_messages
from tests.test_linear import within_seconds

MEBIBYTE = 1024 * 1024
SOON = 5.0
"""Seconds: far more than any of this takes, and far less than what takes quadratic time."""


def echo_app(**limits: int) -> FastAPI:
    """Return an app with the tool ``echo``, which takes anything."""
    app = FastAPI()

    @app.post("/echo")
    async def echo(value: dict[str, Any]) -> int:
        return len(value)

    mount_mcp(app, limits=Limits(**limits))
    return app


async def send(app: FastAPI, era: Era, arguments: str) -> Reply:
    """Call ``echo`` with arguments that are written as they are."""
    headers, body = envelope(era, "tools/call", {"name": "echo", "arguments": "HERE"})
    content = json.dumps(body).replace('"HERE"', arguments).encode()
    async with http(app) as client:
        # Of the processor, so that a busy machine fails nothing.
        started = time.process_time()
        answer = await client.post("/mcp", headers=headers, content=content)
    assert time.process_time() - started < SOON
    kind = answer.headers.get("content-type", "")
    return Reply(answer.status_code, answer.headers, answer.text, read_messages(kind, answer.text))


@pytest.mark.parametrize("era", ERAS)
async def test_a_request_over_the_limit_is_refused_with_413(era: Era) -> None:
    """C6: by what it says of its length, or by what it turns out to be; one below it is served."""
    app = echo_app(max_request_bytes=2_000)
    refused = await call(app, "echo", {"body": {"a": "x" * 2_000}}, era=era)
    assert refused.status == 413
    assert "2000 bytes" in refused.text
    assert not (await call(app, "echo", {"body": {"a": "x" * 1_000}}, era=era)).is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("length", ["5", "0", "-1", "many", None])
async def test_a_length_that_is_not_the_bodys_deceives_nobody(era: Era, length: str | None) -> None:
    """C6: the bytes that arrive are counted, and no more are taken than the limit lets in."""
    taken = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        assert taken < 100
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers, _ = envelope(era, "tools/call", {"name": "echo", "arguments": {}})
    if length is not None:
        headers["content-length"] = length
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await echo_app(max_request_bytes=2_000)(scope, receive, send)
    assert sent[0]["status"] == 413
    assert taken == 21


OPENERS = [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(("opener", "closer"), OPENERS)
async def test_arguments_nested_too_deep_are_refused(
    era: Era, opener: str, closer: str, depth: int
) -> None:
    """C6: as no JSON, without a crash of the server, which goes on."""
    app = echo_app()
    deep = f"{opener * depth}1{closer * depth}"
    reply = await send(app, era, f'{{"body":{{"a":{deep}}}}}')
    if reply.status == 200 and depth == 1_000:
        # From Python 3.12 on, the parser takes as much.
        assert not reply.is_error
    else:
        assert reply.status == 400, reply.text[:200]
        assert reply.answer["error"]["code"] == -32700
    assert len(reply.text) < 500
    assert not (await call(app, "echo", {"body": {"a": 1}}, era=era)).is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "value",
    [
        "[" + "1," * MEBIBYTE + "1]",
        "{" + ",".join(f'"{index}":0' for index in range(200_000)) + "}",
        '{"a":0' + ',"a":0' * 400_000 + "}",
        '"' + "\\u0041" * 400_000 + '"',
        "[" * 100 + "1" + "]" * 100,
        "1e999999",
        "-" + "9" * 4_000,
    ],
    ids=["list", "object", "one key", "escapes", "nested", "exponent", "digits"],
)
async def test_enormous_arguments_take_no_enormous_time(era: Era, value: str) -> None:
    """C6: whatever is said to them is said soon, and not in their length."""
    app = echo_app()
    reply = await send(app, era, f'{{"body":{{"a":{value}}}}}')
    assert reply.status in {200, 400}
    assert len(reply.text) < 1_000, reply.text[:300]
    assert not (await call(app, "echo", {"body": {"a": 1}}, era=era)).is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("number", ["1e308", "5e-324", "1.7976931348623157E+308"])
async def test_numbers_that_take_long_are_refused_before_they_are_read(
    era: Era, number: str
) -> None:
    """F1: 64 kB of them took 0.15 s, and a megabyte 2.7 s."""
    app = echo_app()
    for size in (60_000, MEBIBYTE):
        arguments = f'{{"a":[{",".join([number] * (size // len(number)))}]}}'
        with within_seconds(0.5):
            refused = await send(app, era, arguments)
        assert refused.status == 400
        assert "JSON values" in refused.text
    served = await send(app, era, f'{{"body":{{"a":[{",".join([number] * 400)}]}}}}')
    assert not served.is_error


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
async def test_a_request_is_utf_8(era: Era, encoding: str) -> None:
    """F1: of JSON in UTF-16, which a parser guesses, no value was counted (RFC 8259 §8.1)."""
    headers, body = envelope(era, "tools/call", {"name": "echo", "arguments": {"body": {}}})
    async with http(echo_app()) as client:
        refused = await client.post(
            "/mcp", headers=headers, content=json.dumps(body).encode(encoding)
        )
    assert refused.status_code == 400
    assert "send it in UTF-8" in refused.text
