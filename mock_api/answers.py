"""Answers a question from the knowledge base itself: its best passages and where they come from."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from mock_api.search import terms
from mock_api.store import Store

MAX_PASSAGES: Final = 3
ECHO_LENGTH: Final = 300

# The hour of the day, not a duration, a limit or an occasion: the word must end what is asked.
_ASKING: Final = (
    r"(?:what(?:.?s| is| was)|tell me|give me|show me|say|get|read|do you (?:know|have)"
    r"|have you got)"
)
_WHOSE: Final = r"(?:the|your|current|exact|local|present|server(?:.s)?|mcp|utc|date|day|and|&)"
_END: Final = (
    r"(?=\s*(?:$|[?!.,;]|please\b|now\b|right now\b|today\b|is it\b|in utc\b"
    r"|(?:on|of|at|for|from) (?:the|your|this) (?:mcp )?server\b))"
)
_TIME_QUESTION: Final = re.compile(
    rf"get_server_time|\bwhat(?: \w+)? (?:time|day|date) is it\b"
    rf"|\b{_ASKING}(?: {_WHOSE})* (?:time|date){_END}"
    rf"|^(?:{_WHOSE} )*time{_END}",
    re.IGNORECASE,
)


def server_time() -> str:
    """Say what time it is here: `"[MCP Server Time] 2026-11-20T23:40:00+00:00"`."""
    return f"[MCP Server Time] {datetime.now(UTC).isoformat(timespec='seconds')}"


def asks_for_time(question: str) -> bool:
    """Tell `"What time is it?"` from `"How much time does an upgrade take?"`."""
    return _TIME_QUESTION.search(" ".join(question.split())) is not None


def answer(store: Store, question: str) -> str:
    """Answer with the time, with passages and their slugs or, having nothing, with the question."""
    if asks_for_time(question):
        return server_time()
    asked = question if len(question) <= ECHO_LENGTH else question[:ECHO_LENGTH] + "…"
    hits = store.search(question, limit=MAX_PASSAGES).items if terms(question) else ()
    if not hits:
        return (
            f"You asked: {asked}\n\nThe knowledge base has nothing on this. It covers product"
            " lifecycle management with Teamcenter; ask about items, structures, changes,"
            " workflows, access, CAD, deployment or performance."
        )
    words = terms(question)
    passages = [
        f"{hit.title} [{hit.slug}]\n{best_passage(store.get(hit.slug).body, words)}" for hit in hits
    ]
    sources = ", ".join(hit.slug for hit in hits)
    return "\n\n".join([f"You asked: {asked}", *passages, f"Sources: {sources}"])


def best_passage(body: str, words: list[str]) -> str:
    """Return the paragraph of a Markdown text that has the most of the words, or the first such."""
    paragraphs = [part.strip() for part in re.split(r"\n{2,}", body)]
    prose = [part for part in paragraphs if part and not part.startswith("#")]
    return max(prose or [body.strip()], key=lambda part: _overlap(part.lower(), words))


def _overlap(text: str, words: list[str]) -> int:
    # Without its last letters a word finds its other forms: "releasing", "released".
    stems = (word[: max(4, len(word) - 3)] for word in words)
    return sum(re.search(rf"\b{re.escape(stem)}", text) is not None for stem in stems)
