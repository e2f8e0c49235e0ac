"""Searching, reading and writing articles."""

import hashlib
from collections.abc import AsyncIterable, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import Header, Query, Request, Response, Security
from pydantic import FailFast

from mock_api.identity import caller_of, current_caller
from mock_api.models import (
    Article,
    ArticleContent,
    ArticlePatch,
    NewArticle,
    SearchPage,
    Tag,
)
from mock_api.routes.common import READABLE, SlugPath, StoreDep, headers, refusals, router_of
from mock_api.searching import Turns
from mock_api.tokens import ADMIN, WRITE

MOST_BYTES = 640 * 1024
"""Of a request: 100,000 characters, each as `\\uXXXX`. JSON is read on the event loop."""

router = router_of("articles", most=MOST_BYTES)

WRITES = [Security(current_caller, scopes=[WRITE])]
DELETES = [Security(current_caller, scopes=[ADMIN])]

MAX_OFFSET = 1_000_000
EXPORT_PAGE = 20


@router.get(
    "/articles",
    operation_id="search_articles",
    summary="Search the articles",
    responses={
        200: headers(
            x_total_count="How many articles match.",
            link="The next and the previous page (RFC 8288).",
        )
    },
)
async def search_articles(
    *,
    request: Request,
    response: Response,
    store: StoreDep,
    q: Annotated[
        str,
        Query(
            max_length=500,
            description='Words to look for; "quoted words" are looked for as a phrase. '
            "Empty lists the articles that changed last.",
            examples=["release status workflow"],
        ),
    ] = "",
    tag: Annotated[
        list[Tag],
        FailFast(),
        Query(
            max_length=10,
            description="Only articles that have all of these tags, such as bom, change, "
            "workflow, access, cad, deployment, upgrade, performance or troubleshooting.",
        ),
    ] = [],  # noqa: B006 - FastAPI copies it, and a tuple is not a list in the schema
    limit: Annotated[int, Query(ge=1, le=100, description="Articles on a page.")] = 10,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Articles to skip.")] = 0,
) -> SearchPage:
    """Find articles about Teamcenter by their words and tags, best match first.

    Each result has the article's slug, its summary and the passage that matches. Any of the words
    counts, and so do other words for the same: "SSO" finds single sign-on. Read a whole article
    with get_article.
    """
    turns: Turns = request.app.state.search_turns
    search = partial(store.search, q, tag, limit=limit, offset=offset)
    page = await turns.run(caller_of(request), search)
    response.headers["X-Total-Count"] = str(page.total)
    given = {"q": q, "tag": tag, "limit": limit} if q else {"tag": tag, "limit": limit}
    if link := _link(request.url.path, given, page):
        response.headers["Link"] = link
    return page


@router.get(
    "/articles/{slug}",
    operation_id="get_article",
    summary="Read an article",
    response_model=Article,
    responses={
        200: headers(etag="Changes with the article."),
        304: {"description": "The article is the one that `If-None-Match` names."},
        **refusals(404),
    },
)
def get_article(
    slug: SlugPath,
    response: Response,
    store: StoreDep,
    if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Article | Response:
    """Return one article whole: its Markdown text, tags, date and the names of its attachments."""
    article = store.get(slug)
    tag = _etag(article)
    if _names(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return article


@router.post(
    "/articles",
    operation_id="create_article",
    summary="Add an article",
    dependencies=WRITES,
    status_code=201,
    responses={
        201: headers(location="The new article."),
        **refusals(409, 413, 507),
    },
)
def create_article(
    article: NewArticle, request: Request, response: Response, store: StoreDep
) -> Article:
    """Add a new article to the knowledge base under a slug that is not taken yet."""
    created = store.create(article)
    response.headers["Location"] = request.url_for("get_article", slug=created.slug).path
    return created


@router.put(
    "/articles/{slug}",
    operation_id="replace_article",
    summary="Replace an article",
    dependencies=WRITES,
    responses=refusals(404, 413, 507),
)
def replace_article(slug: SlugPath, article: ArticleContent, store: StoreDep) -> Article:
    """Give an existing article a new title, summary, tags and text, all at once.

    What is left out is emptied; use update_article to change some fields only. Attachments stay.
    """
    return store.replace(slug, article)


@router.patch(
    "/articles/{slug}",
    operation_id="update_article",
    summary="Change parts of an article",
    dependencies=WRITES,
    responses=refusals(404, 413, 507),
)
def update_article(slug: SlugPath, patch: ArticlePatch, store: StoreDep) -> Article:
    """Change only the given fields of an article; `"summary": null` removes the summary."""
    return store.update(slug, patch)


@router.delete(
    "/articles/{slug}",
    operation_id="delete_article",
    summary="Delete an article",
    dependencies=DELETES,
    status_code=204,
    responses=refusals(404, 507),
)
def delete_article(slug: SlugPath, store: StoreDep) -> None:
    """Delete an article and its attachments for good."""
    store.delete(slug)


@router.get(
    "/export",
    operation_id="export_articles",
    summary="Export all articles",
    dependencies=READABLE,
)
async def export_articles(store: StoreDep) -> AsyncIterable[Article]:
    """Stream every article, one JSON object a line, in the order of the slugs.

    It is the whole knowledge base: prefer search_articles to find something.
    """
    slug = ""
    while page := await anyio.to_thread.run_sync(store.articles_after, slug, EXPORT_PAGE):
        for article in page:
            yield article
        slug = page[-1].slug


def _link(path: str, given: Mapping[str, Any], page: SearchPage) -> str:
    """Render the neighbours of a page: `'</articles?q=bom&offset=10>; rel="next"'`."""
    offsets = {}
    if page.offset + page.limit < page.total:
        offsets["next"] = page.offset + page.limit
    if page.offset > 0:
        offsets["prev"] = max(0, page.offset - page.limit)
    urls = {
        rel: f"{path}?{urlencode({**given, 'offset': at}, doseq=True)}"
        for rel, at in offsets.items()
    }
    return ", ".join(f'<{url}>; rel="{rel}"' for rel, url in urls.items())


def _etag(article: Article) -> str:
    return f'"{hashlib.sha256(article.model_dump_json().encode()).hexdigest()[:16]}"'


def _names(header: str | None, etag: str) -> bool:
    """Tell whether `If-None-Match` names the tag, weakly compared (RFC 9110 §13.1.2)."""
    named = [part.strip().removeprefix("W/") for part in (header or "").split(",")]
    return "*" in named or etag in named
