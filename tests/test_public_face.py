"""What a user imports, and how it is used."""

import dataclasses
import inspect
from typing import Any, get_type_hints

import pytest
from fastapi import FastAPI

import mcp_mount
from mcp_mount import Limits, Mounted, MountError, mount_mcp, proxy_app
from mcp_mount.mount import MountOptions


def test_the_public_names_are_these() -> None:
    """A name more or less is a decision: write it here, in the changelog and in the docs."""
    assert mcp_mount.__all__ == [
        "ClientCredentials",
        "InvalidMark",
        "InvalidSelector",
        "Limits",
        "MountError",
        "Mounted",
        "NameClash",
        "Operation",
        "RateLimit",
        "Remote",
        "Upstream",
        "__version__",
        "gateway_app",
        "mount_mcp",
        "proxy_app",
    ]


def test_the_public_names_are_sorted_and_documented() -> None:
    assert mcp_mount.__all__ == sorted(mcp_mount.__all__)
    assert [name for name in mcp_mount.__all__ if not getattr(mcp_mount, name).__doc__] == []


def test_options_are_given_by_name_and_have_defaults() -> None:
    parameters = inspect.signature(mount_mcp).parameters
    app, *options = parameters.values()
    assert app.name == "app"
    assert {option.kind for option in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert [option.name for option in options if option.default is option.empty] == []


def test_proxies_and_gateways_take_the_options_of_the_mount() -> None:
    """What is added to the one is added to the others: as a parameter of theirs or by name."""
    options = {*inspect.signature(mount_mcp).parameters} - {"app"}
    shared = {*MountOptions.__annotations__}
    own = {*inspect.signature(proxy_app).parameters} - {"options"}
    assert shared | own == options
    assert shared & own == set()
    hints = get_type_hints(mount_mcp)
    assert {name: hints[name] for name in shared} == get_type_hints(MountOptions)


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


@pytest.mark.parametrize(
    "limits",
    [{"timeout": 0}, {"timeout": float("inf")}, {"max_bytes": -1}, {"max_items": 0}],
    ids=repr,
)
def test_a_limit_under_which_no_call_could_succeed_is_refused(limits: dict[str, Any]) -> None:
    """C6."""
    (name,) = limits
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be a positive"):
        Limits(**limits)
