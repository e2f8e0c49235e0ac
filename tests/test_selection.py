"""Which operations are offered: marks on the routes, `include=`, then `exclude=`."""

from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from mcp_mount import InvalidMark, InvalidSelector, NameClash, Operation, mount_mcp
from mcp_mount.openapi.operations import read_operations
from mcp_mount.tools.marks import Selector
from mcp_mount.tools.selection import select
from tests.support import call, tools


def library() -> FastAPI:
    app = FastAPI()
    for tag in ("books", "films"):
        router = APIRouter(prefix=f"/{tag}", tags=[tag])
        router.get("", name="list")(lambda: "listed")
        router.delete("/{id_}", name=f"delete_{tag[:-1]}")(lambda id_: f"deleted {id_}")
        app.include_router(router)
    app.get("/admin/[a]", name="inspect", operation_id="adminInspect")(lambda: "inspected")
    return app


ALL = {"list_books", "list_films", "delete_book", "delete_film", "adminInspect"}


def offered(
    app: FastAPI, include: Sequence[Selector] = (), exclude: Sequence[Selector] = ()
) -> set[str]:
    operations = read_operations(app.openapi())
    return {offer.name for offer in select(operations, include=include, exclude=exclude)}


def is_delete(operation: Operation) -> bool:
    return operation.method == "DELETE"


def is_trace(operation: Operation) -> bool:
    return operation.method == "TRACE"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("list_books", {"list_books"}),
        ("delete_*", {"delete_book", "delete_film"}),
        ("adminInspect", {"adminInspect"}),
        ("list_films_get", {"list_films"}),  # FastAPI's generated operation id
        ("tag:books", {"list_books", "delete_book"}),
        ("tag:*", ALL - {"adminInspect"}),
        ("/books*", {"list_books", "delete_book"}),
        ("/books/{id_}", {"delete_book"}),
        ("/admin/[a]", {"adminInspect"}),
        ("GET /films", {"list_films"}),
        ("get /films", {"list_films"}),
        ("DELETE *", {"delete_book", "delete_film"}),
        ("* /admin/*", {"adminInspect"}),
        (is_delete, {"delete_book", "delete_film"}),
    ],
)
def test_a_selector_is_a_name_an_id_a_tag_a_path_a_method_and_path_or_a_callable(
    selector: Selector, expected: set[str]
) -> None:
    """Selectors: the same ones leave out and take in."""
    assert offered(library(), include=[selector]) == expected
    assert offered(library(), exclude=[selector]) == ALL - expected


def test_exclude_takes_from_what_include_chose() -> None:
    """Selectors: include first, then exclude, each by any of its selectors."""
    chosen = offered(library(), include=["tag:books", "/films"], exclude=[is_delete])
    assert chosen == {"list_books", "list_films"}


def test_leaving_one_operation_out_renames_no_other() -> None:
    """P2: what a client has allowed by its name stays what it was."""
    assert "list_books" in offered(library(), exclude=["/films"])
    app = FastAPI()
    app.get("/a", name="list", openapi_extra={"x-mcp": False})(lambda: None)
    app.get("/b", name="list")(lambda: None)
    assert offered(app) == {"list_b"}


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
def test_a_clash_of_chosen_names_is_settled_by_leaving_one_out() -> None:
    """P2: a router that is included twice brings the names of its authors twice."""
    app, router = FastAPI(), APIRouter()
    router.get("/search", operation_id="search")(lambda: None)
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    with pytest.raises(NameClash, match="GET /v1/search and GET /v2/search"):
        offered(app)
    assert offered(app, exclude=["/v1/*"]) == {"search"}


