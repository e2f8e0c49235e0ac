"""Ranked full-text search, for whatever people type."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from typing import Final

from mock_api.errors import SearchTooLong
from mock_api.models import SearchHit, SearchPage
from mock_api.snippets import CLOSING, OPENING, best_part
from mock_api.synonyms import meanings, root

MAX_TERMS: Final = 32

_STOP_WORDS: Final = """
a about an and any are as at be been best but by can cannot could d did do does don for from get
gets give got had has have how i if in into is isn it its let ll m make makes many me much my need
needs no not of on one or our please re s shall she he should show so some t tc teamcenter tell than
thank thanks that the their them there these they this to us using ve want was way we were what when
where which who why will with work works would you your
"""
_STOP: Final = frozenset(_STOP_WORDS.split())

# A hit in the slug or the title counts for more than one in the summary or the tags, and these
# for more than one in the text.
RANK: Final = "bm25(article_search, 6.0, 8.0, 4.0, 4.0, 1.0)"
HIGHLIGHTED: Final = "highlight(article_search, 4, ?, ?)"

SECONDS: Final = 2.0
"""How long a search may take: a thread is not free for others before it is done."""

STEPS: Final = 10_000
"""Steps of SQLite's machine between two looks at the clock; about a thousand a millisecond."""

NEIGHBOURS: Final = 0.6
"""What two terms count for where they stand together, as in the question, beside each by itself."""

SYNONYM: Final = 0.5
"""What another word for what was asked counts for; the word itself counts 1."""

MAX_SYNONYMS: Final = 64


def terms(text: str) -> list[str]:
    """Return the words and "quoted phrases" of a question, in order, each once.

    `'how do I release a "change notice"'` is `["release", "change notice"]`; where there are only
    stop words, these are what is searched for.
    """
    found = [
        " ".join(re.findall(r"\w+", phrase or word)).lower()
        for phrase, word in re.findall(r'"([^"]*)"|(\w+)', text)
    ]
    unique = [term for term in dict.fromkeys(found) if term]
    telling = [term for term in unique if term not in _STOP]
    return (telling or unique)[:MAX_TERMS]


def alternatives(text: str) -> dict[str, tuple[str, ...]]:
    """Return each term of a question with the other words for it: `{"sso": ("saml", …)}`."""
    found = meanings(text)
    return {
        term: tuple(
            other
            for meaning in found
            if _roots(term) & _roots(*meaning.said)
            for other in meaning.others
        )
        for term in terms(text)
    }


def search(
    db: sqlite3.Connection, text: str, tags: Sequence[str], limit: int, offset: int
) -> SearchPage:
    """Return the articles that have any of the terms or of their synonyms, best match first.

    Without terms, the articles that changed last. Each tag narrows the search.

    Raises:
        SearchTooLong: it took too long.
    """
    found = terms(text)
    with _in_time(db) as check:
        if not found:
            return _latest(db, tags, limit, offset)
        words = dict.fromkeys(_synonyms(text), SYNONYM) | dict.fromkeys(map(_quoted, found), 1.0)
        near = (f"NEAR({_quoted(one)} {_quoted(other)}, 3)" for one, other in pairwise(found))
        expression = " OR ".join(words)
        parts = {**words, **dict.fromkeys(near, NEIGHBOURS)}
        total, rows = _matching(db, expression, parts, tags, limit=limit, offset=offset)
        items = []
        for row in rows:
            # SQLite looks at the clock while it goes from row to row; here each has its own query.
            check()
            items.append(_hit(row, _snippet(db, expression, row["id"])))
        return SearchPage(items=tuple(items), total=total, limit=limit, offset=offset)


@contextmanager
def _in_time(db: sqlite3.Connection) -> Iterator[Callable[[], None]]:
    """End what is asked of the database when its time is over; yield what looks at the clock."""
    end = time.monotonic() + SECONDS
    too_long = SearchTooLong("The search takes too long: try again later, or with fewer words.")

    def check() -> None:
        if time.monotonic() > end:
            raise too_long

    db.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    try:
        yield check
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise too_long from None
    finally:
        db.set_progress_handler(None, 0)


