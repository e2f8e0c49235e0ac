"""Documents as they are found: with nulls, wrong types and what nobody specified."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mcp_mount import MountError, proxy_app
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.output import read_output_schema
from mcp_mount.errors import InvalidArguments, InvalidDocument
from mcp_mount.openapi.document import load_document
from mcp_mount.openapi.operations import read_operations
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.openapi.servers import Bases, read_base
from mcp_mount.tools.selection import select
from tests.profile import check_schema
from tests.support import tools

Path = tuple[str | int, ...]

RICH: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1", "x-logo": {"url": "a.png"}},
    "servers": [{"url": "/api/{v}", "variables": {"v": {"default": "v1", "enum": ["v1"]}}}],
    "security": [{"oauth": ["read"]}],
    "tags": [{"name": "pets"}],
    "paths": {
        "/pets/{id}": {
            "summary": "Pets",
            "servers": [{"url": "/v2"}],
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "get",
                "tags": ["pets"],
                "summary": "Get",
                "description": "Gets one.",
                "deprecated": False,
                "parameters": [
                    {
                        "name": "filter",
                        "in": "query",
                        "style": "deepObject",
                        "explode": True,
                        "allowReserved": False,
                        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                    {
                        "name": "where",
                        "in": "query",
                        "content": {"application/json": {"schema": {}}},
                    },
                    {"name": "X-Ids", "in": "header", "schema": {"type": "array", "items": {}}},
                    {"name": "size", "in": "cookie", "required": True, "schema": {"enum": ["L"]}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                        }
                    },
                    "default": {"$ref": "#/components/responses/Error"},
                },
                "security": [{"key": []}],
                "x-mcp": {"name": "get_pet"},
            },
            "put": {
                "requestBody": {"$ref": "#/components/requestBodies/Pet"},
                "responses": {
                    "2XX": {
                        "content": {
                            "text/event-stream": {
                                "itemSchema": {
                                    "properties": {"data": {"contentSchema": {"type": "integer"}}}
                                }
                            }
                        }
                    }
                },
                "servers": [{"url": "/v3"}],
            },
        },
        "/pets": {
            "post": {
                "operationId": "add",
                "requestBody": {
                    "description": "The pet.",
                    "required": True,
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "required": ["file"],
                                "properties": {
                                    "file": {"type": "string", "format": "binary"},
                                    "tags": {"type": "array", "items": {"type": "string"}},
                                },
                            },
                            "encoding": {
                                "tags": {"style": "form", "explode": False, "contentType": "text/x"}
                            },
                        }
                    },
                },
            }
        },
    },
    "components": {
        "parameters": {
            "Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
        },
        "requestBodies": {
            "Pet": {
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Cat"}}}
            }
        },
        "responses": {"Error": {"description": "E", "content": {"text/plain": {}}}},
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "oauth": {"type": "oauth2", "flows": {}},
        },
        "schemas": {
            "Pet": {
                "type": "object",
                "required": ["kind"],
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "Cat"}},
                "properties": {
                    "kind": {"type": "string", "enum": ["cat"]},
                    "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 99},
                    "id": {"type": "integer", "readOnly": True},
                    "friends": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Pet"},
                        "maxItems": 3,
                    },
                    "pair": {
                        "type": "array",
                        "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    },
                },
            },
            "Cat": {
                "allOf": [
                    {"$ref": "#/components/schemas/Pet"},
                    {"properties": {"name": {"pattern": "^a", "maxLength": 9}}},
                ],
                "additionalProperties": False,
                "patternProperties": {"^x-": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            },
        },
    },
}

WRONG: list[Any] = [None, True, 7, "x", [], ["x"], [None], {}, {"x": "y"}, {"$ref": "#/nowhere"}]


def nodes(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield where every value of a document is, the document itself left out."""
    if path:
        yield path
    inner: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inner = enumerate(value)
    for key, each in inner:
        yield from nodes(each, (*path, key))


def changed(value: Any, path: tuple[Any, ...], replacement: list[Any]) -> Any:
    """Return a document with the value at a path replaced, or removed where there is none."""
    key, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else [*value]
    if rest:
        copy[key] = changed(copy[key], tuple(rest), replacement)
    elif replacement:
        copy[key] = replacement[0]
    else:
        del copy[key]
    return copy


def read(document: Any) -> list[Arguments]:
    """Read a document as the proxy does, up to what is published; check what comes out."""
    loaded = load_document(document)
    schemas = Schemas(loaded)
    operations = read_operations(loaded)
    bases = Bases(loaded, read_base("http://localhost:9000"))
    bases.check(operations)
    found = []
    for offer in select(operations):
        bases.prefix(offer.operation)
        arguments = read_arguments(offer.operation, schemas)
        output, _ = read_output_schema(offer.operation, schemas)
        for schema in (arguments.schema, *([output] if output is not None else [])):
            check_schema(schema, shares=True)
            json.dumps(schema, allow_nan=False)
        found.append(arguments)
    return found


def test_the_document_that_is_broken_below_is_whole() -> None:
    """Proxy: otherwise the test below would show nothing."""
    assert [{*each.schema["properties"]} for each in read(RICH)] == [
        {"id", "filter", "where", "X-Ids", "size"},
        {"id", "body"},
        {"file", "tags"},
    ]


@pytest.mark.parametrize("replacement", [[], *([each] for each in WRONG)], ids=repr)
def test_every_part_may_be_broken(replacement: list[Any]) -> None:
    """Proxy: either it is read, or the error is a sentence that names the place."""
    paths = [*nodes(RICH)]
    assert len(paths) > 180
    outcomes = [outcome(changed(RICH, path, replacement)) for path in paths]
    refusals = [each for each in outcomes if each is not None]
    assert len(refusals) < len(paths)
    assert [each for each in refusals if not re.fullmatch(r".* .*[.`]", each, re.DOTALL)] == []


