"""How the SQLite file comes into being: its place, its schema and its first content.

A file that exists is whole: it is built aside, with its content, and then linked into its place.
"""

import logging
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
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
"""How long a connection waits for others to unlock the file."""

LARGE_JOURNAL: Final = 16 * 1024 * 1024
"""Bytes of what was written and is not in the file itself yet; 4 MB are usual."""

BUILDING: Final = ".building-"

ABANDONED_SECONDS: Final = 600.0
"""After which a building that another host has begun was abandoned; it takes less than a second."""


def connect(file: Path, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time."""
    connection = sqlite3.connect(
        file, timeout=patience, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        # SQLite would keep the largest that there ever was.
        connection.execute(f"PRAGMA journal_size_limit = {LARGE_JOURNAL}")
    except BaseException:
        connection.close()
        raise
    return connection


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


def build(file: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Build a new file, unless somebody else has built it first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Of a file that was deleted. SQLite would take it for changes to the new one.
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=_prefix()) as folder:
        draft = Path(folder) / file.name
        with closing(connect(draft)) as connection:
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


def remove_abandoned(folder: Path) -> None:
    """Remove what is left of buildings whose process was killed."""
    for leftover in folder.glob(f"{BUILDING}*"):
        if _is_abandoned(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
            logger.info("Removed %r, left by a start that was killed", str(leftover))


def _prefix() -> str:
    """Name who builds: `".building-kb1-4711-"`."""
    return f"{BUILDING}{socket.gethostname()}-{os.getpid()}-"


def _is_abandoned(leftover: Path) -> bool:
    try:
        age = time.time() - leftover.stat().st_mtime
    except OSError:
        # Whoever it belongs to has finished.
        return False
    host, _, process = leftover.name.removeprefix(BUILDING).rpartition("-")[0].rpartition("-")
    is_ours = host == socket.gethostname() and process.isdigit() and int(process) != os.getpid()
    # On Windows, asking whether a process lives would end it.
    if is_ours and sys.platform != "win32":
        return not _is_alive(int(process))
    return age > ABANDONED_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
