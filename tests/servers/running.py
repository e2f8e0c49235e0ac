"""Runs an app in four processes: under each server, and behind nginx."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.others import free_port
from tests.servers.gate import Gate

PROCESSES = 4
_ROOT = Path(__file__).parent.parent.parent
_APP = "tests.servers.app:app"
_COMMANDS = {
    "uvicorn": "uvicorn --workers {processes} --port {port}",
    "gunicorn": "gunicorn --worker-class uvicorn_worker.UvicornWorker --workers {processes}"
    " --bind 127.0.0.1:{port} --graceful-timeout 5 --no-control-socket",
    "hypercorn": "hypercorn --workers {processes} --bind 127.0.0.1:{port} --graceful-timeout 5",
    "granian": "granian --interface asgi --workers {processes} --port {port}"
    " --workers-kill-timeout 5 --respawn-failed-workers",
}
_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
SERVERS = tuple(_COMMANDS)
Program: TypeAlias = "subprocess.Popen[bytes]"


def needs(place: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where a server, or nginx, is not installed."""
    if place == "nginx":
        reason = "nginx is not installed; on Debian or Ubuntu: apt install nginx-light"
        return pytest.mark.skipif(not Path(_NGINX).is_absolute(), reason=reason)
    is_there = (Path(sys.executable).parent / place).exists()
    reason = f"{place} is not installed: `make servers` does so"
    return pytest.mark.skipif(not is_there, reason=reason)


@asynccontextmanager
async def workers(server: str, gate: Gate) -> AsyncIterator[tuple[str, Program]]:
    """Run the app under a server with four processes; yield the server's URL and its process."""
    command = Path(sys.executable).parent / server
    port = free_port()
    words = _COMMANDS[server].format(processes=PROCESSES, port=port).split()
    with _program(command, *words[1:], _APP, GATE=str(gate.port)) as program:
        await gate.wait_for(started=PROCESSES)
        yield f"http://127.0.0.1:{port}", program


@asynccontextmanager
async def behind_nginx(
    gate: Gate, folder: Path, *, listen: str = "", options: str = ""
) -> AsyncIterator[str]:
    """Run four processes of one worker each behind nginx, which sends each request to the next.

    nginx has its default settings, but for `options`, e.g. ``"gzip on;"``, and those of `listen`,
    e.g. ``"http2"``.
    """
    port = free_port()
    upstreams = [free_port() for _ in range(PROCESSES)]
    config = folder / "nginx.conf"
    config.write_text(_config(f"{port} {listen}", upstreams, folder, options), "ascii")
    uvicorn = Path(sys.executable).parent / "uvicorn"
    with ExitStack() as stack:
        for each in upstreams:
            stack.enter_context(_program(uvicorn, "--port", str(each), _APP, GATE=str(gate.port)))
        await gate.wait_for(started=PROCESSES)
        stack.enter_context(_daemon(_NGINX, "-c", str(config), "-e", str(folder / "error.log")))
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _daemon(*command: str) -> Iterator[None]:
    """Run nginx, which listens before it goes to the background and its command ends."""
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*command, "-s", "stop"], check=True, stderr=subprocess.DEVNULL)


def _config(listen: str, upstreams: list[int], folder: Path, options: str) -> str:
    servers = "".join(f"server 127.0.0.1:{each};" for each in upstreams)
    places = " ".join(
        f"{each}_temp_path {folder}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{}}
        http {{
            access_log off; {places} {options}
            upstream app {{ {servers} }}
            server {{
                listen 127.0.0.1:{listen};
                location / {{ proxy_pass http://app; }}
            }}
        }}
    """


@contextmanager
def _program(*words: str | Path, **variables: str) -> Iterator[Program]:
    """Run a program, and end it and all that it has started."""
    with subprocess.Popen(
        words,
        cwd=_ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            # It may have ended by itself, with all of its workers.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
