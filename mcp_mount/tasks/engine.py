"""The tasks of a mount, from its start to its stop. They run on FastMCP's task engine, Docket."""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Final

import anyio
from docket import ConcurrencyLimit, Docket, Worker
from fastmcp_tasks import wire_production
from redis.exceptions import RedisError
from starlette.requests import Request

from mcp_mount.access.auth import granted_scopes, scopes_to_request
from mcp_mount.access.principals import credentials_of
from mcp_mount.backends.request import RequestContext
from mcp_mount.errors import Busy, MountError
from mcp_mount.limits import CallerSlots
from mcp_mount.shutdown import shutdown
from mcp_mount.tasks.options import Tasks
from mcp_mount.tasks.request import KeptRequest, keep_scope
from mcp_mount.tasks.seal import Seal
from mcp_mount.tasks.store import FUNCTION, LEASE, Task, TaskStore
from mcp_mount.tasks.worker import LOST, TaskWorker, protocol_error
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.tool import OperationTool
from mcp_mount.tools.tracing import trace_of

logger = logging.getLogger("mcp_mount")

_ID_BYTES: Final = 32

_ID: Final = re.compile(r"[\w-]{43}", re.ASCII)
"""As `secrets.token_urlsafe` writes that many; nothing else is looked for."""

_OF_A_CALLER: Final = 4
"""Requests of one caller that ask the store at once; it takes eight to have all connections."""

_SECONDS: Final = 5.0
"""How long the store may take to answer when the app starts, and a request waits for its turn."""


