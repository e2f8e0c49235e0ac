"""Answers a question without a model: with the best passages, and where they come from."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from fastmcp import Client
from pydantic import BaseModel, ValidationError

from mock_api.about import SUBJECTS, answer_about_service, asks_for_time
from mock_api.errors import Unavailable
from mock_api.models import Article, SearchPage
from mock_api.search import alternatives, terms
from mock_api.tools import Output, call

Read = TypeVar("Read", bound=BaseModel)
Say = Callable[[str], Awaitable[None]]
"""Takes the next piece of an answer, which is never empty, and waits for who listens."""

MAX_PASSAGES: Final = 3
ECHO_LENGTH: Final = 300
QUERY_LENGTH: Final = 500
"""What search_articles takes at the most."""

GOOD: Final = 0.5
"""How good a match must be beside the best one, to be a source."""

LONGEST_COMPARED: Final = 50_000
"""Characters of an article in which the best passage is looked for."""

MOST_PARAGRAPHS: Final = 500
"""Paragraphs of it."""

LONGEST_PASSAGE: Final = 2_000

_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""What a terminal obeys, what turns text, and what nobody sees; joiners make letters and emoji."""

Sought = Sequence[Sequence[str]]
"""How each word of a question, or another word for it, stands in a text as `_plain` writes it."""

NOTHING: Final = (
    "The knowledge base has nothing on this. It covers product lifecycle management with"
    f" Teamcenter: {SUBJECTS}."
)


async def answer(client: Client[Any], question: str, say: Say, *, pace: float) -> None:
    """Answer with the time, about the service, or with passages and the slugs they come from.

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
    elif (about := answer_about_service(question)) is not None:
        text = f"{_asked(question)}\n\n{about}"
    else:
        found = await _found(client, question)
        # In a thread: comparing words takes as long as the articles want.
        text = await anyio.to_thread.run_sync(composed, question, found)
    for number, word in enumerate(re.findall(r"\S+\s*", visible(text))):
        if number:
            await anyio.sleep(pace)
        await say(word)


def visible(text: str) -> str:
    """Return what others wrote, of which a terminal obeys nothing and all is seen."""
    return _UNSEEN.sub("", text)


def composed(question: str, found: Sequence[tuple[float, Article]]) -> str:
    """Write the answer that these articles give, each with how well it matches."""
    sought = _sought(alternatives(question))
    articles = _fitting(found, sought)
    if not articles:
        return f"{_asked(question)}\n\n{NOTHING}"
    passages = [
        f"{article.title} [{article.slug}]\n{_cut(best_passage(article.body, sought))}"
        for article in articles
    ]
    sources = ", ".join(article.slug for article in articles)
    return "\n\n".join([_asked(question), *passages, f"Sources: {sources}"])


def best_passage(body: str, sought: Sought) -> str:
    """Return the paragraph of a Markdown text that has the most of the words, or the first such."""
    parts = re.split(r"\n{2,}", body[:LONGEST_COMPARED], maxsplit=MOST_PARAGRAPHS)
    paragraphs = [part.strip() for part in parts[:MOST_PARAGRAPHS]]
    prose = [part for part in paragraphs if part and not part.startswith("#")]
    return max(prose or [body.strip()], key=lambda part: _overlap(part, sought))


def search_query(question: str) -> str:
    """Return the question, or of a long one as many of its words as the search takes."""
    if len(question) <= QUERY_LENGTH:
        return question
    query = ""
    for term in terms(question):
        longer = f"{query} {_quoted(term)}".lstrip()
        if len(longer) <= QUERY_LENGTH:
            query = longer
    return query


def _asked(question: str) -> str:
    short = question if len(question) <= ECHO_LENGTH else question[:ECHO_LENGTH] + "…"
    return f"You asked: {short}"


async def _found(client: Client[Any], question: str) -> list[tuple[float, Article]]:
    """Return the articles that match best, with their scores."""
    query = search_query(question)
    if not query or not terms(question):
        return []
    output = await call(client, "search_articles", {"q": query, "limit": MAX_PASSAGES})
    page = _read("search_articles", output, SearchPage)
    outputs: dict[str, Output] = {}

    async def read(slug: str) -> None:
        outputs[slug] = await call(client, "get_article", {"slug": slug})

    async with anyio.create_task_group() as tasks:
        for hit in page.items:
            tasks.start_soon(read, hit.slug)
    # One that was deleted meanwhile is left out.
    return [
        (hit.score or 0, _read("get_article", outputs[hit.slug], Article))
        for hit in page.items
        if not outputs[hit.slug].is_error
    ]


def _fitting(found: Sequence[tuple[float, Article]], sought: Sought) -> list[Article]:
    """Return those that are about the question."""
    # A single word in common with a longer question is chance: "the capital of France" is not
    # about capital letters.
    text = "\n".join(f"{each.slug} {each.title} {each.body}" for _, each in found)
    if _overlap(text, sought) < max(1, min(2, len(sought))):
        return []
    best = max(score for score, _ in found)
    return [article for score, article in found if score >= GOOD * best]


def _needed(tool: str, output: Output) -> Output:
    if output.is_error:
        raise Unavailable(f"{tool} cannot be used now, and the answer needs it. Try again later.")
    return output


def _read(tool: str, output: Output, kind: type[Read]) -> Read:
    """Return what a tool has answered, as data; one that is too large has none."""
    try:
        return kind.model_validate(_needed(tool, output).data)
    except ValidationError:
        # Without the error, which holds a part of the answer.
        raise Unavailable(
            f"What {tool} has answered cannot be read, and the answer needs it. Ask in other"
            " words, or try again later."
        ) from None


def _quoted(term: str) -> str:
    return f'"{term}"' if " " in term else term


def _cut(passage: str) -> str:
    if len(passage) <= LONGEST_PASSAGE:
        return passage
    # Not in the middle of a word.
    return f"{passage[:LONGEST_PASSAGE].rpartition(' ')[0] or passage[:LONGEST_PASSAGE]}…"


def _overlap(text: str, sought: Sought) -> int:
    """Count the words that a text has, in whichever form or other words."""
    plain = _plain(text)
    return sum(any(said in plain for said in each) for each in sought)


def _plain(text: str) -> str:
    """Return the words of a text, each between blanks: searching them takes no expressions."""
    return " ".join(["", *re.findall(r"\w+", text.lower()), ""])


def _sought(words: Mapping[str, Sequence[str]]) -> Sought:
    return [[_beginning(said) for said in (word, *others)] for word, others in words.items()]


def _beginning(said: str) -> str:
    if len(said) < 4:
        # A short one must be the whole word: "so" is not the beginning of "some".
        return f" {said} "
    # Without its last letters a word finds its other forms: "releasing", "released".
    return f" {said[: max(4, len(said) - 3)] if ' ' not in said else said}"
