"""The stream of changes."""

import json
from contextlib import AsyncExitStack

import anyio
import httpx
import pytest
from fastapi import FastAPI

from mock_api import feed
from mock_api.app import create_app
from mock_api.models import Change
from mock_api.settings import Settings
from mock_api.store import Store
from tests.mock_api.conftest import http_client
from tests.mock_api.streaming import streamed

SLUG = "/articles/preferences"


@pytest.fixture
def patient(settings: Settings) -> FastAPI:
    """An app that looks for other processes' changes only once an hour: writes must wake it."""
    return create_app(settings.model_copy(update={"changes_poll": 3_600}))


async def listening(app: FastAPI) -> None:
    store: Store = app.state.store
    while not store.feed.listeners:
        await anyio.lowlevel.checkpoint()


async def test_a_change_wakes_those_who_watch(patient: FastAPI) -> None:
    async with (
        http_client(patient) as client,
        streamed(patient, "GET", "/changes?since=0", headers={}) as watched,
        anyio.create_task_group() as tasks,
    ):
        assert watched.headers["content-type"].startswith("text/event-stream")
        await listening(patient)
        tasks.start_soon(client.delete, SLUG)
        event = await watched.event()
        assert (event["id"], event["event"]) == ("1", "deleted")
        change = json.loads(event["data"])
        assert (change["id"], change["action"], change["slug"]) == (1, "deleted", "preferences")


async def test_every_kind_of_write_is_a_change(app: FastAPI, client: httpx.AsyncClient) -> None:
    draft = {"title": "T", "body": "b"}
    await client.post("/articles", json={"slug": "new", **draft})
    await client.put("/articles/new", json=draft)
    await client.patch("/articles/new", json={"title": "U"})
    await client.patch("/articles/new", json={})
    await client.post("/articles/new/attachments", files={"file": ("a", b"x")})
    await client.delete("/articles/new")
    await client.delete("/articles/new")
    async with streamed(app, "GET", "/changes?since=0") as watched:
        actions = [(await watched.event())["event"] for _ in range(5)]
    assert actions == ["created", "replaced", "updated", "attached", "deleted"]
    assert app.state.store.last_change() == 5


async def test_a_watcher_resumes_after_the_last_event_it_saw(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    for title in ("a", "b", "c"):
        await client.patch(SLUG, json={"title": title})
    for target, headers in [
        ("/changes?since=2", {}),
        ("/changes", {"Last-Event-ID": "2"}),
        ("/changes?since=0", {"Last-Event-ID": "2"}),
        ("/changes?since=2", {"Last-Event-ID": "not a number"}),
    ]:
        async with streamed(app, "GET", target, headers=headers) as watched:
            assert (await watched.event())["id"] == "3"


async def test_an_id_of_thousands_of_digits_is_one_that_was_never_given(app: FastAPI) -> None:
    async with streamed(app, "GET", "/changes", headers={"Last-Event-ID": "9" * 5_000}) as watched:
        assert watched.headers["content-type"].startswith("text/event-stream")
        await listening(app)


async def test_without_a_start_only_new_changes_are_told(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    await client.patch(SLUG, json={"title": "old"})
    async with streamed(app, "GET", "/changes") as watched:
        await listening(app)
        await client.patch(SLUG, json={"title": "new"})
        assert (await watched.event())["id"] == "2"


async def test_a_change_of_another_process_is_found(app: FastAPI, settings: Settings) -> None:
    other = Store(settings.kb_database)
    async with streamed(app, "GET", "/changes?since=0") as watched:
        await listening(app)
        other.delete("preferences")
        assert (await watched.event())["event"] == "deleted"
    other.close()


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_watcher_who_leaves_leaves_nothing_behind(app: FastAPI, spec_version: str) -> None:
    async with streamed(app, "GET", "/changes", spec_version=spec_version):
        await listening(app)
    # The driver has waited for the request to end.
    assert app.state.store.feed.listeners == 0


async def test_many_watchers_see_every_change_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    seen: list[list[str]] = []

    async def watch() -> None:
        async with streamed(app, "GET", "/changes?since=0") as watched:
            seen.append([(await watched.event())["id"] for _ in range(5)])

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(watch)
        for number in range(5):
            await client.patch(SLUG, json={"title": f"t{number}"})
    assert seen == [["1", "2", "3", "4", "5"]] * 10


async def test_a_start_out_of_range_is_422(client: httpx.AsyncClient) -> None:
    for since in ("-1", "x", str(2**63)):
        assert (await client.get(f"/changes?since={since}")).status_code == 422


async def test_a_change_is_read_once_for_all_who_watch(
    patient: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand watchers had others wait for a thread with each change."""
    store: Store = patient.state.store
    read, reads = store.changes_after, list[int]()

    def changes_after(last: int) -> list[Change]:
        reads.append(last)
        return read(last)

    monkeypatch.setattr(store, "changes_after", changes_after)
    async with http_client(patient) as client, AsyncExitStack() as stack:
        watching = [
            await stack.enter_async_context(streamed(patient, "GET", "/changes?since=0"))
            for _ in range(20)
        ]
        while store.feed.listeners < 20:
            await anyio.lowlevel.checkpoint()
        reads.clear()
        await client.patch(SLUG, json={"title": "new"})
        assert {(await each.event())["id"] for each in watching} == {"1"}
        assert reads.count(0) < 5


async def test_one_caller_cannot_have_all_places(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_OF_ONE", 1)
    async with streamed(app, "GET", "/changes"):
        assert (await client.get("/changes")).status_code == 503
        with app.state.store.feed.watching("somebody else"):
            pass
    async with streamed(app, "GET", "/changes"):
        pass


async def test_only_so_many_can_watch(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WATCHERS", 2)
    async with streamed(app, "GET", "/changes"):
        async with streamed(app, "GET", "/changes"):
            refused = await client.get("/changes")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        async with streamed(app, "GET", "/changes?since=0") as watched:
            await client.patch(SLUG, json={"title": "new"})
            assert (await watched.event())["id"] == "1"
