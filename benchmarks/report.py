"""Prints figures as tables, in Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.figures import Figure


def tables(figures: Iterable[Figure]) -> Iterator[str]:
    """Yield a table for each title, in the order in which figures were measured."""
    by_table: dict[str, list[Figure]] = {}
    for figure in figures:
        by_table.setdefault(figure.table, []).append(figure)
    for title, members in by_table.items():
        columns = list(dict.fromkeys(figure.column for figure in members))
        cells = {(figure.row, figure.column): _number(figure.value) for figure in members}
        rows = [
            [row, *(cells.get((row, column), "") for column in columns)]
            for row in dict.fromkeys(figure.row for figure in members)
        ]
        yield table([title, *columns], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an aligned table; all but the first column are numbers."""
    rows = [list(row) for row in rows]
    widths = [max(len(cell) for cell in cells) for cells in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (head, rule, *rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def _number(value: float) -> str:
    """Return a number with about three digits, e.g. ``"4,512"``, ``"12.5"`` or ``"0.043"``."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 1
        else f"{value:.3f}"
    )
