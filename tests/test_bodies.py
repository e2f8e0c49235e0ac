"""Bodies: JSON, forms, files and what is left out of them."""

import json
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, File, Form, Request, UploadFile
from pydantic import BaseModel, ConfigDict

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, Reply, call, tools

pytestmark = pytest.mark.usefixtures("either_caller")


class Part(BaseModel):
    name: str = "n"
    size: int | None = 1


class Change(BaseModel):
    title: str | None = None
    size: int | None = None


def answer(reply: Reply) -> Any:
    assert not reply.is_error, reply.text_content
    return json.loads(reply.text_content)


async def test_bodies_of_every_kind_are_sent() -> None:  # noqa: C901 - a route for each
    """C5: several models, one list, one value, a form, files with fields, text and bytes."""
    app = FastAPI()

    @app.post("/models")
    async def models(one: Part, two: Part, three: Annotated[int, Body()]) -> Any:
        return [one.name, two.name, three]

    @app.post("/embedded")
    async def embedded(part: Annotated[Part, Body(embed=True)]) -> str:
        return part.name

    @app.post("/list")
    async def several(parts: list[Part]) -> int:
        return len(parts)

    @app.post("/one")
    async def one(number: Annotated[int, Body()]) -> int:
        return number

    @app.post("/form")
    async def form(name: Annotated[str, Form()], many: Annotated[list[int], Form()]) -> Any:
        return [name, many]

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str

    @app.post("/open-form")
    async def open_form(value: Annotated[Open, Form()]) -> Any:
        return value

    @app.post("/files")
    async def files(
        first: UploadFile,
        second: Annotated[bytes, File()],
        more: list[UploadFile],
        note: Annotated[str, Form()],
        level: Annotated[int, Form()] = 1,
    ) -> Any:
        names = [each.filename for each in more]
        return [(await first.read()).decode(), first.content_type, second.hex(), names, note, level]

    def raw(media_type: str) -> dict[str, Any]:
        return {"requestBody": {"required": True, "content": {media_type: {}}}}

    @app.post("/text", openapi_extra=raw("text/csv"))
    async def text(request: Request) -> Any:
        return [request.headers["content-type"], (await request.body()).decode()]

    @app.put("/bytes", openapi_extra=raw("image/*"))
    async def image(request: Request) -> Any:
        return [request.headers["content-type"], (await request.body()).hex()]

    mount_mcp(app)
    sent: list[tuple[str, dict[str, Any], Any]] = [
        ("models", {"one": {"name": "a"}, "two": {"name": "b"}, "three": 3}, ["a", "b", 3]),
        ("embedded", {"part": {"name": "a"}}, "a"),
        ("several", {"body": [{}, {"name": "b"}]}, 2),
        ("one", {"body": 5}, 5),
        ("form", {"name": "a&b=c", "many": [1, 2]}, ["a&b=c", [1, 2]]),
        ("open_form", {"body": {"name": "a", "else": "b"}}, {"name": "a", "else": "b"}),
        (
            "files",
            {
                "first": {"text": "é", "media_type": "text/plain"},
                "second": {"base64": "AP8="},
                "more": [{"text": "x", "filename": "x.txt"}, {"text": "y", "filename": "ü.txt"}],
                "note": "n",
                "level": 4,
            },
            ["é", "text/plain", "00ff", ["x.txt", "ü.txt"], "n", 4],
        ),
        ("text", {"body": "a,b\r\n"}, ["text/csv", "a,b\r\n"]),
        ("image", {"body": {"base64": "AP8=", "media_type": "image/x"}}, ["image/x", "00ff"]),
    ]
    for tool, arguments, expected in sent:
        assert answer(await call(app, tool, arguments)) == expected, tool


async def test_explicit_null_is_kept_and_what_is_left_out_is_not_sent() -> None:
    """C5: in a PATCH, null clears a value."""
    app = FastAPI()

    @app.patch("/parts/{part_id}")
    async def patch(part_id: int, change: Change) -> Any:
        return change.model_dump(exclude_unset=True)

    mount_mcp(app)
    schema = (await tools(app))["patch"]["inputSchema"]
    assert schema["properties"]["title"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert answer(await call(app, "patch", {"part_id": 1, "title": None})) == {"title": None}
    assert answer(await call(app, "patch", {"part_id": 1, "size": 2})) == {"size": 2}
    assert answer(await call(app, "patch", {"part_id": 1})) == {}


async def test_a_body_of_defaults_is_sent_as_an_empty_object_and_an_optional_one_is_not() -> None:
    """C5: without any body, FastAPI would answer 422 to the first."""
    app = FastAPI()

    @app.post("/required")
    async def required(request: Request, part: Part) -> Any:
        return [(await request.body()).decode(), part.name]

    @app.post("/optional")
    async def optional(request: Request, part: Part | None = None) -> Any:
        return [(await request.body()).decode(), part]

    @app.post("/form")
    async def form(request: Request, name: Annotated[str, Form()] = "d") -> Any:
        return [(await request.body()).decode(), name]

    mount_mcp(app)
    assert answer(await call(app, "required")) == ["{}", "n"]
    assert answer(await call(app, "optional")) == ["", None]
    assert answer(await call(app, "optional", {"body": None})) == ["null", None]
    assert answer(await call(app, "form")) == ["", "d"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({}, "either as `text` or as `base64`"),
        ({"text": "a", "base64": "YQ=="}, "either as `text` or as `base64`"),
        ({"base64": "not base64"}, "cannot be decoded"),
        ({"text": 3}, "all of them strings"),
        (
            {"text": "a", "path": "/etc/passwd"},
            "an object with `filename`, `media_type`, and `text` or",
        ),
        ([], ""),
        ({"text": "a", "filename": 'a"b'}, "`filename`"),
        ({"text": "a", "filename": ""}, "`filename`"),
        ({"text": "a", "media_type": "png"}, "`media_type`"),
        ({"text": "a", "media_type": "text/ü"}, "`media_type`"),
    ],
)
async def test_a_file_that_cannot_be_sent_is_refused(file: Any, message: str) -> None:
    """C5: with the form that a file has."""
    app = FastAPI()

    @app.post("/files")
    async def upload(file: UploadFile) -> None: ...

    mount_mcp(app)
    reply = await call(app, "upload", {"file": file})
    assert reply.is_error
    assert message in reply.text_content


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
async def test_a_form_of_very_many_values_is_refused(kind: str, era: Era) -> None:
    """X5: no server takes them, and to write them would hold up the process."""
    app = FastAPI()

    if kind == "urlencoded":

        @app.post("/form")
        async def form(many: Annotated[list[str], Form()]) -> int:
            return len(many)
    else:

        @app.post("/form")
        async def form(many: Annotated[list[str], Form()], file: UploadFile | None = None) -> int:
            return len(many)

    mount_mcp(app)
    reply = await call(app, "form", {"many": ["x"] * 5_001}, era=era)
    assert reply.is_error
    assert reply.text_content == "The form has too many values: it takes 5,000 in all, with files."
    assert (await call(app, "form", {"many": ["x"] * 500}, era=era)).text_content == "500"
