"""Addresses that a server gives lead through the gateway, and completions to the server."""

from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.prompts import Message
from fastmcp.tools import ToolResult
from mcp_types import (
    EmbeddedResource,
    PromptReference,
    ResourceLink,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)
from pydantic import AnyUrl

from mcp_mount import Remote
from tests.foreign import HELD
from tests.others import gateway, offered, raw, tool
from tests.steps import measured_steps
from tests.support import ERAS, Era, call, connected, rpc

eras = pytest.mark.parametrize("era", ERAS)


def linking_server() -> FastMCP[Any]:
    """Return a server whose results lead to its resources, some of which it does not list."""
    server: FastMCP[Any] = FastMCP("linking")

    def embedded(uri: str) -> EmbeddedResource:
        resource = TextResourceContents(uri=uri, text="all")
        return EmbeddedResource(type="resource", resource=resource)

    @server.tool
    def links() -> ToolResult:
        """Give links."""
        uris = ["data://parts/all", "data://hidden/7", "https://wiki.example/page", "urn:x:1"]
        blocks = [ResourceLink(type="resource_link", uri=each, name="n") for each in uris]
        return ToolResult(content=[*blocks, embedded("data://parts/all")])

    @server.resource("data://parts/all")
    def everything() -> str:
        return "all parts"

    @server.resource("data://{kind}/{number}")
    def hidden(kind: str, number: str) -> str:
        return f"{kind} {number}"

    @server.prompt
    def order(part: str) -> list[Message]:
        return [Message(embedded("data://parts/all")), Message(f"Order {part}.")]

    @server.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        known = getattr(ref, "name", None) or getattr(ref, "uri", None)
        given = context.arguments if context is not None else None
        return [f"{known} {argument.name}={argument.value} {given}"]

    return server


@eras
async def test_an_address_in_a_result_is_one_that_the_gateway_reads(era: Era) -> None:
    """Gateway: links and embedded resources; a page of the web stays one."""
    with offered(linking_server()) as url:
        async with gateway(Remote("other", url=url)) as app, connected(app, era) as client:
            blocks = (await call(app, "other_links", era=era)).result["content"]
            uris = [each.get("uri") or each["resource"]["uri"] for each in blocks]
            assert uris == [
                "data://other/parts/all",
                "data://other/hidden/7",
                "https://wiki.example/page",
                "urn:x:1",
                "data://other/parts/all",
            ]
            (whole,) = await client.read_resource(uris[0])
            assert getattr(whole, "text", None) == "all parts"
            rendered = await client.get_prompt("other_order", {"part": "nut"})
            block, words = (each.content for each in rendered.messages)
            assert isinstance(block, EmbeddedResource)
            assert str(block.resource.uri) == "data://other/parts/all"
            assert isinstance(words, TextContent)


@eras
async def test_a_resource_that_no_list_names_is_read_through_the_gateway(era: Era) -> None:
    """Gateway: what stands before its address tells the server."""
    read = {"contents": [{"uri": "data://secret/1", "text": "found"}]}
    answers: dict[str, Any] = {"resources/list": {"resources": []}, "resources/read": read}
    with raw([tool()], **answers) as (
        server,
        url,
    ):
        async with gateway(Remote("raw", url=url)) as app, connected(app, era) as client:
            (found,) = await client.read_resource("data://raw/secret/1")
            assert getattr(found, "text", None) == "found"
            params = {"uri": "data://other/secret/1"}
            headers = {"mcp-name": params["uri"]} if era == "modern" else {}
            lost = await rpc(app, era, "resources/read", params, headers=headers)
            assert "error" in lost.answer
    reads = [each for each in server.requests if each.get("method") == "resources/read"]
    assert [each["params"]["uri"] for each in reads] == ["data://secret/1"]


@eras
async def test_arguments_are_completed_by_the_server_whose_prompt_it_is(era: Era) -> None:
    """Gateway: of prompts and templates, by the server's own names."""
    with offered(linking_server()) as url:
        async with gateway(Remote("other", url=url)) as app, connected(app, era) as client:
            prompt = PromptReference(name="other_order")
            done = await client.complete(prompt, {"name": "part", "value": "n"})
            assert done.values == ["order part=n None"]
            template = ResourceTemplateReference(uri="data://other/{kind}/{number}")
            done = await client.complete(
                template, {"name": "number", "value": "1"}, {"kind": "bolt"}
            )
            assert done.values == ["data://{kind}/{number} number=1 {'kind': 'bolt'}"]
            nobody = PromptReference(name="nobody")
            assert (await client.complete(nobody, {"name": "x", "value": ""})).values == []


@eras
async def test_a_server_that_refuses_a_completion_is_heard(era: Era) -> None:
    """Gateway: its error, as for all its requests."""
    answers: dict[str, Any] = {
        "prompts/list": {"prompts": [{"name": "p", "arguments": [{"name": "a"}]}]},
        "completion/complete": {"code": -32602, "message": "No such argument."},
        "discover": {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"prompts": {}, "completions": {}},
        },
    }
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            params = {
                "ref": {"type": "ref/prompt", "name": "raw_p"},
                "argument": {"name": "a", "value": ""},
            }
            reply = await rpc(app, era, "completion/complete", params)
    assert reply.answer["error"]["message"] == "No such argument."


