"""The tasks in the store, of which a reader of the store learns next to nothing.

Names are those that the seal makes: who reads the store learns neither the id with which a task is
fetched, nor whose it is. Everything else is sealed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, cast

from docket import Docket
from redis.exceptions import RedisError

from mcp_mount.access.store import MOST_CONNECTIONS, Failing
from mcp_mount.conversion.texts import WrittenJSON, write_utf8
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.limits import Slots
from mcp_mount.loops import LARGE, in_thread, run_apart
from mcp_mount.tasks.options import Tasks
from mcp_mount.tasks.request import KeptRequest
from mcp_mount.tasks.scripts import ADD, CLAIM, END, FIND, RENEW, TELL
from mcp_mount.tasks.seal import Seal, Unreadable

Status = Literal["working", "completed", "failed", "cancelled"]

FUNCTION: Final = "mcp_mount_task"
"""What runs a task, by its name in the queue."""

LEASE: Final = 15
"""Seconds after which a worker that has said nothing is taken to be dead."""

_SECONDS: Final = 5.0
"""How long the store may take to answer, and how long a question waits for a connection."""

_TO_QUEUE: Final = 60
"""Seconds for which a task is kept that is not in the queue: a store that answers too late may have
added one, of which nobody knows."""

_BYTES_PER_CALLER: Final = 4
"""How often the requests of one caller, which wait for a worker, may have the bytes of one."""

_BYTES_IN_ALL: Final = 64
"""The same of all callers."""

_TOLD: Final = ["status", "owner", "about", "updated", "message", "outcome"]
"""What is told of a task."""

_BEFORE: Final = b'{"result":'
"""With this the outcome of a task that has a result begins."""

_REFUSED: Final = {
    "caller": "You have too many tasks that have not ended. Wait for one of them, or cancel it.",
    "all": "There are too many tasks. Try again later.",
    "bytes of caller": (
        "Your tasks that have not begun take too many bytes. Wait until one begins, or cancel it."
    ),
    "bytes of all": "The tasks that have not begun take too many bytes. Try again later.",
}


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the store knows it.

    `owner` is the sealed name of whom it belongs to. It was `created` and `updated` at a time of
    the system's clock, and is kept for `seconds`. `is_lost` tells that its worker is dead. The
    `outcome` is sealed: whoever has a use for it opens it with `TaskStore.open`.
    """

    status: Status
    owner: str
    tool: str
    created: float
    updated: float
    seconds: float
    message: str | None = None
    outcome: bytes | None = None
    is_lost: bool = False


