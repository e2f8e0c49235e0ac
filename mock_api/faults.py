"""What can be wrong with the file of the knowledge base, in words for who asks and for the log.

Who asks is told what can still be done, and never where the file is; the log has that.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mock_api.errors import StorageBusy, StorageError, StorageFull

_OPERATOR: Final = "Whoever runs the service finds in its log what to do."


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be wrong: what a caller is told, and what the log adds to it."""

    error: type[StorageError]
    detail: str
    advice: str

    def at(self, file: Path) -> StorageError:
        """Return the error to raise for this file."""
        return self.error(self.detail, f"{self.advice} The file is {str(file)!r}.")


GONE: Final = Fault(
    StorageError,
    f"The knowledge base's file is gone. {_OPERATOR}",
    "The database was deleted or moved while the service runs. Put it back, or restart the service,"
    " which makes a new one with the shipped articles.",
)
FOREIGN: Final = Fault(
    StorageError,
    f"The knowledge base's file is not one of this release. {_OPERATOR}",
    "It is no knowledge base of this release. Move it away, or name another file in KB_DATABASE.",
)
FULL: Final = Fault(
    StorageFull,
    "The disk of the knowledge base is full: nothing was changed, and nothing can be until there is"
    " room. Reading goes on.",
    "The disk is full. Make room on it, or name a file on another one in KB_DATABASE.",
)
READ_ONLY: Final = Fault(
    StorageError,
    f"The knowledge base cannot be changed: its file is read-only. {_OPERATOR}",
    "It cannot be written to. Let the service's user write to the file and to its folder, or name"
    " another file in KB_DATABASE.",
)
BUSY: Final = Fault(
    StorageBusy,
    "The knowledge base is being changed by somebody else for too long: nothing was changed. Try"
    " again in a moment.",
    "Another program has kept the database locked: find it (`fuser` names it), and end it.",
)
CLOSED: Final = Fault(
    StorageError,
    f"The knowledge base's file cannot be opened. {_OPERATOR}",
    "It cannot be opened. Let the service's user read and write the file and its folder, or name"
    " another file in KB_DATABASE.",
)
DAMAGED: Final = Fault(
    StorageError,
    f"The knowledge base's file is damaged. {_OPERATOR}",
    "It is damaged. Stop the service, and put a backup in its place, or move it away to begin with"
    " the shipped articles.",
)
UNREADABLE: Final = Fault(
    StorageError,
    f"The disk of the knowledge base fails. {_OPERATOR}",
    "The disk could not be read or written. Look for its errors in the system's log.",
)

_OF_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_CANTOPEN: CLOSED,
    sqlite3.SQLITE_PERM: CLOSED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: UNREADABLE,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: FOREIGN,
}
_OF_SYSTEM: Final = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.ENOTDIR: CLOSED,
    errno.EEXIST: CLOSED,
    errno.EIO: UNREADABLE,
}


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Raise `StorageError` for what is wrong with the file; other errors pass as they are."""
    try:
        yield
    except sqlite3.Error as error:
        # The lower byte is the error, the others say more of it (https://sqlite.org/rescode.html).
        fault = _OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if fault is None:
            raise
        raise fault.at(file) from error
    except OSError as error:
        fault = _OF_SYSTEM.get(error.errno or 0)
        if fault is None:
            raise
        raise fault.at(file) from error
