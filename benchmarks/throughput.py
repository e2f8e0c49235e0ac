"""Requests per second over HTTP, by wrk, at 1, 8 and 64 connections."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.contending import ALL, ask, check, served
from benchmarks.figures import Figure, alternate
from benchmarks.messages import ID, Message

TABLE = "Requests per second over HTTP"
SHARES = "Share of REST's throughput"
CONNECTIONS = (1, 8, 64)

_WRK = shutil.which("wrk") or "wrk"
_SCRIPT = Path(__file__).with_name("wrk.lua")
ARGUMENTS = {"item_id": 3, "kind": "spanner"}
ANSWER = {"item_id": 3, "name": "spanner 3", "in_stock": True, "labels": ["a", "b"]}
# Stands in every right answer, however JSON is quoted in it, and in no request.
_EXPECTED = "spanner 3"
# Of one run: the ids of the next begin behind them.
_MOST_REQUESTS = 1_000_000


def measure(*, quick: bool) -> Iterator[Figure]:
    """Let wrk call each contender in turn."""
    rounds, seconds = 1 if quick else 5, 1
    with served(ALL) as servers, tempfile.TemporaryDirectory() as folder:
        messages = {}
        for contender in ALL:
            server = servers[contender.name]
            message = ask(contender, server, "get_item", ARGUMENTS)
            check(contender, server, message, ANSWER)
            messages[contender.name] = Load(server.port, message, Path(folder))
        for load in messages.values():
            load.run(connections=8, seconds=1)
        for connections in CONNECTIONS:
            column = f"{connections} connection{'s' if connections > 1 else ''}"
            measures = {
                name: partial(load.run, connections, seconds) for name, load in messages.items()
            }
            values = alternate(measures, rounds)
            for name, rates in values.items():
                yield Figure.of(TABLE, name, column, rates, "requests/s")
            for name, rates in values.items():
                # Of the same round, so that what slows both slows neither.
                shares = [rate / of for rate, of in zip(rates, values["REST"], strict=True)]
                yield Figure.of(SHARES, name, column, shares, "")


class Load:
    """A message that wrk sends to a server."""

    def __init__(self, port: int, message: Message, folder: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._file = folder / f"{port}-{message.headers.get('mcp-protocol-version')}.http"
        self._message = message.encode()
        self._number = ID

    def run(self, connections: int, seconds: int) -> float:
        """Return the requests per second; every answer must be the right one."""
        number = str(self._number)
        self._number += _MOST_REQUESTS
        self._file.write_bytes(self._message.replace(str(ID).encode(), number.encode()))
        options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(_SCRIPT)]
        done = subprocess.run(  # noqa: S603 - the only argument from outside is our own file
            [_WRK, *options, self._url, "--", self._file, number, _EXPECTED],
            check=True,
            capture_output=True,
            text=True,
        )
        counted = json.loads(done.stdout.strip().splitlines()[-1])
        if counted["failed"] or not counted["requests"]:
            raise RuntimeError(f"Wrong answers from {self._url}: {counted} {done.stdout}")
        rate: float = counted["requests"] / counted["microseconds"] * 1e6
        return rate