class TaskStore:
    """Keeps tasks in Redis, or in this process, by Docket's connection to it.

    Whatever asks the store raises `Busy` where it does not answer, or too much waits for it.
    """

    def __init__(self, docket: Docket, seal: Seal, options: Tasks) -> None:
        """Take a docket that is open."""
        self._docket = docket
        self._seal = seal
        self._options = options
        self._failing = Failing("The store of tasks")
        # The client's own pool does not wait: with too many it fails, as a store that has gone.
        self._slots = Slots(MOST_CONNECTIONS, max_wait=_SECONDS)

    async def add(
        self, name: str, owner: str, counted: Iterable[str], request: KeptRequest, seconds: int
    ) -> tuple[Task, str]:
        """Keep a new task, which is to be scheduled in a lane; return both.

        `owner` may fetch it; it counts among the tasks of each of `counted`, and is kept for
        `seconds`.

        Raises:
            InvalidArguments: the request is too large, or cannot be written.
            Busy: there are too many, or the store does not answer.
        """
        options, now = self._options, time.time()
        about = {"tool": request["tool"], "created": now, "seconds": seconds}
        written, most = write_utf8(request), options.max_bytes
        if len(written) > most:
            raise InvalidArguments(
                f"A task may be started with {most} bytes, its arguments and the headers of "
                f"its request together (max_bytes of Tasks); these are {len(written)}. Send less, "
                "or in several calls."
            )
        sealed = await run_apart(len(written), partial(self._seal.close_bytes, written))
        kept = [owner, self._seal.close(about), sealed]
        counts = [options.per_caller, options.in_all]
        sizes = [len(written), _BYTES_PER_CALLER * most, _BYTES_IN_ALL * most]
        keys = [self._key("task", name), self._key("all"), self._sizes()]
        keys += [self._key("of", each) for each in counted]
        said = [self._key("task"), name, now, seconds, *counts, *sizes, *kept, _TO_QUEUE]
        answer = (await self._run(ADD, keys, said)).decode()
        if (why := _REFUSED.get(answer)) is not None:
            raise Busy(why)
        task = Task("working", owner, request["tool"], created=now, updated=now, seconds=seconds)
        return task, answer.removeprefix("lane ")

    async def schedule(self, name: str, lane: str, seconds: int) -> None:
        """Put a task into the queue, which learns two names alone; from now on it is kept."""
        async with self._asking(), self._docket.redis() as redis:
            await self._docket.add(FUNCTION, key=name)(name, lane)
            await redis.expire(self._key("task", name), seconds)

    async def unschedule(self, name: str) -> None:
        """Take a task out of the queue; where it runs, end it."""
        async with self._asking():
            await self._docket.cancel(name)

    async def find(self, name: str) -> Task | None:
        """Return a task; None where there is none."""
        keys = [self._key("task", name), self._key("alive", name)]
        can_run, *values = await self._run(FIND, keys, _TOLD)
        found = {key: value for key, value in zip(_TOLD, values, strict=True) if value}
        if not found:
            return None
        try:
            about = self._seal.open(found["about"])
        except Unreadable:
            return None
        message = found.get("message")
        return Task(
            status=cast("Status", found["status"].decode()),
            owner=found["owner"].decode(),
            tool=about["tool"],
            created=about["created"],
            updated=float(found.get("updated", about["created"])),
            seconds=about["seconds"],
            message=self._seal.open(message) if message else None,
            outcome=found.get("outcome"),
            is_lost=found["status"] == b"working" and not can_run,
        )

    async def open(self, outcome: bytes) -> dict[str, Any]:
        """Return what a task has come to; what is large stays as it was written.

        Raises:
            Unreadable: it was sealed with another key.
        """
        if len(outcome) <= LARGE:
            opened: dict[str, Any] = self._seal.open(outcome)
            return opened
        written = await in_thread(partial(self._seal.open_bytes, outcome))
        # An error is short, and so this is a result.
        return {"result": WrittenJSON(written.removeprefix(_BEFORE)[:-1])}

    async def claim(self, name: str) -> KeptRequest | None:
        """Take what a task is to do; None where it was taken before, or is not wanted any more.

        From now on the store has no credential of the caller.

        Raises:
            Unreadable: it was sealed with another key.
        """
        keys = [self._key("task", name), self._key("alive", name), self._sizes()]
        sealed = await self._run(CLAIM, keys, [name, LEASE])
        request: KeptRequest | None = self._seal.open(sealed) if sealed else None
        return request

    async def renew(self, name: str) -> bool:
        """Say that the task's worker is alive; False where nobody wants it any more."""
        keys = [self._key("task", name), self._key("alive", name)]
        return bool(await self._run(RENEW, keys, [LEASE]))

    async def tell(self, name: str, message: str) -> None:
        """Write how far a task has come."""
        said = [self._seal.close(message), time.time()]
        await self._run(TELL, [self._key("task", name)], said)

    async def end(self, name: str, status: Status, outcome: bytes = b"") -> bool:
        """End a task, whose request is forgotten; False where it has ended before.

        `outcome` is what it has come to, as JSON.
        """
        seal = partial(self._seal.close_bytes, outcome)
        sealed = await run_apart(len(outcome), seal) if outcome else b""
        keys = [self._key("task", name), self._key("alive", name), self._sizes()]
        return bool(await self._run(END, keys, [name, status, sealed, time.time()]))

    def _sizes(self) -> str:
        return self._key("sizes")

    def _key(self, kind: str, name: str = "") -> str:
        return self._docket.key(f"mcp:{kind}:{name}")

    async def _run(self, script: str, keys: list[str], said: list[Any]) -> Any:
        async with self._asking(), self._docket.redis() as redis:
            # Both of Docket's clients have it, which its own protocol of them leaves out.
            return await cast("Any", redis).eval(script, len(keys), *keys, *map(_as_text, said))

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        async with self._slots.held():
            # The one in this process answers at once, and nobody else would run in between.
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(_SECONDS):
                    yield
            except (RedisError, OSError, TimeoutError) as error:
                self._failing.begin(error)
                raise Busy("Tasks cannot be reached now. Try again in a minute.") from None
            self._failing.end()


def _as_text(value: Any) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def moment(seconds: float) -> str:
    """Return a time as the protocol writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
