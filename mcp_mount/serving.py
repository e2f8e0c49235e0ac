"""Serves an app until the process is told to stop: over HTTP, or to one client on stdio."""

import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import anyio

from mcp_mount.errors import MountError
from mcp_mount.system import cancel_when_told, end_with_the_terminal

if TYPE_CHECKING:
    import socket

    import httpx2
    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn.lifespan.off import LifespanOff
    from uvicorn.lifespan.on import LifespanOn

    from mcp_mount.stdio import StandardStreams
    from mcp_mount.tasks.engine import TaskEngine

logger = logging.getLogger("mcp_mount")

_HERE: Final = "http://localhost"
"""Stands where a URL needs a host, in this process."""

_MOST_BYTES: Final = 64 * 1024 * 1024
"""Of an answer, or of an event, of an endpoint elsewhere; a result of ours has ten MB unless it is
told otherwise, twice, as text and as structure."""


def serve(application: "ASGIApp", *, host: str, port: int, about: str, path: str = "/mcp") -> None:
    """Serve until the process is told to stop; open streams then get two seconds to end.

    `about` is what the log says first.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: "list[socket.socket] | None" = None) -> None:
            await super().startup(sockets)
            _spare_what_stays()

    config = server_config(application, host=host, port=port)
    logger.info(about)
    logger.info("The MCP endpoint is at http://%s:%d%s", host, port, path)
    server = Server(config)
    end_with_the_terminal()
    server.run()
    if not server.started:
        sys.exit(1)


def _spare_what_stays() -> None:
    """Take what an app has made while it started out of every later garbage collection.

    Each stops the process, and most of what it would look at lives as long as the process.
    """
    gc.collect()
    gc.freeze()


def server_config(application: Any, **options: Any) -> "uvicorn.Config":
    """Return the configuration of a server, which sets up the log on standard error."""
    import uvicorn

    return uvicorn.Config(
        application,
        timeout_graceful_shutdown=2,
        # Each call has a line of ours.
        access_log=False,
        log_config=_logging(),
        **options,
    )


def _logging() -> dict[str, Any]:
    """Return uvicorn's logging configuration with our loggers added."""
    from uvicorn.config import LOGGING_CONFIG

    config = deepcopy(LOGGING_CONFIG)
    config["loggers"] |= {
        "mcp_mount": {"handlers": ["default"], "level": "INFO", "propagate": False},
        # These write tracebacks of what a line of ours says already, and the ids of sessions.
        "mcp.client": {"handlers": [], "level": "CRITICAL"},
        "mcp.shared": {"handlers": [], "level": "CRITICAL"},
    }
    return config


def serve_on_stdio(
    application: "ASGIApp",
    streams: "StandardStreams",
    *,
    headers: Mapping[str, str],
    about: str,
    path: str = "/mcp",
) -> None:
    """Serve one client on standard input and output, until it goes or the process is told to stop.

    Each of its requests has the `headers`; `about` is what the log says first.

    Raises:
        MountError: the app does not start.
    """
    config = server_config(application, proxy_headers=False)
    logger.info("%s, on standard input and output", about)
    _carry(streams, f"{_HERE}{path}", _connected_here(config, headers))


def carry_to(url: str, streams: "StandardStreams", *, headers: Mapping[str, str]) -> None:
    """Carry messages between standard input and output and an endpoint elsewhere."""
    from logging.config import dictConfig

    dictConfig(_logging())
    logger.info("Carrying standard input and output to the endpoint")
    _carry(streams, url, _client_elsewhere(headers), _MOST_BYTES)


def _carry(
    streams: "StandardStreams",
    url: str,
    connection: AbstractAsyncContextManager["httpx2.AsyncClient"],
    most: int | None = None,
) -> None:
    from mcp_mount.bridge import carry

    async def run() -> None:
        async with connection as client:
            await carry(streams, url, client, most)

    try:
        _run_until_told(run)
    except* BrokenPipeError:
        logger.info("The client reads no more")


@asynccontextmanager
async def _connected_here(
    config: "uvicorn.Config", headers: Mapping[str, str]
) -> AsyncIterator["httpx2.AsyncClient"]:
    """Yield an HTTP client of an app in this process, while its lifespan runs."""
    import httpx2
    from fastmcp.utilities.asgi_transport import StreamingASGITransport

    from mcp_mount.cancelling import EndCancelled

    async with _started(config) as lifespan:
        _spare_what_stays()

        async def with_state(scope: "Scope", receive: "Receive", send: "Send") -> None:
            await config.loaded_app({**scope, "state": lifespan.state.copy()}, receive, send)

        transport = StreamingASGITransport(EndCancelled(with_state))
        async with httpx2.AsyncClient(transport=transport, **_options(headers)) as client:
            yield client


@asynccontextmanager
async def _started(config: "uvicorn.Config") -> AsyncIterator["LifespanOn | LifespanOff"]:
    """Run an app's lifespan as a server does."""
    config.load()
    lifespan = config.lifespan_class(config)
    await lifespan.startup()
    if lifespan.should_exit:
        raise MountError("The app has not started; the lines above say why.")
    try:
        yield lifespan
    finally:
        with anyio.CancelScope(shield=True):
            await lifespan.shutdown()


def run_tasks(application: "ASGIApp", tasks: "TaskEngine", *, about: str) -> None:
    """Run an app's tasks until the process is told to stop; `about` is what the log says first.

    Raises:
        MountError: the app does not start.
    """
    config = server_config(application)
    logger.info("%s, %d at once", about, tasks.options.concurrency)

    async def work() -> None:
        async with _started(config):
            await tasks.work()

    _run_until_told(work)


def _run_until_told(run: Callable[[], Awaitable[None]]) -> None:
    """Run until that has ended, or the process is told to stop."""

    async def run_and_listen() -> None:
        failure: MountError | None = None
        async with anyio.create_task_group() as tasks:
            # Before the app starts, which listens beside whoever listens then.
            await tasks.start(cancel_when_told, tasks.cancel_scope)
            try:
                await run()
            except MountError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    anyio.run(run_and_listen)


def _client_elsewhere(headers: Mapping[str, str]) -> "httpx2.AsyncClient":
    """Return an HTTP client of an endpoint that nobody vouches for."""
    from mcp_mount.answers import EndpointClient, replacing
    from mcp_mount.outgoing.tls import usual_tls

    client = EndpointClient(
        verify=usual_tls(), **_options({**headers, "Accept-Encoding": "identity"})
    )
    client.event_hooks["response"].append(replacing(_MOST_BYTES))
    return client


def _options(headers: Mapping[str, str]) -> dict[str, Any]:
    import httpx2

    from mcp_mount.bridge import tell_of_refusal
    from mcp_mount.outgoing.log import hide_url_async

    return {
        "headers": dict(headers),
        # The endpoint has limits of its own, and a stream may be silent for long.
        "timeout": httpx2.Timeout(30, read=None),
        "event_hooks": {"request": [hide_url_async], "response": [tell_of_refusal]},
    }
