"""An API that is too large to list: clients search its 300 tools with four.

uvicorn examples.large_api:app
fastmcp call http://localhost:8000/mcp search_tools query="close an order"
"""

from collections.abc import Callable

from fastapi import APIRouter, FastAPI

from mcp_mount import mount_mcp

ACTIONS = {
    "list": ("GET", "List {things}, newest first."),
    "get": ("GET", "Return one of the {things} by its number."),
    "create": ("POST", "Create one of the {things}."),
    "close": ("POST", "Close one of the {things}, so that nobody changes it any more."),
    "reopen": ("POST", "Open one of the closed {things} again."),
    "delete": ("DELETE", "Delete one of the {things} for good."),
}
THINGS = [
    *("orders", "invoices", "payments", "refunds", "credits", "quotes", "contracts", "customers"),
    *(
        "contacts",
        "addresses",
        "suppliers",
        "parts",
        "revisions",
        "drawings",
        "materials",
        "stocks",
    ),
    *("warehouses", "shipments", "deliveries", "returns", "complaints", "tickets", "projects"),
    *("tasks", "milestones", "meetings", "documents", "folders", "comments", "users", "groups"),
    *("roles", "machines", "tools", "shifts", "measurements", "inspections", "defects", "audits"),
    *("budgets", "accounts", "taxes", "currencies", "prices", "discounts", "campaigns", "leads"),
    *("surveys", "reports", "exports"),
]

app = FastAPI(title="Everything")


def answer(thing: str, action: str) -> Callable[[int], dict[str, int | str]]:
    """Return the route of one operation."""

    def route(number: int) -> dict[str, int | str]:
        return {"thing": thing, "action": action, "number": number}

    return route


for thing in THINGS:
    router = APIRouter(prefix=f"/{thing}", tags=[thing])
    for action, (method, words) in ACTIONS.items():
        router.add_api_route(
            f"/{{number}}/{action}",
            answer(thing, action),
            methods=[method],
            operation_id=f"{action}_{thing}",
            summary=words.format(things=thing),
        )
    app.include_router(router)

# What is used all day is listed beside the search.
mount_mcp(app, surface="search", pinned=["list_orders"])
