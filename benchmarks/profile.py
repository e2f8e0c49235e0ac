"""Profiles one call, or one list, in a configuration: ``python -m benchmarks.profile auth``.

Times are microseconds of one call under cProfile, which makes functions look dearer than they are
and C code cheaper; the last line says what the call takes without it.
"""

import argparse
import cProfile
import pstats
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.configurations import CONFIGURATIONS
from benchmarks.costs import CALL, REST, Subject
from benchmarks.report import table


def main() -> None:
    """Print the functions that take the most time of their own."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("configuration", nargs="?", choices=CONFIGURATIONS, default="bare")
    parser.add_argument("--routes", type=int, default=1)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--top", type=int, default=40, help="how many functions")
    parser.add_argument("--cumulative", action="store_true", help="sort by time with callees")
    parser.add_argument("--list", action="store_true", help="of tools/list instead of tools/call")
    parser.add_argument("--rest", action="store_true", help="of the same request over REST")
    options = parser.parse_args()
    subject = Subject(options.configuration, options.routes)
    pieces = subject.pieces
    piece = subject.lists[0] if options.list else pieces[REST if options.rest else CALL]
    subject.loop.milliseconds(piece, seconds=0.2)
    stats = _profile(subject, piece, options.calls)
    rows = sorted(_rows(stats, options.calls), key=lambda row: -row[int(options.cumulative)])
    head = ["Function", "µs of its own", "with callees", "calls"]
    cells = [(name, f"{own:.2f}", f"{all_:.2f}", f"{calls:g}") for own, all_, calls, name in rows]
    sys.stdout.write(table(head, cells[: options.top]))
    own = sum(row[0] for row in rows)
    plain = subject.loop.milliseconds(piece, seconds=1) * 1e3
    over = plain - subject.loop.milliseconds(pieces[REST], seconds=1) * 1e3
    sys.stdout.write(f"\n{own:.0f} µs profiled; {plain:.0f} without, {over:.0f} of it over REST.\n")
    subject.loop.close()


def _profile(subject: Subject, piece: Callable[[], Awaitable[object]], calls: int) -> pstats.Stats:
    async def repeat() -> None:
        for _ in range(calls):
            await piece()

    profiler = cProfile.Profile()
    profiler.enable()
    subject.loop.run(repeat)
    profiler.disable()
    return pstats.Stats(profiler)


def _rows(stats: pstats.Stats, calls: int) -> list[tuple[float, float, float, str]]:
    return [
        (own / calls * 1e6, all_ / calls * 1e6, count / calls, _name(*function))
        for function, (_, count, own, all_, _) in stats.stats.items()
    ]


def _name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function
    return f"{'/'.join(Path(file).parts[-3:])}:{line} {function}"


if __name__ == "__main__":
    main()
