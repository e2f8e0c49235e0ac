"""The articles that ship with the service."""

import re

from mock_api.corpus import ARTICLES, shipped_articles
from mock_api.media import SHOWN_IN_PLACE, media_type, safe_filename

SHIPPED = shipped_articles()


def test_there_are_at_least_forty_articles_of_a_useful_length() -> None:
    assert len(SHIPPED) >= 40
    for shipped in SHIPPED:
        assert 150 <= len(shipped.article.body.split()) <= 350, shipped.article.slug
        assert shipped.article.summary


def test_every_subject_has_articles() -> None:
    tags = {tag for shipped in SHIPPED for tag in shipped.article.tags}
    assert tags >= {
        *("items", "revisions", "bom", "structure", "change", "workflow", "access", "cad"),
        *("deployment", "upgrade", "performance", "troubleshooting"),
    }


def test_titles_are_told_apart() -> None:
    assert len({shipped.article.title for shipped in SHIPPED}) == len(SHIPPED)


def test_attachments_are_images_and_pdfs_that_an_article_names() -> None:
    files = [file for shipped in SHIPPED for file in shipped.files]
    assert sorted(file.filename for file in files) == sorted(
        path.name for path in (ARTICLES / "files").iterdir()
    )
    assert {media_type(file.data) for file in files} >= {"image/png", "application/pdf"}
    for file in files:
        assert media_type(file.data) in SHOWN_IN_PLACE
        assert safe_filename(file.filename) == file.filename
        assert file.caption
        assert len(file.data) < 10_000


def test_a_pdf_points_at_its_own_parts() -> None:
    for path in (ARTICLES / "files").glob("*.pdf"):
        data = path.read_bytes()
        start = int(re.findall(rb"startxref\n(\d+)\n%%EOF", data)[0])
        assert data[start:].startswith(b"xref\n")
        offsets = re.findall(rb"(\d{10}) 00000 n", data)
        for number, offset in enumerate(offsets, 1):
            assert data[int(offset) :].startswith(b"%d 0 obj" % number)
