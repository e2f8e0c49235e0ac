"""What differs between systems: signals, how a program is ended as a whole, where settings are."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import anyio

if TYPE_CHECKING:
    from anyio.abc import Process, TaskStatus

STOPPING: Final = tuple(
    int(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGBREAK")
    if hasattr(signal, name)
)
"""The signals by which a server is told to stop; Windows has Ctrl+Break, too."""

_KILL_WITH_US: Final = 'read -r _; kill -KILL "-$1"'
"""A shell that waits for the end of its input, which is our end, and then kills a process group."""


def end_with_the_terminal() -> None:
    """Stop in order when the terminal is closed (SIGHUP), unless `nohup` says to go on."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


async def cancel_when_told(
    scope: anyio.CancelScope, *, task_status: "TaskStatus[None]" = anyio.TASK_STATUS_IGNORED
) -> None:
    """Cancel a scope on the first SIGINT or SIGTERM; the next one ends the process as ever.

    On Windows, where no event loop can wait for them, they end the process at once.
    """
    if sys.platform == "win32":
        task_status.started()
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


def guard_of(process: "Process") -> list[str] | None:
    """Return the command of a guard, which kills a process group when its own input ends.

    None where there are no process groups: there, what the program has started may outlive us.
    """
    if sys.platform == "win32":
        return None
    return ["/bin/sh", "-c", _KILL_WITH_US, "sh", str(process.pid)]


def send_signal(process: "Process", name: Literal["SIGTERM", "SIGKILL"]) -> None:
    """End a program and its process group; on Windows the program alone, and at once."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.Signals[name])


def settings_folder(name: str, *, on_mac: str = "Library/Application Support") -> Path:
    """Return where a program of this name keeps its settings; on a Mac below `on_mac`."""
    if sys.platform == "darwin":
        return Path.home() / on_mac / name
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / name
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / name
