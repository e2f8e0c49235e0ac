"""Bodies of foreign documents: which media type is sent, and what goes onto the wire."""

import json
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

import pytest

from mcp_mount import MountError
from mcp_mount.backends.request import OperationRequest
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.openapi.operations import read_operations
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import select
from tests.profile import check_schema

Content = dict[str, Any]
PET = {"type": "object", "properties": {"name": {"type": "string"}}}


def arguments(content: Content, *, required: bool = True, **components: Any) -> Arguments:
    request = {"required": required, "content": content}
    document = {
        "openapi": "3.0.3",
        "paths": {"/pets": {"post": {"operationId": "add", "requestBody": request}}},
        "components": components,
    }
    (offer,) = select(read_operations(document))
    read = read_arguments(offer.operation, Schemas(document))
    check_schema(read.schema, shares=True)
    return read


def content_type(request: OperationRequest) -> str:
    (value,) = [value.decode() for name, value in request.headers if name == b"content-type"]
    return value


def parts(request: OperationRequest) -> list[Message]:
    """Return the parts of a multipart body, as another library reads them."""
    head = f"content-type: {content_type(request)}\r\n\r\n".encode()
    return message_from_bytes(head + (request.body or b"")).get_payload()  # type: ignore[return-value] # of a multipart it is a list


def shown(part: Message) -> tuple[str, str | None, str, bytes]:
    """Return name, file name, media type as written, and content of a part."""
    name = str(part.get_param("name", header="content-disposition"))
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return name, part.get_filename(), part.get("content-type", ""), data


@pytest.mark.parametrize(
    ("documented", "sent"),
    [
        *[(each, each) for each in ("application/json", "application/json; charset=utf-8")],
        *[
            (each, each)
            for each in ("application/vnd.pets.v2+json", "text/json", "Application/JSON")
        ],
        *[("*/*", "application/json"), ("application/*", "application/json")],
        ("application/*+json", "application/json"),
    ],
)
def test_json_is_sent_under_its_media_type(documented: str, sent: str) -> None:
    """C5: a range of types, which springdoc writes, leaves the choice to us."""
    read = arguments({documented: {"schema": PET}})
    assert read.schema["properties"] == PET["properties"]
    request = read.request({"name": "Tom"})
    assert content_type(request) == sent
    assert json.loads(request.body or b"") == {"name": "Tom"}


@pytest.mark.parametrize(
    ("documented", "sent"),
    [
        (["text/plain", "application/json", "text/json"], "application/json"),
        (["application/xml", "application/json"], "application/json"),
        (["application/json-patch+json", "application/json"], "application/json-patch+json"),
        (["multipart/form-data", "application/x-www-form-urlencoded"], "multipart/form-data"),
        (["application/octet-stream", "application/xml"], "application/xml"),
        (["*/*", "image/png"], "image/png"),
    ],
)
def test_the_best_of_several_media_types_is_sent(documented: list[str], sent: str) -> None:
    """C5: .NET documents three for every body."""
    read = arguments({each: {"schema": PET} for each in documented})
    given = {"name": "x"} if "name" in read.known else {"body": "x"}
    assert content_type(read.request(given)).partition(";")[0] == sent


