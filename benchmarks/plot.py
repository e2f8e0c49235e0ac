"""Draws the pictures of the README."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks import costs, scaling, streaming, throughput
from benchmarks.configurations import CONFIGURATIONS
from benchmarks.figures import Figure

_MOST, _TIMES = 2.5, "\N{MULTIPLICATION SIGN}"
_OURS, _REST, _OTHERS = "#1b7f5c", "#4a4a4a", "#b9bec4"


def draw(figures: Iterable[Figure], folder: Path) -> None:
    """Draw ``results.png`` and ``configurations.png``."""
    figures = list(figures)
    mpl.rcParams.update(
        {"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False}
    )
    _draw_overview(figures, folder / "results.png")
    _draw_configurations(figures, folder / "configurations.png")


def _draw_overview(figures: list[Figure], file: Path) -> None:
    """Draw throughput, the cost of a call by routes, and the first chunk."""
    picture, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13, 3.6), width_ratios=(5, 4, 4), layout="constrained"
    )
    _bars(left, _rows(figures, throughput.TABLE, "8 connections"))
    left.set_title("Requests per second, 8 connections")
    _lines(middle, [figure for figure in figures if figure.table == scaling.CALLS])
    middle.set_title("Milliseconds for a call, by number of routes")
    _bars(right, _rows(figures, streaming.FIRST, ""))
    right.set_title("Milliseconds to the first chunk\nof a stream that takes 100")
    picture.savefig(file, dpi=150)


def _draw_configurations(figures: list[Figure], file: Path) -> None:
    """Draw what a call costs over REST in each configuration, beside the bare mount."""
    over = {each.row: each.value for each in _rows(figures, costs.CALLS, costs.OVER)}
    calls = {each.row: each.value for each in _rows(figures, costs.CALLS, costs.CALL)}
    bare, *others = CONFIGURATIONS.values()
    line = over[bare.title]
    # What costs more runs into the edge: a scale for it would show nothing of the others.
    edge = 4 * line
    picture, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    for row, each in enumerate(others):
        value, color = over[each.title], _OURS if each.like_bare else _OTHERS
        label = f"{value:,.0f} µs, {value / line:.1f}{_TIMES}"
        axes.barh(row, min(value, edge), color=color, height=0.66)
        if value > edge:
            axes.text(edge, row, f"{label} \N{RIGHTWARDS ARROW} ", va="center", ha="right")
        else:
            # Its background hides the line at the target.
            back = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axes.text(value + edge / 100, row, label, va="center", bbox=back)
        part = calls.get(f"{each.title}: {costs.APART}")
        if part and value <= edge:
            axes.barh(row, part, left=value - part, color="white", height=0.66, alpha=0.6)
            axes.text(value - part / 2, row, "token", va="center", ha="center", fontsize=7)
    for place, style, label in (
        (line, "-", f"{bare.title}: {line:,.0f} µs"),
        (_MOST * line, ":", f"{_MOST}{_TIMES}"),
    ):
        axes.axvline(place, color=_REST, linestyle=style, linewidth=1, ymax=0.955)
        axes.text(place, -0.7, label, ha="center", color=_REST)
    axes.set_yticks(range(len(others)), [each.title for each in others])
    axes.set(xlim=(0, edge * 1.15), ylim=(len(others) - 0.4, -1.3), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(
        "What a call costs more than the same call over REST, in processor time", loc="left"
    )
    picture.savefig(file, dpi=150)


def draw_workers(figures: Iterable[Figure], folder: Path) -> None:
    """Draw ``workers.png``: requests per second against the number of workers."""
    picture, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    rates = [each for each in figures if each.unit == "requests/s"]
    for name in dict.fromkeys(each.row for each in rates):
        own = [each for each in rates if each.row == name]
        workers = [int(each.column.split()[0]) for each in own]
        values = [each.value for each in own]
        spread = [[f.value - f.low for f in own], [f.high - f.value for f in own]]
        style = "--" if name.endswith("legacy") else "-"
        axes.errorbar(
            workers, values, spread, fmt=f"o{style}", color=_color(name), label=name, capsize=3
        )
    axes.set(title="Requests per second", xlabel="workers", xticks=sorted(set(workers)))
    axes.set_ylim(0, 1.2 * max(each.high for each in rates))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, ncols=3, loc="upper left")
    picture.savefig(folder / "workers.png", dpi=150)


def _rows(figures: Iterable[Figure], table: str, column: str) -> list[Figure]:
    return [figure for figure in figures if (figure.table, figure.column) == (table, column)]


def _bars(axes: Axes, figures: list[Figure]) -> None:
    names = [figure.row for figure in figures]
    bars = axes.barh(
        names, [figure.value for figure in figures], color=[_color(name) for name in names]
    )
    labels = [f" {f.value:,.0f}" if f.value >= 100 else f" {f.value:.1f}" for f in figures]
    axes.bar_label(bars, labels=labels)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.tick_params(axis="y", length=0)


def _lines(axes: Axes, figures: list[Figure]) -> None:
    for name in dict.fromkeys(figure.row for figure in figures):
        own = [figure for figure in figures if figure.row == name]
        routes = [int(figure.column.split()[0].replace(",", "")) for figure in own]
        style = "--" if name.endswith("legacy") else "-"
        values = [figure.value for figure in own]
        axes.plot(routes, values, style, marker="o", markersize=3, color=_color(name), label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.margins(y=0.35)
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")


def _color(name: str) -> str:
    return _OURS if name.startswith("mcp_mount") else _REST if name == "REST" else _OTHERS
