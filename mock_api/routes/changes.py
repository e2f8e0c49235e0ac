"""The stream of changes."""

from collections.abc import AsyncIterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mock_api.errors import StorageError
from mock_api.identity import caller_of
from mock_api.models import Change
from mock_api.routes.common import READABLE, SettingsDep, StoreDep
from mock_api.store import Store

router = APIRouter(tags=["changes"])

MAX_ID = 2**63 - 1
LONGEST_ID = 20


def count_watcher(request: Request, store: StoreDep) -> Iterator[None]:
    """Count who watches until the stream has ended.

    Raises:
        TooManyWatchers: there are as many as there can be.
    """
    with store.feed.watching(caller_of(request)):
        yield


@router.get(
    "/changes",
    operation_id="watch_changes",
    summary="Watch the knowledge base change",
    response_class=EventSourceResponse,
    dependencies=[*READABLE, Depends(count_watcher)],
)
async def watch_changes(
    request: Request,
    store: StoreDep,
    settings: SettingsDep,
    since: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_ID,
            description="Start after the change with this id, 0 for all there ever were; "
            "left out, only what happens from now on.",
        ),
    ] = None,
    # What a browser's EventSource sends when it reconnects.
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> AsyncIterable[Change]:
    """Stream each change to an article as it happens, without an end.

    A tool call ends with the server's time limit: call again with the last change's id as `since`,
    and nothing is missed.
    """
    last = await _start(store, since, last_event_id)
    while not await request.is_disconnected():
        changes = await _next(store, last, patience=settings.changes_poll)
        for change in changes:
            last = change.id
            yield _event(change)


async def _start(store: Store, since: int | None, last_event_id: str | None) -> int:
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit():
        # Python reads no number of thousands of digits; so many are more than there are.
        return min(int(last_event_id[:LONGEST_ID]), MAX_ID)
    return await anyio.to_thread.run_sync(store.last_change) if since is None else since


async def _next(store: Store, last: int, *, patience: float) -> list[Change]:
    """Return the changes after the last one, waiting for them for as long as patience lasts.

    A write in this process ends the wait at once. Those of another are found by the next call, and
    so are those that cannot be read now: the log has why, and watching goes on afterwards.
    """
    with store.feed.listening() as rung:
        changes: list[Change] = []
        with suppress(StorageError):
            read = partial(anyio.to_thread.run_sync, store.changes_after, last)
            changes = await store.feed.read(last, read)
        if not changes:
            with anyio.move_on_after(patience):
                await rung.wait()
        return changes


def _event(change: Change) -> Any:
    # The annotation of the operation names what an event's data is; FastAPI lets the event itself
    # be yielded there, to give it an id and a name.
    return ServerSentEvent(data=change, id=str(change.id), event=change.action)
