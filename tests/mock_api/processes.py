"""What tests run in other processes; apart from the tests, so that these processes start fast."""

from pathlib import Path

from mock_api.store import Store


def count_articles(file: Path) -> int:
    """Open the database as another worker does."""
    store = Store(file)
    try:
        return store.count()
    finally:
        store.close()
