"""What the operations share: their store, their settings, and how they document refusals."""

from collections.abc import Mapping
from inspect import signature
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Request

from mock_api.models import Error
from mock_api.settings import Settings
from mock_api.store import Store

REASONS = {
    401: "The service is not open, and the request has no credential that it accepts.",
    403: "The access token lacks a scope.",
    404: "There is no such article or attachment.",
    406: "The service has none of the representations that are accepted.",
    409: "Something of this name is there already.",
    413: "The request, or the file in it, is too large.",
    502: "The model has failed, or refuses to answer.",
    503: "What the answer needs, such as the database or the model, cannot be used now.",
    504: "The model has not finished in time.",
    507: "The disk is full, and nothing was changed.",
    508: "The question comes from the answer to another one.",
}


def get_store(request: Request) -> Store:
    """Return the knowledge base of the application."""
    return cast("Store", request.app.state.store)


def get_settings(request: Request) -> Settings:
    """Return the settings of the application."""
    return cast("Settings", request.app.state.settings)


def check_readable(request: Request) -> None:
    """Refuse what could only break off: a stream has its status before its first item is read.

    Raises:
        StorageError: nothing can be read.
    """
    get_store(request).count()


StoreDep = Annotated[Store, Depends(get_store)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
READABLE = [Depends(check_readable)]
SlugPath = Annotated[
    str, Path(description="The article's slug, as search_articles gives it.", max_length=80)
]


def router_of(tag: str, *, most: int) -> APIRouter:
    """Return a router whose requests may have so many bytes, with a FastAPI that bounds them."""
    can_bound = "max_body_size" in signature(APIRouter).parameters
    options: dict[str, Any] = {"max_body_size": most} if can_bound else {}
    return APIRouter(tags=[tag], **options)


def refusals(
    *statuses: int, reasons: Mapping[int, str] = REASONS
) -> dict[int | str, dict[str, Any]]:
    """Document refusals, as JSON whatever the operation answers otherwise."""
    # Not `model=`: FastAPI would document it with the media type of the operation's success.
    content = {"application/json": {"schema": Error.model_json_schema()}}
    return {status: {"description": reasons[status], "content": content} for status in statuses}


def headers(**texts: str) -> dict[str, Any]:
    """Document response headers: `headers(location="The new article.")`."""
    return {
        "headers": {
            name.replace("_", "-").title(): {"description": text, "schema": {"type": "string"}}
            for name, text in texts.items()
        }
    }
