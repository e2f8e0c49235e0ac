"""Articles, attachments and changes as rows of the database."""

import json
import sqlite3
from datetime import UTC, datetime

from mock_api.media import media_type
from mock_api.models import Action, Article, ArticleContent, Attachment, Change


def insert_article(
    db: sqlite3.Connection, slug: str, content: ArticleContent, updated: datetime
) -> int:
    """Add an article; a slug that exists raises `sqlite3.IntegrityError`."""
    row = (slug, content.title, content.summary, json.dumps(content.tags), content.body)
    cursor = db.execute(
        "INSERT INTO articles (slug, title, summary, tags, body, updated)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        (*row, updated.isoformat()),
    )
    return int(cursor.fetchone()["id"])


def write_article(
    db: sqlite3.Connection, article_id: int, content: ArticleContent, updated: datetime
) -> None:
    """Give an article another content."""
    row = (content.title, content.summary, json.dumps(content.tags), content.body)
    db.execute(
        "UPDATE articles SET title = ?, summary = ?, tags = ?, body = ?, updated = ? WHERE id = ?",
        (*row, updated.isoformat(), article_id),
    )


def insert_attachment(
    db: sqlite3.Connection, article_id: int, filename: str, caption: str | None, data: bytes
) -> Attachment:
    """Add a file; a name that the article has already raises `sqlite3.IntegrityError`."""
    media = media_type(data)
    db.execute(
        "INSERT INTO attachments (article_id, filename, media_type, caption, data)"
        " VALUES (?, ?, ?, ?, ?)",
        (article_id, filename, media, caption, data),
    )
    return Attachment(filename=filename, media_type=media, size=len(data), caption=caption)


def count_attachments(db: sqlite3.Connection, article_id: int) -> int:
    """Count the files of an article."""
    found = db.execute("SELECT count(*) FROM attachments WHERE article_id = ?", (article_id,))
    return int(found.fetchone()[0])


def insert_change(db: sqlite3.Connection, action: Action, slug: str) -> None:
    """Note what happened, for those who watch."""
    db.execute(
        "INSERT INTO changes (action, slug, at) VALUES (?, ?, ?)",
        (action, slug, datetime.now(UTC).isoformat()),
    )


def article_of(db: sqlite3.Connection, row: sqlite3.Row) -> Article:
    """Read a whole article from its row of `articles`."""
    return Article(
        slug=row["slug"],
        title=row["title"],
        summary=row["summary"],
        tags=json.loads(row["tags"]),
        body=row["body"],
        updated=row["updated"],
        attachments=_attachments_of(db, row["id"]),
    )


def change_of(row: sqlite3.Row) -> Change:
    """Read a change from its row of `changes`."""
    return Change(id=row["id"], action=row["action"], slug=row["slug"], at=row["at"])


def _attachments_of(db: sqlite3.Connection, article_id: int) -> tuple[Attachment, ...]:
    rows = db.execute(
        "SELECT filename, media_type, caption, length(data) AS size FROM attachments"
        " WHERE article_id = ? ORDER BY filename",
        (article_id,),
    )
    return tuple(Attachment(**dict(row)) for row in rows)
