"""What a call does."""

from collections.abc import Iterator
from typing import Final

from mcp_mount.check.rule import Rule, each
from mcp_mount.check.subject import Subject
from mcp_mount.check.words import words_of

_CHANGES: Final = frozenset(
    (
        *("add", "approve", "archive", "assign", "cancel", "clear", "create", "delete", "destroy"),
        *("disable", "drop", "edit", "enable", "flush", "insert", "kill", "modify", "purge", "put"),
        *("remove", "rename", "replace", "reset", "restart", "revoke", "send", "set", "start"),
        *("stop", "submit", "trigger", "truncate", "update", "upload", "write"),
    )
)


def _changes(subject: Subject) -> Iterator[str]:
    if subject.hints.get("readOnlyHint") is not True:
        return
    verb = next(iter(words_of(subject.name)), "")
    if verb in _CHANGES:
        by = f" by {subject.operation.method}" if subject.operation is not None else ""
        yield f"It is called{by} and said to read only, but its name says {verb!r}."


def _no_hints(subject: Subject) -> Iterator[str]:
    if "readOnlyHint" not in subject.hints:
        yield "It does not say whether it reads only."


def _undocumented_error(subject: Subject) -> Iterator[str]:
    operation = subject.operation
    if operation is None or not any(each.location == "path" for each in operation.parameters):
        return
    # FastAPI documents 422 by itself.
    known = {status for status in operation.responses if status[:1] in "45d"} - {"422"}
    if not known:
        yield f"{operation} documents no error, not even that there is no such thing."


RULES: Final = (
    Rule(
        "get-that-changes",
        "error",
        30,
        "Make it a POST, PUT or DELETE; clients call what reads only without asking their user. "
        "Where it does read only, silence this.",
        each(_changes),
    ),
    Rule(
        "no-hints",
        "warning",
        10,
        "Annotate it with readOnlyHint and destructiveHint; clients believe the worst otherwise.",
        each(_no_hints),
    ),
    Rule(
        "undocumented-error",
        "warning",
        5,
        'Name it on the route: responses={404: {"description": "There is no such part."}}.',
        each(_undocumented_error),
    ),
)
