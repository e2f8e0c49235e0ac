"""What was measured: one figure each, and how a figure comes from alternating rounds."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of a table.

    Attributes:
        table: The table's title, e.g. ``"Requests per second over HTTP"``.
        row: Who, e.g. ``"mcp_mount, modern"``.
        column: Under which circumstances, e.g. ``"8 connections"``.
        value: The median of the rounds.
        unit: E.g. ``"ms"``.
        low: The smallest of the rounds.
        high: The largest of the rounds.
    """

    table: str
    row: str
    column: str
    value: float
    unit: str
    low: float
    high: float

    @classmethod
    def of(cls, table: str, row: str, column: str, values: Sequence[float], unit: str) -> "Figure":
        """Return the figure of some rounds."""
        median = statistics.median(values)
        return cls(table, row, column, median, unit, min(values), max(values))


Measure = Callable[[], float]


def alternate(measures: Mapping[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Measure everyone in turn, round after round, so that a slow minute is slow for all."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def dump(figures: Iterable[Figure]) -> str:
    """Return figures as JSON, for a process to hand to its parent."""
    return json.dumps([asdict(figure) for figure in figures])


def load(text: str) -> list[Figure]:
    """Return the figures that `dump` wrote."""
    return [Figure(**figure) for figure in json.loads(text)]
