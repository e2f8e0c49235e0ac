"""The large applications: two foreign ones, and one of our own.

The foreign ones are imported by name: mypy, and the test that every import is of a declared
dependency, know nothing of them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from fastapi import FastAPI

from mcp_mount import mount_mcp
from tests.scale.generated import app


@dataclass(frozen=True)
class Large:
    """An application, the path of its MCP endpoint, and the size of its list.

    `share` is the most that it may be of FastMCP's, `most` the bytes.
    """

    app: FastAPI
    most: int
    path: str = "/mcp"
    share: float = 1 / 3

    def operations(self) -> list[str]:
        """Every operation of the document that can be a tool, e.g. ``"get /parts"``."""
        return [
            f"{method} {path}"
            for path, item in self.app.openapi()["paths"].items()
            for method in item
            if method in {"get", "put", "post", "delete", "patch", "query"}
        ]


@cache
def titiler() -> Large:
    """TiTiler, which reads raster images: large unions, GeoJSON, tuples, images."""
    return _mounted(Large(_imported("titiler.application.main"), most=246_000))


@cache
def litellm() -> Large:
    """LiteLLM's proxy: a thousand operations, recursive models, its own OpenAPI document."""
    # Otherwise it asks the network for prices, three times, before it starts without them.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # It has an endpoint of its own at "/mcp".
    return _mounted(Large(_imported("litellm.proxy.proxy_server"), most=1_299_000, path="/tools"))


@cache
def generated() -> Large:
    """A thousand routes, a hundred for each function."""
    # Of small models there is less to leave out; null and recursion are written out, as some need.
    return _mounted(Large(app, most=1_620_000, share=9 / 10))


LoadLarge = Callable[[], Large]
TITILER = pytest.mark.skipif(find_spec("titiler") is None, reason="`make scale` installs it")
LITELLM = pytest.mark.skipif(find_spec("litellm") is None, reason="`make scale-litellm` does")
# What foreign code warns of, at import and when its document is written anew, is its own.
FOREIGN = pytest.mark.filterwarnings("ignore")
ALL: list[Any] = [
    pytest.param(generated, id="generated"),
    pytest.param(titiler, id="titiler", marks=[TITILER, FOREIGN]),
    pytest.param(litellm, id="litellm", marks=[LITELLM, FOREIGN]),
]


def _imported(module: str) -> FastAPI:
    app: FastAPI = import_module(module).app
    return app


def _mounted(large: Large) -> Large:
    mount_mcp(large.app, path=large.path)
    return large
