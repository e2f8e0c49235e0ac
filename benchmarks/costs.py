"""What a call and a list cost in each configuration, in process, beside the call over REST.

Each configuration has a process of its own, so that none pays for the memory of another, nor for
its tracer. The calls are measured in turn, round after round, so that a slow second is slow for
all.
"""

import asyncio
import atexit
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import Any, Final

from benchmarks.application import build
from benchmarks.configurations import CONFIGURATIONS, PATH, Configuration, Headers, Setup
from benchmarks.figures import Figure
from benchmarks.in_process import Loop, sender
from benchmarks.messages import call, open_session, rest, rpc

CALLS: Final = "Microseconds for a call, by configuration"
LISTS: Final = "Milliseconds for tools/list, by configuration"
CALL, REST, OVER, MULTIPLE = "the call", "REST", "over REST", "of the bare mount's"
APART: Final = "its check of the token"
ROUTES: Final = 1_000

_ARGUMENTS: Final = {"item_id": 3, "kind": "spanner"}
_EXPECTED: Final = b"spanner 3"

Rounds = Mapping[str, list[float]]


def measure_calls(*, quick: bool) -> Iterator[Figure]:
    """Measure a call in each configuration, of an application with one route."""
    rounds, seconds = (3, 0.1) if quick else (15, 0.1)
    values = _measure_calls(rounds, seconds)
    bare = _over_rest(values["bare"])
    for name, configuration in CONFIGURATIONS.items():
        own, over = values[name], _over_rest(values[name])
        multiples = [each / of for each, of in zip(over, bare, strict=True)]
        columns = {CALL: own[CALL], REST: own[REST], OVER: over, MULTIPLE: multiples}
        for column, numbers in columns.items():
            unit = "" if column == MULTIPLE else "µs"
            yield Figure.of(CALLS, configuration.title, column, numbers, unit)
        if APART in own:
            yield Figure.of(CALLS, f"{configuration.title}: {APART}", CALL, own[APART], "µs")


def _measure_calls(rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    values: dict[str, dict[str, list[float]]] = {name: {} for name in CONFIGURATIONS}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_working(name, 1)) for name in CONFIGURATIONS}
        for _ in range(rounds):
            for name, worker in workers.items():
                for piece, value in worker.submit(_calls, seconds).result().items():
                    values[name].setdefault(piece, []).append(value * 1e3)
    return values


def _over_rest(values: Rounds) -> list[float]:
    return [call - rest for call, rest in zip(values[CALL], values[REST], strict=True)]


def measure_lists(*, quick: bool) -> Iterator[Figure]:
    """Measure the later lists in each configuration, of an application with many routes."""
    rounds, routes = (3, 100) if quick else (7, ROUTES)
    for name, configuration in CONFIGURATIONS.items():
        with _working(name, routes) as worker:
            values = [worker.submit(_list, 0.05).result() for _ in range(rounds)]
        yield Figure.of(LISTS, configuration.title, f"{routes:,} routes", values, "ms")


class Subject:
    """An application in one configuration, started, and its twin without MCP.

    Attributes:
        loop: Where both run.
        pieces: What can be measured: `CALL`, `REST` and `APART`.
        lists: One list for each caller.
    """

    def __init__(self, name: str, routes: int) -> None:
        configuration = CONFIGURATIONS[name]
        self.loop = Loop()
        plain = self.loop.start(build(routes, scopes=configuration.scopes))
        setup = configuration.set_up(build(routes, scopes=configuration.scopes))
        self.loop.start(setup.app)
        self.loop.run(lambda: _wait_for(setup))
        headers = [self._headers(configuration, setup, caller) for caller in setup.callers]
        asked = call(configuration.era, "get_item", _ARGUMENTS, path=PATH)
        rested = rest("/items/3", kind="spanner").with_headers(setup.callers[0])
        self.pieces: dict[str, Callable[[], Awaitable[Any]]] = {
            REST: sender(plain, rested),
            CALL: sender(setup.app, asked.with_headers(headers[0])),
        }
        for piece in self.pieces.values():
            answer = self.loop.run(piece)
            if _EXPECTED not in answer.body:
                raise RuntimeError(f"{configuration.title} answered {answer!r}.")
        if setup.apart is not None:
            self.pieces[APART] = setup.apart
        listed = rpc(configuration.era, "tools/list", path=PATH)
        self.lists = [sender(setup.app, listed.with_headers(each)) for each in headers]
        sizes = [len(self.loop.run(each).body) for each in self.lists]
        if routes > 1 and len(set(sizes)) < len(sizes):
            raise RuntimeError(f"{configuration.title} lists the same for all callers: {sizes}")
        gc.collect()

    def _headers(self, configuration: Configuration, setup: Setup, caller: Headers) -> Headers:
        if not configuration.session:
            return caller
        return open_session(
            lambda each: self.loop.run(sender(setup.app, each)).headers, caller, path=PATH
        )

    async def list_for_all(self) -> None:
        """List once for each caller."""
        for each in self.lists:
            await each()


async def _wait_for(setup: Setup) -> None:
    async with asyncio.timeout(30):
        while not setup.is_ready():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


@contextmanager
def _working(name: str, routes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a process that has the subject of a configuration."""
    context = get_context("forkserver")
    # What takes long to import is imported once, in a process without threads.
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context, initializer=_set_up, initargs=(name, routes)) as worker:
        yield worker


_subjects: list[Subject] = []


def _set_up(name: str, routes: int) -> None:
    _subjects.append(Subject(name, routes))
    atexit.register(_subjects[0].loop.close)


def _calls(seconds: float) -> dict[str, float]:
    loop, pieces = _subjects[0].loop, _subjects[0].pieces
    return {name: loop.milliseconds(piece, seconds=seconds) for name, piece in pieces.items()}


def _list(seconds: float) -> float:
    subject = _subjects[0]
    both = subject.loop.milliseconds(subject.list_for_all, seconds=seconds)
    return both / len(subject.lists)
