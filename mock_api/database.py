"""Connections to the SQLite file for any thread, and what is told when it cannot be used.

* It is opened on first use, once, however many threads or processes arrive at the same time.
* It is looked for before each use: where it is gone, nothing is written to what nobody finds again.
"""

import logging
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Literal

from mock_api.building import (
    BUSY_SECONDS,
    LARGE_JOURNAL,
    SCHEMA_ID,
    build,
    connect,
    remove_abandoned,
)
from mock_api.errors import StorageError
from mock_api.faults import FOREIGN, GONE, explained

logger = logging.getLogger(__name__)

Mode = Literal["BEGIN", "BEGIN IMMEDIATE"]

READ: Final = "BEGIN"
# IMMEDIATE takes the write lock first, so that what is read before the write stays true.
WRITE: Final = "BEGIN IMMEDIATE"

_EMPTYING_SECONDS: Final = 6.0
"""For those who read to leave: before the file is written to, and once more after it. A search
takes two at the most."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The file that was opened, told from another one in its place, and idle connections to it."""

    file: Path
    identity: tuple[int, int]
    idle: deque[sqlite3.Connection] = field(default_factory=deque)

    @property
    def journal_size(self) -> int:
        """How large the file is that SQLite keeps beside it."""
        try:
            return Path(f"{self.file}-wal").stat().st_size
        except OSError:
            return 0


class Database:
    """Connections to one SQLite file, which is built on first use where it does not exist.

    `locate` names the file and `fill` puts the first content into a new one; both are called when
    the database is first used, not before. `patience` is how many seconds to wait for others.
    """

    def __init__(
        self,
        locate: Callable[[], Path],
        fill: Callable[[sqlite3.Connection], None],
        patience: float = BUSY_SECONDS,
    ) -> None:
        self._locate = locate
        self._fill = fill
        self._patience = patience
        self._opened: _Opened | None = None
        self._opening = Lock()
        self._faults: dict[Mode, StorageError] = {}
        self._emptied_at = LARGE_JOURNAL

    def open(self) -> Path:
        """Build the file where it is missing; return where it is.

        Raises:
            StorageError: it cannot be used.
        """
        with self._noting(READ):
            return self._current().file

    def close(self) -> None:
        """Close the idle connections; the next use opens the database again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            _close_all(opened.idle)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction, so that all it reads is of one moment.

        Raises:
            StorageError: the file cannot be used.
        """
        with self._noting(READ), self._transaction(READ) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction that may write; an exception rolls it back.

        Raises:
            StorageError: the file cannot be used.
        """
        with self._noting(WRITE), self._transaction(WRITE) as connection:
            yield connection

    def write_fault(self) -> StorageError | None:
        """Return what the last write has met, if writing does not work again by now."""
        if WRITE in self._faults:
            try:
                with self.writing() as connection:
                    # What it is already; the page is written all the same.
                    connection.execute(f"PRAGMA user_version = {SCHEMA_ID}")
            except StorageError as error:
                return error
        return None

    @contextmanager
    def _noting(self, mode: Mode) -> Iterator[None]:
        """Log what goes wrong when it begins, and when it is over; not each time between."""
        try:
            yield
        except StorageError as error:
            self._note(mode, error)
            raise
        if self._faults.pop(mode, None) is not None:
            logger.info("The knowledge base can be used again")

    def _note(self, mode: Mode, error: StorageError) -> None:
        before = self._faults.get(mode)
        self._faults[mode] = error
        if before is None or before.advice != error.advice:
            logger.error("The knowledge base cannot be used. %s%s", error.advice, _cause(error))

    @contextmanager
    def _transaction(self, begin: Mode) -> Iterator[sqlite3.Connection]:
        opened = self._current()
        with explained(opened.file):
            try:
                connection = opened.idle.pop()
            except IndexError:
                connection = connect(opened.file, self._patience)
            is_sound = False
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
                is_sound = True
                if begin == WRITE and opened.journal_size > self._emptied_at:
                    self._empty_journal(opened, connection)
            except BaseException as error:
                # Also after a COMMIT that failed; some errors have rolled back by themselves.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                is_sound = not isinstance(error, sqlite3.Error)
                raise
            finally:
                if is_sound and opened is self._opened:
                    opened.idle.append(connection)
                else:
                    connection.close()

    def _empty_journal(self, opened: _Opened, connection: sqlite3.Connection) -> None:
        """Empty SQLite's journal, which grows for as long as there is always somebody who reads."""
        size = opened.journal_size
        connection.execute(f"PRAGMA busy_timeout = {_EMPTYING_SECONDS * 1000:.0f}")
        try:
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            # What was written is written.
            logger.warning("The journal of %r cannot be emptied: %s", str(opened.file), error)
            is_busy = True
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}")
        # Who reads for ever in another process does not hold up each write from now on.
        self._emptied_at = 2 * size if is_busy else LARGE_JOURNAL

    def _current(self) -> _Opened:
        """Return the file as it is opened; open it where it is not, or is another one by now."""
        opened = self._opened
        if opened is not None and _identity(opened.file) == opened.identity:
            return opened
        with self._opening:
            # Unless another thread has done it, or nobody needs it to be done.
            if self._opened is None or self._opened is opened:
                self._opened = self._reopened(self._opened)
            return self._opened

    def _reopened(self, before: _Opened | None) -> _Opened:
        file = before.file if before is not None else self._locate()
        with explained(file):
            if before is not None and not file.exists():
                raise GONE.at(file)
            if not file.exists():
                build(file, self._fill)
            remove_abandoned(file.parent)
            with closing(connect(file, self._patience)) as connection:
                (found,) = connection.execute("PRAGMA user_version").fetchone()
            identity = _identity(file)
        if found != SCHEMA_ID:
            raise FOREIGN.at(file)
        if identity is None:
            raise GONE.at(file)
        if before is not None:
            _close_all(before.idle)
        opened = _Opened(file, identity)
        # For an application whose lifespan was never run, and so never left either.
        weakref.finalize(self, _close_all, opened.idle)
        return opened


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _cause(error: StorageError) -> str:
    return f" ({error.__cause__})" if error.__cause__ is not None else ""


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