@pytest.mark.parametrize(
    ("media_type", "schema", "text", "sent"),
    [
        ("text/plain", {"type": "string"}, "a\r\nb", "text/plain"),
        ("text/plain", {"type": "string"}, "é", "text/plain; charset=utf-8"),
        ("text/plain; charset=utf-8", None, "é", "text/plain; charset=utf-8"),
        ("text/csv", None, "a,b", "text/csv"),
        ("text/*", None, "a", "text/plain"),
        ("application/xml", PET, "<pet>é</pet>", "application/xml; charset=utf-8"),
        ("application/soap+xml", PET, "<a/>", "application/soap+xml"),
        ("text/xml", PET, "<a/>", "text/xml"),
        ("application/x-yaml", PET, "a: 1", "application/x-yaml"),
        ("application/x-ndjson", PET, '{"a":1}\n', "application/x-ndjson"),
        ("application/graphql", None, "{ a }", "application/graphql"),
    ],
)
def test_what_is_text_is_one_argument(media_type: str, schema: Any, text: str, sent: str) -> None:
    """C5: XML too, which no schema of JSON can describe; in UTF-8, and saying so."""
    read = arguments({media_type: {"schema": schema}})
    assert read.schema["properties"] == {"body": {"type": "string"}}
    request = read.request({"body": text})
    assert (content_type(request), request.body) == (sent, text.encode())
    assert (b"content-length", b"%d" % len(text.encode())) in request.headers


@pytest.mark.parametrize(
    ("media_type", "schema", "sent"),
    [
        (
            "application/octet-stream",
            {"type": "string", "format": "binary"},
            "application/octet-stream",
        ),
        ("application/pdf", None, "application/pdf"),
        ("image/*", None, "image/x"),
        ("*/*", {"type": "string", "format": "binary"}, "image/x"),
        ("*/*", None, "image/x"),
    ],
)
def test_what_is_bytes_is_a_file(media_type: str, schema: Any, sent: str) -> None:
    """C5: as text or as base64."""
    read = arguments({media_type: {"schema": schema}})
    assert "base64" in read.schema["properties"]["body"]["properties"]
    request = read.request({"body": {"base64": "AP8=", "media_type": "image/x"}})
    assert (content_type(request), request.body) == (sent, b"\x00\xff")


FORM_SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object"},
        "items": {"type": "array", "items": {"type": "object"}},
        "flag": {"type": "boolean"},
    },
}


@pytest.mark.parametrize(
    ("encoding", "pairs"),
    [
        ({}, [("tags", "a b"), ("tags", "c&d"), ("address", '{"x":1,"y":2}')]),
        (None, [("tags", "a b"), ("tags", "c&d"), ("address", '{"x":1,"y":2}')]),
        ({"tags": {"explode": False}}, [("tags", "a b,c&d"), ("address", '{"x":1,"y":2}')]),
        (
            {
                "tags": {"style": "pipeDelimited"},
                "address": {"style": "deepObject", "explode": True},
            },
            [("tags", "a b|c&d"), ("address[x]", "1"), ("address[y]", "2")],
        ),
        (
            {"tags": {"style": "spaceDelimited", "explode": True}, "address": {"style": "form"}},
            [("tags", "a b"), ("tags", "c&d"), ("x", "1"), ("y", "2")],
        ),
        (
            {"address": {"contentType": "application/json"}},
            [("tags", "a b"), ("tags", "c&d"), ("address", '{"x":1,"y":2}')],
        ),
        (
            {"ghost": {"style": "form"}, "tags": None},
            [("tags", "a b"), ("tags", "c&d"), ("address", '{"x":1,"y":2}')],
        ),
    ],
)
def test_a_form_is_written_as_its_encoding_says(encoding: Any, pairs: list[Any]) -> None:
    """C5: OpenAPI 3.1 §4.8.15; without one, lists repeat the name and objects are JSON."""
    media = {"schema": FORM_SCHEMA, "encoding": encoding}
    for media_type in (
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
    ):
        read = arguments({media_type: media})
        given = {"name": "é=", "tags": ["a b", "c&d"], "address": {"x": 1, "y": 2}, "flag": True}
        request = read.request(given)
        assert content_type(request) == "application/x-www-form-urlencoded"
        found = parse_qsl((request.body or b"").decode("ascii"), keep_blank_values=True)
        assert found == [("name", "é="), *pairs, ("flag", "true")]


