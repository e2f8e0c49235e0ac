"""What a call and a list cost in process, by the number of routes.

Run as ``python -m benchmarks.scaling 1000``, or with ``titiler`` or ``litellm`` for an application
of that size (lists only). Each runs in a process of its own, so that none pays for the memory of
another; it prints its figures as JSON.
"""

import os
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from fastapi import FastAPI
from fastmcp import FastMCP
from starlette.types import ASGIApp

from benchmarks.application import build
from benchmarks.figures import Figure, Measure, alternate, dump
from benchmarks.in_process import Loop, sender
from benchmarks.messages import Message, call, rest, result, rpc
from mcp_mount import mount_mcp
from tests.support import ERAS, Era

CALLS = "Milliseconds for a call, in process"
LISTS = "Milliseconds for tools/list, in process, after the first"
BYTES = "Bytes of tools/list"
SIZES = (1, 10, 100, 1_000, 3_000)
QUICK_SIZES = (1, 100)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A large application that others wrote, and the environment that `make target` gives it."""

    title: str
    module: str
    target: str
    python: Path


FOREIGN = {
    "titiler": Foreign(
        "TiTiler", "titiler.application.main", "scale", Path(".venv-scale/bin/python")
    ),
    "litellm": Foreign(
        "LiteLLM",
        "litellm.proxy.proxy_server",
        "scale-litellm",
        Path(".venv-scale-litellm/bin/python"),
    ),
}

_ARGUMENTS = {"item_id": 3, "kind": "spanner"}
_EXPECTED = b"spanner 3"
_PATH = "/benchmark-mcp"
# Beyond this its calls and lists take most of a second each.
_MOST_ROUTES_OF_PEER = 1_000


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    app: ASGIApp
    message: Message


def of_generated(number: str, *, quick: bool) -> Iterator[Figure]:
    """Measure calls and lists of an application with that many routes, e.g. ``"1000"``."""
    routes = int(number)
    loop = Loop()
    plain, mounted = build(routes), build(routes)
    mount_mcp(mounted, path=_PATH)
    apps: dict[str, ASGIApp] = {"mcp_mount": loop.start(mounted)}
    if routes <= _MOST_ROUTES_OF_PEER:
        apps["from_fastapi"] = loop.start(_peer(build(routes)))
    column = f"{routes:,} route{'s' if routes > 1 else ''}"
    rows = [_Row("REST", plain, rest("/items/3", kind="spanner"))]
    for name, app in apps.items():
        rows += [_Row(f"{name}, {era}", app, _call(era)) for era in ERAS]
    yield from _calls(loop, rows, column, quick=quick)
    yield from _lists(loop, apps, column, quick=quick)


def of_foreign(name: str, *, quick: bool) -> Iterator[Figure]:
    """Measure the lists of a large application that others wrote."""
    loop = Loop()
    # Otherwise LiteLLM asks the network for prices before it starts without them.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app: FastAPI = import_module(FOREIGN[name].module).app
        app.openapi()
    peer = _peer(app)
    app.router.lifespan_context = _nothing
    mount_mcp(app, path=_PATH)
    apps = {"mcp_mount": loop.start(app), "from_fastapi": loop.start(peer)}
    yield from _lists(loop, apps, FOREIGN[name].title, quick=quick)


def _call(era: Era) -> Message:
    return call(era, "get_item", _ARGUMENTS, path=_PATH)


def _peer(app: FastAPI) -> ASGIApp:
    return FastMCP.from_fastapi(app).http_app(path=_PATH, stateless_http=True)


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    """Stand in for a lifespan that needs databases and the network; lists need neither."""
    yield


def _calls(loop: Loop, rows: list[_Row], column: str, *, quick: bool) -> Iterator[Figure]:
    rounds, seconds = (3, 0.05) if quick else (7, 0.2)
    measures: dict[str, Measure] = {}
    for row in rows:
        once = sender(row.app, row.message)
        answer = loop.run(once)
        if _EXPECTED not in answer.body:
            raise RuntimeError(f"{row.name} answered {answer!r}.")
        measures[row.name] = partial(loop.milliseconds, once, seconds=seconds)
    for name, values in alternate(measures, rounds).items():
        yield Figure.of(CALLS, name, column, values, "ms")


def _lists(loop: Loop, apps: dict[str, ASGIApp], column: str, *, quick: bool) -> Iterator[Figure]:
    rounds = 3 if quick else 7
    measures: dict[str, Measure] = {}
    for name, app in apps.items():
        for era in ERAS:
            once, row = partial(_list, app, era), f"{name}, {era}"
            yield Figure.of(BYTES, row, column, [loop.run(once)], "bytes")
            measures[row] = partial(loop.milliseconds, once, seconds=0.05)
    for name, values in alternate(measures, rounds).items():
        yield Figure.of(LISTS, name, column, values, "ms")


async def _list(app: ASGIApp, era: Era) -> int:
    """Return the bytes of the whole list, page after page."""
    size, params = 0, dict[str, str]()
    while True:
        answer = await sender(app, rpc(era, "tools/list", params, path=_PATH))()
        size += len(answer.body)
        # Read only where there may be another page: reading is the client's work.
        if b'"nextCursor"' not in answer.body:
            return size
        params = {"cursor": result(answer.headers["content-type"], answer.body)["nextCursor"]}


if __name__ == "__main__":
    what, is_quick = sys.argv[1], "--quick" in sys.argv
    measured = of_foreign if what in FOREIGN else of_generated
    sys.stdout.write(dump(measured(what, quick=is_quick)))