def _synonyms(text: str) -> list[str]:
    # A phrase that was said in words between which others stood counts as a phrase as well.
    phrases = (
        phrase
        for meaning in meanings(text)
        for phrase in (*meaning.others, *(said for said in meaning.said if " " in said))
    )
    return [_quoted(phrase) for phrase in islice(phrases, MAX_SYNONYMS)]


def _roots(*phrases: str) -> set[str]:
    return {root(word) for phrase in phrases for word in phrase.split()}


def _quoted(term: str) -> str:
    """Make a term an FTS5 string, in which no operator has a meaning (terms hold no quotes)."""
    return f'"{term}"'


def _tagged(tags: Sequence[str]) -> str:
    condition = " AND EXISTS (SELECT 1 FROM json_each(articles.tags) WHERE value = ?)"
    return condition * len(tags)


def _matching(
    db: sqlite3.Connection,
    expression: str,
    parts: Mapping[str, float],
    tags: Sequence[str],
    *,
    limit: int,
    offset: int,
) -> tuple[int, list[sqlite3.Row]]:
    """Return how many articles match, and a page of them, by what their matches of `parts` count.

    Words that stand together count more, and find nothing by themselves: the expression has none.
    """
    matching = (
        "FROM article_search JOIN articles ON articles.id = article_search.rowid"
        " WHERE article_search MATCH ?" + _tagged(tags)
    )
    (total,) = db.execute(f"SELECT count(*) {matching}", (expression, *tags)).fetchone()
    # Whole before they are summed, because FTS5 ranks no rows of a group.
    ranked = (
        f"SELECT article_search.rowid AS id, -{RANK} * part.value AS score"  # noqa: S608 - as below
        " FROM json_each(?) AS part JOIN article_search ON article_search MATCH part.key"
    )
    rows = db.execute(
        f"WITH ranked AS MATERIALIZED ({ranked}),"  # noqa: S608 - made of our own words
        " scored AS (SELECT id, sum(score) AS score FROM ranked GROUP BY id)"
        " SELECT articles.id, articles.slug, articles.title, articles.summary, articles.tags,"
        " articles.updated,"
        " (SELECT score FROM scored WHERE scored.id = articles.id) AS score"
        f" {matching} ORDER BY score DESC, articles.slug LIMIT ? OFFSET ?",
        (json.dumps(parts), expression, *tags, limit, offset),
    ).fetchall()
    return total, rows


def _snippet(db: sqlite3.Connection, expression: str, article_id: int) -> str:
    # One at a time: sorted together with what it was made of, a page would be ten megabytes.
    (highlighted,) = db.execute(
        f"SELECT {HIGHLIGHTED} FROM article_search"  # noqa: S608 - made of our own words
        " WHERE article_search MATCH ? AND rowid = ?",
        (OPENING, CLOSING, expression, article_id),
    ).fetchone()
    return best_part(highlighted)


def _latest(db: sqlite3.Connection, tags: Sequence[str], limit: int, offset: int) -> SearchPage:
    matching = "FROM articles WHERE TRUE" + _tagged(tags)
    (total,) = db.execute(f"SELECT count(*) {matching}", tuple(tags)).fetchone()
    rows = db.execute(
        "SELECT *, NULL AS score, coalesce(summary, substr(body, 1, 200)) AS snippet"
        f" {matching} ORDER BY updated DESC, slug LIMIT ? OFFSET ?",
        (*tags, limit, offset),
    )
    items = tuple(_hit(row, row["snippet"]) for row in rows)
    return SearchPage(items=items, total=total, limit=limit, offset=offset)


def _hit(row: sqlite3.Row, snippet: str) -> SearchHit:
    return SearchHit(
        slug=row["slug"],
        title=row["title"],
        summary=row["summary"],
        tags=json.loads(row["tags"]),
        updated=row["updated"],
        snippet=snippet,
        score=None if row["score"] is None else round(row["score"], 3),
    )
