"""What a request may hold that is read on the event loop. Promise F1."""

import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastmcp import Client

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import http_client

UPLOADS = "/articles/preferences/attachments"
JSON = {"Content-Type": "application/json"}
ARTICLE = {"slug": "new", "title": "New", "body": "Text."}


async def refused(client: httpx.AsyncClient, method: str, path: str, body: object) -> Any:
    response = await client.request(method, path, json=body)
    assert response.status_code == 422
    return response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/articles"), ("PUT", "/articles/bom"), ("PATCH", "/articles/bom")],
)
async def test_a_refusal_does_not_grow_with_what_is_wrong(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    """FastAPI makes an error of each wrong value: 300,000 tags took six seconds."""
    body = {**ARTICLE, "tags": [0] * 15_000}
    wrong = await refused(client, method, path, body)
    assert [each["loc"] for each in wrong if "tags" in each["loc"]] == [["body", "tags", 0]]
    (wrong,) = await refused(client, method, path, {f"x{each}": 0 for each in range(4_000)})
    assert wrong["type"] == "too_many_fields"
    assert "Send these fields only: title, summary, tags, body" in wrong["msg"]
    # Where there are few, each is named.
    wrong = await refused(client, method, path, {**ARTICLE, "autor": 0, "date": 0, "tags": []})
    named = [each["loc"] for each in wrong if each["loc"] != ["body", "slug"]]
    assert named == [["body", "autor"], ["body", "date"]]
    # Each by its beginning.
    wrong = await refused(client, method, path, {**ARTICLE, "autor" * 100_000: 0})
    assert max(len(str(each)) for each in wrong) < 300


async def test_a_refusal_over_mcp_does_not_grow_either(app: FastAPI) -> None:
    async with Client(app.state.mounted.server) as client:
        for name, arguments in (
            ("create_article", {**ARTICLE, "tags": [0] * 15_000}),
            ("search_articles", {"tag": ["A"] * 3_000}),
        ):
            result = await client.call_tool(name, arguments, raise_on_error=False)
            assert result.is_error
            assert len(str(result.content)) < 2_000


async def test_the_longest_article_and_question_fit_with_every_character_escaped(
    client: httpx.AsyncClient,
) -> None:
    article = json.dumps({**ARTICLE, "body": "構" * 100_000})
    assert len(article) > 600_000
    assert (await client.post("/articles", content=article, headers=JSON)).status_code == 201
    question = json.dumps({"message": "🦓" * 4_000, "prompt": "🦓" * 4_000})
    assert (await client.post("/chat", content=question, headers=JSON)).status_code == 200


@pytest.mark.parametrize(("path", "most"), [("/articles", 640 * 1024), ("/chat", 128 * 1024)])
async def test_a_larger_request_is_refused_before_it_is_read(
    client: httpx.AsyncClient, path: str, most: int
) -> None:
    fits = await client.post(path, content=b" " * (most - 2) + b"{}", headers=JSON)
    assert fits.status_code == 422
    larger = await client.post(path, content=b" " * (most - 1) + b"{}", headers=JSON)
    assert larger.status_code == 413


async def test_a_form_without_files_is_no_upload_and_is_not_read(settings: Settings) -> None:
    """Each of ten million `&` was looked at, for 1.8 seconds where they came in one piece."""
    app = create_app(settings.model_copy(update={"max_attachment_bytes": 5_000_000}))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http_client(app) as client:
        assert (await client.get("/health")).status_code == 200
        started = time.thread_time()
        refused = await client.post(UPLOADS, content=b"&" * 10_000_000, headers=form)
        assert time.thread_time() - started < 0.3
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["msg"] == "Send multipart/form-data."


def test_what_a_server_runs_is_left_out_of_collections_of_garbage() -> None:
    """One that came while lists were read stopped it for 0.1 s, and there were two of them."""
    script = "import gc, mock_api.main; print(gc.get_freeze_count())"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert int(run.stdout) > 100_000
