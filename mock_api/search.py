"""Ranked full-text search, for whatever people type."""

import json
import re
import sqlite3
from collections.abc import Sequence
from typing import Final

from mock_api.models import SearchHit, SearchPage

MAX_TERMS: Final = 32

_STOP_WORDS: Final = """
a about an and any are as at be been but by can could did do does for from give had has have how i
if in into is it its me my no not of on one or our please show so some tell than thank thanks that
the their them there these they this to us use using was we were what when where which who why will
with would you your
"""
_STOP: Final = frozenset(_STOP_WORDS.split())

# A hit in the slug or the title counts for more than one in the summary or the tags, and these
# for more than one in the text.
RANK: Final = "bm25(article_search, 6.0, 8.0, 4.0, 4.0, 1.0)"
SNIPPET: Final = "snippet(article_search, 4, '**', '**', '…', 32)"


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


def search(
    db: sqlite3.Connection, text: str, tags: Sequence[str], limit: int, offset: int
) -> SearchPage:
    """Return the articles that have all terms, or, where none has, those that have any.

    Without terms, the articles that changed last. Each tag narrows the search.
    """
    found = terms(text)
    if not found:
        return _latest(db, tags, limit, offset)
    page = _matching(db, " AND ".join(map(_quoted, found)), tags, limit, offset)
    if page.total or len(found) == 1:
        return page
    return _matching(db, " OR ".join(map(_quoted, found)), tags, limit, offset)


def _quoted(term: str) -> str:
    """Make a term an FTS5 string, in which no operator has a meaning (terms hold no quotes)."""
    return f'"{term}"'


def _tagged(tags: Sequence[str]) -> str:
    condition = " AND EXISTS (SELECT 1 FROM json_each(articles.tags) WHERE value = ?)"
    return condition * len(tags)


def _matching(
    db: sqlite3.Connection, expression: str, tags: Sequence[str], limit: int, offset: int
) -> SearchPage:
    matching = (
        "FROM article_search JOIN articles ON articles.id = article_search.rowid"
        " WHERE article_search MATCH ?" + _tagged(tags)
    )
    (total,) = db.execute(f"SELECT count(*) {matching}", (expression, *tags)).fetchone()
    rows = db.execute(
        f"SELECT articles.*, -{RANK} AS score, {SNIPPET} AS snippet"
        f" {matching} ORDER BY score DESC, slug LIMIT ? OFFSET ?",
        (expression, *tags, limit, offset),
    )
    return SearchPage(items=tuple(map(_hit, rows)), total=total, limit=limit, offset=offset)


def _latest(db: sqlite3.Connection, tags: Sequence[str], limit: int, offset: int) -> SearchPage:
    matching = "FROM articles WHERE TRUE" + _tagged(tags)
    (total,) = db.execute(f"SELECT count(*) {matching}", tuple(tags)).fetchone()
    rows = db.execute(
        "SELECT *, NULL AS score, coalesce(summary, substr(body, 1, 200)) AS snippet"
        f" {matching} ORDER BY updated DESC, slug LIMIT ? OFFSET ?",
        (*tags, limit, offset),
    )
    return SearchPage(items=tuple(map(_hit, rows)), total=total, limit=limit, offset=offset)


def _hit(row: sqlite3.Row) -> SearchHit:
    return SearchHit(
        slug=row["slug"],
        title=row["title"],
        summary=row["summary"],
        tags=json.loads(row["tags"]),
        updated=row["updated"],
        snippet=row["snippet"],
        score=None if row["score"] is None else round(row["score"], 3),
    )
