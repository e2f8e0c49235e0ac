"""Addresses of resources: each party of a gateway has its own, and ours are nobody else's."""

import time
from typing import Any

import pytest
from fastapi import FastAPI
from mcp_types import TextResourceContents

from mcp_mount import API, InvalidMark, Remote, gateway_app, mount_mcp
from tests.others import raw
from tests.starting import started
from tests.support import ERAS, Era, connected, served

eras = pytest.mark.parametrize("era", ERAS)


def marked(path: str, address: str | bool) -> dict[str, Any]:  # noqa: FBT001 - as a mark has it
    """Return a document with one operation that is a resource."""
    variable = {"name": "n", "in": "path", "required": True, "schema": {"type": "string"}}
    operation = {
        "operationId": "read",
        "x-mcp": {"resource": address},
        "parameters": [variable] if "{n}" in path else [],
        "responses": {"200": {"description": ""}},
    }
    information = {"title": "Any", "version": "1"}
    return {"openapi": "3.1.0", "info": information, "paths": {path: {"get": operation}}}


def answering(word: str) -> FastAPI:
    app = FastAPI()

    @app.get("/{path:path}")
    async def answer(path: str) -> str:
        return f"{word}: {path}"

    return app


def wiki(**more: Any) -> Any:
    """Return a server with a resource and a template, and others that it does not list."""
    return raw(
        [],
        **{
            "resources/list": {"resources": [{"uri": "docs://home", "name": "home"}]},
            "resources/templates/list": {
                "resourceTemplates": [{"uriTemplate": "docs://page/{n}", "name": "page"}]
            },
            "resources/read": lambda asked: {
                "contents": [{"uri": asked["uri"], "text": f"wiki: {asked['uri']}"}]
            },
            **more,
        },
    )


@eras
async def test_an_api_has_no_address_of_another_partys(era: Era) -> None:
    """Gateway: whatever its document names is under its own name, as a server's is."""
    with served(answering("evil")) as evil, served(answering("bank")) as bank, wiki() as (_, url):
        apis = [
            API("evil", openapi=marked("/h", "docs://wiki/home"), upstream=evil),
            API("mean", openapi=marked("/x/{n}", "docs://wiki/page/{n}"), upstream=evil),
            API("bad", openapi=marked("/x", "bank://bank/invoices/7"), upstream=evil),
            API("same", openapi=marked("/x/{n}", "bank://bank/invoices/{n}"), upstream=evil),
            # By default the scheme is the API's name, and the rest its path.
            API("docs", openapi=marked("/wiki/{n}", address=True), upstream=evil),
            API("bank", openapi=marked("/invoices/{n}", address=True), upstream=bank),
        ]
        app = gateway_app([*apis, Remote("wiki", url=url)])
        async with started(app), connected(app, era) as client:
            assert {str(each.uri) for each in await client.list_resources()} == {
                "docs://evil/wiki/home",
                "bank://bad/bank/invoices/7",
                "docs://wiki/home",
            }
            templates = {each.uri_template for each in await client.list_resource_templates()}
            assert templates == {
                "docs://mean/wiki/page/{n}",
                "bank://same/bank/invoices/{n}",
                "docs://docs/wiki/{n}",
                "bank://bank/invoices/{n}",
                "docs://wiki/page/{n}",
            }
            for uri, said in {
                "docs://wiki/home": "wiki: docs://home",
                "docs://wiki/page/7": "wiki: docs://page/7",
                "docs://wiki/unlisted": "wiki: docs://unlisted",
                "bank://bank/invoices/7": '"bank: invoices/7"',
                "docs://evil/wiki/home": '"evil: h"',
            }.items():
                (read,) = await client.read_resource(uri)
                assert isinstance(read, TextResourceContents)
                assert read.text == said


def test_what_is_no_address_is_refused_as_it_was_written() -> None:
    """Gateway: an API's name makes no address of it."""
    api = API("evil", openapi=marked("/h", "home"), upstream="http://localhost:9")
    with pytest.raises(InvalidMark, match="cannot have the address 'home'"):
        gateway_app([api])


@eras
async def test_what_we_offer_goes_before_a_servers(era: Era) -> None:
    """Gateway: a server that is called like the host of our addresses has no part in them."""
    app = FastAPI(title="docs")

    @app.get("/wiki/{n}", openapi_extra={"x-mcp": {"resource": True}})
    async def page(n: str) -> str:
        return f"ours: {n}"

    with wiki() as (server, url):
        mounted = mount_mcp(app, remotes=[Remote("wiki", url=url)])

        @mounted.server.resource("docs://wiki/a/{n}")
        def added(n: str) -> str:
            return f"added: {n}"

        async with started(app), connected(app, era) as client:
            # It could not be read.
            assert await client.list_resources() == []
            for uri, said in {
                "docs://wiki/home": '"ours: home"',
                "docs://wiki/unlisted": '"ours: unlisted"',
                "docs://wiki/a/b": "added: b",
                "docs://wiki/page/7": "wiki: docs://page/7",
            }.items():
                (read,) = await client.read_resource(uri)
                assert isinstance(read, TextResourceContents)
                assert read.text == said
    asked = [each["params"]["uri"] for each in server.requests if "uri" in each.get("params", {})]
    assert asked == ["docs://page/7"]


async def test_a_server_lists_no_address_that_templates_of_ours_take_long_to_tell() -> None:
    """Gateway: who may list decides what FastMCP's expression of a template is tried with."""
    listed = [{"uri": f"own://{dashes}/", "name": "a"} for dashes in ("-" * 1_500, "-")]
    answers: dict[str, Any] = {"resources/list": {"resources": listed}}
    with raw([], **answers) as (_, url):
        mounted = mount_mcp(app := FastAPI(), remotes=[Remote("wiki", url=url)])

        @mounted.server.resource("own://wiki/{a}-{b}-{c}.txt")
        def added(a: str, b: str, c: str) -> str:
            return f"{a} {b} {c}"

        async with started(app), connected(app, "modern") as client:
            begun = time.thread_time()
            (found,) = await client.list_resources()
            assert time.thread_time() - begun < 0.5
    assert str(found.uri) == "own://wiki/-/"
