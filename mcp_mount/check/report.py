"""What the rules find in a list of tools, with a grade for each and for the whole."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_mount.check.rule import Finding
from mcp_mount.check.rules import RULES, check_silenced
from mcp_mount.check.subject import Subject, estimate_tokens

_GRADES: Final = ((90, "A"), (80, "B"), (65, "C"), (50, "D"))


@dataclass(frozen=True, slots=True)
class ToolReport:
    """What was found of one tool, and what it takes of the list."""

    name: str
    size: int
    findings: tuple[Finding, ...]

    @property
    def tokens(self) -> int:
        """About how many tokens of a model it takes."""
        return estimate_tokens(self.size)

    @property
    def points(self) -> int:
        """What is left of a hundred points."""
        return max(0, 100 - sum(finding.rule.cost for finding in self.findings))

    @property
    def grade(self) -> str:
        """From A to F."""
        return grade_of(self.points)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a list: of each tool, and of the whole; `silenced` counts what is not."""

    tools: tuple[ToolReport, ...]
    findings: tuple[Finding, ...]
    silenced: int

    @property
    def everything(self) -> tuple[Finding, ...]:
        """All findings, those of the whole list first."""
        return (*self.findings, *(each for tool in self.tools for each in tool.findings))

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(finding.rule.level == "error" for finding in self.everything)

    @property
    def size(self) -> int:
        """The bytes of the list."""
        return sum(tool.size for tool in self.tools)

    @property
    def tokens(self) -> int:
        """About how many tokens of a model the list takes."""
        return estimate_tokens(self.size)

    @property
    def points(self) -> int:
        """The mean of the tools' points, less what the whole list costs."""
        mean = sum(tool.points for tool in self.tools) / len(self.tools) if self.tools else 0
        return max(0, int(mean) - sum(finding.rule.cost for finding in self.findings))

    @property
    def grade(self) -> str:
        """From A to F."""
        return grade_of(self.points)


def grade_of(points: int) -> str:
    """Return the grade for points of a hundred."""
    return next((grade for least, grade in _GRADES if points >= least), "F")


def check_tools(subjects: Sequence[Subject], silenced: frozenset[str] = frozenset()) -> Report:
    """Look at a list of tools with every rule.

    Args:
        subjects: The tools.
        silenced: Ids of rules that are not asked, e.g. ``"long-name"``, or not for one tool,
            ``"get_token:secret-answer"``.

    Raises:
        MountError: a mark silences what is no rule.
    """
    marked = {
        f"{subject.name}:{rule}"
        for subject in subjects
        for rule in check_silenced(subject.silenced, f"The mark of {subject.name!r}")
    }
    found = [
        Finding(rule, tool, message) for rule in RULES for tool, message in rule.look(subjects)
    ]
    quiet = silenced | marked
    kept: defaultdict[str, list[Finding]] = defaultdict(list)
    for each in found:
        if not {each.rule.id, f"{each.tool}:{each.rule.id}"} & quiet:
            kept[each.tool].append(each)
    silent = len(found) - sum(map(len, kept.values()))
    of_list = tuple(kept.pop("", ()))
    return Report(
        tools=tuple(
            # Of several with one name the first has what was found of all.
            ToolReport(subject.name, subject.size, tuple(kept.pop(subject.name, ())))
            for subject in subjects
        ),
        findings=of_list,
        silenced=silent,
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as a program reads it."""
    return {
        "grade": report.grade,
        "points": report.points,
        "bytes": report.size,
        "tokens": report.tokens,
        "silenced": report.silenced,
        "findings": [_as_dict(finding) for finding in report.findings],
        "tools": [
            {
                "name": tool.name,
                "grade": tool.grade,
                "points": tool.points,
                "bytes": tool.size,
                "tokens": tool.tokens,
                "findings": [_as_dict(finding) for finding in tool.findings],
            }
            for tool in report.tools
        ],
    }


def _as_dict(finding: Finding) -> dict[str, str]:
    rule = finding.rule
    return {"rule": rule.id, "level": rule.level, "message": finding.message, "advice": rule.advice}