def outcome(document: Any) -> str | None:
    """Read a document and call what it offers; return what is wrong with it, in words."""
    try:
        for arguments in read(document):
            call(arguments)
    except MountError as error:
        return str(error)
    return None


def call(arguments: Arguments) -> None:
    """Make a request of an argument each, which may be refused as well."""
    values: list[Any] = ["x", {"a": ["b"]}, ["x"]]
    for value in values:
        try:
            request = arguments.request(dict.fromkeys(arguments.known, value))
        except InvalidArguments:
            continue
        assert request.path.startswith("/")


@pytest.mark.parametrize(
    "document",
    [
        {"paths": None},
        {"components": None, "servers": None, "security": None, "tags": None},
        {"paths": {"/a": None}},
        {"paths": {"/a": {"get": None, "parameters": None, "x-a": 1}}},
        {"paths": {"x-internal": {"get": 1}, "/a": {"x-get": {}, "description": None}}},
        {"webhooks": {"a": {"post": {"requestBody": 1}}}},
        {"components": {"securitySchemes": {"a": None, "x-a": 1}, "schemas": None}},
    ],
)
def test_what_is_null_or_an_extension_is_as_good_as_absent(document: dict[str, Any]) -> None:
    """Proxy: generators write null for what they have nothing of."""
    assert read({"openapi": "3.1.0", **document}) == []


def test_an_operation_of_nulls_is_read() -> None:
    """Proxy: Go's and Ruby's generators write them all."""
    keys = [
        *("operationId", "summary", "description", "tags", "parameters", "requestBody"),
        *("responses", "security", "servers", "deprecated", "callbacks", "x-mcp"),
    ]
    (arguments,) = read({"openapi": "3.0.0", "paths": {"/a": {"get": dict.fromkeys(keys)}}})
    assert arguments.request({}).path == "/a"
    assert arguments.operation.tags == ()
    assert arguments.operation.description == ""


def test_words_may_be_numbers() -> None:
    """Proxy: in YAML, `description: 404` is one."""
    get = {
        "operationId": 1,
        "summary": 2.5,
        "description": ["x"],
        "tags": [3, None],
        "deprecated": "no",
    }
    (arguments,) = read({"openapi": "3.0.0", "paths": {"/a": {"get": get}}})
    operation = arguments.operation
    assert (operation.id, operation.summary, operation.tags) == ("1", "2.5", ("3",))
    assert (operation.description, operation.deprecated) == ("", False)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("paths",), [], "'paths' is a list, where an object is expected."),
        (("paths", "/pets"), "x", "/pets: the path is a text, where an object is expected."),
        (("paths", "pets"), {}, "The path 'pets' has to begin with '/'."),
        (("paths", "/pets", "post"), 7, "POST /pets: the operation is a number, where an object"),
        (("paths", "/pets/{id}", "get", "parameters"), {}, "GET /pets/{id}: 'parameters' is an"),
        (("paths", "/pets", "post", "requestBody"), [], "POST /pets: 'requestBody' is a list"),
        (("paths", "/pets", "post", "responses"), [], "POST /pets: 'responses' is a list"),
        (
            ("paths", "/pets", "post", "responses"),
            {"200": "ok"},
            "POST /pets: the response '200': ",
        ),
        (
            ("paths", "/pets", "post", "security"),
            {},
            "POST /pets: 'security' is an object, where a",
        ),
        (("components",), [], "'components' is a list, where an object is expected."),
        (
            ("components", "securitySchemes", "key", "in"),
            None,
            "The security scheme 'key' needs an",
        ),
        (("components", "schemas", "Cat"), "x", None),
        (
            ("components", "schemas", "Cat", "allOf"),
            [{"$ref": "#/a"}],
            "GET /pets/{id}: The OpenAPI",
        ),
    ],
)
def test_what_cannot_be_read_is_named(path: Path, value: Any, message: str | None) -> None:
    """Proxy: the operation, what was found there, and what is expected."""
    if message is None:
        read(changed(RICH, path, [value]))
        return
    with pytest.raises(MountError) as error:
        read(changed(RICH, path, [value]))
    assert str(error.value).startswith(message)


BROKEN = {
    "openapi": "3.1.0",
    "info": {"title": "API", "version": "1"},
    "paths": {
        "/whole": {"get": {"operationId": "whole"}},
        "/broken": {"get": {"operationId": "broken", "tags": ["new"], "parameters": "none"}},
        "/worse": {"get": {"operationId": "worse", "x-mcp": False, "requestBody": []}},
    },
}


@pytest.mark.parametrize("selector", ["broken", "tag:new", "GET /broken"])
async def test_a_broken_operation_can_be_left_out(selector: str) -> None:
    """Proxy: the rest of somebody else's document is of use all the same."""
    app = proxy_app(BROKEN, "http://localhost:9000", exclude=[selector])
    assert {*await tools(app)} == {"whole"}


def test_a_broken_operation_that_is_not_left_out_stops_the_start_and_says_how() -> None:
    """Proxy: start-up fails loudly."""
    with pytest.raises(InvalidDocument) as stopped:
        proxy_app(BROKEN, "http://localhost:9000")
    assert str(stopped.value).startswith("GET /broken: 'parameters' is a text")
    assert str(stopped.value).endswith("or leave it out with exclude=['GET /broken'].")
