"""The service itself: its clock, its health and its front door."""

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from mock_api.errors import StorageError
from mock_api.models import Health
from mock_api.routes.common import StoreDep

router = APIRouter(tags=["service"])
health_router = APIRouter(tags=["service"])
home_router = APIRouter(include_in_schema=False)

HOME: Final = "/mcp"
"""Where a browser that asks for `/` is sent."""


@router.get(
    "/server-time",
    operation_id="get_server_time",
    summary="Get the server's time",
    response_class=PlainTextResponse,
)
def get_server_time(response: Response) -> str:
    """Return the server's current date and time, in UTC and ISO 8601."""
    response.headers["Cache-Control"] = "no-store"
    return f"[MCP Server Time] {datetime.now(UTC).isoformat(timespec='seconds')}"


@home_router.get("/")
def home(request: Request) -> RedirectResponse:
    """Send who has only the address to what there is to see."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{HOME}")


@health_router.get(
    "/health",
    operation_id="health",
    summary="Check the service",
    openapi_extra={"x-mcp": False},
    response_model_exclude_none=True,
    responses={503: {"model": Health, "description": "The service cannot answer."}},
)
def health(store: StoreDep, response: Response) -> Health:
    """Tell load balancers whether the service can answer; it needs no key.

    Where it can be read but not changed, such as with a full disk, it is `degraded`, with 200.
    """
    try:
        articles = store.count()
    except StorageError as error:
        response.status_code = error.status
        return Health(status="failing", detail=str(error))
    if (fault := store.write_fault()) is not None:
        return Health(status="degraded", articles=articles, detail=str(fault))
    return Health(articles=articles)
