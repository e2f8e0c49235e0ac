"""What every test has: the asyncio backend, and no clock in property tests."""

from collections.abc import Generator, Iterator
from typing import Final

import pytest
from hypothesis import settings

from tests.elsewhere import Place, a_place, elsewhere

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no_clock", deadline=None)
settings.load_profile("no_clock")


HEAVY: Final = frozenset(
    """
    mock_api/test_settings.py test_answers_held.py test_arguments_hostile.py test_bodies_large.py
    test_broken_documents.py test_commands_bounds.py test_docs_signing_in.py
    test_docs_troubleshooting.py test_event_size.py test_examples.py test_fastlane_same.py
    test_forgetting.py test_fuzz.py test_gateway_cancel.py test_gateway_models.py
    test_gateway_patterns.py test_gateway_sessions.py test_gateway_time.py test_heavy_schemas.py
    test_leaving.py test_linear.py test_lists_large.py test_long_texts.py test_package.py
    test_readme.py
    test_search_remotes.py test_shutdown.py test_sse_unread.py test_start_log.py test_structure.py
    test_system.py test_tasks_shared.py test_telemetry.py test_testing.py
    """.split()  # noqa: SIM905 - forty lines otherwise
)
"""Files that take half of the time: what runs in processes of its own, and the worst that limits
let through. They run with `make faults`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of heavy files."""
    for item in items:
        if item.path.relative_to(config.rootpath / "tests").as_posix() in HEAVY:
            item.add_marker(pytest.mark.faults)


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
