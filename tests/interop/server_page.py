"""Writes how foreign servers and APIs did as ``docs/servers.md``."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.interop.meeting import Meeting
from tests.interop.page import DOCS

PAGE: Final = DOCS / "servers.md"
_HEAD: Final = """# Servers and APIs of others

`make interop` runs each of these as a process of its own, and `mcp-mount` in front of it as another
one, and writes this page.

## MCP servers behind the gateway

Each is listed and called directly, and then through a gateway in both versions of the protocol, by a
client that can be asked questions: tools, resources, prompts, progress and what the server logs must
be the same, errors too. Names have the server's name before them, addresses too.

| server | versions | lists | called | state is kept |
|---|---|---|---|---|
"""
_ALWAYS: Final = """
What differs with every server:

* `_meta` says which gateways a tool has come through, and `execution` is left out.
* A tool without a title is given one; a title among the annotations moves to its place of today.
* A schema has no references where it need not have any, no regular expressions, and no default of
  null. One of results says which members there are, and does not describe or require them.
"""


def write_server_page(meetings: Sequence[Meeting]) -> None:
    text = _HEAD + "".join(f"| {' | '.join(_cells(each))} |\n" for each in meetings) + _ALWAYS
    notes = ((each.server.name, each.server.differs.items()) for each in meetings)
    text += "".join(_notes("What else differs, and why:", notes))
    PAGE.write_text(text, encoding="utf-8")


def _cells(meeting: Meeting) -> list[str]:
    server = meeting.server
    name, versions = server.name, server.environment.versions
    if meeting.not_tried:
        return [name, versions, f"not tried: {meeting.not_tried}", "", ""]
    listed = ", ".join(
        f"{count} {kind.replace('_', ' ')}" for kind, count in meeting.listed.items() if count
    )
    tools, calls = meeting.called
    return [name, versions, listed, f"{tools} tools, {calls} calls", server.state]


def _notes(title: str, notes: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> Iterable[str]:
    lines = [f"* **{name}**, `{what}`: {why}\n" for name, each in notes for what, why in each]
    return [f"\n{title}\n\n", *lines] if lines else []
