"""Whether an app has the routes that it had."""

from fastapi import FastAPI
from starlette.routing import BaseRoute


class Changes:
    """Tells of new routes of an app whose OpenAPI document does not.

    FastAPI's own document is another object as soon as there is another route. One that the app
    writes itself may be written anew each time, at a cost that grows with the routes, or never.

    A class because it holds an app of its own that FastAPI tells of new routes.
    """

    def __init__(self, app: FastAPI) -> None:
        """Take the app; routes, and an `openapi` of its own, may still be added to it."""
        self._app = app
        self._watch = _Watch(openapi_url=None)

    def __call__(self) -> object:
        """Return an object that is another one when routes have been added.

        None where the document is FastAPI's, which tells it by itself.
        """
        if getattr(self._app.openapi, "__func__", None) is FastAPI.openapi:
            return None
        self._watch.router = self._app.router
        return self._watch.openapi()


class _Watch(FastAPI):
    """An app with the router of another, whose document costs nothing because it shows no route."""

    @property
    def routes(self) -> list[BaseRoute]:
        return []
