"""Headers that go no further (RFC 9110 §7.6.1, §7.8, §10.1.4), and those that say who calls."""

import re
from collections.abc import Iterable
from typing import Final

OF_THE_CONNECTION: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        "upgrade",
    )
)
"""In lower case. Each place that passes headers on adds to them what is not meant for it."""

_CREDENTIAL: Final = re.compile(r"auth|cookie|key|secret|token", re.IGNORECASE)


def names_credential(name: str) -> bool:
    """Whether a header of this name holds a key or token, e.g. ``X-Api-Key``."""
    return _CREDENTIAL.search(name) is not None


def describe_refused(names: Iterable[str]) -> str | None:
    """Say that a key or token in headers of these names was refused; None where there is none.

    The header's name decides, such as ``X-Api-Key``: what its value means only the server knows.
    """
    given = [repr(name) for name in names if names_credential(name)]
    if not given:
        return None
    return f"The key or token in {' and '.join(given)} is not accepted"
