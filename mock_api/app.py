"""Puts the service together."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from mcp_mount import Remote, Selector, mount_mcp
from mock_api.addresses import base_url
from mock_api.answering import answerer
from mock_api.errors import KnowledgeBaseError
from mock_api.identity import Identity, current_caller, read_identity
from mock_api.middleware import (
    REQUEST_ID_HEADER,
    AccessLogMiddleware,
    IdentityMiddleware,
    RequestIdMiddleware,
)
from mock_api.routes import articles, attachments, changes, chat, service
from mock_api.routes.common import refusals
from mock_api.searching import Turns
from mock_api.settings import Settings
from mock_api.stopping import Stop, StoppingMiddleware, stopping
from mock_api.store import Store
from mock_api.tokens import READ

logger = logging.getLogger(__name__)

MCP_PATH = "/mcp"
OTHER = "other"
"""What stands before the names of the tools of `MCP_SERVER_URL`."""

RESOURCES: Final[dict[Selector, dict[str, str]]] = {
    "search_articles": {"resource": "kb://articles"},
    "get_article": {"resource": "kb://articles/{slug}"},
    "get_attachment": {"resource": "kb://articles/{slug}/attachments/{filename}"},
}
"""What clients show in their menus of resources."""

TITLE = "Teamcenter-KB"
VERSION = "1.0.0"
DESCRIPTION = """\
A knowledge base about product lifecycle management with Teamcenter: items and revisions, BOM and \
structure, change management, workflows, access rules, CAD integration, deployment, upgrade, \
performance and troubleshooting.

Find articles with search_articles, using the words of the question; read the best ones whole with \
get_article, and cite their slugs. Images and PDFs that an article lists come from get_attachment. \
chat answers a question at once. create_article, update_article, \
replace_article, delete_article and upload_attachment change the knowledge base for everyone: use \
them only when asked to.\
"""

# Of every operation, so that none is forgotten; those that change something ask for more.
SECURITY = [Security(current_caller, scopes=[READ])]

# A multipart form is larger than its file, and JSON that carries a file is larger by a third.
BODY_TO_FILE = 2
BODY_OVERHEAD = 64 * 1024

LONGEST_KEY = 100
"""Characters of a key of JSON that a refusal repeats."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make an application with these settings, or with those of the environment.

    It touches the database on its first request or at start-up, whichever comes first.
    """
    settings = settings or Settings()
    identity = read_identity(settings)
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan,
        max_body_size=BODY_TO_FILE * settings.max_attachment_bytes + BODY_OVERHEAD,
    )
    app.state.settings = settings
    app.state.identity = identity
    app.state.store = Store(settings.kb_database)
    app.state.search_turns = Turns()
    app.state.answer = answerer(settings)
    app.state.stop, app.state.stop_calls = Stop(), Stop()
    _add_middleware(app, identity)
    app.add_exception_handler(KnowledgeBaseError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)
    for module in (articles, attachments, changes, chat, service):
        app.include_router(module.router, dependencies=SECURITY, responses=refusals(401, 403, 503))
    app.include_router(service.health_router)
    app.include_router(service.home_router, dependencies=SECURITY)
    mounted = app.state.mounted = mount_mcp(
        app,
        path=MCP_PATH,
        tools=RESOURCES,
        remotes=_remotes(settings, identity),
        auth=identity.provider if identity else None,
        public_url=settings.mcp_url,
    )
    mounted.server.prompt(ask_the_knowledge_base)
    return app


def ask_the_knowledge_base(question: str) -> str:
    """Answer a question about Teamcenter from the articles of the knowledge base."""
    return (
        "Answer this question about Teamcenter. Find articles with search_articles, read those "
        "that fit with get_article, name them in the answer, and say so where none tells.\n\n"
        f"{question}"
    )


def _remotes(settings: Settings, identity: Identity | None) -> list[Remote]:
    if settings.mcp_server_url is None:
        return []
    # Whoever may read here may use what is there; nobody's credential goes there.
    scopes = [READ] if identity else []
    return [Remote(OTHER, url=str(settings.mcp_server_url), scopes=scopes)]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    store: Store = app.state.store
    file = await anyio.to_thread.run_sync(store.open)
    settings: Settings = app.state.settings
    key = "an API key is set" if settings.api_key else "no API key is set"
    tokens = f"tokens of {settings.auth_issuer}" if settings.auth_issuer else "no tokens"
    logger.info(
        "%s %s: %s, %s are accepted; knowledge base in %s", TITLE, VERSION, key, tokens, file
    )
    logger.info("Questions are answered by %s", _who_answers(settings))
    if settings.mcp_server_url is not None:
        host = settings.mcp_server_url.host
        logger.info("The tools of the MCP server at %s are offered as %s_…", host, OTHER)
    url = str(settings.public_url or base_url(sys.argv) or "").rstrip("/")
    logger.info("REST API: %s/docs  MCP endpoint: %s%s", url, url, MCP_PATH)
    with stopping(app.state.stop, app.state.stop_calls, wake=store.feed.ring):
        yield
    await anyio.to_thread.run_sync(store.close)


def _who_answers(settings: Settings) -> str:
    if settings.openai_api_key is None:
        return "the embedded answerer: OPENAI_API_KEY is not set"
    url = settings.openai_base_url
    return f"the model {settings.openai_model!r}, at {url.host if url else 'OpenAI'}"


def _add_middleware(app: FastAPI, identity: Identity | None) -> None:
    # The last one added is the outermost.
    app.add_middleware(IdentityMiddleware, identity=identity)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(
        StoppingMiddleware, stop=app.state.stop, calls=app.state.stop_calls, path=MCP_PATH
    )


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status, wait = 500, None
    if isinstance(error, KnowledgeBaseError):
        status, wait = error.status, error.retry_after
    headers = {"Retry-After": str(wait)} if wait is not None else None
    return JSONResponse({"detail": str(error)}, status_code=status, headers=headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    # Without FastAPI's echo of the input, which can be large, private or not even UTF-8.
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [{key: item[key] for key in ("type", "loc", "msg")} for item in errors]
    for item in detail:
        # A key that there is not may be half a megabyte.
        item["loc"] = [
            part[:LONGEST_KEY] if isinstance(part, str) else part for part in item["loc"]
        ]
        if item["type"] == "model_attributes_type" and "json" not in _content_type(request):
            # What FastAPI says of it is true of the bytes that it got, and helps nobody.
            item["msg"] = "Send it as JSON, with the header 'Content-Type: application/json'."
    return JSONResponse({"detail": detail}, status_code=422)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


async def _failed(request: Request, _: Exception) -> JSONResponse:
    # The server logs the exception; the client gets the id to find it by.
    headers = {REQUEST_ID_HEADER: getattr(request.state, "request_id", "-")}
    return JSONResponse({"detail": "Internal Server Error"}, status_code=500, headers=headers)
