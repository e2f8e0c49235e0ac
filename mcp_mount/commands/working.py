"""The command ``mcp-mount worker``: runs the tasks that clients of an app have started."""

import sys
from pathlib import Path

from mcp_mount.errors import MountError
from mcp_mount.options import ServeOptions


def worker(target: str, /, *, app_dir: Path = Path()) -> None:
    """Run the tasks of an app whose mount_mcp says tasks=Tasks("redis://…"), until told to stop.

    Start as many as are needed, on as many machines. Each takes what waits, tasks.concurrency at
    once, and needs the app's environment. On SIGTERM, what runs has a second to end.

    Args:
        target: The app, such as main:app.
        app_dir: The folder in which the app's module is.
    """
    from mcp_mount.loading import load_app, tasks_of
    from mcp_mount.serving import run_tasks

    try:
        app = load_app(target, app_dir, ServeOptions())
        run_tasks(app, tasks_of(app, target), about=f"Running the tasks of {target!r}")
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
