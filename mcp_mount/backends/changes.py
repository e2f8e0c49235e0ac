"""Whether an app has the routes, and the document, that it had."""

from fastapi import FastAPI
from starlette.routing import BaseRoute


class Changes:
    """Tells of new routes of an app whose OpenAPI document does not.

    FastAPI's own document is another object as soon as there is another route. One that the app
    writes itself may be written anew each time, at a cost that grows with the routes, or never.
    """

    def __init__(self, app: FastAPI, *, is_described: bool = True) -> None:
        """Take the app; routes, and an `openapi` of its own, may still be added to it.

        `is_described` says that its own document is in use, and not one that was written elsewhere.
        """
        self._app = app
        self._is_described = is_described
        self._routes = _Watch(openapi_url=None)
        self._written: object = None

    def __call__(self) -> object:
        """Return a token that is another object after every change, to compare by identity.

        Changes are new routes, another function that writes the document, and the app's forgetting
        the document that it kept (as FastAPI's manual shows). None where FastAPI writes the
        document: that is another object itself then.
        """
        openapi = self._app.openapi
        if self._is_described and getattr(openapi, "__func__", None) is FastAPI.openapi:
            return None
        return self.watch()

    def watch(self) -> object:
        """Return such an object whoever writes the document, without having it written."""
        openapi = self._app.openapi
        written = (openapi, self._app.openapi_schema is None)
        if written != self._written:
            self._written, self._routes.openapi_schema = written, None
        self._routes.router = self._app.router
        return self._routes.openapi()


class _Watch(FastAPI):
    """An app with the router of another, whose document costs nothing because it shows no route."""

    @property
    def routes(self) -> list[BaseRoute]:
        return []