def _in_lanes(worker: TaskWorker, concurrency: int) -> Callable[[str, str], Awaitable[None]]:
    """Return what runs a task, of a caller so many at once that others find places, too."""
    most = max(concurrency // 2, 1)

    async def run(name: str, lane: Annotated[str, ConcurrencyLimit(most)]) -> None:  # noqa: ARG001
        await worker.run(name)

    return run


class TaskEngine:
    """Starts, finds and ends the tasks of one mount, and runs them."""

    def __init__(
        self,
        options: Tasks,
        provider: OperationProvider,
        *,
        about: str,
        key: str | None,
        cookies: bool,
        callers: Callable[[Request], list[str]],
    ) -> None:
        """Take what tells the mount from others with its store: `about`, and a secret `key`.

        `callers` returns whom a request counts against.
        """
        self.options = options
        self._provider = provider
        self._cookies = cookies
        self._callers = callers
        self._slots = CallerSlots(_OF_A_CALLER, max_wait=_SECONDS)
        self._seal = Seal(key)
        self._queue = f"mcp_mount:{self._seal.name('queue', about)[:12]}"
        self._docket: Docket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store: TaskStore
        self._worker: TaskWorker

    @property
    def is_running(self) -> bool:
        """Whether tasks can be started here; not where the app's lifespan is not run."""
        return self._docket is not None and self._loop is asyncio.get_running_loop()

    @asynccontextmanager
    async def running(self, state: Mapping[str, Any] | None) -> AsyncIterator[None]:
        """Serve tasks while the app runs; run them too, unless other processes do.

        Raises:
            MountError: the store cannot be reached.
        """
        options = self.options
        docket = Docket(self._queue, options.store, execution_ttl=timedelta(0))
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_SECONDS):
                    await stack.enter_async_context(docket)
                    # Not every version of Docket's has asked for anything by now.
                    async with docket.redis() as redis:
                        await redis.exists(docket.key("mcp"))
            except (RedisError, OSError) as error:
                # The URL may hold a password.
                raise MountError(
                    f"The store of tasks= cannot be reached ({type(error).__name__}): start it, or "
                    "write where it is, such as Tasks('redis://host:6379')."
                ) from None
            self._store = TaskStore(docket, self._seal, options)
            self._worker = TaskWorker(
                self._store,
                self._provider,
                cookies=self._cookies,
                state=state,
                max_bytes=options.max_bytes,
            )
            docket.register(_in_lanes(self._worker, options.concurrency), names=[FUNCTION])
            self._docket, self._loop = docket, asyncio.get_running_loop()
            wire_production.install()
            working = None if options.is_shared else asyncio.create_task(self._work_here())
            try:
                yield
            finally:
                wire_production.uninstall()
                self._docket = None
                if working is not None:
                    working.cancel()
                    await asyncio.wait([working])

    async def _work_here(self) -> None:
        try:
            await self.work()
        except Exception:
            logger.exception("The worker of tasks has failed: those that wait are not run")

    async def work(self) -> None:
        """Run tasks until this is cancelled; those that run then end soon, and say so.

        Raises:
            RuntimeError: the app's lifespan does not run.
        """
        if self._docket is None:
            raise RuntimeError("Tasks are run while the app's lifespan runs.")
        stop = asyncio.Event()
        # In a task of its own, which is told to stop and is never cancelled.
        working = asyncio.create_task(self._work_until(stop, self._docket))
        try:
            await asyncio.shield(working)
        finally:
            with anyio.CancelScope(shield=True):
                stop.set()
                await asyncio.wait([working])

    async def _work_until(self, stop: asyncio.Event, docket: Docket) -> None:
        """Run tasks until an event is set; then take no more, and wait for those that run."""
        async with Worker(
            docket,
            concurrency=self.options.concurrency,
            redelivery_timeout=timedelta(seconds=2 * LEASE),
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=timedelta(milliseconds=50),
        ) as worker:
            working = asyncio.create_task(worker.run_forever())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            self._worker.stopping.set()
            if count := self._worker.running:
                # They have a moment to end, as calls have.
                shutdown.get().begin()
        await working
        await self._worker.end_what_is_left()
        if count:
            logger.warning("The worker has stopped. %d tasks were running, and have ended.", count)

    async def start(
        self,
        tool: OperationTool,
        arguments: Mapping[str, Any],
        ctx: RequestContext,
        *,
        meta: Mapping[str, Any],
        client: str | None,
    ) -> tuple[str, Task]:
        """Start a call that was let in; return the id with which its caller fetches it.

        Raises:
            InvalidArguments: what it is started with is too large to be kept.
            Busy: there are too many, or the store does not answer, or too much waits for it.
        """
        granted = granted_scopes.get()
        request = KeptRequest(
            scope=keep_scope(ctx.scope),
            tool=tool.name,
            arguments=dict(arguments),
            trace=trace_of(meta),
            client=client,
            granted=sorted(granted) if granted is not None else None,
        )
        # It may wait for a slot as long as it may run.
        seconds = int(2 * tool.binding.limits.timeout + self.options.keep)
        task_id = secrets.token_urlsafe(_ID_BYTES)
        name = self._seal.name("task", task_id)
        callers = self._callers(ctx.request)
        counted = [self._seal.name("of", each) for each in callers]
        async with self._slots.held(callers):
            task, lane = await self._store.add(name, self._owner(ctx), counted, request, seconds)
            try:
                await self._store.schedule(name, lane, seconds)
            except Busy:
                await self._store.end(name, "failed")
                raise
        return task_id, task

    async def find(self, task_id: str, ctx: RequestContext) -> tuple[Task, dict[str, Any]] | None:
        """Return a task of the caller's, and what it has come to; None where there is none.

        Raises:
            Busy: the store does not answer, or too much waits for it.
        """
        if not self._can_be(task_id):
            return None
        async with self._slots.held(self._callers(ctx.request)):
            task = await self._find(task_id, ctx)
            if task is None:
                return None
            return task, await self._store.open(task.outcome) if task.outcome else {}

    async def _find(self, task_id: str, ctx: RequestContext) -> Task | None:
        name = self._seal.name("task", task_id)
        task = await self._store.find(name)
        if (
            task is None
            or task.owner != self._owner(ctx)
            or scopes_to_request(self._provider.scopes(task.tool), granted_scopes.get())
        ):
            return None
        if task.is_lost:
            await self._store.end(name, "failed", protocol_error(LOST))
            return await self._store.find(name)
        return task

    async def cancel(self, task_id: str, ctx: RequestContext) -> bool:
        """End a task of the caller's, if it has not ended; False where there is none.

        Raises:
            Busy: as for `find`.
        """
        if not self._can_be(task_id):
            return False
        async with self._slots.held(self._callers(ctx.request)):
            if await self._find(task_id, ctx) is None:
                return False
            name = self._seal.name("task", task_id)
            if await self._store.end(name, "cancelled"):
                await self._store.unschedule(name)
            return True

    def _can_be(self, task_id: str) -> bool:
        """Whether a task may have an id: of others nobody asks the store."""
        return self.is_running and _ID.fullmatch(task_id) is not None

    def _owner(self, ctx: RequestContext) -> str:
        """Return whose a task is, as the store knows it: not by address, for people move."""
        return self._seal.name("owner", *credentials_of(ctx.request, self._provider.credentials()))
