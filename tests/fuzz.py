"""Sends hostile MCP requests to an app, without a socket: `python -m tests.fuzz --seed 1`.

Every request is made from the seed and its number, so that a finding can be sent again by itself.
"""

import argparse
import json
import resource
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, File, Header, HTTPException, Query, UploadFile
from fastapi.responses import PlainTextResponse
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Scope

from mcp_mount import Limits, mount_mcp
from tests.support import LEGACY, MODERN

CANARY = "postgres://root:hunter2@db/prod"
"""Stands in what the app's routes raise; it must never come out."""

HIDDEN = "never-reached"
"""What an operation answers that no tool offers."""

TEXTS = [
    *("", "x", "../admin", "..", "%2e%2e%2f", "a/b", "a\\b", "?x#y", "a\0b", "a\r\nX-Evil: 1"),
    *("é", "日本", "\ud800", "\U0001f600", "{item_id}", "me", "hidden", "null", "true", "1e400"),
    *("<script>", "'; --", "A" * 70_000, "\u2028", "tools/call", CANARY[:8]),
]
NUMBERS: list[Any] = [0, -1, 1, 2**31, 2**63, 2**70, -(2**70), 1.5, 1e308, -0.0]
METHODS = [
    *("tools/call", "tools/list", "initialize", "ping", "server/discover", "prompts/list"),
    *("resources/read", "resources/list", "completion/complete", "logging/setLevel", "nonsense"),
    *("notifications/cancelled", "notifications/initialized", "subscriptions/listen", ""),
]


class Item(BaseModel):
    name: str
    children: list["Item"] = []
    price: float | None = None


def target() -> FastAPI:
    """Make an app with every kind of parameter, and with routes that fail."""
    app = FastAPI()

    @app.get("/items/hidden", include_in_schema=False)
    async def hidden() -> str:
        return HIDDEN

    @app.get("/items/{item_id}")
    async def get_item(item_id: str, q: Annotated[list[str] | None, Query()] = None) -> Any:
        return {"item_id": item_id, "q": q}

    @app.put("/items/{item_id}")
    async def put_item(item_id: int, item: Item, x_note: Annotated[str, Header()] = "") -> Item:
        return item

    @app.post("/files")
    async def upload(file: Annotated[UploadFile, File()]) -> int:
        return len(await file.read())

    @app.post("/any")
    async def anything(value: Any = None) -> Any:
        return value

    @app.get("/text", response_class=PlainTextResponse)
    async def text(text: str = "") -> str:
        return text

    @app.get("/fails")
    async def fails(how: str = "") -> None:
        if how == "http":
            raise HTTPException(418, detail="short and stout")
        raise RuntimeError(CANARY)

    mount_mcp(app, exclude=["GET /text"], limits=Limits(timeout=5))
    return app


@dataclass
class Report:
    """What came of a run; `findings` are the numbers of bad requests, with what was wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    growth: int = 0


def make(seed: int, number: int) -> tuple[str, list[tuple[bytes, bytes]], bytes]:
    """Return method, headers and body of the request with this number."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - to be repeated, not to be secret
    modern = random.random() < 0.6
    method = "tools/call" if random.random() < 0.7 else random.choice(METHODS)
    message = _message(random, method, modern=modern)
    headers = {
        "host": "localhost",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": MODERN if modern else LEGACY,
    }
    if modern:
        headers["mcp-method"] = method
        if isinstance(name := message.get("params", {}).get("name"), str):
            headers["mcp-name"] = name
    body = json.dumps(message).encode()
    if random.random() < 0.15:
        body = random.choice(_BODY_FAULTS)(random, body)
    if random.random() < 0.15:
        _spoil_headers(random, headers)
    verb = "POST" if random.random() < 0.97 else random.choice(["GET", "DELETE", "PUT", "HEAD"])
    pairs = [(key.encode(), value.encode("utf-8", "replace")) for key, value in headers.items()]
    if random.random() < 0.03:
        pairs.append(random.choice(pairs))
    return verb, pairs, body


def _message(random: Random, method: str, *, modern: bool) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if method == "tools/call":
        params["name"] = random.choice(_TOOLS) if random.random() < 0.95 else _value(random)
        params["arguments"] = _arguments(random) if random.random() < 0.95 else _value(random)
    elif random.random() < 0.5:
        params = {random.choice(_KEYS): _value(random) for _ in range(3)}
    meta: dict[str, Any] = {}
    if modern:
        meta["io.modelcontextprotocol/protocolVersion"] = MODERN
        meta["io.modelcontextprotocol/clientCapabilities"] = {}
    if random.random() < 0.3:
        meta["progressToken"] = _value(random)
    if random.random() < 0.1:
        meta[random.choice(["traceparent", "baggage", "fastmcp"])] = _value(random)
    if meta:
        params["_meta"] = meta
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    if random.random() < 0.05:
        message[random.choice(["jsonrpc", "id", "method", "params"])] = _value(random)
        if not isinstance(message["params"], dict):
            message["params"] = {}
    return message


