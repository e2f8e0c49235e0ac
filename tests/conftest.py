"""What every test has: the asyncio backend, and no clock in property tests."""

from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.elsewhere import Place, a_place, elsewhere

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no_clock", deadline=None)
settings.load_profile("no_clock")


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Let two more workers run than xdist would: many tests wait for other programs."""
    return (yield) + 2


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """uvicorn, which serves the app, runs on asyncio; so do the tests."""
    return "asyncio"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of what a call promises for both callers, unless one is about the app here."""
    if "either_caller" in metafunc.fixturenames:
        is_here = metafunc.definition.get_closest_marker("in_process")
        callers = ["in process"] if is_here else ["in process", "elsewhere"]
        metafunc.parametrize("either_caller", callers, indirect=True)


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    with a_place() as place:
        yield place


@pytest.fixture
def either_caller(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Run a test twice: with calls in process, and with calls over HTTP to the same app."""
    if request.param == "in process":
        yield
        return
    with elsewhere(request.getfixturevalue("place")) as mount:
        monkeypatch.setattr(request.module, "mount_mcp", mount)
        yield
