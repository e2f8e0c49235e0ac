"""The knowledge base: its articles, their files, and what changed; safe to use from any thread."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mock_api import rows
from mock_api.building import BUSY_SECONDS, SCHEMA_ID, state_file
from mock_api.corpus import fingerprint, shipped_articles
from mock_api.database import Database
from mock_api.errors import AlreadyExists, NotFound, StorageError, TooManyAttachments
from mock_api.feed import Feed
from mock_api.models import (
    MOST_ATTACHMENTS,
    Action,
    Article,
    ArticleContent,
    ArticlePatch,
    Attachment,
    Change,
    NewArticle,
    SearchPage,
)
from mock_api.search import search


class Store:
    """The articles in one SQLite file, which is made, with the shipped articles, on first use."""

    def __init__(self, file: Path | None = None, *, patience: float = BUSY_SECONDS) -> None:
        self._database = Database(lambda: file or _default_file(), _fill, patience)
        self.feed = Feed()

    def open(self) -> Path:
        """Open the database now rather than on first use; return where it is."""
        return self._database.open()

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self._database.close()

    def count(self) -> int:
        """Count the articles."""
        with self._database.reading() as db:
            return int(db.execute("SELECT count(*) FROM articles").fetchone()[0])

    def write_fault(self) -> StorageError | None:
        """Return why nothing can be changed, where the last change has failed for that."""
        return self._database.write_fault()

    def search(
        self, text: str = "", tags: Sequence[str] = (), *, limit: int = 10, offset: int = 0
    ) -> SearchPage:
        """Return one page of the articles that match, best first."""
        with self._database.reading() as db:
            return search(db, text, tags, limit, offset)

    def get(self, slug: str) -> Article:
        """Return one article."""
        with self._database.reading() as db:
            return rows.article_of(db, _row(db, slug))

    def articles_after(self, slug: str, limit: int) -> list[Article]:
        """Return the next articles in the order of their slugs."""
        with self._database.reading() as db:
            found = db.execute(
                "SELECT * FROM articles WHERE slug > ? ORDER BY slug LIMIT ?", (slug, limit)
            ).fetchall()
            return [rows.article_of(db, row) for row in found]

    def create(self, article: NewArticle) -> Article:
        """Add an article under a slug that is still free."""
        with self._writing("created", article.slug) as db:
            try:
                rows.insert_article(db, article.slug, article, datetime.now(UTC))
            except sqlite3.IntegrityError:
                raise AlreadyExists(
                    f"There is an article {article.slug!r} already; choose another slug."
                ) from None
            return rows.article_of(db, _row(db, article.slug))

    def replace(self, slug: str, content: ArticleContent) -> Article:
        """Give an article another content; its attachments stay."""
        with self._writing("replaced", slug) as db:
            rows.write_article(db, _row(db, slug)["id"], content, datetime.now(UTC))
            return rows.article_of(db, _row(db, slug))

    def update(self, slug: str, patch: ArticlePatch) -> Article:
        """Change the fields that the patch sets."""
        changes = {name: getattr(patch, name) for name in patch.model_fields_set}
        if not changes:
            return self.get(slug)
        with self._writing("updated", slug) as db:
            row = _row(db, slug)
            before = rows.article_of(db, row)
            content = ArticleContent(
                title=before.title, summary=before.summary, tags=before.tags, body=before.body
            ).model_copy(update=changes)
            rows.write_article(db, row["id"], content, datetime.now(UTC))
            return rows.article_of(db, _row(db, slug))

    def delete(self, slug: str) -> None:
        """Remove an article and its attachments."""
        with self._writing("deleted", slug) as db:
            db.execute("DELETE FROM articles WHERE id = ?", (_row(db, slug)["id"],))

    def attach(self, slug: str, filename: str, data: bytes, caption: str | None) -> Attachment:
        """Add a file to an article that may have one more, under a name that is still free."""
        with self._writing("attached", slug) as db:
            row = _row(db, slug)
            if rows.count_attachments(db, row["id"]) >= MOST_ATTACHMENTS:
                raise TooManyAttachments(
                    f"The article {slug!r} has {MOST_ATTACHMENTS} attachments, and can have no"
                    " more. Attach the file to another one."
                )
            try:
                return rows.insert_attachment(db, row["id"], filename, caption, data)
            except sqlite3.IntegrityError:
                raise AlreadyExists(
                    f"The article {slug!r} has an attachment {filename!r} already."
                ) from None

    def attachment(self, slug: str, filename: str) -> tuple[str, bytes]:
        """Return the media type and the bytes of an attachment."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT media_type, data FROM attachments WHERE article_id = ? AND filename = ?",
                (_row(db, slug)["id"], filename),
            ).fetchone()
        if row is None:
            raise NotFound(f"The article {slug!r} has no attachment {filename!r}.")
        return row["media_type"], row["data"]

    def last_change(self) -> int:
        """Return the id of the latest change, or 0."""
        with self._database.reading() as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM changes").fetchone()[0])

    def changes_after(self, change_id: int, limit: int = 100) -> list[Change]:
        """Return the next changes, oldest first."""
        with self._database.reading() as db:
            found = db.execute(
                "SELECT * FROM changes WHERE id > ? ORDER BY id LIMIT ?", (change_id, limit)
            )
            return [rows.change_of(row) for row in found]

    @contextmanager
    def _writing(self, action: Action, slug: str) -> Iterator[sqlite3.Connection]:
        """Lend a transaction that ends with a note of the change, and tell those who watch."""
        with self._database.writing() as db:
            yield db
            rows.insert_change(db, action, slug)
        self.feed.ring()


def _row(db: sqlite3.Connection, slug: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM articles WHERE slug = ?", (slug,)
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no article {slug!r}; search_articles finds the slugs there are.")
    return row


def _fill(db: sqlite3.Connection) -> None:
    for shipped in shipped_articles():
        article_id = rows.insert_article(db, shipped.article.slug, shipped.article, shipped.updated)
        for file in shipped.files:
            rows.insert_attachment(db, article_id, file.filename, file.caption, file.data)


def _default_file() -> Path:
    # The name holds the schema and the shipped articles, so that a release starts with its own.
    return state_file(f"kb-{SCHEMA_ID:08x}-{fingerprint()}.sqlite3")
