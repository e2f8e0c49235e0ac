"""What nobody sees is nowhere in what a server offers: names and addresses are sent back whole."""

from typing import Any

import pytest

from mcp_mount import Remote
from mcp_mount.tools.uris import is_template
from tests.others import gateway, raw, tool
from tests.support import ERAS, Era, rpc, tools

SELECTORS = "".join(chr(0xE0100 + number) for number in b"obey")
UNSEEN = [SELECTORS, "\u3164", "\u200b", "\u202e", "\x1b[2J", "\x1b]0;owned\x07", "\n", "\u2028"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
async def test_names_and_addresses_hide_nothing(unseen: str, era: Era) -> None:
    """Gateway: what cannot be cleaned, for its server has to get it back, is left out."""
    dates = {"x://a": "2026-11-22T13:30:00.5+01:00", "x://b": f"2026{unseen}"}
    answers: dict[str, Any] = {
        "resources/list": {
            "resources": [
                {"uri": uri, "name": "n", "annotations": {"lastModified": date}}
                for uri, date in dates.items()
            ]
        },
        "resources/templates/list": {
            "resourceTemplates": [
                {"uriTemplate": template, "name": "n"}
                for template in ("x://größe/{n}", f"x://a{unseen}/{{n}}", f"x://{{n}}/a{unseen}")
            ]
        },
        "prompts/list": {
            "prompts": [
                {"name": "seen", "arguments": [{"name": "Größe"}]},
                {"name": "unseen", "arguments": [{"name": f"city{unseen}"}]},
            ]
        },
    }
    listing = [tool(_meta={"mcp-mount/via": [f"a{unseen}", "other"]})]
    with raw(listing, **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            read = (await rpc(app, era, "resources/list")).result["resources"]
            templates = (await rpc(app, era, "resources/templates/list")).result
            prompts = (await rpc(app, era, "prompts/list")).result["prompts"]
            listed = (await tools(app, era=era))["raw_tool"]
    told = [each.get("annotations", {}).get("lastModified") for each in read]
    assert told == ["2026-11-22T13:30:00.5+01:00", None]
    addresses = [each["uriTemplate"] for each in templates["resourceTemplates"]]
    assert addresses == ["x://raw/größe/{n}"]
    assert [each["name"] for each in prompts] == ["raw_seen"]
    assert listed["_meta"]["mcp-mount/via"][1:] == ["other"]


@pytest.mark.parametrize("unseen", UNSEEN[2:], ids=ascii)
def test_an_address_of_a_document_has_no_control_characters(unseen: str) -> None:
    """Gateway: an API's document is another party's, too."""
    assert is_template("x://größe/{n}")
    assert not is_template(f"x://a{unseen}/{{n}}")
