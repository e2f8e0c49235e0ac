"""Profiles one call, or one list, in a configuration: ``python -m benchmarks.profile auth``.

cProfile makes everything slower, and functions more than C code. The times that are shown are
scaled to what the call takes without it.
"""

import argparse
import cProfile
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from benchmarks.configurations import CONFIGURATIONS
from benchmarks.costs import CALL, REST, Subject
from benchmarks.report import table


@dataclass(frozen=True, slots=True)
class _Row:
    """A function: its seconds in all calls, and how often each call runs it."""

    name: str
    own: float
    cumulative: float
    calls: float


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
    rows = _profile(subject, piece, options.calls)
    rows.sort(key=lambda row: row.cumulative if options.cumulative else row.own, reverse=True)
    plain, rest = (
        subject.loop.milliseconds(each, seconds=1) * 1e3 for each in (piece, pieces[REST])
    )
    scale = plain / sum(row.own for row in rows)
    cells = [
        (row.name, f"{row.own * scale:.2f}", f"{row.cumulative * scale:.2f}", f"{row.calls:g}")
        for row in rows[: options.top]
    ]
    sys.stdout.write(table(["Function", "µs of its own", "with callees", "calls"], cells))
    sys.stdout.write(f"\n{plain:.0f} µs in all, {plain - rest:.0f} of them over REST.\n")
    subject.loop.close()


def _profile(subject: Subject, piece: Callable[[], Awaitable[object]], calls: int) -> list[_Row]:
    async def repeat() -> None:
        for _ in range(calls):
            await piece()

    profiler = cProfile.Profile()
    profiler.enable()
    subject.loop.run(repeat)
    profiler.disable()
    return [
        _Row(
            _name(each.code),
            each.inlinetime,
            each.totaltime,
            each.callcount / calls,
        )
        for each in profiler.getstats()
    ]


def _name(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    file = "/".join(Path(code.co_filename).parts[-3:])
    return f"{file}:{code.co_firstlineno} {code.co_qualname}"


if __name__ == "__main__":
    main()
