"""Files that belong to articles."""

import httpx
import pytest
from fastapi import FastAPI

from mock_api.corpus import ARTICLES
from mock_api.media import content_disposition, media_type, safe_filename
from mock_api.models import MOST_ATTACHMENTS
from mock_api.store import Store

ATTACHMENTS = "/articles/preferences/attachments"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


async def test_a_shipped_image_and_pdf_are_returned_as_they_are(client: httpx.AsyncClient) -> None:
    for slug, name, media in [
        ("revision-rules", "revision-rule.png", "image/png"),
        ("upgrade-planning", "upgrade-checklist.pdf", "application/pdf"),
    ]:
        response = await client.get(f"/articles/{slug}/attachments/{name}")
        assert response.headers["content-type"] == media
        assert response.headers["content-disposition"].startswith("inline;")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.content == (ARTICLES / "files" / name).read_bytes()


async def test_an_upload_is_where_its_location_says(client: httpx.AsyncClient) -> None:
    uploaded = await client.post(
        ATTACHMENTS, files={"file": ("Grün 1.png", PNG)}, data={"caption": "Green"}
    )
    assert uploaded.status_code == 201
    assert uploaded.json() == {
        "filename": "Grün 1.png",
        "media_type": "image/png",
        "size": len(PNG),
        "caption": "Green",
    }
    assert (await client.get(uploaded.headers["location"])).content == PNG
    article = (await client.get("/articles/preferences")).json()
    assert article["attachments"] == [uploaded.json()]


@pytest.mark.parametrize("name", ["漢字.png", "Отчёт 1.png", "é.png", "a%2fb?.png"])
async def test_the_location_of_any_name_is_one(client: httpx.AsyncClient, name: str) -> None:
    """A name beyond Latin-1 was stored, and answered with 500."""
    uploaded = await client.post(ATTACHMENTS, files={"file": (name, PNG)})
    assert uploaded.status_code == 201
    location = uploaded.headers["location"]
    assert location.isascii()
    assert " " not in location
    assert (await client.get(location)).content == PNG


async def test_a_caption_is_not_needed(client: httpx.AsyncClient) -> None:
    uploaded = await client.post(ATTACHMENTS, files={"file": ("a.png", PNG)})
    assert uploaded.json()["caption"] is None


async def test_a_name_is_given_once(client: httpx.AsyncClient) -> None:
    await client.post(ATTACHMENTS, files={"file": ("a.png", PNG)})
    again = await client.post(ATTACHMENTS, files={"file": ("a.png", PNG)})
    assert again.status_code == 409
    assert "'a.png' already" in again.json()["detail"]


async def test_an_article_has_no_more_files_than_it_may(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """F1: whoever asks for an article is told of all of them."""
    store: Store = app.state.store
    for number in range(MOST_ATTACHMENTS - 1):
        store.attach("preferences", f"{number}.txt", b"", None)
    last = await client.post(ATTACHMENTS, files={"file": ("last", b"x")})
    assert last.status_code == 201
    over = await client.post(ATTACHMENTS, files={"file": ("over", b"x")})
    assert over.status_code == 409
    assert over.json() == {
        "detail": "The article 'preferences' has 100 attachments, and can have no more."
        " Attach the file to another one."
    }
    article = (await client.get("/articles/preferences")).json()
    assert len(article["attachments"]) == MOST_ATTACHMENTS == 100
    assert (await client.get(f"{ATTACHMENTS}/over")).status_code == 404
    elsewhere = "/articles/baseline-a-structure/attachments"
    assert (await client.post(elsewhere, files={"file": ("over", b"x")})).status_code == 201


async def test_a_file_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    fits = await client.post(ATTACHMENTS, files={"file": ("a", b"x" * 1_000)})
    assert fits.status_code == 201
    over = await client.post(ATTACHMENTS, files={"file": ("b", b"x" * 1_001)})
    assert over.status_code == 413
    assert over.json() == {"detail": "The file is larger than 1000 bytes."}


async def test_a_body_far_over_the_limit_is_refused_before_it_is_read(
    client: httpx.AsyncClient,
) -> None:
    over = await client.post(ATTACHMENTS, files={"file": ("b", b"x" * 1_000_000)})
    assert over.status_code == 413


async def test_a_file_needs_its_article_and_a_request_its_file(client: httpx.AsyncClient) -> None:
    nowhere = await client.post("/articles/nowhere/attachments", files={"file": ("a", b"x")})
    assert nowhere.status_code == 404
    assert (await client.post(ATTACHMENTS, data={"caption": "c"})).status_code == 422
    missing = await client.get(f"{ATTACHMENTS}/missing.png")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "The article 'preferences' has no attachment 'missing.png'."


async def test_a_page_with_a_script_is_never_shown_as_one(client: httpx.AsyncClient) -> None:
    script = ("a.html", b"<script>alert(1)</script>", "text/html")
    location = (await client.post(ATTACHMENTS, files={"file": script})).headers["location"]
    response = await client.get(location)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"%PDF-1.7", "application/pdf"),
        ("Grün".encode(), "text/plain; charset=utf-8"),
        (b"", "text/plain; charset=utf-8"),
        (b"\xff\xfe\xfd", "application/octet-stream"),
        (b"a\0b", "application/octet-stream"),
    ],
)
def test_the_type_is_told_from_the_content(data: bytes, media: str) -> None:
    assert media_type(data) == media


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("plan.pdf", "plan.pdf"),
        (r"C:\temp\Réseau 1.png", "Réseau 1.png"),
        ("../../.bashrc", "bashrc"),
        ('a"\r\nSet-Cookie: x=1.png', "a-Set-Cookie- x=1.png".replace("=", "-")),
        ("", "attachment"),
        ("..", "attachment"),
        (None, "attachment"),
        ("x" * 300 + ".png", "x" * 96 + ".png"),
    ],
)
def test_a_name_is_reduced_to_a_safe_one(name: str | None, safe: str) -> None:
    assert safe_filename(name) == safe


def test_no_name_can_break_out_of_the_header() -> None:
    header = content_disposition('a"; filename=b\r\nX: ü.png', "image/png")
    assert header == (
        'inline; filename="a__ filename_b__X_ _.png"; '
        "filename*=UTF-8''a%22%3B%20filename%3Db%0D%0AX%3A%20%C3%BC.png"
    )
