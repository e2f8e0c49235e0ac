"""What `make interop` tries with foreign clients, as far as it can be known without them."""

import json

import pytest

from tests.interop.app import CALLS, interop_app
from tests.interop.environments import HERE, read_clients
from tests.interop.outcomes import read_report
from tests.interop.page import PAGE
from tests.profile import check_list
from tests.support import ERAS, Era, call, tools


@pytest.mark.parametrize("era", ERAS)
async def test_the_tools_that_clients_are_tried_with_are_listed_and_called(era: Era) -> None:
    """P1, P4: in the form that the readers of schemas take."""
    app = interop_app()
    listed = await tools(app, era=era)
    assert {*listed} == {*CALLS}
    # The one that is added by hand has FastMCP's own form.
    check_list({name: tool for name, tool in listed.items() if name != "both"})
    for name, kind in CALLS.items():
        assert kind.shows in (await call(app, name, kind.arguments, era=era)).text


async def test_what_costs_some_client_the_list_is_left_out_of_arguments() -> None:
    """P1: a format or a look-ahead AutoGen, no type of a union smolagents."""
    listed = await tools(interop_app())
    odd = listed["odd"]["inputSchema"]["properties"]
    assert odd["code"] == odd["pointer"] | {"default": "a"} == {"type": "string", "default": "a"}
    assert odd["when"] == {"type": "string", "format": "date-time"}
    assert listed["union"]["inputSchema"]["properties"]["body"]["type"] == "object"
    assert "$ref" not in json.dumps([listed["mutual"], listed["recursive"]["inputSchema"]])


def test_the_page_of_clients_is_of_the_clients_that_are_tried() -> None:
    page = PAGE.read_text()
    for client in read_clients():
        assert f"| {client.name} |" in page
        assert all(f"`{package}`" in page for package in client.packages)
        script = "py" if client.installer == "pip" else "mjs"
        assert (HERE / f"clients/{client.slug}_client.{script}").exists()


def test_a_client_that_loses_what_it_is_not_known_to_lose_is_told_of() -> None:
    """A report as the scripts write it: of three tools one was not listed, one raised."""
    client = read_clients()[0]
    calls = {name: CALLS[name] for name in ("nested", "null", "error", "both")}
    shown = {"both": "said-in-text", "image": {"data": "shown-as-an-image"}}
    raised = {"null": "TypeError: no", "error": "RuntimeError: no-such-part"}
    outcome = read_report(
        client, {"tools": ["null", "error", "both"], "shown": shown, "raised": raised}, calls
    )
    assert outcome.missing == ("nested",)
    assert outcome.lost == {"null": "TypeError: no"}
    assert outcome.shows == {"text", "images"}
    assert outcome.errors == "raised"
    assert not outcome.is_expected
