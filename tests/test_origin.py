"""Which pages may call: the check of the `Origin` header, by itself."""

import pytest

from mcp_mount import MountError
from mcp_mount.access.origin import Origins


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "kb.example", True),
        ("http://localhost:6274", "localhost:8000", True),
        ("http://127.0.0.1", "[::1]:8000", True),
        ("http://127.8.9.10", "localhost", True),
        ("https://app.example", "kb.example", True),
        ("https://APP.example:443", "kb.example", True),
        ("https://kb.example", "internal:8000", True),
        ("http://app.example", "kb.example", False),
        ("https://app.example:444", "kb.example", False),
        ("https://app.example.evil", "kb.example", False),
        ("http://evil.example:8000", "evil.example:8000", False),
        ("http://localhost:6274", "kb.example", False),
        ("http://evil.example", "localhost:8000", False),
        ("http://localhost.evil.example", "localhost:8000", False),
        ("null", "localhost:8000", False),
        ("", "localhost:8000", False),
        ("http://[::1", "localhost:8000", False),
        ("http://localhost:99999999", "localhost:8000", False),
        ("http://localhost", None, False),
    ],
)
def test_an_origin_is_allowed_if_it_is_listed_public_or_loopback_with_loopback(
    origin: str | None, host: str | None, *, allowed: bool
) -> None:
    """X4: a page that rebinds its own name has that name as Origin and as Host, and is refused."""
    origins = Origins(["https://app.example"], public_url="https://kb.example/mcp")
    assert origins.allow(origin, host) is allowed


def test_a_star_allows_every_origin() -> None:
    """X4: an application that is meant for every page says so."""
    assert Origins(["*"]).allow("https://anything.example", "kb.example")


@pytest.mark.parametrize("entry", ["app.example", "https://", "", "https://[::1", "localhost:8000"])
def test_an_entry_that_is_no_origin_stops_the_start_up(entry: str) -> None:
    """X4: a list that would never match says what an entry looks like."""
    with pytest.raises(MountError, match=r"https://app\.example"):
        Origins([entry])
