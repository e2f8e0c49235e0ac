"""The SQLite file: its schema, how it comes into being, and connections to it for any thread.

* A file that exists is whole: it is built aside, with its content, and then linked into its place.
* It is opened on first use, once, however many threads or processes arrive at the same time.
"""

import logging
import os
import sqlite3
import sys
import tempfile
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

logger = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE articles (
    id INTEGER PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    summary TEXT,
    tags TEXT NOT NULL,  -- a JSON array
    body TEXT NOT NULL,
    updated TEXT NOT NULL
) STRICT;

CREATE TABLE attachments (
    article_id INTEGER NOT NULL REFERENCES articles ON DELETE CASCADE,
    filename TEXT NOT NULL,
    media_type TEXT NOT NULL,
    caption TEXT,
    data BLOB NOT NULL,
    PRIMARY KEY (article_id, filename)
) STRICT;

CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, so that watchers can resume after one
    action TEXT NOT NULL,
    slug TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;

CREATE VIRTUAL TABLE article_search USING fts5 (
    slug, title, summary, tags, body,
    content = 'articles', content_rowid = 'id', tokenize = 'porter unicode61'
);

CREATE TRIGGER article_inserted AFTER INSERT ON articles BEGIN
    INSERT INTO article_search (rowid, slug, title, summary, tags, body)
    VALUES (new.id, new.slug, new.title, new.summary, new.tags, new.body);
END;

CREATE TRIGGER article_deleted AFTER DELETE ON articles BEGIN
    INSERT INTO article_search (article_search, rowid, slug, title, summary, tags, body)
    VALUES ('delete', old.id, old.slug, old.title, old.summary, old.tags, old.body);
END;

CREATE TRIGGER article_updated AFTER UPDATE ON articles BEGIN
    INSERT INTO article_search (article_search, rowid, slug, title, summary, tags, body)
    VALUES ('delete', old.id, old.slug, old.title, old.summary, old.tags, old.body);
    INSERT INTO article_search (rowid, slug, title, summary, tags, body)
    VALUES (new.id, new.slug, new.title, new.summary, new.tags, new.body);
END;
"""

SCHEMA_ID: Final = zlib.crc32(SCHEMA.encode()) & 0x7FFF_FFFF
"""Kept in the file's `user_version`, to tell a file of another release."""

BUSY_SECONDS: Final = 10.0


class Database:
    """Connections to one SQLite file, which is built on first use where it does not exist.

    `locate` names the file and `fill` puts the first content into a new one; both are called when
    the database is first used, not before.
    """

    def __init__(
        self, locate: Callable[[], Path], fill: Callable[[sqlite3.Connection], None]
    ) -> None:
        self._locate = locate
        self._fill = fill
        self._file: Path | None = None
        self._opening = Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        # For an application whose lifespan was never run, and so never left either.
        weakref.finalize(self, _close_all, self._idle)

    def open(self) -> Path:
        """Build the file where it is missing; return where it is."""
        if self._file is None:
            with self._opening:
                if self._file is None:
                    self._file = self._prepared()
        return self._file

    def close(self) -> None:
        """Close the idle connections; the next use opens the database again."""
        self._file = None
        _close_all(self._idle)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction, so that all it reads is of one moment."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction that may write; an exception rolls it back."""
        # IMMEDIATE takes the write lock first, so that what is read before the write stays true.
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        file = self.open()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _connect(file)
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # Also after a COMMIT that failed; some errors have rolled back by themselves.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            self._idle.append(connection)

    def _prepared(self) -> Path:
        file = self._locate()
        if not file.exists():
            _build(file, self._fill)
        with closing(_connect(file)) as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != SCHEMA_ID:
            raise RuntimeError(
                f"{str(file)!r} is not a knowledge base of this release (schema {found}, "
                f"expected {SCHEMA_ID}). Delete it, or name another file in KB_DATABASE."
            )
        return file


def state_file(name: str) -> Path:
    """Name a file in the user's state directory, which every worker on this host shares.

    Where there is none that can be written to, the file is a temporary one of this process.
    """
    try:
        folder = _state_directory() / "teamcenter-kb"
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):
        writable = False
    if not writable:
        folder = Path(tempfile.mkdtemp(prefix="teamcenter-kb-"))
        logger.warning(
            "There is no state directory to write to: the knowledge base is kept in %r, for this "
            "process only. Name a file in KB_DATABASE to keep and share it.",
            str(folder),
        )
    return folder / name


def _state_directory() -> Path:
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME"
    if named := os.environ.get(variable):
        return Path(named)
    return Path.home() / ".local" / "state"


def _build(file: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".building-") as folder:
        draft = Path(folder) / file.name
        with closing(_connect(draft)) as connection:
            connection.executescript(SCHEMA)
            connection.execute("BEGIN")
            fill(connection)
            connection.execute("COMMIT")
            connection.execute(f"PRAGMA user_version = {SCHEMA_ID}")
            # Readers do not wait for the writer; kept in the file. Setting it here, while nobody
            # else knows the file, spares the lock that the change needs.
            connection.execute("PRAGMA journal_mode = WAL")
        # Whoever links first wins; the others use that file.
        with suppress(FileExistsError):
            os.link(draft, file)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
