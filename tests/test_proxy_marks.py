"""What the marks in a document that is not the app's own may say: less, and not more."""

import logging
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from mcp_mount import API, Limits, gateway_app, proxy_app
from tests.support import ERAS, Era, call, served
from tests.test_confirm import ask, is_question

MAX_BYTES = 1_000


def things(mark: dict[str, Any]) -> FastAPI:
    """Return an API whose operations have a mark."""
    app = FastAPI()

    @app.get("/long", openapi_extra={"x-mcp": mark}, operation_id="long")
    async def long() -> PlainTextResponse:
        return PlainTextResponse("0123456789" * 500)

    @app.delete("/thing", openapi_extra={"x-mcp": mark}, operation_id="remove")
    async def remove() -> str:
        return "removed"

    return app


def offered(app: FastAPI, url: str, *, kind: str, **options: Any) -> FastAPI:
    """Return a proxy of it, or a gateway."""
    if kind == "proxy":
        return proxy_app(app.openapi(), url, **options)
    return gateway_app([API("api", openapi=app.openapi(), upstream=url)], **options)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["proxy", "gateway"])
@pytest.mark.parametrize(
    "mark",
    [
        {"limits": {"max_bytes": 10**12, "timeout": 1e6, "max_concurrency": 10**6}},
        {"limits": {"max_result_chars": False}},
        {"confirm": False},
        {"annotations": {"destructiveHint": False}},
    ],
    ids=str,
)
async def test_the_mark_of_an_api_neither_raises_a_limit_nor_switches_a_question_off(
    mark: dict[str, Any], kind: str, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy: the document is the API's, and the limits are of who offers it."""
    api = things(mark)
    with served(api) as url, caplog.at_level(logging.WARNING, "mcp_mount"):
        limits = Limits(max_bytes=MAX_BYTES, max_result_chars=400)
        app = offered(api, url, kind=kind, limits=limits, confirm="destructive")
        text = (await call(app, prefixed("long", kind), era=era)).text_content
        assert len(text) < MAX_BYTES
        assert is_question(await ask(app, prefixed("remove", kind), {}))
    (line,) = [each.getMessage() for each in caplog.records if "x-mcp" in each.getMessage()]
    assert "DELETE /thing" in line


def prefixed(name: str, kind: str) -> str:
    return name if kind == "proxy" else f"api_{name}"


async def test_the_mark_of_an_api_lowers_limits_and_asks() -> None:
    """Proxy: and hides, as every mark does."""
    api = things({"limits": {"max_bytes": 10}, "confirm": True})
    with served(api) as url:
        app = proxy_app(api.openapi(), url)
        assert "Ended at the limit of 10 bytes" in (await call(app, "long")).text_content
        assert is_question(await ask(app, "long", {}))
        assert is_question(await ask(app, "remove", {}))


@pytest.mark.parametrize("era", ERAS)
async def test_what_the_operator_says_of_a_tool_may_do_all(era: Era) -> None:
    """Proxy: `tools=` is said by who sets the limits."""
    api = things({})
    more = {"limits": {"max_bytes": 10 * MAX_BYTES}, "confirm": False}
    with served(api) as url:
        limits = Limits(max_bytes=MAX_BYTES)
        app = proxy_app(api.openapi(), url, limits=limits, confirm="destructive", tools={"*": more})
        assert len((await call(app, "long", era=era)).text_content) == 5 * MAX_BYTES
        assert not is_question(await ask(app, "remove", {}))
