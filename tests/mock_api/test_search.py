"""Ranked search, for whatever people type."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_api.corpus import shipped_articles
from mock_api.models import NewArticle
from mock_api.search import terms
from mock_api.store import Store
from mock_api.synonyms import meanings
from tests.mock_api.golden import GOLDEN


async def test_the_best_match_comes_first(client: httpx.AsyncClient) -> None:
    page = (await client.get("/articles", params={"q": "how do I baseline a structure?"})).json()
    assert page["items"][0]["slug"] == "baseline-a-structure"
    scores = [item["score"] for item in page["items"]]
    assert scores == sorted(scores, reverse=True)
    assert "**baseline**" in page["items"][0]["snippet"]


async def test_other_forms_of_a_word_are_found(store: Store) -> None:
    assert store.search("expanding slowly").items[0].slug == "slow-structure-expansion"


async def test_words_of_the_slug_are_found(store: Store) -> None:
    assert store.search("stuck").items[0].slug == "stuck-workflows"


async def test_a_phrase_is_found_as_a_phrase(store: Store) -> None:
    phrase = store.search('"resource pool"').total
    assert 0 < phrase < store.search("resource pool").total


async def test_where_no_article_has_all_words_those_with_some_are_returned(store: Store) -> None:
    page = store.search("zymurgy dispatcher")
    assert page.items[0].slug == "dispatcher-translations"


async def test_nothing_is_found_for_words_that_nobody_wrote(store: Store) -> None:
    assert store.search("zymurgy").total == 0


async def test_an_empty_search_lists_what_changed_last(client: httpx.AsyncClient) -> None:
    page = (await client.get("/articles", params={"limit": 100})).json()
    assert page["total"] == len(page["items"]) >= 40
    dates = [item["updated"] for item in page["items"]]
    assert dates == sorted(dates, reverse=True)
    assert all(item["snippet"] and item["score"] is None for item in page["items"])


async def test_each_tag_narrows_the_search(client: httpx.AsyncClient) -> None:
    async def total(*tags: str, q: str = "") -> int:
        page = (await client.get("/articles", params={"tag": tags, "q": q})).json()
        assert all(set(tags) <= set(item["tags"]) for item in page["items"])
        return int(page["total"])

    assert 0 < await total("workflow", "troubleshooting") < await total("workflow") < await total()
    assert 0 < await total("workflow", q="release") < await total(q="release")
    assert await total("no-such-tag") == 0


async def test_pages_join_to_the_whole_without_gaps(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/articles", params={"q": "release", "limit": 100})).json()
    slugs: list[str] = []
    url = "/articles?q=release&limit=7"
    while url:
        response = await client.get(url)
        assert response.headers["x-total-count"] == str(whole["total"])
        slugs += [item["slug"] for item in response.json()["items"]]
        url = response.links.get("next", {}).get("url", "")
    assert slugs == [item["slug"] for item in whole["items"]]
    back = response.links["prev"]["url"]
    assert (await client.get(back)).json()["items"][-1]["slug"] in slugs
    assert "link" not in (await client.get("/articles?q=baseline&limit=100")).headers


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "offset=-1", f"offset={10**30}", "tag=A+B", "q=" + "x" * 501]
)
async def test_values_out_of_range_are_422(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/articles?{query}")).status_code == 422


HOSTILE = [
    *("", " ", '"', '""', '"""', "'", "*", "a*", "^", "-", "(", ")", "()", "NEAR(", "title:"),
    *("AND", "OR OR", "NOT a", "a AND", "body : a", "{title}: a", "a + b", "%", "\\", "?"),
    *(
        '";DROP TABLE articles;--',
        "\0",
        "_",
        "__ _",
        "²",
        "ﬁ",
        "日本語",
        "🙂",
        "a" * 400,
        "a " * 200,
    ),
]


@pytest.mark.parametrize("query", HOSTILE)
async def test_no_query_is_a_syntax_error(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get("/articles", params={"q": query})).status_code == 200


@given(st.text(max_size=60) | st.text('"*^()-:+{} aANDORNT', max_size=60))
def test_any_text_can_be_searched_for(store: Store, query: str) -> None:
    page = store.search(query, limit=1)
    assert page.total >= len(page.items)


def test_stop_words_are_searched_for_only_where_there_is_nothing_else() -> None:
    assert terms('How do I release a "Change Notice"?') == ["release", "change notice"]
    assert terms("to be or not to be") == ["to", "be", "or", "not"]
    assert len(terms(" ".join(f"word{n}" for n in range(100)))) == 32


def test_nine_of_ten_questions_find_their_article_among_the_first_three(store: Store) -> None:
    missed = [
        question
        for question, slug in GOLDEN.items()
        if slug not in {hit.slug for hit in store.search(question, limit=3).items}
    ]
    assert len(missed) <= len(GOLDEN) // 10, missed


def test_each_shipped_article_is_asked_for() -> None:
    assert set(GOLDEN.values()) == {shipped.article.slug for shipped in shipped_articles()}


async def test_an_article_that_has_all_words_hides_no_better_one(store: Store) -> None:
    whole = "the stuck workflow that nobody mentions"
    filler = " ".join(f"filler{number}" for number in range(400))
    store.create(NewArticle(slug="all-words", title="A", body=f"{whole} {filler}"))
    try:
        assert store.search(whole).items[0].slug == "stuck-workflows"
    finally:
        store.delete("all-words")


@pytest.mark.parametrize(
    ("question", "slug"),
    [
        ("SSO", "single-sign-on"),
        ("I can't log on", "login-problems"),
        ("Where is this screw used?", "where-used"),
    ],
)
def test_other_words_for_the_same_are_found(store: Store, question: str, slug: str) -> None:
    assert slug in {hit.slug for hit in store.search(question, limit=3).items}


def test_a_meaning_is_found_in_other_forms_and_with_words_between() -> None:
    (meaning,) = meanings("Which jobs are hanging?")
    assert meaning.said == ("hang",)
    assert "stuck" in meaning.others
    assert any("where used" in each.said for each in meanings("Where is the screw used?"))
    assert meanings("zymurgy") == []


def test_words_that_stand_together_count_for_more(store: Store) -> None:
    assert store.search("revision rule").items[0].slug == "revision-rules"
    assert store.search("rule tree").items[0].slug == "access-manager-rule-tree"


async def test_a_long_query_is_not_read(client: httpx.AsyncClient) -> None:
    """64 KB of it held the event loop for a quarter of a second."""
    refused = await client.get(f"/articles?q=bom{'&%' * 4_096}")
    assert refused.status_code == 414
    assert refused.json() == {"detail": "The query has more than 8,192 bytes."}


async def test_pages_are_linked_by_what_is_known(client: httpx.AsyncClient) -> None:
    """Whatever else the query has."""
    page = await client.get("/articles?tag=bom&limit=1&x=%ff&offset=1")
    links = page.headers["link"].split(", ")
    assert links[-1] == '</articles?tag=bom&limit=1&offset=0>; rel="prev"'
