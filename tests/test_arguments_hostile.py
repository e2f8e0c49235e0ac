"""Values that try to leave their place: the route sees them exactly, or the call is refused."""

import json
import re
from base64 import b64encode
from typing import Annotated, Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, Body, Cookie, FastAPI, Form, Header, Query, Request, UploadFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp_types import TextContent

from mcp_mount import mount_mcp
from mcp_mount.conversion.styles import path_writer
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.parameters import Parameter
from tests.support import ERAS, Era, call

pytestmark = pytest.mark.usefixtures("either_caller")

ATTACKS = [
    *("../admin", "..", ".", "%2e%2e%2f", "..%2fadmin", "a/b", "/", "//evil", "a/../../admin"),
    *("?x#y", "a&q=b", "a;b", "a=b", "{other}", "{value}", "me", "me\n", "\n", "\r\nx-admin: 1"),
    *(
        "\0",
        "a\0b",
        " a ",
        "\xa0a",
        "a\x85",
        "\u2028",
        "é",
        "中文",
        "\U0001f600",
        "\ud800",
        "a\udfff",
    ),
    *('"', 'a"; filename="b', "a\\", "C:\\a", "\\\\host\\a", "'", "a, b", "%", "%00", "%0d%0a"),
    *(
        "http://evil/",
        "javascript:1",
        "x" * 50_000,
        "--boundary",
        "null",
        "true",
        "0",
        "-1",
        "1e400",
    ),
]
VALUES = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(max_size=20),
    st.text(
        st.characters(categories=[], include_characters='./\\%?#{}me\r\n\t "&=;,\0'), max_size=8
    ),
    st.text(st.characters(max_codepoint=0x17F), max_size=8),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=4),
)


