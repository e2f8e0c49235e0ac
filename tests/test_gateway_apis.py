"""APIs beside servers in a gateway: each under its name, with its own key, limits and scopes."""

import json
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header

from mcp_mount import API, MountError, Upstream, gateway_app
from mcp_mount.gateway import read_servers
from tests.support import ERAS, Era, call, rpc, served, tools


def parts_api(name: str) -> FastAPI:
    app = FastAPI(title=name, servers=[{"url": "/"}])

    @app.get("/items", operation_id="list_items")
    async def items(x_key: Annotated[str, Header(include_in_schema=False)] = "none") -> str:
        return f"{name}: {x_key}"

    @app.delete("/items", operation_id="delete_items")
    async def delete() -> str:
        return "deleted"

    return app


@pytest.mark.parametrize("era", ERAS)
async def test_each_api_has_its_name_and_its_key(era: Era) -> None:
    """Gateway: two APIs with the same operations are told apart, and get their own keys only."""
    with served(parts_api("A")) as a, served(parts_api("B")) as b:
        app = gateway_app(
            [
                API(
                    "one",
                    openapi=f"{a}/openapi.json",
                    upstream=Upstream(a, headers={"X-Key": "1"}),
                    resources=["GET *"],
                ),
                API("two", openapi=f"{b}/openapi.json", upstream=b, tools=["GET *"]),
            ],
            exclude=["one_delete_*"],
        )
        assert (await tools(app, era=era)).keys() == {"one_list_items", "two_list_items"}
        reply = await call(app, "one_list_items", era=era, headers={"x-key": "mine"})
        assert reply.text_content == '"A: 1"'
        reply = await call(app, "two_list_items", era=era, headers={"x-key": "mine"})
        assert reply.text_content == '"B: none"'
        listed = (await rpc(app, era, "resources/list")).result["resources"]
        assert [each["uri"] for each in listed] == ["one://one/items"]
        assert await app.state.mcp.apis_answer() == {"one": True, "two": True}


@pytest.mark.parametrize("era", ERAS)
async def test_scopes_guard_one_api(era: Era) -> None:
    """Gateway: who lacks them sees the other API only, and is told which to ask for."""
    with served(parts_api("A")) as a:
        document = f"{a}/openapi.json"
        guarded = API("one", openapi=document, upstream=a, scopes=["one"])
        app = gateway_app(
            [guarded, API("two", openapi=document, upstream=a)],
            scopes_of=lambda request: request.headers.get("x-scopes", "").split(),
        )
        everything = await tools(app, era=era, headers={"x-scopes": "one"})
        assert len(everything) == 4
        assert (await tools(app, era=era)).keys() == {"two_list_items", "two_delete_items"}
        assert (await call(app, "one_list_items", era=era)).status == 403
        reply = await call(app, "one_list_items", era=era, headers={"x-scopes": "one"})
        assert reply.text_content == '"A: none"'
        with pytest.raises(MountError, match="where callers are known"):
            gateway_app([guarded])


def test_a_file_names_apis_beside_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway: with variables for what is secret; an unknown key is refused."""
    monkeypatch.setenv("KEY", "secret")
    entry: dict[str, Any] = {
        "openapi": "https://a.example/openapi.json",
        "upstream": "https://a.example",
        "headers": {"X-Key": "${KEY}"},
        "limits": {"timeout": 5},
        "tools": ["GET *"],
    }
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": {"a": entry}}), "utf-8")
    assert read_servers(file) == [
        API(
            "a",
            openapi="https://a.example/openapi.json",
            upstream=Upstream("https://a.example", headers={"X-Key": "secret"}),
            limits={"timeout": 5},
            tools=["GET *"],
        )
    ]
    file.write_text(json.dumps({"mcpServers": {"a": {**entry, "heders": {}}}}), "utf-8")
    with pytest.raises(MountError, match=r"'heders', which is not known\. Near: headers"):
        read_servers(file)


def test_names_are_told_apart() -> None:
    """Gateway: an API's name may not begin like another's, and its limits must be limits."""
    document = {"openapi": "3.1.0", "info": {"title": "A", "version": "1"}, "paths": {}}
    with pytest.raises(MountError, match="could both have the tool"):
        gateway_app([API(name, openapi=document, upstream="http://a") for name in ("a", "a_b")])
    with pytest.raises(MountError, match="sets a limit that cannot be"):
        gateway_app([API("a", openapi=document, upstream="http://a", limits={"timeout": 0})])
    with pytest.raises(MountError, match="cannot stand before a tool's"):
        API("1", openapi=document)


@pytest.mark.parametrize(
    "options", [{"tools": {"list_items": {"title": "All"}}}, {"fields": ["*"]}]
)
def test_what_would_be_said_of_no_api_is_refused(options: Any) -> None:
    """E1: nothing that was asked for is passed over in silence."""
    app = parts_api("parts")
    api = API("parts", openapi=app.openapi(), upstream="http://localhost:9")
    with pytest.raises(MountError, match="is said of one API"):
        gateway_app([api], **options)


async def test_all_apis_are_asked_at_once_how_they_are() -> None:
    """Gateway: several that hang take `/health` no longer than one."""
    all_asked = threading.Barrier(3)
    app = FastAPI()

    @app.get("/")
    def root() -> None:
        all_asked.wait(20)

    document = app.openapi()
    with served(app) as url:
        apis = [API(name, openapi=document, upstream=url) for name in ("a", "b", "c")]
        mounted = gateway_app(apis).state.mcp
        assert await mounted.apis_answer() == {"a": True, "b": True, "c": True}