_TOOLS = [
    *("get_item", "put_item", "upload", "anything", "fails", "text", "hidden", "get_item "),
    *("GET_ITEM", "../get_item", "", "tools/call"),
]
_KEYS = [
    *("item_id", "q", "name", "children", "price", "x_note", "file", "body", "how", "value"),
    *("X-Note", "x-note", "__proto__", "cursor", "uri", "level"),
]


def _arguments(random: Random) -> dict[str, Any]:
    count = random.choice([0, 1, 1, 2, 2, 3, 5])
    return {random.choice(_KEYS): _value(random) for _ in range(count)}


def _value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(12)
    if kind < 5:
        return random.choice(TEXTS)
    if kind < 7:
        return random.choice(NUMBERS)
    if kind == 7:
        return random.choice([None, True, False])
    if kind == 8:
        return {"filename": random.choice(TEXTS), random.choice(["text", "base64"]): "QUJD"}
    if depth > 3:
        return "deep"
    if kind == 9:
        return [_value(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(_KEYS): _value(random, depth + 1) for _ in range(random.randrange(4))}


_BODY_FAULTS: list[Callable[[Random, bytes], bytes]] = [
    lambda random, body: body[: random.randrange(len(body))],
    lambda random, _body: bytes(random.randrange(256) for _ in range(40)),
    lambda _, body: b"[" + body + b"," + body + b"]",
    lambda _, _body: b"[" * 100_000 + b"]" * 100_000,
    lambda _, _body: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    lambda _, body: body.replace(b"1", b"9" * 5_000),
    lambda _, body: body.replace(b'"id": 1', b'"id": 1, "id": 2'),
    lambda _, body: body.replace(b": ", b": NaN, ", 1),
    lambda _, body: body.decode().encode("utf-16"),
    lambda _, body: b"\xef\xbb\xbf" + body,
    lambda _, _body: b"",
    lambda _, body: body + b" " * 100_000,
    lambda _, body: body.replace(b"e", b"\xff", 1),
]


def _spoil_headers(random: Random, headers: dict[str, str]) -> None:
    name = random.choice([*headers, "origin", "mcp-session-id", "mcp-param-item", "x-note"])
    if random.random() < 0.3:
        headers.pop(name, None)
    else:
        values = ["", "text/html", "2099-01-01", "2024-11-05", "=?base64?QUJD?=", "é", "a, b"]
        headers[name] = random.choice([*values, "http://evil.example", "x" * 5_000])


async def send(
    app: ASGIApp, verb: str, headers: list[tuple[bytes, bytes]], body: bytes, *, keep: bool = True
) -> Any:
    """Send one request; return the status, and the body unless it is not to be kept."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": verb,
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1234),
        "state": {},
    }
    request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status, parts = 0, []
    complete = anyio.Event()

    async def receive() -> Message:
        if request:
            return request.pop()
        await complete.wait()
        return {"type": "http.disconnect"}

    async def respond(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b"") if keep else b"")
            if not message.get("more_body", False):
                complete.set()

    await app(scope, receive, respond)
    return status, b"".join(parts)


async def fuzz(app: ASGIApp, seed: int, numbers: range, report: Report) -> None:
    """Send the requests with these numbers, one after the other."""
    for number in numbers:
        verb, headers, body = make(seed, number)
        status, answer = 0, b""
        try:
            with anyio.fail_after(20):
                status, answer = await send(app, verb, headers, body)
        except Exception as error:  # noqa: BLE001 - whatever comes out of the app is the finding
            report.findings.append(f"{number}: raised {error!r}")
            continue
        report.statuses[status] += 1
        text = answer.decode("utf-8", "replace")
        if status >= 500 or status == 0:
            report.findings.append(f"{number}: answered {status}: {text[:200]}")
        elif "hunter2" in text and b"hunter2" not in body:
            report.findings.append(f"{number}: let out the text of an exception")
        elif HIDDEN in text:
            report.findings.append(f"{number}: reached an operation that no tool offers")
        elif "Traceback" in text or "site-packages" in text:
            report.findings.append(f"{number}: let out a traceback")


async def run(seed: int, requests: int) -> Report:
    """Fuzz a fresh app; memory is measured after the first tenth, when caches are warm."""
    report = Report()
    app = target()
    async with run_asgi_lifespan(app):
        warm = max(1, requests // 10)
        await fuzz(app, seed, range(warm), report)
        before = _resident()
        await fuzz(app, seed, range(warm, requests), report)
        report.growth = _resident() - before
    return report


def _resident() -> int:
    """Return the largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Run from the command line; the exit code is 1 when there were findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    report = anyio.run(run, options.seed, options.requests)
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(report.statuses.items()))
    sys.stdout.write(f"{options.requests} requests from seed {options.seed}: {counts}\n")
    sys.stdout.write(f"memory: {report.growth / 1e6:+.1f} MB after the first tenth\n")
    sys.stdout.writelines(f"FINDING {finding}\n" for finding in report.findings)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
