"""Imports the package without what Windows lacks, and calls a tool: ``python -m tests.windows``.

What others need of the system is imported before; the package itself begins anew.
"""

import importlib
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.support import envelope

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
FUNCTIONS = ("fork", "getpgid", "getuid", "killpg", "sched_getaffinity", "setsid", "uname")
SIGBREAK = 21


class _Lacking(MetaPathFinder):
    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002 - the protocol's
    ) -> ModuleSpec | None:
        if name in MODULES:
            raise ModuleNotFoundError(f"Windows has no {name!r}.", name=name)
        return None


def import_all() -> None:
    package = importlib.import_module("mcp_mount")
    for each in pkgutil.walk_packages(package.__path__, "mcp_mount."):
        if not each.name.endswith(".__main__"):
            importlib.import_module(each.name)


def become_windows() -> None:
    for name in [*sys.modules]:
        if name in MODULES or name.partition(".")[0] == "mcp_mount":
            del sys.modules[name]
    sys.meta_path.insert(0, _Lacking())
    for name in dir(signal):
        if name.startswith("SIG") and name not in SIGNALS:
            delattr(signal, name)
    for name in FUNCTIONS:
        delattr(os, name)
    signal.__dict__["SIGBREAK"] = SIGBREAK
    sys.platform = "win32"


def call_a_tool() -> str:
    app = FastAPI()
    app.get("/ping", operation_id="ping")(lambda: "pong")
    importlib.import_module("mcp_mount").mount_mcp(app)
    headers, body = envelope("modern", "tools/call", {"name": "ping", "arguments": {}})
    with TestClient(app) as client:
        text: str = client.post("/mcp", headers=headers, json=body).json()["result"]["content"][0][
            "text"
        ]
    return text


class _Program:
    pid = 1
    is_killed = False

    def kill(self) -> None:
        self.is_killed = True


def main() -> None:
    import_all()
    become_windows()
    import_all()
    assert call_a_tool() == '"pong"'
    system, program = importlib.import_module("mcp_mount.system"), _Program()
    assert signal.SIGTERM in system.STOPPING
    assert SIGBREAK in system.STOPPING
    assert system.guard_of(program) is None
    system.end_with_the_terminal()
    system.send_signal(program, "SIGTERM")
    assert program.is_killed
    sys.stdout.write("It is all there.\n")


if __name__ == "__main__":
    main()
