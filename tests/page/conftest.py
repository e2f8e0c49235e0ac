"""A Chromium, and pages in it that complain of nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

OpenPage = Callable[..., Any]
"""Opens the page of a server: ``open_page(url, color_scheme="dark")``."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    # `make page` brings it; mypy and the test of the imports have no need to know it.
    playwright = pytest.importorskip("playwright.sync_api")
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    assert program, "There is no Chromium; on Debian or Ubuntu: sudo apt install chromium"
    with playwright.sync_playwright() as driver:
        # Chromium has no sandbox for root, whom containers often are.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Open pages, and fail with whatever a browser complains of: a policy, a script, a request."""
    complaints: list[str] = []
    contexts = []

    def complain(message: Any) -> None:
        # A refusal that the page shows is told here too.
        if message.type in {"error", "warning"} and "status of 40" not in message.text:
            complaints.append(message.text)

    def opened(url: str, **options: Any) -> Any:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/mcp")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
