"""What a model reads of a tool: words that tell it from the others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from mcp_mount import mount_mcp
from tests.support import tools


class Order(BaseModel):
    number: int


async def described(app: FastAPI) -> dict[str, str]:
    mount_mcp(app)
    return {name: tool["description"] for name, tool in (await tools(app)).items()}


def id_of(route: APIRoute) -> str:
    return f"orders-{route.name}"


@pytest.mark.parametrize("options", [{}, {"generate_unique_id_function": id_of}])
async def test_a_summary_made_of_the_name_is_not_said_twice(options: Any) -> None:
    """P3, P4: FastAPI's "Get Thing" says no more than the docstring."""
    app = FastAPI(**options)

    @app.get("/thing/{thing_id}")
    async def get_thing(thing_id: int) -> int:
        """Return one thing."""
        return thing_id

    @app.get("/named", summary="Named by hand")
    async def named() -> int:
        """Return a number."""
        return 1

    @app.get("/words", summary="Words only")
    async def words() -> int:
        return 1

    listed = await described(app)
    assert {*listed.values()} == {
        *("Return one thing.", "Named by hand. Return a number.", "Words only")
    }


async def test_without_any_words_a_tool_says_what_is_called_and_what_comes_back() -> None:
    """P3: "Get Order" is what its name says already."""
    app = FastAPI()

    @app.get("/orders/{number}")
    async def get_order(number: int) -> Order:
        return Order(number=number)

    @app.get("/orders")
    async def get_orders() -> list[Order]:
        return []

    @app.get("/changes")
    async def changes() -> AsyncIterator[Order]:
        yield Order(number=1)

    @app.get("/count")
    async def count() -> int:
        return 1

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return ""

    @app.get("/file", response_class=FileResponse)
    async def file() -> str:
        return ""

    @app.delete("/orders/{number}", status_code=204)
    async def delete_order(number: int) -> None: ...

    @app.get("/any")
    async def anything(): ...  # type: ignore[no-untyped-def] # noqa: ANN202 - as many write them

    assert await described(app) == {
        "get_order": "GET /orders/{number}. Returns Order.",
        "get_orders": "GET /orders. Returns a list of Order.",
        "changes": "GET /changes. Returns a stream of Order.",
        "count": "GET /count. Returns integer.",
        "text": "GET /text. Returns text/plain.",
        "file": "GET /file",
        "delete_order": "DELETE /orders/{number}",
        "anything": "GET /any",
    }


async def test_two_versions_of_one_operation_are_told_apart_by_their_paths() -> None:
    """P3: in the first words; one that stands alone is left as it is."""
    app, router = FastAPI(), APIRouter()

    @router.get("/orders")
    async def list_orders() -> list[Order]:
        """List the orders."""
        return []

    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")

    @app.get("/alone")
    async def alone() -> None:
        """Stand alone."""

    assert await described(app) == {
        "list_orders_v1_orders": "GET /v1/orders: List the orders.",
        "list_orders_v2_orders": "GET /v2/orders: List the orders.",
        "alone": "Stand alone.",
    }


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            "<p>Finds <b>all</b> orders.</p><p>Not &lt;some&gt;.</p>",
            "Finds all orders.\nNot <some>.",
        ),
        ("One<br/>two<BR>three", "One\ntwo\nthree"),
        ('See <a href="https://a.example/">the docs</a> &amp; more', "See the docs & more"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("The `<order-id>` of List<Order>, if 1 < 2 & 3 > 2", None),
        ("a=1&copy=2&lt=3", None),
        ("<p" * 900, None),
    ],
)
async def test_html_in_a_description_is_text(written: str, read: str | None) -> None:
    """P3, P4: tags cost tokens; what only looks like one stays."""
    app = FastAPI()

    @app.get("/a", description=written)
    async def shown() -> None: ...

    assert (await described(app))["shown"] == (written if read is None else read)