@pytest.mark.parametrize("resources", [True, False], ids=["resources", "none"])
async def test_no_address_of_a_server_leads_to_another(resources: bool) -> None:  # noqa: FBT001
    """Gateway: whatever it writes, and whether it says that it has resources."""
    ours = {
        "data://bank/terms": "data://evil/bank/terms",
        "FILE:///etc/passwd": "file://evil//etc/passwd",
        "https://bank/docs.example/terms": "https://evil/bank/docs.example/terms",
        "HTTPS:// bank/docs.example": "https://evil/bank/docs.example",
        "data://bank/\u00fc": "data://evil/bank/\u00fc",
        "data:text/html,x": "data:text/html,x",
        "https://docs.example/terms": "https://docs.example/terms",
        "https://gr\u00f6\u00dfe.example:8443/?a=b/c": "https://gr\u00f6\u00dfe.example:8443/?a=b/c",
        # As readers of WHATWG URLs have them.
        **dict.fromkeys(
            ("https:/bank/x", "https:bank/x", "\x01https:\\/bank/x"), "https://evil/bank/x"
        ),
        "https:\\\\bank\\x": "https://evil/bank\\x",
        "https:///bank/x": "https://evil//bank/x",
        "https://bank\\a.b/x": "https://evil/bank\\a.b/x",
        "https://bank?a.b/x": "https://evil/bank?a.b/x",
        "https://b%61nk/x": "https://evil/b%61nk/x",
        "https://\uff42ank/x": "https://evil/\uff42ank/x",
        "https://ban\u200bk/x": "https://evil/ban\u200bk/x",
        "https://bank:0443/x": "https://evil/bank:0443/x",
        "https://@bank/x": "https://evil/@bank/x",
        "file:\\\\bank\\x": "file://evil/bank\\x",
    }
    blocks = [{"type": "resource_link", "uri": each, "name": "n"} for each in ours]
    capabilities: dict[str, Any] = {"tools": {}} | ({"resources": {}} if resources else {})
    discover = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
    bank: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": "https://docs.example/terms", "name": "t"}]},
        "resources/read": {"contents": [{"uri": "data://x", "text": "the bank's own"}]},
    }
    with (
        raw([tool()], discover=discover, call={"content": blocks}) as (_, evil),
        raw([], **bank) as (_, url),
    ):
        async with gateway(Remote("evil", url=evil), Remote("bank", url=url)) as app:
            given = (await call(app, "evil_tool")).result["content"]
            assert [each["uri"] for each in given] == [*ours.values()]
            for each in given:
                assert not str(AnyUrl(each["uri"])).partition("://")[2].startswith("bank/")
                headers = {"mcp-name": each["uri"].encode("ascii", "replace").decode()}
                read = await rpc(
                    app, "modern", "resources/read", {"uri": each["uri"]}, headers=headers
                )
                assert "the bank" not in read.text


LONG = {
    "https://ban" + 5_000 * "\t" + "k/x": "https://evil/ban",
    "https:" + 5_000 * "/" + "bank/x": "https://evil/",
    "https:/" + 3_990 * "/" + "bank/x": "https://evil/",
    "data:" + 5_000 * "\n" + "//bank/x": "data:",
    "data:/" + 5_000 * "\n" + "/bank/x": "data:/",
    5_000 * " " + "data://bank/x": "",
    "da" + 5_000 * " " + "ta://bank/x": "da",
    "data://bank/" + 5_000 * "x": "data://evil/bank/x",
    **{same: same for same in ("https://a.b/" + 5_000 * "x", "data:text/html," + 5_000 * "x")},
}


async def test_nor_does_a_long_one() -> None:
    """Gateway: what is longer than an address that is read here is not looked at."""
    blocks = [{"type": "resource_link", "uri": each, "name": "n"} for each in LONG]
    with raw([tool()], call={"content": blocks}) as (_, url):
        async with gateway(Remote("evil", url=url), Remote("bank", url=url)) as app:
            given = [each["uri"] for each in (await call(app, "evil_tool")).result["content"]]
    for each, ours in zip(given, LONG.values(), strict=True):
        assert each.translate(dict.fromkeys(range(0x21))).startswith(ours)
        assert "bank/" not in each.replace("https://evil", "").removeprefix("data://evil/bank/")
        assert len(each) <= 4_020 or each == ours


async def test_an_address_of_megabytes_holds_up_nobody() -> None:
    """Gateway: with an emoji, each copy of it took 36 MB, and all 150 ms."""
    uri = "http:" + "/" * 9_400_000 + "\U0001f600"
    block = {"type": "resource", "resource": {"uri": uri, "text": ""}}
    with raw([tool()], call={"content": [block]}) as (_, url):
        async with gateway(Remote("evil", url=url)) as app, measured_steps() as steps:
            given = (await call(app, "evil_tool")).result["content"]
    assert len(given[0]["resource"]["uri"]) < 5_000
    assert max(steps) < HELD
