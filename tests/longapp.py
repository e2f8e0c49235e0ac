"""An app with long work, as several processes serve it and others run its tasks."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header

from mcp_mount import Tasks, mount_mcp
from tests.longwork import KEY, MARK


def make() -> FastAPI:
    """Return the app. What happens is in files of a folder, which all processes see."""
    url, folder = os.environ["TASKS_URL"], Path(os.environ["TASKS_FOLDER"])
    app = FastAPI()

    @app.post("/reports", operation_id="report", openapi_extra=MARK)
    async def report(title: str, authorization: Annotated[str, Header()] = "") -> dict[str, str]:
        with (folder / "begun").open("a") as file:
            file.write(f"{title}\n")
        try:
            while not (folder / "end").exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
        finally:
            (folder / "closed").touch()
        return {"title": title, "caller": authorization, "process": str(os.getpid())}

    mount_mcp(app, tasks=Tasks(url, concurrency=1), state_key=KEY)
    return app
