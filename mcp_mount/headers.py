"""Headers that speak of one connection (RFC 9110 §7.6.1, §7.8, §10.1.4), and go no further."""

from typing import Final

OF_THE_CONNECTION: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        "upgrade",
    )
)
"""In lower case. Each place that passes headers on adds to them what is not meant for it."""
