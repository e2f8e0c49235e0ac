"""An application with a database of its own, that answers without pauses, and a client of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mock_api.app import create_app
from mock_api.settings import Settings
from mock_api.store import Store
from tests.mock_api.issuer import AUDIENCE, ISSUER, Issuer, new_key, serving

KEY = "s3cret-key"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        mcp_api_key=None,
        mcp_server_url=None,
        auth_issuer=None,
        auth_audience=None,
        auth_jwks_url=None,
        public_url=None,
        openai_api_key=None,
        openai_base_url=None,
        kb_database=tmp_path / "kb.sqlite3",
        chat_pace=0,
        max_attachment_bytes=1_000,
        changes_poll=0.01,
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(app) as client:
        yield client


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A knowledge base that the tests of a module only read."""
    store = Store(tmp_path_factory.mktemp("store") / "kb.sqlite3")
    yield store
    store.close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(new_key("one")) as issuer:
        yield issuer


@pytest.fixture
def guarded(settings: Settings, issuer: Issuer) -> FastAPI:
    """An application with everything set that tells callers apart."""
    return create_app(
        with_tokens(settings, issuer, mcp_api_key=KEY, public_url="https://kb.example.com/")
    )


def changed(settings: Settings, **more: Any) -> Settings:
    return Settings(**{**settings.model_dump(), **more})


def with_tokens(settings: Settings, issuer: Issuer, **more: Any) -> Settings:
    tokens = {"auth_issuer": ISSUER, "auth_audience": AUDIENCE, "auth_jwks_url": issuer.jwks_url}
    return changed(settings, **{**tokens, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def http_client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://kb")
