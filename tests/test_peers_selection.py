"""What other packages leave callable although it was left out, and this one does not."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mcp_mount import InvalidSelector, Operation, mount_mcp
from tests.support import ERAS, Era, call, rpc, tools

SECRET = "postgres://u:p@db/prod"


def start(app: FastAPI) -> None:
    """Start the app and stop it; what its start-up raises is raised here."""
    with TestClient(app):
        pass


@pytest.mark.parametrize("era", ERAS)
async def test_a_filter_that_raises_exposes_nothing(era: Era) -> None:
    """Selection: a filter function that failed left in what it was to keep out."""
    app = FastAPI()
    ran: list[str] = []

    @app.delete("/everything", tags=["admin"])
    async def wipe() -> None:
        ran.append("wipe")

    def is_admin(operation: Operation) -> bool:
        return operation.tags[1] == "admin"

    mount_mcp(app, exclude=[is_admin])
    with pytest.raises(InvalidSelector, match=r"raised IndexError.* for DELETE /everything"):
        start(app)
    # Served all the same, by a server that runs no lifespan, it offers nothing at all.
    assert (await call(app, "wipe", era=era)).status == 500
    assert not ran


ESCAPES = [
    *("../admin", "..%2Fadmin", "%2e%2e/admin", "..%252fadmin", "..\\admin", "../admin?x=", ".."),
    *(
        "x/../../admin",
        "../admin#",
        "/admin",
        "//admin",
        "http://localhost:8000/admin",
        "./../admin",
    ),
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("value", ESCAPES)
async def test_a_path_argument_reaches_no_other_route(era: Era, value: str) -> None:
    """C5: `../admin` as a path argument reached a route that the filter had left out."""
    app = FastAPI()

    @app.get("/files/{name}")
    async def get_file(name: str) -> str:
        return f"file {name}"

    @app.get("/trees/{name:path}")
    async def get_tree(name: str) -> str:
        return f"tree {name}"

    @app.get("/files/admin")
    @app.get("/admin")
    async def admin() -> str:
        return SECRET

    mount_mcp(app, exclude=["admin*"])
    for tool in ("get_file", "get_tree"):
        reply = await call(app, tool, {"name": value}, era=era)
        assert SECRET not in reply.text
        # Either it is the value of this very route, or it is refused.
        assert reply.is_error or reply.result["structuredContent"]["result"].endswith(f" {value}")


@pytest.mark.parametrize("era", ERAS)
async def test_an_operation_and_a_tag_are_excluded_together(era: Era) -> None:
    """Selection: excluding both excluded neither. What is left out cannot be called either (X3)."""
    app = FastAPI()
    ran: list[str] = []

    @app.get("/keep")
    async def keep() -> str:
        return "kept"

    @app.delete("/one")
    async def wipe_one() -> None:
        ran.append("wipe_one")

    @app.delete("/all", tags=["admin"])
    async def wipe_all() -> None:
        ran.append("wipe_all")

    mount_mcp(app, exclude=["wipe_one", "tag:admin"])
    assert set(await tools(app, era=era)) == {"keep"}
    for name in ("wipe_one", "wipe_all"):
        assert (await call(app, name, era=era)).answer["error"]["code"] == -32602
    assert not ran


@pytest.mark.parametrize("side", ["include", "exclude"])
async def test_a_filter_that_matches_nothing_stops_the_start(side: str) -> None:
    """Selection: such a filter listed nothing and left everything callable."""
    app = FastAPI()
    ran: list[str] = []

    @app.delete("/one")
    async def wipe_one() -> None:
        ran.append("wipe_one")

    selectors = {side: ["wipe_won"]}
    mount_mcp(app, include=selectors.get("include", ()), exclude=selectors.get("exclude", ()))
    with pytest.raises(InvalidSelector, match="Near matches: 'wipe_one'"):
        start(app)
    assert (await rpc(app, "modern", "tools/list")).status == 500
    assert (await call(app, "wipe_one")).status == 500
    assert not ran