def test_a_multipart_body_has_files_lists_of_files_and_json() -> None:
    """C5: OpenAPI 3.1 §4.8.14.4; an object is JSON, which Spring's `@RequestPart` wants."""
    binary = {"type": "string", "format": "binary"}
    schema = {
        "type": "object",
        "properties": {
            "one": binary,
            "many": {"type": "array", "items": {"$ref": "#/components/schemas/File"}},
            "picture": {"contentMediaType": "image/png"},
            "raw": {},
            "meta": {"type": "object", "properties": {"a": {"type": "integer"}}},
            "rows": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "encoded": {
                "type": "string",
                "contentEncoding": "base64",
                "contentMediaType": "image/png",
            },
        },
    }
    encoding = {
        "one": {"contentType": "application/pdf, image/*"},
        "rows": {"contentType": "text/csv"},
        "raw": {"contentType": "application/zip"},
    }
    read = arguments(
        {"multipart/form-data; boundary=x": {"schema": schema, "encoding": encoding}},
        schemas={"File": binary},
    )
    request = read.request(
        {
            "one": {"base64": "AP8=", "filename": "a.pdf"},
            "many": [{"text": "a"}, {"base64": "Yg==", "media_type": "image/gif"}],
            "picture": {"base64": "AP8="},
            "raw": {"base64": "AP8="},
            "meta": {"a": 1},
            "rows": "a,b",
            "tags": ["x", "y"],
            "encoded": "AP8=",
        }
    )
    assert content_type(request).startswith("multipart/form-data; boundary=")
    assert [shown(part) for part in parts(request)] == [
        ("one", "a.pdf", "application/pdf", b"\x00\xff"),
        ("many", "file", "text/plain; charset=utf-8", b"a"),
        ("many", "file", "image/gif", b"b"),
        ("picture", "file", "application/octet-stream", b"\x00\xff"),
        ("raw", "file", "application/zip", b"\x00\xff"),
        ("meta", None, "application/json", b'{"a":1}'),
        ("rows", None, "text/csv", b"a,b"),
        ("tags", None, "", b"x"),
        ("tags", None, "", b"y"),
        ("encoded", None, "", b"AP8="),
    ]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ({}, None),
        (None, None),
        ({"application/json": None}, b'"x"'),
        ({"application/json": {}}, b'"x"'),
        ({"application/json": {"schema": None}}, b'"x"'),
        ({"application/json": {"schema": True}}, b'"x"'),
        ({"x-note": {}, "application/json": {"schema": {}, "x-more": 1}}, b'"x"'),
    ],
)
def test_a_body_without_a_schema_takes_anything(content: Any, sent: bytes | None) -> None:
    """C5: and none at all where no media type is named."""
    read = arguments(content)
    if sent is None:
        assert read.schema["properties"] == {}
        assert read.request({}).body is None
    else:
        assert read.schema["required"] == ["body"]
        assert read.request({"body": "x"}).body == sent


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "'content' is a list, where an object is expected"),
        ({"application/json": "x"}, "'application/json' is a text, where an object is expected"),
        (
            {"application/json": {"schema": "Pet"}},
            "'schema' is a text, where an object is expected",
        ),
        ({"application/json": {"schema": PET, "encoding": []}}, "'encoding' is a list"),
    ],
)
def test_a_body_of_another_form_is_refused(content: Any, message: str) -> None:
    """C5: naming the operation and what is wrong in it."""
    with pytest.raises(MountError) as error:
        arguments(content)
    assert str(error.value).startswith("POST /pets: the request body: ")
    assert message in str(error.value)


def test_the_accept_header_names_what_a_success_may_be() -> None:
    """C5: nothing from the document can break a line of the request."""
    content: Content = {"application/json": {}, "text/x\r\nx-admin: 1": {}, "text/ü": {}, "*/*": {}}
    document = {"paths": {"/a": {"get": {"responses": {"default": {"content": content}}}}}}
    (operation,) = read_operations(document)
    request = read_arguments(operation, Schemas(document)).request({})
    assert dict(request.headers)[b"accept"] == b"application/json, */*;q=0.1"