async def test_what_is_not_listed_cannot_be_called() -> None:
    """Selectors: one mapping is both the list and what can be called."""
    app = library()
    app.get("/hidden", name="hidden", openapi_extra={"x-mcp": False})(lambda: "leaked")
    mount_mcp(app, exclude=["DELETE *"])
    assert {*await tools(app)} == {"list_books", "list_films", "adminInspect"}
    for name in ("delete_book", "hidden"):
        reply = await call(app, name, {"id_": "1"})
        assert reply.answer["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("selector", "near"),
    [
        ("list_book", "'list_books'"),
        ("tag:book", "'tag:books'"),
        ("/book", "'/books'"),
        ("GET /book", "'GET /books'"),
        ("PUT *", ""),
        ("tag:", ""),
        ("", ""),
        (is_trace, ""),
    ],
)
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_selector_that_matches_nothing_stops_and_names_what_is_near(
    option: str, selector: Selector, near: str
) -> None:
    """Selectors: a typing error must not leave a route exposed."""
    with pytest.raises(InvalidSelector, match="matches no operation") as error:
        offered(library(), **{option: [selector]})
    assert near in str(error.value)


def test_a_selector_that_raises_stops() -> None:
    """Selectors: whoever cannot say does not decide."""

    def broken(operation: Operation) -> bool:
        return bool(operation.tags[0])

    with pytest.raises(InvalidSelector, match=r"IndexError.*GET /admin/\[a\]"):
        offered(library(), exclude=[broken])


async def _later(operation: Operation) -> bool:
    return False


@pytest.mark.parametrize("selector", [None, 3, ("GET", "/books"), _later])
def test_a_selector_of_another_form_stops(selector: Any) -> None:
    """Selectors: above all a coroutine, which would count as true for every operation."""
    with pytest.raises(InvalidSelector):
        offered(library(), exclude=[selector])


def test_one_text_instead_of_a_list_stops() -> None:
    """Selectors: it would be read letter by letter."""
    with pytest.raises(InvalidSelector, match=r"write include=\['list_books'\]"):
        offered(library(), include="list_books")


async def test_a_mark_sets_name_title_description_and_hints() -> None:
    """P3: what an author says in `x-mcp` stands above what follows from the route."""
    app = FastAPI()
    mark = {
        "name": "find",
        "title": "Find",
        "description": "Finds things.",
        "annotations": {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": True},
    }

    @app.post("/search", openapi_extra={"x-mcp": mark})
    async def search() -> None: ...

    @app.get("/shown", openapi_extra={"x-mcp": True})
    async def shown() -> None: ...

    mount_mcp(app)
    listed = await tools(app)
    assert {*listed} == {"find", "shown"}
    found = listed["find"]
    assert (found["title"], found["description"]) == ("Find", "Finds things.")
    assert found["annotations"] == {
        "readOnlyHint": True,
        "destructiveHint": False,
        "openWorldHint": True,
    }


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("hidden", "Expected `object`, got `str`. It is False, or a mapping with any of name,"),
        (0, "Expected `object`, got `int`. It is False, or a mapping"),
        ({"nam": "x"}, "unknown field `nam`. It is False, or a mapping with any of name, title,"),
        ({"title": 3}, "Expected `str | null`, got `int` - at `$.title`."),
        ({"annotations": {"readOnly": True}}, "'\\\\A(readOnlyHint|destructiveHint|"),
        ({"annotations": {"readOnlyHint": "yes"}}, "Expected `bool`, got `str`"),
        ({"annotations": []}, "Expected `object`, got `array` - at `$.annotations`."),
        ({"name": "with space"}, "names the tool 'with space'. Use letters, digits"),
        ({"name": ""}, "names the tool ''"),
        ({"name": "x" * 65}, "a letter first, at most 64."),
    ],
)
def test_a_mark_of_another_form_stops_and_says_where_and_what(mark: object, message: str) -> None:
    """Selectors: unknown keys are an error, so that no typing error goes unseen."""
    app = FastAPI()
    app.get("/a", openapi_extra={"x-mcp": mark})(lambda: None)
    with pytest.raises(InvalidMark) as error:
        offered(app)
    assert str(error.value).startswith("The 'x-mcp' mark of GET /a ")
    assert message in str(error.value)


def test_selectors_are_asked_once_for_each_operation_that_is_shown() -> None:
    """X5: start-up asks each selector once for each operation."""
    asked: list[str] = []

    def remember(operation: Operation) -> bool:
        asked.append(str(operation))
        return True

    offered(library(), include=[remember])
    assert len(asked) == len(ALL)
