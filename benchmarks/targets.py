"""What the package aims at, and how near a run came."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks import costs, scaling, starting, streaming, throughput
from benchmarks.configurations import CONFIGURATIONS
from benchmarks.contending import LEGACY, MINIMUM, MODERN, REST
from benchmarks.figures import Figure

Figures = Callable[..., float]
"""Returns the value of a table, row and column; raises a KeyError if it was not measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach: at most `bound`, or at least."""

    what: str
    bound: float
    of: Callable[[Figures], float]
    at_least: bool = False


def _over_rest(figures: Figures, column: str) -> float:
    call = figures(scaling.CALLS, MODERN.name, column)
    return call - figures(scaling.CALLS, REST.name, column)


def _share(row: str, of: str = REST.name) -> Callable[[Figures], float]:
    table, column = throughput.SHARES, "8 connections"
    return lambda figures: figures(table, row, column) / figures(table, of, column)


def _bytes(column: str) -> Callable[[Figures], float]:
    return lambda figures: (
        figures(scaling.BYTES, MODERN.name, column)
        / figures(scaling.BYTES, "from_fastapi, modern", column)
    )


def _first_chunk(row: str) -> Callable[[Figures], float]:
    return lambda figures: figures(streaming.FIRST, row) / figures(streaming.FIRST, REST.name)


def _stream_memory(figures: Figures) -> float:
    ours = figures(streaming.MEMORY, streaming.UNLIMITED.name, "1 GB")
    return ours - figures(streaming.MEMORY, REST.name, "1 GB")


def _worst_call(figures: Figures) -> float:
    """Return the most that a configuration costs over REST, in multiples of the bare mount."""
    over = {each: figures(costs.CALLS, each, costs.OVER) for each in _LIKE_BARE}
    # Whether a token's signature is right is not ours to check.
    signed = CONFIGURATIONS["jwt"].title
    over[signed] -= figures(costs.CALLS, f"{signed}: {costs.APART}", costs.CALL)
    return max(over.values()) / over[CONFIGURATIONS["bare"].title]


def _worst_list(figures: Figures) -> float:
    column = f"{costs.ROUTES:,} routes"
    return max(figures(costs.LISTS, each, column) for each in _LIKE_BARE)


def _import(figures: Figures) -> float:
    table = starting.IMPORTS
    return figures(table, starting.OURS) - figures(table, starting.MODULES)


_LIKE_BARE = [each.title for each in CONFIGURATIONS.values() if each.like_bare]

TARGETS = (
    Target("share of REST's throughput, modern", 0.60, _share(MODERN.name), at_least=True),
    Target("share of REST's throughput, legacy", 0.50, _share(LEGACY.name), at_least=True),
    Target(
        "stretch: share of the hand-written minimum's throughput, modern",
        0.80,
        _share(MODERN.name, MINIMUM.name),
        at_least=True,
    ),
    Target(
        "ms for a call over REST, in process, 1 route",
        0.25,
        lambda figures: _over_rest(figures, "1 route"),
    ),
    Target(
        "ms for a call over REST, in process, 1,000 routes",
        0.25,
        lambda figures: _over_rest(figures, "1,000 routes"),
    ),
    Target(
        "the latter in multiples of the former",
        1.5,
        lambda figures: _over_rest(figures, "1,000 routes") / _over_rest(figures, "1 route"),
    ),
    Target(
        "worst configuration: its call over REST, in multiples of the bare mount's",
        2.5,
        _worst_call,
    ),
    Target("worst configuration: ms for tools/list, 1,000 routes", 5, _worst_list),
    Target(
        "ms for tools/list, 1,000 routes, modern",
        2,
        lambda figures: figures(scaling.LISTS, MODERN.name, "1,000 routes"),
    ),
    Target(
        "bytes of TiTiler's list as a share of from_fastapi's",
        1 / 3,
        _bytes(scaling.FOREIGN["titiler"].title),
    ),
    Target(
        "bytes of LiteLLM's list as a share of from_fastapi's",
        1 / 3,
        _bytes(scaling.FOREIGN["litellm"].title),
    ),
    Target("first chunk in multiples of REST's, modern", 1.5, _first_chunk(MODERN.name)),
    Target("first chunk in multiples of REST's, legacy", 1.5, _first_chunk(LEGACY.name)),
    Target("MB of memory for a stream of 1 GB over REST's", 20, _stream_memory),
    Target("seconds to import mcp_mount over FastAPI and FastMCP's module", 0.25, _import),
    Target(
        f"seconds of {starting.HELP}",
        1,
        lambda figures: figures(starting.COMMANDS, starting.HELP),
    ),
)


def reached(measured: Iterable[Figure]) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each target what it is, the bound, the value and whether it is reached.

    Those of parts that were left out are left out.
    """
    values = {(each.table, each.row, each.column): each.value for each in measured}

    def figures(table: str, row: str, column: str = "") -> float:
        return values[table, row, column]

    for target in TARGETS:
        try:
            value = target.of(figures)
        except KeyError:
            continue
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:.3g}"
        is_reached = value >= target.bound if target.at_least else value <= target.bound
        yield target.what, bound, f"{value:,.2f}", "reached" if is_reached else "missed"
