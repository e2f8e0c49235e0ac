"""The commands ``fastmcp list`` and ``fastmcp call``."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from reporting import Tools, run

FASTMCP = Path(sys.executable).with_name("fastmcp")


async def fastmcp(*arguments: str) -> Any:
    """Run the command, and return the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        FASTMCP, *arguments, "--json", stdout=-1, stderr=-1
    )
    said, complained = await process.communicate()
    if not said:
        raise RuntimeError(complained.decode())
    return json.loads(said)


async def call(url: str, name: str, arguments: dict[str, Any]) -> object:
    return await fastmcp("call", url, name, "--input-json", json.dumps(arguments))


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    listed = await fastmcp("list", url, "--input-schema", "--output-schema")
    tools = listed if isinstance(listed, list) else listed["tools"]
    yield {tool["name"]: partial(call, url, tool["name"]) for tool in tools}


run(connect)
