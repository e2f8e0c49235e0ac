"""Answers a question from the knowledge base itself: its best passages and where they come from."""

import re
from datetime import UTC, datetime
from typing import Final

from mock_api.models import Article
from mock_api.search import terms
from mock_api.store import Store

MAX_PASSAGES: Final = 3
ECHO_LENGTH: Final = 300

NOTHING: Final = (
    "The knowledge base has nothing on this. It covers product lifecycle management with"
    " Teamcenter; ask about items, structures, changes, workflows, access, CAD, deployment or"
    " performance."
)

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
    words = terms(question)
    articles = _articles(store, question, words) if words else []
    if not articles:
        return f"You asked: {asked}\n\n{NOTHING}"
    passages = [
        f"{article.title} [{article.slug}]\n{best_passage(article.body, words)}"
        for article in articles
    ]
    sources = ", ".join(article.slug for article in articles)
    return "\n\n".join([f"You asked: {asked}", *passages, f"Sources: {sources}"])


def best_passage(body: str, words: list[str]) -> str:
    """Return the paragraph of a Markdown text that has the most of the words, or the first such."""
    paragraphs = [part.strip() for part in re.split(r"\n{2,}", body)]
    prose = [part for part in paragraphs if part and not part.startswith("#")]
    return max(prose or [body.strip()], key=lambda part: _overlap(part, words))


def _articles(store: Store, question: str, words: list[str]) -> list[Article]:
    found = [store.get(hit.slug) for hit in store.search(question, limit=MAX_PASSAGES).items]
    # A single word in common with a longer question is chance: "the capital of France" is not
    # about capital letters.
    enough = min(2, len(words))
    return [
        article
        for article in found
        if _overlap(f"{article.slug} {article.title} {article.body}", words) >= enough
    ]


def _overlap(text: str, words: list[str]) -> int:
    # Without its last letters a word finds its other forms: "releasing", "released".
    stems = (word[: max(4, len(word) - 3)] for word in words)
    return sum(
        re.search(rf"\b{re.escape(stem)}", text, re.IGNORECASE) is not None for stem in stems
    )
