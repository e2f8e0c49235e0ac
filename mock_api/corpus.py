"""The articles that ship with the service: Markdown files with a short head, and their attachments.

A file is `articles/<slug>.md`; its head is `key: value` lines between two `---` lines:

    ---
    title: Baseline a structure
    summary: Freeze a configured structure and find it again.
    tags: bom, structure
    updated: 2026-03-14
    attachment: baseline.png | What a baseline holds     (any number of these, or none)
    ---
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mock_api.models import NewArticle

ARTICLES = Path(__file__).parent / "articles"


@dataclass(frozen=True, slots=True)
class ShippedFile:
    """An attachment as it ships: its bytes and what it shows."""

    filename: str
    caption: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class ShippedArticle:
    """An article as it ships, with the date its author gave it."""

    article: NewArticle
    updated: datetime
    files: tuple[ShippedFile, ...]


def shipped_articles(folder: Path = ARTICLES) -> list[ShippedArticle]:
    """Read every article of the folder, in the order of their slugs."""
    return [_read(path) for path in sorted(folder.glob("*.md"))]


def fingerprint(folder: Path = ARTICLES) -> str:
    """Name this state of the shipped content: `"3f9ac2d1"`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def _read(path: Path) -> ShippedArticle:
    head, body = _split(path)
    fields = dict(pair for pair in head if pair[0] != "attachment")
    article = NewArticle(
        slug=path.stem,
        title=fields["title"],
        summary=fields["summary"],
        tags=tuple(tag.strip() for tag in fields["tags"].split(",")),
        body=body,
    )
    files = tuple(
        _attachment(path.parent / "files", value) for key, value in head if key == "attachment"
    )
    updated = datetime.fromisoformat(fields["updated"]).replace(tzinfo=UTC)
    return ShippedArticle(article, updated, files)


def _split(path: Path) -> tuple[list[tuple[str, str]], str]:
    _, head, body = path.read_text("utf-8").split("---\n", 2)
    pairs = (line.partition(":") for line in head.splitlines())
    return [(key.strip(), value.strip()) for key, _, value in pairs], body.strip() + "\n"


def _attachment(folder: Path, value: str) -> ShippedFile:
    name, _, caption = (part.strip() for part in value.partition("|"))
    return ShippedFile(name, caption or None, (folder / name).read_bytes())
