"""Runs a client in its own environment, where nothing of ours is: lists, calls, and prints it."""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

IMAGE = "shown-as-an-image"
"""What a script returns where its client made a picture of the bytes."""

Tools = Mapping[str, Callable[[dict[str, Any]], Awaitable[object]]]
"""What a client made of the list: each tool calls, and returns what it shows its model."""


def run(connect: Callable[[str], AbstractAsyncContextManager[Tools]]) -> None:
    """Connect to the given URL, make the given calls, and print what came of it."""
    url, calls = sys.argv[1], json.loads(sys.argv[2])
    asyncio.run(_run(connect, url, calls))


async def _run(
    connect: Callable[[str], AbstractAsyncContextManager[Tools]],
    url: str,
    calls: Mapping[str, dict[str, Any]],
) -> None:
    async with connect(url) as tools:
        shown: dict[str, object] = {}
        raised: dict[str, str] = {}
        for name, arguments in calls.items():
            if name not in tools:
                continue
            try:
                shown[name] = await tools[name](arguments)
            except Exception as error:  # noqa: BLE001 - what a client raises is what is asked
                raised[name] = "".join(traceback.format_exception_only(error)).strip()
        report = {"tools": sorted(tools), "shown": shown, "raised": raised}
        sys.stdout.write(f"\n{json.dumps(report, default=_to_json)}\n")


def _to_json(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else repr(value)
