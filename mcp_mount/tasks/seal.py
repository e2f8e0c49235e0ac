"""Seals what a store keeps of a task: the caller's credential, the arguments, and the result."""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken

from mcp_mount.conversion.texts import write_utf8

_USE: Final = b"mcp_mount: tasks, "
"""What keys made of one secret are for, so that none serves for something else."""


class Unreadable(Exception):
    """What was sealed cannot be opened: with another key, or because it was changed."""


class Seal:
    """Seals with AES and HMAC (Fernet), and names things so that a name tells nothing."""

    def __init__(self, key: str | None) -> None:
        """Take a secret, the same in all processes; None where there is only this one."""
        secret = (key or secrets.token_hex(32)).encode()
        self._names = hmac.digest(secret, _USE + b"names", hashlib.sha256)
        sealing = hmac.digest(secret, _USE + b"values", hashlib.sha256)
        self._fernet = Fernet(base64.urlsafe_b64encode(sealing))

    def close(self, value: Any) -> bytes:
        """Return a value of JSON, sealed."""
        return self.close_bytes(write_utf8(value))

    def close_bytes(self, written: bytes) -> bytes:
        """Return a value that is written already, sealed."""
        return self._fernet.encrypt(written)

    def open(self, sealed: bytes) -> Any:
        """Return what was sealed.

        Raises:
            Unreadable: it was not sealed with our key.
        """
        return json.loads(self.open_bytes(sealed))

    def open_bytes(self, sealed: bytes) -> bytes:
        """Return what was sealed, as it was written.

        Raises:
            Unreadable: as for `open`.
        """
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise Unreadable from None

    def name(self, *said: str) -> str:
        """Return the name of something in the store, from which nobody learns what it is."""
        return hmac.new(self._names, "\0".join(said).encode(), hashlib.sha256).hexdigest()[:40]
