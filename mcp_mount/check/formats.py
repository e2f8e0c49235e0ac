"""A report as text for people, and as GitHub's annotations."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mcp_mount.check.report import Report

_LONGEST = 2_000
_COLOURS = {"A": "green", "B": "green", "C": "yellow", "D": "red", "F": "red"}


def as_text(report: Report) -> RenderableType:
    """Return a report as a person reads it: the worst tools first, then what to do."""
    parts: list[RenderableType] = []
    if report.tools:
        parts.append(_table(report))
    parts.extend(_findings(report))
    parts.append(_summary(report))
    return Group(*parts)


def as_github(report: Report) -> Iterator[str]:
    """Yield GitHub's workflow commands, one for each finding."""
    for finding in report.everything:
        about = f"{finding.tool}: " if finding.tool else ""
        text = f"{about}{finding.message} {finding.rule.advice}"
        # What ends a command, or stands for a character in it.
        text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        yield f"::{finding.rule.level} title={finding.rule.id}::{text}"


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("tool", overflow="fold")
    table.add_column("grade", justify="center")
    table.add_column("bytes", justify="right")
    table.add_column("tokens", justify="right")
    table.add_column("findings", overflow="fold")
    for tool in sorted(report.tools, key=lambda each: each.points):
        ids = ", ".join(finding.rule.id for finding in tool.findings)
        grade = Text(tool.grade, style=_COLOURS[tool.grade])
        table.add_row(Text(_line(tool.name)), grade, f"{tool.size:,}", f"{tool.tokens:,}", ids)
    return table


def _findings(report: Report) -> Iterator[Text]:
    """Yield each rule that found something, with what to do, and then where."""
    rules = {finding.rule.id: finding.rule for finding in report.everything}
    for rule in sorted(rules.values(), key=lambda each: (each.level, -each.cost)):
        style = "red" if rule.level == "error" else "yellow"
        yield Text.assemble("\n", (f"{rule.level} ", style), (rule.id, "bold"), f"  {rule.advice}")
        for finding in report.everything:
            if finding.rule is rule:
                yield Text(f"  {_line(finding.tool or 'the list')}: {_line(finding.message)}")


def _summary(report: Report) -> Text:
    count, found = len(report.tools), len(report.everything)
    quiet = f", {report.silenced} silenced" if report.silenced else ""
    return Text.assemble(
        "\n",
        (f"Grade {report.grade}", f"bold {_COLOURS[report.grade]}"),
        f" ({report.points} of 100): {count} tool{'' if count == 1 else 's'}, ",
        f"{report.size:,} bytes, about {report.tokens:,} tokens; ",
        f"{found} finding{'' if found == 1 else 's'}, {report.errors} of them errors{quiet}.",
    )


def _line(text: str) -> str:
    """Return a text without line breaks: what somebody wrote elsewhere adds no line."""
    return " ".join(text[:_LONGEST].split())
