"""What each tool is called."""

import random
import re
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import NameClash, mount_mcp
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.tools.naming import give_names
from mcp_mount.tools.selection import select
from tests.support import tools


def operation(text: str, id_: str = "") -> Operation:
    method, path = text.split(" ")
    return Operation(method=method, path=path, id=id_)


def generated(text: str, function: str) -> Operation:
    """An operation with the id that FastAPI makes of a function's name."""
    method, path = text.split(" ")
    slug = re.sub(r"\W", "_", path)
    return operation(text, f"{function}{slug}_{method.lower()}")


def names(*operations: Operation) -> dict[str, str]:
    """The names by method and path, e.g. ``{"GET /users": "list_users"}``."""
    found = give_names([(each, None) for each in operations])
    return dict(zip(map(str, operations), found, strict=True))


async def published(app: FastAPI) -> set[str]:
    return {*await tools(app)}


async def test_a_tool_has_the_name_of_the_function_or_the_operation_id_of_its_author() -> None:
    """P2: FastAPI's generated id is the function's name with path and method behind it."""
    app = FastAPI()

    @app.get("/users/{user_id}")
    async def get_user(user_id: int) -> None: ...

    @app.get("/users/{user_id}/post")
    async def get_user__post(user_id: int) -> None: ...

    @app.get("/private")
    async def __private() -> None: ...

    @app.get("/chosen", operation_id="readChosen")
    async def chosen() -> None: ...

    @app.get("/image", operation_id="read_image_content")
    async def image() -> None: ...

    @app.get("/marked", openapi_extra={"x-mcp": {"name": "as-marked"}})
    async def marked() -> None: ...

    mount_mcp(app)
    assert await published(app) == {
        *("get_user", "get_user__post", "private"),
        *("readChosen", "read_image_content", "as-marked"),
    }


async def test_endpoints_that_are_no_functions_have_names() -> None:
    """P2: a lambda, an object with `__call__` and a method are endpoints, too."""

    class Report:
        def __call__(self) -> None: ...

        def monthly(self) -> None: ...

    app = FastAPI()
    app.get("/lambda")(lambda: None)
    app.get("/object", name="yearly")(Report())
    app.get("/method")(Report().monthly)
    mount_mcp(app)
    assert await published(app) == {"lambda", "yearly", "monthly"}


async def test_functions_of_one_name_are_told_apart_by_path_or_method() -> None:
    """P2: never by `_2`; the name of the path where paths differ, else of the method."""
    app = FastAPI()
    for prefix in ("/users", "/orders"):
        router = APIRouter(prefix=prefix)

        @router.get("")
        async def list() -> None: ...  # noqa: A001 - the usual name in a router

        @router.post("")
        async def create() -> None: ...

        app.include_router(router)

    @app.get("/both")
    @app.put("/both")
    async def both() -> None: ...

    mount_mcp(app)
    assert await published(app) == {
        *("list_users", "list_orders", "create_users", "create_orders", "both_get", "both_put")
    }


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
@pytest.mark.parametrize("options", [{}, {"operation_id": "both"}])
async def test_a_route_of_several_methods_is_a_tool_for_each(options: Any) -> None:
    """P2: FastAPI gives them one id; the method tells them apart, and none stops start-up."""
    app = FastAPI()

    @app.api_route("/both", methods=["GET", "POST", "HEAD", "OPTIONS"], **options)
    async def both() -> None: ...

    mount_mcp(app)
    assert await published(app) == {"both_get", "both_post"}


async def test_head_options_and_trace_are_never_tools() -> None:
    """P2: they say nothing that a model could use."""
    app = FastAPI()

    @app.head("/a")
    @app.options("/a")
    @app.trace("/a")
    async def silent() -> None: ...

    mount_mcp(app)
    assert await published(app) == set()


async def test_a_custom_id_function_is_the_authors_choice() -> None:
    """P2: its ids are taken as they are, cleaned where clients would not accept them."""

    def id_of(route: APIRoute) -> str:
        return f"{route.tags[0]}.{route.name}"

    app = FastAPI(generate_unique_id_function=id_of)
    for tag in ("a", "b"):

        @app.get(f"/{tag}", tags=[tag])
        async def list() -> None: ...  # noqa: A001 - the usual name in a router

    mount_mcp(app)
    assert await published(app) == {"a_list", "b_list"}


