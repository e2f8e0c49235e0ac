"""Answers a question without a model: with the best passages, and where they come from."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
from fastmcp import Client

from mock_api.errors import Unavailable
from mock_api.models import Article, SearchPage
from mock_api.search import terms
from mock_api.tools import Output, call

Say = Callable[[str], Awaitable[None]]
"""Takes the next piece of an answer, which is never empty, and waits for who listens."""

MAX_PASSAGES: Final = 3
ECHO_LENGTH: Final = 300
QUERY_LENGTH: Final = 500
"""What search_articles takes at the most."""

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


def asks_for_time(question: str) -> bool:
    """Tell `"What time is it?"` from `"How much time does an upgrade take?"`."""
    return _TIME_QUESTION.search(" ".join(question.split())) is not None


async def answer(client: Client[Any], question: str, say: Say, *, pace: float) -> None:
    """Answer with the time, with passages and their slugs or, having nothing, with the question.

    Args:
        client: Calls the tools.
        question: In plain words.
        say: Takes the answer, word by word.
        pace: Seconds between two words.

    Raises:
        Unavailable: a tool has failed.
    """
    if asks_for_time(question):
        text = _needed("get_server_time", await call(client, "get_server_time", {})).text
    else:
        text = composed(question, await _articles(client, question))
    for number, word in enumerate(re.findall(r"\S+\s*", text)):
        if number:
            await anyio.sleep(pace)
        await say(word)


def composed(question: str, articles: Sequence[Article]) -> str:
    """Write the answer that these articles give."""
    asked = question if len(question) <= ECHO_LENGTH else question[:ECHO_LENGTH] + "…"
    if not articles:
        return f"You asked: {asked}\n\n{NOTHING}"
    words = terms(question)
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


def search_query(question: str) -> str:
    """Return the words to search for, as many as the search takes: `'release "change notice"'`."""
    query = ""
    for term in terms(question):
        longer = f"{query} {_quoted(term)}".lstrip()
        if len(longer) <= QUERY_LENGTH:
            query = longer
    return query


async def _articles(client: Client[Any], question: str) -> list[Article]:
    query = search_query(question)
    if not query:
        return []
    output = await call(client, "search_articles", {"q": query, "limit": MAX_PASSAGES})
    page = SearchPage.model_validate(_needed("search_articles", output).data)
    outputs: dict[str, Output] = {}

    async def read(slug: str) -> None:
        outputs[slug] = await call(client, "get_article", {"slug": slug})

    async with anyio.create_task_group() as tasks:
        for hit in page.items:
            tasks.start_soon(read, hit.slug)
    # One that was deleted meanwhile is left out.
    read_ones = [outputs[hit.slug].data for hit in page.items if not outputs[hit.slug].is_error]
    words = terms(question)
    # A single word in common with a longer question is chance: "the capital of France" is not
    # about capital letters.
    enough = min(2, len(words))
    return [
        article
        for article in map(Article.model_validate, read_ones)
        if _overlap(f"{article.slug} {article.title} {article.body}", words) >= enough
    ]


def _needed(tool: str, output: Output) -> Output:
    if output.is_error:
        raise Unavailable(f"{tool} cannot be used now, and the answer needs it. Try again later.")
    return output


def _quoted(term: str) -> str:
    return f'"{term}"' if " " in term else term


def _overlap(text: str, words: list[str]) -> int:
    # Without its last letters a word finds its other forms: "releasing", "released".
    stems = (word[: max(4, len(word) - 3)] for word in words)
    return sum(
        re.search(rf"\b{re.escape(stem)}", text, re.IGNORECASE) is not None for stem in stems
    )
