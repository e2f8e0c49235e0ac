"""Reading and writing articles."""

import json

import httpx
import pytest
from fastapi import FastAPI

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import http_client
from tests.mock_api.streaming import streamed

DRAFT = {
    "slug": "torque-tables",
    "title": "Torque tables",
    "summary": "How tight is tight.",
    "tags": ["items"],
    "body": "Zymurgical prose about **torque**.",
}


@pytest.fixture
async def draft(client: httpx.AsyncClient) -> str:
    created = await client.post("/articles", json=DRAFT)
    assert created.status_code == 201
    return "/articles/torque-tables"


async def test_an_article_is_read_by_its_slug(client: httpx.AsyncClient) -> None:
    article = (await client.get("/articles/revision-rules")).json()
    assert article["slug"] == "revision-rules"
    assert article["title"] == "How revision rules choose a revision"
    assert article["tags"] == ["bom", "structure", "revisions", "configuration"]
    assert article["updated"] == "2026-03-14T00:00:00Z"
    assert article["attachments"][0]["filename"] == "revision-rule.png"


async def test_an_article_that_does_not_exist_is_404_with_the_way_out(
    client: httpx.AsyncClient,
) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = {"title": "T", "body": "b"} if method in {"PUT", "PATCH"} else None
        response = await client.request(method, "/articles/nowhere", json=body)
        assert response.status_code == 404
        assert response.json() == {
            "detail": "There is no article 'nowhere'; search_articles finds the slugs there are."
        }


async def test_an_unchanged_article_is_not_sent_again(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/articles/preferences")).headers["etag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get("/articles/preferences", headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await client.get("/articles/preferences", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_the_etag_changes_with_the_article(client: httpx.AsyncClient, draft: str) -> None:
    before = (await client.get(draft)).headers["etag"]
    await client.patch(draft, json={"title": "Other"})
    assert (await client.get(draft)).headers["etag"] != before


async def test_a_new_article_is_where_its_location_says(client: httpx.AsyncClient) -> None:
    created = await client.post("/articles", json=DRAFT)
    assert created.status_code == 201
    assert created.headers["location"] == "/articles/torque-tables"
    assert (await client.get(created.headers["location"])).json() == created.json()
    assert {name: created.json()[name] for name in DRAFT} == DRAFT


async def test_a_slug_is_given_once(client: httpx.AsyncClient, draft: str) -> None:
    again = await client.post("/articles", json=DRAFT)
    assert again.status_code == 409
    assert again.json() == {
        "detail": "There is an article 'torque-tables' already; choose another slug."
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "Not A Slug"),
        ("slug", "../etc"),
        ("slug", None),
        ("title", "  "),
        ("body", ""),
        ("tags", ["UPPER"]),
        ("tags", None),
        ("unknown", 1),
        ("title", "\ud800"),
    ],
)
async def test_a_bad_article_is_422_and_nothing_is_echoed(
    client: httpx.AsyncClient, field: str, value: object
) -> None:
    body = json.dumps({**DRAFT, field: value})
    response = await client.post(
        "/articles", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 422
    for problem in response.json()["detail"]:
        assert problem.keys() == {"type", "loc", "msg"}
        assert problem["loc"][:2] == ["body", field]
    assert (await client.get("/articles/torque-tables")).status_code == 404


async def test_replacing_empties_what_is_left_out(client: httpx.AsyncClient, draft: str) -> None:
    replaced = (await client.put(draft, json={"title": "New", "body": "Text"})).json()
    assert (replaced["title"], replaced["summary"], replaced["tags"]) == ("New", None, [])
    assert (await client.get(draft)).json() == replaced


async def test_updating_changes_only_what_is_sent(client: httpx.AsyncClient, draft: str) -> None:
    updated = (await client.patch(draft, json={"title": "New"})).json()
    assert updated["title"] == "New"
    assert {name: updated[name] for name in ("summary", "tags", "body")} == {
        name: DRAFT[name] for name in ("summary", "tags", "body")
    }


async def test_an_explicit_null_removes_the_summary(client: httpx.AsyncClient, draft: str) -> None:
    assert (await client.patch(draft, json={"summary": None})).json()["summary"] is None
    assert (await client.get(draft)).json()["summary"] is None


async def test_what_cannot_be_empty_cannot_be_null(client: httpx.AsyncClient, draft: str) -> None:
    for field in ("title", "body", "tags"):
        assert (await client.patch(draft, json={field: None})).status_code == 422


async def test_an_empty_update_changes_nothing(client: httpx.AsyncClient, draft: str) -> None:
    before = (await client.get(draft)).json()
    assert (await client.patch(draft, json={})).json() == before


async def test_a_deleted_article_is_gone_from_everywhere(
    client: httpx.AsyncClient, draft: str
) -> None:
    await client.post(f"{draft}/attachments", files={"file": ("a.txt", b"text")})
    deleted = await client.delete(draft)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get(draft)).status_code == 404
    assert (await client.get(f"{draft}/attachments/a.txt")).status_code == 404
    assert (await client.get("/articles", params={"q": "zymurgical"})).json()["total"] == 0
    await client.post("/articles", json=DRAFT)
    assert (await client.get(draft)).json()["attachments"] == []


async def test_the_export_is_every_article_one_a_line(client: httpx.AsyncClient) -> None:
    response = await client.get("/export")
    assert response.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in response.text.splitlines()]
    slugs = [line["slug"] for line in lines]
    assert len(slugs) == (await client.get("/health")).json()["articles"]
    assert slugs == sorted(set(slugs))
    assert (await client.get(f"/articles/{slugs[0]}")).json() == lines[0]


async def test_the_export_is_produced_while_it_is_read(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async with streamed(app, "GET", "/export") as response:
        first = await response.chunk()
        assert first is not None
        assert json.loads(first)["slug"] < "zz-late"
        await client.post("/articles", json={**DRAFT, "slug": "zz-late"})
        last = first
        while chunk := await response.chunk():
            last = chunk
        assert json.loads(last)["slug"] == "zz-late"


async def test_what_was_written_is_there_after_a_restart(settings: Settings) -> None:
    async with http_client(create_app(settings)) as first:
        await first.post("/articles", json=DRAFT)
        await first.delete("/articles/preferences")
    async with http_client(create_app(settings)) as second:
        assert (await second.get("/articles/torque-tables")).status_code == 200
        assert (await second.get("/articles/preferences")).status_code == 404
