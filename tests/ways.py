"""The two ways in which a request is answered; a test forces the generic one from outside."""

from typing import Literal

import pytest
from fastmcp.server.middleware import Middleware

from mcp_mount import Mounted

Way = Literal["quick", "generic"]
WAYS: tuple[Way, ...] = ("quick", "generic")

either_way = pytest.mark.parametrize("way", WAYS)


def force(mounted: Mounted, way: Way) -> None:
    """Have every request answered so: a middleware of FastMCP's must see each of them."""
    if way == "generic":
        mounted.server.add_middleware(Middleware())
