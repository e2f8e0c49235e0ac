"""Draws the picture of the README."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks import scaling, streaming, throughput
from benchmarks.figures import Figure

_OURS, _REST, _OTHERS = "#1b7f5c", "#4a4a4a", "#b9bec4"


def draw(figures: Iterable[Figure], file: Path) -> None:
    """Draw throughput, the cost of a call by routes, and the first chunk."""
    figures = list(figures)
    mpl.rcParams.update(
        {"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False}
    )
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
