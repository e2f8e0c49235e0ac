"""Writes how servers and APIs of others did as ``docs/servers.md``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tests.interop.apis import Trial
from tests.interop.large import Survey
from tests.interop.meeting import Meeting
from tests.interop.page import DOCS

PAGE: Final = DOCS / "servers.md"
_SERVERS: Final = """# Servers and APIs of others

`make interop` runs each of these as a process of its own, and `mcp-mount` in front of it as another
one, and writes this page.

## MCP servers behind the gateway

Each is listed and called directly, and then through a gateway in both versions of the protocol, by
a client that can be asked questions: tools, resources, prompts, progress and what the server logs
must be the same, errors too. Names and addresses have the server's name before them.

| server | versions | lists | called | state that is kept |
|---|---|---|---|---|
"""
_ALWAYS: Final = """
What differs with every server:

* `_meta` says which gateways a tool has come through, and `execution` is left out.
* A tool without a title is given one; a title among the annotations moves to its place of today.
* A schema has no references where it need not have any, no regular expressions, and no default of
  null. One of results says which members there are, and does not describe or require them.
"""
_APIS: Final = """
## APIs behind the proxy

Each is an app of parts, written with a framework that is not FastAPI, with the document that the
framework writes. Each request is sent over HTTP to a fresh app, and as a tool, in both versions of
the protocol, to another one: the result must be the body, and an error must have the API's status
and all that its body says. Lists, forms, files, headers, cookies and the styles of parameters are
among them.

| API | versions | tools | called | errors of the API |
|---|---|---|---|---|
"""
_LARGE: Final = """
## Large documents

The document starts whole in a proxy with `--surface search`, against the mock that Prism makes of
it. Each tool is searched by what it says of itself, and called by `call_tool` with the examples of
the document, or else with values that its schema accepts. What the mock answers must be what the
tool answers, errors too, and requests must be as the document says. An object that a form or a
query leaves out is an empty one to Prism, and most of its 422 for Stripe tell what that lacks.

| document | versions | operations | tools | answers of the mock | found first | among ten |
|---|---|---|---|---|---|---|
"""


def write_server_page(
    meetings: Sequence[Meeting], trials: Sequence[Trial], surveys: Sequence[Survey]
) -> None:
    servers = ((each.server.name, each.server.differs) for each in meetings)
    apis = ((each.api.name, each.api.differs) for each in trials)
    large = ((each.api.name, each.api.differs) for each in surveys)
    text = (
        _SERVERS
        + _rows(map(_server_cells, meetings))
        + _ALWAYS
        + _notes("What else differs, and why:", servers)
        + _APIS
        + _rows(map(_api_cells, trials))
        + _notes("What differs, and why:", apis)
        + _LARGE
        + _rows(map(_large_cells, surveys))
        + _notes("What differs, and why:", large)
    )
    PAGE.write_text(text, encoding="utf-8")


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _server_cells(meeting: Meeting) -> list[str]:
    server = meeting.server
    name, versions = server.name, server.environment.versions
    if meeting.not_tried:
        return [name, versions, f"not tried: {meeting.not_tried}", "", ""]
    listed = ", ".join(
        f"{count} {kind.replace('_', ' ')}" for kind, count in meeting.listed.items() if count
    )
    tools, calls = meeting.called
    return [name, versions, listed, f"{tools} tools, {calls} calls", server.state]


def _api_cells(trial: Trial) -> list[str]:
    name, versions = trial.api.name, trial.api.environment.versions
    if trial.not_tried:
        return [name, versions, f"not tried: {trial.not_tried}", "", ""]
    tools, calls, errors = trial.called
    return [name, versions, str(trial.listed), f"{tools} tools, {calls} calls", str(errors)]


def _large_cells(survey: Survey) -> list[str]:
    name, versions = survey.api.name, survey.api.environment.versions
    if survey.not_tried:
        return [name, versions, f"not tried: {survey.not_tried}", "", "", "", ""]
    answers = ", ".join(f"{count} of {code}" for code, count in sorted(survey.statuses.items()))
    first, _, among_ten = survey.found
    counts = [str(survey.operations), str(survey.tools)]
    return [name, versions, *counts, answers, str(first), str(among_ten)]


def _notes(title: str, notes: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    lines = [
        f"* **{name}**, `{what}`: {why}\n" for name, each in notes for what, why in each.items()
    ]
    return f"\n{title}\n\n{''.join(lines)}" if lines else ""
