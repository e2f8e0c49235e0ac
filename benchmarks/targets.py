"""What the package aims at, and how near a run came."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks import scaling, streaming, throughput
from benchmarks.contending import LEGACY, MODERN, REST
from benchmarks.figures import Figure


class Figures:
    """The figures of a run, by table, row and column."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        """Index the figures."""
        self._values = {(each.table, each.row, each.column): each.value for each in figures}

    def __call__(self, table: str, row: str, column: str = "") -> float:
        """Return one value.

        Raises:
            KeyError: it was not measured.
        """
        return self._values[table, row, column]


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach: at least `bound`, or at most."""

    what: str
    bound: float
    at_least: bool
    of: Callable[[Figures], float]


def _over_rest(figures: Figures, column: str) -> float:
    call = figures(scaling.CALLS, MODERN.name, column)
    return call - figures(scaling.CALLS, REST.name, column)


def _bytes(figures: Figures, column: str) -> float:
    ours = figures(scaling.BYTES, MODERN.name, column)
    return ours / figures(scaling.BYTES, "from_fastapi, modern", column)


def _first_chunk(figures: Figures, row: str) -> float:
    return figures(streaming.FIRST, row) / figures(streaming.FIRST, REST.name)


TARGETS = (
    Target(
        "share of REST's throughput, modern, 8 connections",
        0.60,
        at_least=True,
        of=lambda figures: figures(throughput.SHARES, MODERN.name, "8 connections"),
    ),
    Target(
        "share of REST's throughput, legacy, 8 connections",
        0.50,
        at_least=True,
        of=lambda figures: figures(throughput.SHARES, LEGACY.name, "8 connections"),
    ),
    Target(
        "ms for a call over REST, in process, 1 route",
        0.25,
        at_least=False,
        of=lambda figures: _over_rest(figures, "1 route"),
    ),
    Target(
        "ms for a call over REST, in process, 1,000 routes",
        0.25,
        at_least=False,
        of=lambda figures: _over_rest(figures, "1,000 routes"),
    ),
    Target(
        "the latter in multiples of the former",
        1.5,
        at_least=False,
        of=lambda figures: _over_rest(figures, "1,000 routes") / _over_rest(figures, "1 route"),
    ),
    Target(
        "ms for tools/list, 1,000 routes, modern",
        2,
        at_least=False,
        of=lambda figures: figures(scaling.LISTS, MODERN.name, "1,000 routes"),
    ),
    Target(
        "bytes of TiTiler's list as a share of from_fastapi's",
        1 / 3,
        at_least=False,
        of=lambda figures: _bytes(figures, scaling.FOREIGN["titiler"].title),
    ),
    Target(
        "bytes of LiteLLM's list as a share of from_fastapi's",
        1 / 3,
        at_least=False,
        of=lambda figures: _bytes(figures, scaling.FOREIGN["litellm"].title),
    ),
    Target(
        "first chunk in multiples of REST's, modern",
        1.5,
        at_least=False,
        of=lambda figures: _first_chunk(figures, MODERN.name),
    ),
    Target(
        "first chunk in multiples of REST's, legacy",
        1.5,
        at_least=False,
        of=lambda figures: _first_chunk(figures, LEGACY.name),
    ),
    Target(
        "MB of memory for a stream of 1 GB over REST's",
        20,
        at_least=False,
        of=lambda figures: (
            figures(streaming.MEMORY, streaming.UNLIMITED.name, "1 GB")
            - figures(streaming.MEMORY, REST.name, "1 GB")
        ),
    ),
)


def reached(measured: Iterable[Figure]) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each target what it is, the bound, the value and whether it is reached."""
    figures = Figures(measured)
    for target in TARGETS:
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:.3g}"
        try:
            value = target.of(figures)
        except KeyError:
            yield target.what, bound, "", "not measured"
            continue
        is_reached = value >= target.bound if target.at_least else value <= target.bound
        yield target.what, bound, f"{value:,.2f}", "reached" if is_reached else "missed"
