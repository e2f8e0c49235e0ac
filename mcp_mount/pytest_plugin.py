"""The fixture ``mcp_client`` of pytest, which every project has where this package is installed.

    # pyproject.toml:  [tool.pytest.ini_options]  mcp_app = "parts.main:app"

    async def test_a_part_is_found(mcp_client) -> None:
        async with mcp_client() as mcp:
            ...

It imports nothing of the package before a test asks for it.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

Connect = Callable[..., AbstractAsyncContextManager[Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``mcp_app``."""
    help_text = 'the app that the fixture mcp_client is connected to, e.g. "parts.main:app"'
    parser.addini("mcp_app", help_text, default="")


@pytest.fixture
def mcp_app(pytestconfig: pytest.Config) -> Any:
    """The app of `mcp_client`; a project can have a fixture of its own instead."""
    name = pytestconfig.getini("mcp_app")
    if not name:
        raise pytest.UsageError(
            'mcp_client does not know the app: write mcp_app = "module:attribute" into pytest\'s '
            "settings, or a fixture mcp_app that returns it."
        )
    from mcp_mount.finding import import_app  # noqa: PLC0415

    return import_app(name)


@pytest.fixture
def mcp_client(mcp_app: Any) -> Connect:
    """Return what connects a client to the app, with the options of `mcp_mount.testing.client`.

    A test writes ``async with mcp_client(headers=…) as mcp``.
    """
    from mcp_mount.testing import client  # noqa: PLC0415

    def connect(**options: Any) -> AbstractAsyncContextManager[Any]:
        return client(mcp_app, **options)

    return connect