def hostile_app() -> FastAPI:  # noqa: C901 - one route for each place of a value
    """An app that says what it saw, beside operations that must never be reached."""
    app = FastAPI()

    @app.get("/users/me", include_in_schema=False)
    @app.get("/users/{value}/secret", include_in_schema=False)
    @app.get("/admin", include_in_schema=False)
    @app.get("/v1/nested/{value}/admin", include_in_schema=False)
    async def hidden() -> dict[str, str]:
        return {"reached": "hidden"}

    @app.get("/files/{value}", include_in_schema=False)
    async def hidden_with_the_same_value(value: str) -> dict[str, str]:
        return {"reached": "hidden", "saw": value}

    @app.get("/users/{value}")
    async def in_path(value: str) -> dict[str, str]:
        return {"saw": value}

    @app.get("/users/{value}/posts/{other}")
    async def in_paths(value: str, other: str) -> dict[str, str]:
        return {"saw": value, "other": other}

    @app.get("/files/{value:path}")
    async def in_long_path(value: str) -> dict[str, str]:
        return {"saw": value}

    inner, outer = APIRouter(prefix="/nested"), APIRouter()

    @inner.get("/{value}")
    async def in_included_path(value: str) -> dict[str, str]:
        return {"saw": value}

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")

    @app.get("/query")
    async def in_query(request: Request, value: str) -> dict[str, Any]:
        return {"saw": value, "names": sorted(request.query_params)}

    @app.get("/query-list")
    async def in_query_list(value: Annotated[list[str], Query()]) -> dict[str, Any]:
        return {"saw": value[0], "count": len(value)}

    @app.get("/header")
    async def in_header(request: Request, value: Annotated[str, Header()]) -> dict[str, Any]:
        return {"saw": value, "admin": "x-admin" in request.headers}

    @app.get("/cookie")
    async def in_cookie(request: Request, value: Annotated[str, Cookie()]) -> dict[str, Any]:
        return {"saw": value, "names": sorted(request.cookies)}

    @app.post("/json")
    async def in_json(value: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
        return {"saw": [ord(character) for character in value]}

    @app.post("/text", openapi_extra={"requestBody": {"content": {"text/plain": {}}}})
    async def in_text(request: Request) -> dict[str, str]:
        return {"saw": (await request.body()).decode()}

    @app.post("/form")
    async def in_form(request: Request, value: Annotated[str, Form()]) -> dict[str, Any]:
        return {"saw": value, "names": sorted(await request.form())}

    @app.post("/multipart")
    async def in_multipart(
        request: Request, value: Annotated[str, Form()], file: UploadFile
    ) -> dict[str, Any]:
        return {"saw": value, "names": sorted(await request.form()), "file": file.filename}

    @app.post("/upload")
    async def upload(file: UploadFile) -> dict[str, Any]:
        content = (await file.read()).hex()
        return {"name": file.filename, "type": file.content_type, "content": content}

    return app


APP = hostile_app()
SERVER = mount_mcp(APP).server
hostile = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


async def run(tool: str, arguments: dict[str, Any]) -> tuple[bool, str]:
    """Call a tool without a transport; return whether that failed, and the text of the result."""
    found = await SERVER.get_tool(tool)
    assert found is not None
    result = await found.run(arguments)
    (block,) = result.content
    assert isinstance(block, TextContent)
    return result.is_error, block.text


def check(outcome: tuple[bool, str], value: object, seen: str = "saw") -> dict[str, Any]:
    """Check that the route saw the value, or that the call was refused with a clear error."""
    is_error, text = outcome
    if is_error:
        assert "Traceback" not in text
        assert "Internal" not in text
        return {}
    saw: dict[str, Any] = json.loads(text)
    assert "reached" not in saw
    assert saw[seen] == value
    return saw


@pytest.mark.parametrize("tool", ["in_path", "in_long_path", "in_included_path"])
@hostile
@given(value=VALUES)
async def test_a_path_value_stays_in_its_place(tool: str, value: str) -> None:
    """C5: never another operation, whatever stands beside it, hidden or not."""
    check(await run(tool, {"value": value}), value)


@hostile
@given(value=VALUES, other=VALUES)
async def test_two_path_values_stay_apart(value: str, other: str) -> None:
    """C5: neither can fill the other's place, or move it."""
    outcome = await run("in_paths", {"value": value, "other": other})
    saw = check(outcome, value)
    assert saw.get("other", other) == other


@pytest.mark.parametrize("attack", ["../admin", "..", ".", "", "a/b", "5/secret", "\0", "me/"])
@pytest.mark.parametrize("tool", ["in_path", "in_included_path"])
async def test_a_value_that_is_another_path_is_refused(tool: str, attack: str) -> None:
    """C5: the classical attacks by name, so that none is only a chance of the generator."""
    is_error, text = await run(tool, {"value": attack})
    assert is_error
    assert repr(attack) in text


@pytest.mark.parametrize(
    ("tool", "value"),
    [("in_path", "me"), ("in_path", "me\n"), ("in_long_path", "x"), ("in_long_path", "..a")],
)
async def test_a_value_that_leads_to_a_hidden_operation_is_refused(tool: str, value: str) -> None:
    """C5: also where the hidden route would take the very same value."""
    is_error, text = await run(tool, {"value": value})
    assert is_error
    assert repr(value) in text


@pytest.mark.parametrize("tool", ["in_query", "in_form", "in_multipart"])
@hostile
@given(value=VALUES)
async def test_a_query_or_form_value_adds_no_other(tool: str, value: str) -> None:
    """C5: `&`, `=`, `;` and line breaks are part of the value."""
    extra = {"file": {"text": "a"}} if tool == "in_multipart" else {}
    saw = check(await run(tool, {"value": value, **extra}), value)
    assert saw.get("names") in (None, sorted(["value", *extra]))


@hostile
@given(values=st.lists(VALUES, min_size=1, max_size=3))
async def test_a_list_in_the_query_keeps_its_items(values: list[str]) -> None:
    """C5: commas and spaces do not split an item."""
    outcome = await run("in_query_list", {"value": values})
    assert check(outcome, values[0]).get("count", len(values)) == len(values)


@hostile
@given(value=VALUES)
async def test_a_header_value_adds_no_header(value: str) -> None:
    """C5: line breaks are refused, and so is what a reader would drop."""
    saw = check(await run("in_header", {"value": value}), value)
    assert not saw.get("admin")


@pytest.mark.parametrize("value", ["a\r\nx-admin: 1", "a\nb", "a\0", " a", "a\t", "中"])
async def test_what_no_header_can_hold_is_refused(value: str) -> None:
    """C5: in process it would arrive; a server on the way would cut it, or split the message."""
    is_error, text = await run("in_header", {"value": value})
    assert is_error
    assert "'value' is a header" in text


@hostile
@given(value=VALUES)
async def test_a_cookie_value_adds_no_cookie(value: str) -> None:
    """C5: what separates cookies is refused."""
    saw = check(await run("in_cookie", {"value": value}), value)
    assert saw.get("names", ["value"]) == ["value"]


@hostile
@given(value=VALUES)
async def test_a_body_keeps_its_text(value: str) -> None:
    """C5: every character, also NUL and line breaks; JSON keeps even half a character."""
    check(await run("in_text", {"body": value}), value)
    # Two halves that follow each other are one character in JSON.
    expected = json.loads(json.dumps(value))
    assert check(await run("in_json", {"value": value}), [ord(each) for each in expected])


@hostile
@given(filename=VALUES, media_type=VALUES, content=VALUES)
async def test_a_file_keeps_name_media_type_and_content(
    filename: str, media_type: str, content: str
) -> None:
    """C5: a file's name adds no part, and its media type no header."""
    for file in (
        {"text": content, "filename": filename},
        {"text": content, "media_type": media_type},
        {"base64": b64encode(content.encode("utf-8", "surrogatepass")).decode()},
    ):
        written = content.encode("utf-8", "surrogatepass")
        saw = check(await run("upload", {"file": file}), written.hex(), seen="content")
        if saw:
            assert saw["name"] == file.get("filename", "file")
            assert saw["type"] == file.get("media_type", saw["type"])


SHOWN = {
    "in_path": ["%2e%2e%2f", "?x#y", "{other}", "\r\nx-admin: 1", "é", "x" * 50_000],
    "in_long_path": ["a/b", "../admin", "/", "%2e/%2f"],
    "in_query": [attack for attack in ATTACKS if attack.isascii()],
    "in_header": ["../admin", "a&q=b", "é", '"', "a, b"],
    "in_cookie": ["../admin", "a&q=b", "a=b", "é", "%0d%0a"],
    "in_form": [attack for attack in ATTACKS if attack.isascii()],
}


@given(value=VALUES)
def test_a_path_is_encoded_so_that_no_server_on_the_way_reads_another(value: str) -> None:
    """C5: one segment stays one segment, also where somebody normalizes the path."""
    write_path = path_writer("/users/{id}/posts", [("id", Parameter("id", "path", {}))])
    try:
        path, values = write_path({"id": value})
    except InvalidArguments:
        return
    assert values == {"id": value}
    assert re.fullmatch(r"/users/[A-Za-z0-9_.~%-]+/posts", path)
    assert path not in {"/users/./posts", "/users/../posts"}
    assert unquote(path) == f"/users/{value}/posts"


@pytest.mark.parametrize(("tool", "values"), SHOWN.items())
async def test_what_can_be_written_is_not_refused(tool: str, values: list[str]) -> None:
    """C5: refusing everything would be safe, too."""
    for value in values:
        assert check(await run(tool, {"value": value}), value), value


@pytest.mark.parametrize("era", ERAS)
async def test_an_attack_over_the_wire_is_a_tool_error_that_says_why(era: Era) -> None:
    """C5, X3: what the model can mend is told to the model."""
    reply = await call(APP, "in_path", {"value": "../admin"}, era=era)
    assert reply.is_error
    assert "'../admin'" in reply.text_content
