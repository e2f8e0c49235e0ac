"""Which tools a request finds, and in which order."""

import time
import tracemalloc

import pytest
from fastmcp.tools import Tool

from mcp_mount.search.answers import write_tags
from mcp_mount.search.entries import Entry
from mcp_mount.search.ranker import Ranker
from mcp_mount.search.snapshot import Snapshot
from mcp_mount.search.synonyms import RELATED
from mcp_mount.search.words import split, stem
from tests.test_linear import within_seconds

DIGITS = str.maketrans("0123456789", "abcdfghijk")

PARTS = (
    Entry("list_parts", "List parts", method="GET", path="/parts", tags=("parts",)),
    Entry("get_part", "Get a part", method="GET", path="/parts/{id}", tags=("parts",)),
    Entry("create_part", "Create a part", method="POST", path="/parts", tags=("parts",)),
    Entry("delete_part", "Delete a part", method="DELETE", path="/parts/{id}", tags=("parts",)),
    Entry(
        "addPartComment",
        "Add a comment to a part",
        method="POST",
        path="/parts/{id}/comments",
        tags=("comments",),
    ),
    Entry("listInvoices", "List invoices", method="GET", path="/invoices", tags=("billing",)),
    Entry(
        "x17",
        "Start job",
        method="POST",
        path="/jobs/17",
        keywords=("nightly reconciliation",),
        tags=("jobs",),
    ),
    Entry("getLoadbalancer", "Get it", method="GET", path="/lbs/{id}"),
    Entry("wiki_lookup", "", "Looks something up in the encyclopedia."),
)


def found(query: str) -> list[str]:
    return [match.name for match in Ranker(PARTS).search(query)]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("list parts", "list_parts"),
        ("make a new part", "create_part"),
        ("remove the part", "delete_part"),
        ("show all parts", "list_parts"),
        ("add a comment to part AB-12", "addPartComment"),
        ("write a remark on a part", "addPartComment"),
        ("my bills", "listInvoices"),
        ("nightly reconciliation", "x17"),
        ("load balancer", "getLoadbalancer"),
        ("encyclopdia", "wiki_lookup"),
        ("invoi", "listInvoices"),
        ("addPartComment", "addPartComment"),
        ("call GetLoadbalancer", "getLoadbalancer"),
    ],
)
def test_a_request_finds_what_serves_it_first(query: str, name: str) -> None:
    assert found(query)[0] == name


def test_what_a_caller_may_not_find_is_not_found() -> None:
    ranker = Ranker(PARTS)
    names = [match.name for match in ranker.search("list parts", lambda name: name != "list_parts")]
    assert "list_parts" not in names
    assert names


def test_a_request_about_something_else_is_covered_by_nothing() -> None:
    assert found("buy a train ticket to Zurich") == []
    sure = next(Ranker(PARTS).search("delete a part"))
    unsure = next(Ranker(PARTS).search("delete the spaceship engine from a part"))
    assert sure.confidence > 0.9
    assert unsure.confidence < 0.5


def test_two_that_say_the_same_are_not_both_first() -> None:
    twins = [
        Entry("get_item", "Get an item", method="GET", path="/items/{id}"),
        Entry("get_item_v1", "Get an item", method="GET", path="/v1/items/{id}"),
        Entry("get_item_price", "Get the price of an item", method="GET", path="/items/{id}/price"),
    ]
    names = [match.name for match in Ranker(twins).search("get an item")]
    assert names == ["get_item", "get_item_price", "get_item_v1"]


@pytest.mark.parametrize(
    "paths", [("/actions/secrets", "/agents/secrets"), ("/users/{id}/keys", "/keys"), ("", "")]
)
def test_two_of_one_title_are_found_where_they_are_not_the_same(paths: tuple[str, str]) -> None:
    """Of two parts of an API; of two servers, whose tools have no path."""
    title = "List the secrets"
    others = [
        Entry("one_list", title, method="GET" if paths[0] else "", path=paths[0]),
        Entry("two_list", title, method="GET" if paths[1] else "", path=paths[1]),
        Entry("list_secret_marks", "List the marks of secrets"),
    ]
    names = [match.name for match in Ranker(others).search("list the secrets")]
    assert set(names[:2]) == {"one_list", "two_list"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("listUserGroups", ["list", "user", "groups"]),
        ("get_HTTPStatus2", ["get", "http", "status", "2"]),
        ("OAuth-token", ["oauth", "token"]),
        ("größe_ändern", ["größe", "ändern"]),
    ],
)
def test_names_are_cut_into_their_words(name: str, words: list[str]) -> None:
    assert list(split(name)) == words


