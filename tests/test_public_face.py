"""What a user imports, and how it is used."""

import dataclasses
import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable
from typing import get_type_hints

import pytest
from fastapi import FastAPI

import mcp_mount
from mcp_mount import Limits, Mounted, MountError, gateway_app, mount_mcp, proxy_app
from mcp_mount.assembly import MountOptions
from mcp_mount.checks import OPTIONS


def test_the_public_names_are_these() -> None:
    """A name more or less is a decision: write it here, in the changelog and in the docs."""
    assert mcp_mount.__all__ == [
        "API",
        "TOOL_KEY",
        "ClientCredentials",
        "InvalidDocument",
        "InvalidMark",
        "InvalidSelector",
        "Limits",
        "MountError",
        "MountOptions",
        "Mounted",
        "NameClash",
        "Operation",
        "RateLimit",
        "Remote",
        "RemoteState",
        "ScopesOf",
        "Selector",
        "Tasks",
        "Upstream",
        "__version__",
        "gateway_app",
        "mount_mcp",
        "proxy_app",
    ]


def test_the_public_names_are_there_documented_and_listed() -> None:
    # Python gives `Callable[…]` no place for a docstring.
    said = {*mcp_mount.__all__} - {"ScopesOf"}
    assert [name for name in said if not getattr(mcp_mount, name).__doc__] == []
    assert {*mcp_mount.__all__} <= {*dir(mcp_mount)}
    with pytest.raises(AttributeError, match="'mcp_mount' has no attribute 'mount_mpc'"):
        _ = mcp_mount.mount_mpc


def test_help_begins_with_how_it_is_used_and_names_everything() -> None:
    text = pydoc.plain(pydoc.render_doc(mcp_mount))
    assert text.index("mount_mcp(app)  # every operation") < 1000
    assert [name for name in mcp_mount.__all__ if name not in text] == []


def loaded(statement: str) -> list[str]:
    """Return what a statement imports, in an interpreter of its own, of what takes its time."""
    heavy = ("fastapi", "fastmcp", "fastmcp.client", "httpx2", "authlib", "uvicorn", "yaml")
    script = f"import sys\n{statement}\nprint(*(name for name in {heavy!r} if name in sys.modules))"
    return subprocess.check_output([sys.executable, "-c", script], text=True).split()


def test_what_is_imported_is_what_is_asked_for() -> None:
    """The package, its errors and the command's help need neither FastMCP nor an HTTP client."""
    assert loaded("import mcp_mount, mcp_mount.cli; mcp_mount.MountError") == []
    assert "fastmcp.client" not in loaded("from mcp_mount import Limits, Upstream, RateLimit")
    assert "authlib" not in loaded("from mcp_mount import ClientCredentials")


def test_options_are_given_by_name_and_have_defaults() -> None:
    parameters = inspect.signature(mount_mcp).parameters
    app, *options = parameters.values()
    assert app.name == "app"
    assert {option.kind for option in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert [option.name for option in options if option.default is option.empty] == []


@pytest.mark.parametrize("make", [proxy_app, gateway_app])
def test_proxies_and_gateways_take_the_options_of_the_mount(make: Callable[..., object]) -> None:
    """What is added to the one is added to the others: as a parameter of theirs or by name."""
    options = {*inspect.signature(mount_mcp).parameters} - {"app", "openapi"}
    shared = {*MountOptions.__annotations__}
    own = {*inspect.signature(make).parameters} - {"options", "openapi", "upstream"}
    assert shared | own == options
    assert shared & own == set()
    hints = get_type_hints(mount_mcp)
    assert {name: hints[name] for name in shared} == get_type_hints(MountOptions)


def test_every_option_is_checked() -> None:
    """An option without a rule would fail later, in words that do not say why."""
    options = inspect.signature(mount_mcp).parameters
    assert {*OPTIONS} == {*options} - {"app", "openapi"}


def test_option_groups_and_results_cannot_be_changed() -> None:
    for value in (Limits(), mount_mcp(FastAPI())):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, None)


def test_every_error_of_mounting_is_a_mount_error() -> None:
    errors = [
        value
        for name in mcp_mount.__all__
        if inspect.isclass(value := getattr(mcp_mount, name)) and issubclass(value, Exception)
    ]
    assert [error for error in errors if not issubclass(error, MountError)] == []


def test_mounting_tells_where_and_what() -> None:
    mounted = mount_mcp(FastAPI(title="Parts", version="3", summary="All parts."), path="/ai/mcp")
    assert isinstance(mounted, Mounted)
    assert mounted.path == "/ai/mcp"
    server = mounted.server
    assert (server.name, server.version, server.instructions) == ("Parts", "3", "All parts.")
