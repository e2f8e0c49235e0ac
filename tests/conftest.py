"""What every test has: the asyncio backend, and no clock in property tests."""

import pytest
from hypothesis import settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no_clock", deadline=None)
settings.load_profile("no_clock")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """uvicorn, which serves the app, runs on asyncio; so do the tests."""
    return "asyncio"
