"""Several processes that share a key and a store take the answer to a question once."""

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from fastapi import FastAPI

from mcp_mount import MountError, mount_mcp
from tests.stores import PASSWORD, needs_redis, running
from tests.support import Reply
from tests.test_confirm import KEY, Shelf, answered, ask, is_question

UNCHECKED = "The answer cannot be checked now. Nothing was done. Try again in a minute."


def two_shelves(url: str) -> tuple[Shelf, Shelf]:
    """Return what two processes would serve: apps that share nothing but the store.

    What this process remembers of answers is used by neither.
    """
    options: dict[str, Any] = {"state_key": KEY, "state_store": url}
    return Shelf(**options), Shelf(**options)


@needs_redis
async def test_an_answer_counts_once_for_all_processes(tmp_path: Path) -> None:
    """F2: whichever of them asked, and whichever is answered first."""
    with running(tmp_path) as url:
        one, other = two_shelves(url)
        question = await ask(one.app)
        assert not is_question(await ask(other.app, **answered(question)))
        for shelf in (one, other):
            again = await ask(shelf.app, **answered(question))
            assert is_question(again)
        assert (one.done, other.done) == ([], ["a"])
        assert (await ask(one.app, **answered(again))).text_content == '"removed a"'


@needs_redis
async def test_of_answers_to_two_processes_at_once_one_runs(tmp_path: Path) -> None:
    """F2: the store decides."""
    replies: list[Reply] = []
    with running(tmp_path) as url:
        one, other = two_shelves(url)
        question = await ask(one.app)

        async def answer(shelf: Shelf) -> None:
            replies.append(await ask(shelf.app, **answered(question)))

        async with anyio.create_task_group() as tasks:
            for shelf in (one, other) * 5:
                tasks.start_soon(answer, shelf)
    assert sorted(map(is_question, replies)) == [False] + [True] * 9
    assert [*one.done, *other.done] == ["a"]


@needs_redis
async def test_the_store_forgets_what_expires_anyway(tmp_path: Path) -> None:
    """F2: and learns nothing of what was asked.

    Where its clock is behind, a process accepts an answer for a minute more.
    """
    with running(tmp_path) as url:
        shelf, _ = two_shelves(url)
        await ask(shelf.app, **answered(await ask(shelf.app)))
        with redis.Redis.from_url(url, decode_responses=True) as client:
            (key,) = client.scan_iter()
            assert "mcp_mount:asked:" in key
            assert "remove" not in key
            assert 300 < int(str(client.ttl(key))) <= 360


@needs_redis
async def test_nothing_runs_while_the_store_is_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F2: the client learns nothing of the store, the log not its password."""
    with running(tmp_path) as url:
        shelf, _ = two_shelves(url)
        question = await ask(shelf.app)
    with anyio.fail_after(30):
        refused = await ask(shelf.app, **answered(question))
    assert (refused.is_error, refused.text_content, shelf.done) == (True, UNCHECKED, [])
    # Asking needs no store.
    assert is_question(await ask(shelf.app))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.name for record in errors] == ["mcp_mount"]
    assert PASSWORD not in caplog.text


def test_a_store_needs_a_key_that_the_processes_share() -> None:
    """F2: without it they could not read each other's questions."""
    with pytest.raises(MountError, match="need the same key too: give state_key="):
        mount_mcp(FastAPI(), state_store="redis://localhost:6379")


@pytest.mark.parametrize("store", ["localhost:6379", "nonsense://host", "async+redis://localhost"])
def test_a_store_that_cannot_be_used_stops_the_start_up(store: str) -> None:
    """F2: at once, not with the first answer."""
    with pytest.raises(MountError, match=r"The store of state_store=, '.*', cannot be used"):
        mount_mcp(FastAPI(), state_key=KEY, state_store=store)