def test_ids_of_other_alphabets_do_not_clash() -> None:
    """P2: what is left of them may be the same, but it is not what their authors chose."""
    assert names(operation("GET /a", "获取用户"), operation("GET /b", "创建")) == {
        "GET /a": "get_a",
        "GET /b": "get_b",
    }
    assert names(operation("GET /a", "取user"), operation("GET /b", "建user")) == {
        "GET /a": "user_a",
        "GET /b": "user_b",
    }


def test_two_chosen_names_stop_the_start_with_both_routes_named() -> None:
    """P2: only authors can settle what authors chose."""
    app = FastAPI()
    app.get("/search", operation_id="search")(lambda: None)
    app.get("/find", openapi_extra={"x-mcp": {"name": "Search"}})(lambda: None)
    with pytest.raises(NameClash) as clash:
        select(read_operations(app.openapi()))
    assert "'search'" in str(clash.value)
    assert "'Search'" in str(clash.value)
    assert "GET /search" in str(clash.value)
    assert "GET /find" in str(clash.value)
    assert "operation_id" in str(clash.value)


async def test_a_chosen_name_is_kept_and_the_others_give_way() -> None:
    """P2: a derived name never takes, nor moves, one that an author chose."""
    derived, chosen = generated("GET /a", "search"), operation("GET /b", "search")
    assert names(derived, chosen) == {"GET /a": "search_a", "GET /b": "search"}
    tricky = operation("GET /c", "search_a")
    assert names(derived, chosen, tricky) == {
        "GET /a": "search_a_get",
        "GET /b": "search",
        "GET /c": "search_a",
    }


def test_long_names_are_cut_to_what_every_client_shows_and_stay_apart() -> None:
    """P1, P2: 64 characters at the most, 48 where nobody chose; a hash of the route ends them."""
    one, two = (generated(f"GET /{x}", "long_" * 20) for x in "ab")
    found = names(one, two)
    assert len({*found.values()}) == 2
    assert all(len(name) <= 48 for name in found.values())
    assert names(two)["GET /b"] == found["GET /b"], "a cut name does not depend on the others"
    assert len(names(operation("GET /a", "x" * 70))["GET /a"]) == 64


WORDS = st.sampled_from(["list", "List", "li-st", "list_a", "list_a_get", "x", "list_a_b_get"])
ROUTES = st.sampled_from(
    [f"{m} {p}" for m in ("GET", "POST") for p in ("/a", "/a/b", "/a_b", "/{a}", "/b")]
)
OPERATIONS = st.dictionaries(ROUTES, WORDS, max_size=10)


@given(OPERATIONS, st.randoms(use_true_random=False))
def test_names_are_unique_and_do_not_depend_on_the_order_of_registration(
    routes: dict[str, str], order: random.Random
) -> None:
    """P2: the same operations in another order have the same names."""
    operations = [generated(route, function) for route, function in routes.items()]
    found = names(*operations)
    folded = [name.lower().replace("-", "_") for name in found.values()]
    assert len({*folded}) == len(folded)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,47}", name) for name in found.values())
    order.shuffle(operations)
    assert names(*operations) == found


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_operation_id_and_any_path_give_an_acceptable_name(id_: str, path: str) -> None:
    """P1: whatever a document calls its operations."""
    (name,) = give_names([(Operation("GET", f"/{path}", id=id_), None)])
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name)


def test_a_thousand_clashing_names_take_few_steps() -> None:
    """X5: each operation is given a longer name a few times, however many clash."""
    steps = 0

    class Counted(Operation):
        def __str__(self) -> str:
            nonlocal steps
            steps += 1
            return f"{self.method} {self.path}"

    # The paths differ in what no name can hold, so that only the hash of the route is left.
    paths = [f"/a{'/_-.'[i % 4] * (i // 4 + 1)}b" for i in range(1_000)]
    found = give_names([(Counted("GET", path, id="获取"), None) for path in paths])
    assert len({*found}) == 1_000
    assert steps == 1_000, "the hash is taken once for each"


async def test_an_operation_without_an_id_is_named_by_method_and_path() -> None:
    """P2: other generators than FastAPI leave ids out."""
    app = FastAPI()

    @app.post("/users/{user_id}/mail")
    async def send(user_id: int) -> None: ...

    for methods in app.openapi()["paths"].values():
        for each in methods.values():
            del each["operationId"]
    mount_mcp(app)
    assert await published(app) == {"post_users_user_id_mail"}
