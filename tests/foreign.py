"""Lets others answer with what is hostile, and watches the event loop: `python -m tests.foreign`.

Responses of the app, answers of a server and of a program, and OpenAPI documents, beside hostile
requests. Each is made from the seed and its number. It is a finding when the loop is held, when
memory does not come back, and when a task, a descriptor or a thread is left behind.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Any

import anyio
from fastapi import FastAPI, Response
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from starlette.types import ASGIApp

from mcp_mount import Limits, MountError, Remote, gateway_app, mount_mcp, proxy_app
from tests import fuzz, hostile
from tests.support import ERAS, envelope

HELD: float = 0.05
"""Seconds for which nothing may hold the event loop."""

SLOW = 10.0
"""Seconds after which an answer, or the refusal of one, must have come; documents take longest."""

MOST_GROWTH = 100_000_000
"""Bytes that the process may be larger at the end than after the first part."""

DEADLINE = 120.0
"""Seconds after which the run ends with what does not end."""

_POOL = 24

_TOGETHER = 8
"""Answers that are waited for at once; most of the time is that of who answers."""


class Heartbeat:
    """Beats in the event loop, and knows the longest time between two beats.

    It is the processor's time of this process, which other processes do not lengthen; and of
    several tries the shortest counts, because the garbage of others is collected in any of them.
    """

    def __init__(self) -> None:
        self.worst = 0.0

    async def beat(self) -> None:
        while True:
            wall, busy = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.002)
            held = min(time.perf_counter() - wall, time.process_time() - busy)
            self.worst = max(self.worst, held)

    async def during(self, act: Callable[[], Awaitable[None]], tries: int = 4) -> float:
        """Return for how long the loop is held by what is done."""
        least = float("inf")
        for _ in range(tries):
            self.worst = 0.0
            await act()
            await asyncio.sleep(0.005)
            least = min(least, self.worst)
            if least < HELD:
                break
        return least


@dataclass
class Findings:
    """What came of a run."""

    answers: int = 0
    longest: float = 0.0
    growth: int = 0
    found: list[str] = field(default_factory=list)

    def add(self, finding: str) -> None:
        """Keep a finding, and tell of it now: what comes later may never end."""
        self.found.append(finding)
        sys.stdout.write(f"FINDING {finding}\n")
        sys.stdout.flush()


def answering_app(pool: dict[int, hostile.Answer]) -> FastAPI:
    """Return an app with tools that answer with what is in the pool."""
    app = FastAPI()

    def answer(number: int) -> Response:
        status, headers, body = pool[number]
        response = Response(body, status)
        response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
        return response

    async def undeclared(number: int) -> Any:
        return answer(number)

    async def declared(number: int) -> list[dict[str, int]]:
        return answer(number)  # type: ignore[return-value]

    app.get("/undeclared", response_model=None)(undeclared)
    app.get("/declared")(declared)
    mount_mcp(app, limits=Limits(timeout=20))
    return app


async def call(app: ASGIApp, random: Random, tool: str, number: int) -> None:
    """Call a tool in any way; what it answers is of no interest."""
    token = random.choice([None, "token"])
    params = {"name": tool, "arguments": {"number": number}}
    headers, body = envelope(random.choice(ERAS), "tools/call", params, token=token)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    with anyio.fail_after(20):
        await fuzz.send(app, "POST", pairs, json.dumps(body).encode(), keep=False)


async def run(seed: int, answers: int) -> Findings:
    """Let others answer so many times."""
    findings, heart = Findings(), Heartbeat()
    beating = asyncio.create_task(heart.beat())
    before = _resources()
    try:
        async with AsyncExitStack() as stack:
            port = stack.enter_context(_server(seed))
            remotes = [
                Remote("server", url=f"http://127.0.0.1:{port}/0/mcp"),
                Remote("program", command=sys.executable, args=[*_SELF, "--program", str(seed)]),
            ]
            pool: dict[int, hostile.Answer] = {}
            apps = {
                "response": answering_app(pool),
                "answer": gateway_app(remotes, limits=Limits(timeout=2)),
            }
            for app in (*apps.values(), target := fuzz.target()):
                await stack.enter_async_context(run_asgi_lifespan(app))
            requests = fuzz.Report()
            acts: list[_Act] = []
            for number in range(answers):
                if number % _POOL == 0:
                    await asyncio.sleep(0)
                    pool.clear()
                    fresh = range(number, number + _POOL)
                    pool |= {each: hostile.response(seed, each) for each in fresh}
                    gc.collect()
                    gc.freeze()
                    await asyncio.sleep(0.005)
                    if number >= answers // 4 and not findings.growth:
                        findings.growth = -_resident()
                acts.append(_pick(apps, port=port, seed=seed, number=number))
                await fuzz.fuzz(target, seed, range(number, number + 1), requests)
                if len(acts) == _TOGETHER or number == answers - 1:
                    await _measure_together(findings, heart, acts)
                    acts.clear()
            pool.clear()
            for each in requests.findings:
                findings.add(each)
    finally:
        beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    gc.unfreeze()
    gc.collect()
    findings.growth += _resident() if findings.growth else 0
    if findings.growth > MOST_GROWTH:
        findings.add(f"{findings.growth / 1e6:.0f} MB of memory have not come back")
    for name, count in _resources().items():
        if count > before[name]:
            findings.add(f"{count - before[name]} {name} left behind")
    return findings


@dataclass(frozen=True)
class _Act:
    """One answer of others; a light one can be got while others are."""

    name: str
    is_light: bool
    run: Callable[[], Awaitable[None]]


def _pick(apps: dict[str, FastAPI], *, port: int, seed: int, number: int) -> _Act:
    random = Random(f"{seed}/{number}")  # noqa: S311 - to be repeated
    kind = random.choices(["response", "answer", "document", "list"], [30, 30, 1, 1])[0]
    run = _act(kind, apps, port=port, random=random, seed=seed, number=number)
    return _Act(f"{kind} {number}", kind in {"response", "answer"}, run)


def _act(
    kind: str, apps: dict[str, FastAPI], *, port: int, random: Random, seed: int, number: int
) -> Callable[[], Awaitable[None]]:
    tool = random.choice(
        ["undeclared", "declared"] if kind == "response" else ["server_tool", "program_tool"]
    )

    async def act() -> None:
        if kind == "document":
            with suppress(MountError):
                document = hostile.document(seed, number)
                # Documents are read before anything is served; collecting the garbage of a large
                # one may take a tenth of a second then.
                gc.disable()
                try:
                    await anyio.to_thread.run_sync(proxy_app, document, "http://127.0.0.1:9")
                finally:
                    gc.enable()
        elif kind == "list":
            url = f"http://127.0.0.1:{port}/{number}/mcp"
            app = gateway_app([Remote("server", url=url)], limits=Limits(timeout=2))
            async with run_asgi_lifespan(app):
                await call(app, random, "server_tool", number)
        else:
            await call(apps[kind], random, tool, number)

    return act


async def _measure_together(findings: Findings, heart: Heartbeat, acts: list[_Act]) -> None:
    """Get light answers at once, and by itself each that could be the one that holds the loop."""
    light = [each for each in acts if each.is_light]
    suspects = [each for each in acts if not each.is_light]

    async def get(act: _Act) -> None:
        await act.run()

    async def together() -> None:
        async with anyio.create_task_group() as group:
            for each in light:
                group.start_soon(get, each)

    started = time.perf_counter()
    try:
        held = await heart.during(together, tries=1)
    except Exception:  # noqa: BLE001 - it comes again where one is got by itself
        held = float("inf")
    if held > HELD or time.perf_counter() - started > SLOW:
        suspects += light
    else:
        findings.answers += len(light)
        findings.longest = max(findings.longest, held)
    for each in suspects:
        with _deadline(each.name):
            await _measure(findings, heart, each.name, each.run)


@contextmanager
def _deadline(name: str) -> Iterator[None]:
    """End the process where it does not end what it does: no thread can be stopped."""

    def end() -> None:
        sys.stdout.write(f"FINDING {name}: has not ended in {DEADLINE:.0f} seconds\n")
        sys.stdout.flush()
        os._exit(1)

    timer = threading.Timer(DEADLINE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


async def _measure(
    findings: Findings, heart: Heartbeat, what: str, act: Callable[[], Awaitable[None]]
) -> None:
    started = time.perf_counter()
    try:
        held = await heart.during(act)
    except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
        findings.add(f"{what}: raised {error!r:.200}")
        return
    findings.answers += 1
    if time.perf_counter() - started > SLOW:
        findings.add(f"{what}: took {time.perf_counter() - started:.0f} seconds")
    findings.longest = max(findings.longest, held)
    if held > HELD:
        findings.add(f"{what}: held the event loop for {held * 1000:.0f} ms")


def _resources() -> dict[str, int]:
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    return {"descriptors": descriptors, "tasks": len(asyncio.all_tasks())}


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


_SELF = ["-m", "tests.foreign"]


@contextmanager
def _server(seed: int) -> Iterator[int]:
    """Run the hostile server as a process of its own; yield its port."""
    with Popen([sys.executable, *_SELF, "--serve", str(seed)], stdout=PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _answer(seed: int, message: dict[str, Any], of_list: int) -> str:
    """Return the message with which a hostile server answers."""
    method = message["method"]
    if method == "tools/call":
        member = hostile.result(seed, message["params"]["arguments"]["number"])
    elif method == "tools/list":
        tools = (
            hostile.listed(seed, of_list)
            if of_list
            else [{"name": "tool", "inputSchema": {"type": "object"}}]
        )
        member = f'"result":{json.dumps({"tools": tools, "resultType": "complete"})}'
    elif method == "initialize":
        started = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        }
        member = f'"result":{json.dumps(started)}'
    else:
        member = '"error":{"code":-32601,"message":"Method not found"}'
    return f'{{"jsonrpc":"2.0","id":{message["id"]},{member}}}'


async def serve(seed: int) -> None:
    """Serve as a hostile server until the process is ended."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].split("\r")[0] or 0)
                body = await reader.readexactly(length)
                writer.write(_http(seed, head, body))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _http(seed: int, head: str, body: bytes) -> bytes:
    message = json.loads(body) if body else {}
    if "id" not in message:
        return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
    answer = _answer(seed, message, int(head.split("/")[1].split(" ", maxsplit=1)[0]))
    media, number = (
        "application/json",
        message.get("params", {}).get("arguments", {}).get("number", 0),
    )
    if number % 3 == 1:
        media = "text/event-stream"
        params = {"progress": 1, "progressToken": 1}
        progress = json.dumps(
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        )
        answer = f"data: {progress}\n\n" * (number % 7 * 300) + f"data: {answer}\n\n"
    data = answer.encode()
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    )


def program(seed: int) -> None:
    """Be a hostile program until the end of standard input."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.write(_answer(seed, message, 0) + "\n")
            sys.stdout.flush()


def main() -> int:
    """Run from the command line; the exit code is 1 when there were findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--program", type=int)
    options = parser.parse_args()
    if options.serve is not None:
        anyio.run(serve, options.serve)
    if options.program is not None:
        program(options.program)
        return 0
    logging.disable(logging.CRITICAL)
    threads = threading.active_count()
    findings = anyio.run(run, options.seed, options.answers)
    left = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    for thread in left:
        # It may be about to end.
        thread.join(2)
    if threading.active_count() > threads:
        names = ", ".join(thread.name for thread in left if thread.is_alive())
        findings.add(f"{threading.active_count() - threads} threads left behind: {names}")
    sys.stdout.write(
        f"{findings.answers} answers from seed {options.seed}: the event loop was held for"
        f" {findings.longest * 1000:.0f} ms at the most, memory {findings.growth / 1e6:+.0f} MB\n"
    )
    return 1 if findings.found else 0


if __name__ == "__main__":
    sys.exit(main())