@pytest.mark.parametrize(
    "forms",
    [
        "create creates created creating creation",
        "policy policies",
        "assign assigned assignee assignment assigns",
        "archive archived archiving",
        "watch watches watcher watching",
        "deploy deployment deployments deployed",
    ],
)
def test_the_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize(
    "query", ["", " ", "?!", "a" * 100_000, "the of a", "\ud800 part", "1 2 3"]
)
def test_any_text_is_a_request(query: str) -> None:
    list(Ranker(PARTS).search(query))
    assert list(Ranker([]).search(query)) == []


def test_a_thousand_tools_are_searched_in_time() -> None:
    """X5: the bounds are ten times what it takes."""
    nouns = [f"{a}{b}" for a in ("user", "order", "item", "disk", "team") for b in range(50)]
    entries = [
        Entry(f"{verb}_{noun}", f"{verb} {noun}", "Some words. " * 20, "GET", f"/{noun}")
        for noun in nouns
        for verb in ("list", "get", "create", "delete")
    ]
    started = time.process_time()
    ranker = Ranker(entries)
    built = time.process_time()
    list(ranker.search("delete the order 17 of the team and list all users"))
    assert built - started < 5
    assert time.process_time() - built < 0.1


def test_a_word_that_is_near_a_million_others_is_found_in_no_time() -> None:
    letters = [chr(code) for code in range(0xE0, 0x20000) if chr(code).islower()]
    letters += [chr(code) for code in range(0x4E00, 0x4E00 + 20_000)]
    near = [word for each in letters for word in (f"usr{each}", f"us{each}r", f"u{each}sr")]
    hostile = (
        Entry(f"tool_{at}", description=" ".join(near[at : at + 250]))
        for at in range(0, len(near), 250)
    )
    ranker = Ranker([*hostile, Entry("known", description="usrz")])
    with within_seconds(0.2):
        for _ in range(2):
            assert [*ranker.search("usrq usrb usrc usrd usrf usrg usrh usrj usrk usrl usrm usrn")]


def test_an_index_keeps_no_more_of_a_tool_than_makes_it_found() -> None:
    words = iter(range(10**15, 10**16, 10**9 + 7))

    def texts(characters: int) -> str:
        made = (str(next(words)).translate(DIGITS) for _ in range(characters // 17))
        return " ".join(made)

    entries = [
        Entry(
            f"tool_{at}", description=texts(1_500), parameters=tuple(texts(64) for _ in range(200))
        )
        for at in range(40)
    ]
    tracemalloc.start()
    try:
        ranker = Ranker(entries)
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()
    assert next(ranker.search("tool 7")).name


def test_words_that_all_tools_have_cost_no_more_than_words_that_some_have() -> None:
    common = sorted(RELATED, key=lambda word: -len(RELATED[word]))[:12]
    text = " ".join(dict.fromkeys([*common, *(each for word in common for each in RELATED[word])]))
    ranker = Ranker(Entry(f"tool_{at}", description=text) for at in range(5_000))
    taken = []
    for _ in range(3):
        started = time.thread_time()
        assert [*ranker.search(" ".join(common))]
        taken.append(time.thread_time() - started)
    assert min(taken) < 0.08


def test_tags_are_counted_and_written_in_no_time_however_many_there_are() -> None:
    made = {
        name: Tool(
            name=name, parameters={}, tags={f"{name}_{tag}_{'t' * 80}" for tag in range(1_000)}
        )
        for name in map("tool_{}".format, range(500))
    }
    snapshot = Snapshot(made, {}, {}, is_plain=True)
    with within_seconds(0.2):
        view = snapshot.view(frozenset(), frozenset())
        assert len(write_tags(view.tags)) < 250_000
