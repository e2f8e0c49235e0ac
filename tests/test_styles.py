"""Parameters of foreign documents, as they stand in the request: OpenAPI's styles."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import MountError
from mcp_mount.backends.request import OperationRequest
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import select
from tests.test_linear import within_seconds

ARRAY = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}


def operation(
    *parameters: Any, path: str = "/colors", shared: list[Any] | None = None, **others: Any
) -> tuple[Operation, Schemas]:
    item = {"get": {"operationId": "get", "parameters": [*parameters]}, "parameters": shared}
    document = {"openapi": "3.1.0", "paths": {path: item}, **others}
    (found,) = select(read_operations(document))
    return found.operation, Schemas(document)


def arguments(*parameters: Any, **options: Any) -> Arguments:
    return read_arguments(*operation(*parameters, **options))


def sent(
    parameter: dict[str, Any], value: object, path: str = "/colors/{color}"
) -> OperationRequest:
    """Return the request that the one argument becomes."""
    whole = {"name": "color", "schema": {}, "required": True, **parameter}
    if "content" in whole:
        del whole["schema"]
    return arguments(whole, path=path).request({"color": value})


def header(request: OperationRequest, name: str) -> list[str]:
    return [value.decode("latin-1") for key, value in request.headers if key == name.encode()]


# OpenAPI 3.1.1 §4.12.4 "Style Examples", column by column.
IN_PATH: list[tuple[str, bool, Any, str]] = [
    ("simple", False, "blue", "blue"),
    ("simple", False, ARRAY, "blue,black,brown"),
    ("simple", False, OBJECT, "R,100,G,200,B,150"),
    ("simple", True, "blue", "blue"),
    ("simple", True, ARRAY, "blue,black,brown"),
    ("simple", True, OBJECT, "R=100,G=200,B=150"),
    # Everything but RFC 3986's unreserved characters is encoded in a value, and nothing separating.
    ("simple", False, "a/b c,é;%=", "a%2Fb%20c%2C%C3%A9%3B%25%3D"),
    ("simple", False, ["a/b", "c d"], "a%2Fb,c%20d"),
    ("simple", True, {"a/b": "c=d"}, "a%2Fb=c%3Dd"),
    ("simple", False, True, "true"),
    ("simple", False, 1e21, "1000000000000000000000"),
]


@pytest.mark.parametrize(("style", "explode", "value", "written"), IN_PATH)
def test_a_path_parameter_is_written_in_its_style(
    *, style: str, explode: bool, value: Any, written: str
) -> None:
    """C5: OpenAPI 3.1 §4.8.12.4, RFC 6570 §3.2."""
    request = sent({"in": "path", "style": style, "explode": explode}, value)
    assert request.path == f"/colors/{written}"
    assert request.path_values == {"color": unquote(written)}


def test_the_defaults_of_each_place_are_those_of_openapi() -> None:
    """C5: simple for paths and headers, form for queries; only form explodes."""
    assert sent({"in": "path"}, OBJECT).path == "/colors/R,100,G,200,B,150"
    assert sent({"in": "query"}, OBJECT, "/c").query == "R=100&G=200&B=150"
    assert sent({"in": "query", "style": "pipeDelimited"}, ["a", "b"], "/c").query == "color=a%7Cb"
    assert header(sent({"in": "header"}, OBJECT, "/c"), "color") == ["R,100,G,200,B,150"]
    # A style that the place does not have.
    assert sent({"in": "path", "style": "form"}, ["a", "b"]).path == "/colors/a,b"
    assert sent({"in": "query", "style": "tabDelimited"}, ["a"], "/c").query == "color=a"


EMPTY: list[Any] = [[], {}]
NOT_IN_A_PATH: list[tuple[str, str, list[Any]]] = [
    ("/c/{color}", "simple", ["", ".", "..", "a\0", [""], None, *EMPTY]),
    ("/c/.{color}", "simple", ["."]),
    ("/c/{color}.", "simple", ["."]),
    ("/c/{color}", "simple", [["a,b"], [None], [["a"]], {"a": {}}]),
]


@pytest.mark.parametrize(
    ("path", "style", "value"),
    [(path, style, value) for path, style, values in NOT_IN_A_PATH for value in values],
)
def test_a_value_that_a_path_cannot_hold_is_refused(path: str, style: str, value: Any) -> None:
    """C5: no value leads out of its segment, and none is read as two."""
    with pytest.raises(InvalidArguments):
        sent({"in": "path", "style": style}, value, path)


@pytest.mark.parametrize("style", ["label", "matrix"])
def test_a_style_that_no_path_is_written_in_is_refused(style: str) -> None:
    """C5: rather than called wrongly; the message says how to leave the operation out."""
    with pytest.raises(MountError, match="exclude=") as error:
        sent({"in": "path", "style": style}, "blue")
    assert f"'color' is in the style {style!r}" in str(error.value)


TEXTS = st.text(st.sampled_from([*"./;,=%?#{}\\ ab", "é"]), max_size=6)
STRUCTURES = TEXTS | st.lists(TEXTS, max_size=3) | st.dictionaries(TEXTS, TEXTS, max_size=2)


@given(
    value=STRUCTURES,
    explode=st.booleans(),
    template=st.sampled_from(
        ["/c/{color}/d", "/c/.{color}/d", "/c/{color}.json/d", "/c/a-{color}/d"]
    ),
)
def test_no_value_leaves_its_segment(*, value: Any, explode: bool, template: str) -> None:
    """C5: also for who decodes and normalizes the path on the way."""
    try:
        request = sent({"in": "path", "explode": explode}, value, template)
    except InvalidArguments:
        return
    _, first, segment, last = request.path.split("/")
    assert (first, last) == ("c", "d")
    assert segment not in {"", ".", ".."}
    assert not {"?", "#", "\\", " "} & {*request.path}


IN_QUERY: list[tuple[dict[str, Any], Any, str]] = [
    ({"style": "form", "explode": False}, "", "color="),
    ({"style": "form", "explode": False}, "blue", "color=blue"),
    ({"style": "form", "explode": False}, ARRAY, "color=blue,black,brown"),
    ({"style": "form", "explode": False}, OBJECT, "color=R,100,G,200,B,150"),
    ({"style": "form", "explode": True}, "", "color="),
    ({"style": "form", "explode": True}, "blue", "color=blue"),
    ({"style": "form", "explode": True}, ARRAY, "color=blue&color=black&color=brown"),
    ({"style": "form", "explode": True}, OBJECT, "R=100&G=200&B=150"),
    ({"style": "spaceDelimited"}, ARRAY, "color=blue%20black%20brown"),
    ({"style": "spaceDelimited"}, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    ({"style": "pipeDelimited"}, ARRAY, "color=blue%7Cblack%7Cbrown"),
    ({"style": "pipeDelimited"}, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    ({"style": "deepObject"}, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ({"style": "deepObject", "explode": True}, {"gte": 1}, "color%5Bgte%5D=1"),
    # What is inside of a property is left open; these are read by most servers, and by Stripe's.
    ({"style": "deepObject"}, ["a", 1], "color%5B%5D=a&color%5B%5D=1"),
    (
        {"style": "deepObject"},
        {"a": {"b": 1, "c": None}, "d": [True], "e": [{"f": "g"}, {}], "h": []},
        "color%5Ba%5D%5Bb%5D=1&color%5Bd%5D%5B%5D=true&color%5Be%5D%5B0%5D%5Bf%5D=g",
    ),
    ({"explode": True}, {"page": 0, "sort": ["a,asc", "b"]}, "page=0&sort=a,asc&sort=b"),
    # Generators write this; the specification leaves it open, and servers read repeated names.
    ({"style": "pipeDelimited", "explode": True}, ["a", "b"], "color=a&color=b"),
    # What `allowReserved` lets through ends no value, and never reads as something else.
    ({"allowReserved": True}, "/a:b?c@d!$'()*,;=", "color=/a:b?c@d!$'()*,;="),
    ({"allowReserved": True}, "a&b#c[d]+e f%20é", "color=a%26b%23c%5Bd%5D%2Be%20f%2520%C3%A9"),
    ({"allowReserved": True}, ["a/b", "c&d"], "color=a/b&color=c%26d"),
    ({"allowReserved": False}, "a/b:c?d=e&f", "color=a%2Fb%3Ac%3Fd%3De%26f"),
    # Empty values say that they are empty, or nothing where there is no way to say it.
    ({"allowEmptyValue": True}, "", "color="),
    ({"explode": False}, [], ""),
    ({"explode": True}, {}, ""),
    ({}, None, ""),
    # A document of its own (`content`).
    (
        {"content": {"application/json": {}}},
        {"a": ["b c"]},
        "color=%7B%22a%22%3A%5B%22b%20c%22%5D%7D",
    ),
    ({"content": {"application/json": {}}}, "blue", "color=%22blue%22"),
    ({"content": {"application/vnd.x+json; v=1": {}}}, [1, 2], "color=%5B1,2%5D"),
    ({"content": {"text/plain": {}}}, "a b", "color=a%20b"),
]


@pytest.mark.parametrize(("style", "value", "query"), IN_QUERY)
def test_a_query_parameter_is_written_in_its_style(
    style: dict[str, Any], value: Any, query: str
) -> None:
    """C5: OpenAPI 3.1 §4.8.12.4; a list that may be empty is left out then."""
    assert sent({"in": "query", **style}, value, "/c").query == query


@pytest.mark.parametrize("name", ["filter[name]", "a b", "$top", "ids[]", "é", "a&b=c"])
def test_a_name_is_encoded_as_well(name: str) -> None:
    """C5: an odd name has an alias that clients accept, and goes out as it is."""
    read = arguments({"name": name, "in": "query", "schema": {}})
    (alias,) = read.schema["properties"]
    key, _, value = read.request({alias: "x"}).query.partition("=")
    assert (unquote(key), value) == (name, "x")
    assert key.isascii()
    assert not {*"[]& $"} & {*key}


IN_HEADER: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({}, "blue", ["blue"]),
    ({}, ARRAY, ["blue,black,brown"]),
    ({}, OBJECT, ["R,100,G,200,B,150"]),
    ({"explode": True}, ARRAY, ["blue,black,brown"]),
    ({"explode": True}, OBJECT, ["R=100,G=200,B=150"]),
    ({}, [], []),
    ({}, "a b/é", ["a b/é"]),
    ({"content": {"application/json": {}}}, {"a": [1, "é"]}, ['{"a":[1,"\\u00e9"]}']),
    # FastAPI names no style, titles every schema, and reads one line for each item.
    ({"schema": {"type": "array", "title": "Color"}}, ["a", "b"], ["a", "b"]),
    ({"schema": {"type": "array", "title": "Color"}, "style": "simple"}, ["a", "b"], ["a,b"]),
]


@pytest.mark.parametrize(("style", "value", "lines"), IN_HEADER)
def test_a_header_parameter_is_written_in_its_style(
    style: dict[str, Any], value: Any, lines: list[str]
) -> None:
    """C5: simple, without percent-encoding (OpenAPI 3.1 appendix D)."""
    assert header(sent({"in": "header", **style}, value, "/c"), "color") == lines


IN_COOKIE: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({}, "blue", ["color=blue"]),
    ({"explode": False}, ARRAY, ["color=blue,black,brown"]),
    ({"explode": False}, OBJECT, ["color=R,100,G,200,B,150"]),
    ({"style": "cookie", "explode": False}, ARRAY, ["color=blue,black,brown"]),
    ({"content": {"application/json": {}}}, {"a": 1}, ["color=%7B%22a%22%3A1%7D"]),
    ({}, [], []),
]


@pytest.mark.parametrize(("style", "value", "lines"), IN_COOKIE)
def test_a_cookie_is_written_in_its_style(
    style: dict[str, Any], value: Any, lines: list[str]
) -> None:
    """C5: without percent-encoding (OpenAPI 3.1 appendix D)."""
    assert header(sent({"in": "cookie", **style}, value, "/c"), "cookie") == lines


@pytest.mark.parametrize(
    ("style", "value"),
    [
        *[({}, value) for value in ("a;b", "a,b", 'a"b', "a b", "a\\b", "a\nb", ["a", "b"])],
        *[({"explode": False}, value) for value in (["a;b"], ["a b"], {"a": "b c"})],
        *[({"explode": True}, value) for value in (ARRAY, OBJECT)],
        *[({"style": "cookie"}, value) for value in (ARRAY, OBJECT)],
    ],
)
def test_what_a_cookie_cannot_hold_is_refused(style: dict[str, Any], value: Any) -> None:
    """C5: as is a list that is not said to be one text."""
    with pytest.raises(InvalidArguments, match="'color' is a cookie"):
        sent({"in": "cookie", **style}, value, "/c")


def test_the_parameters_of_a_path_are_replaced_by_name_and_place() -> None:
    """C5: OpenAPI 3.1 §4.8.9; a parameter of the same name elsewhere is another."""
    shared = [
        {"name": "a", "in": "query", "schema": {"type": "string"}},
        {"$ref": "#/components/parameters/B"},
        {"name": "c", "in": "query", "schema": {"type": "string"}},
    ]
    own = [
        {"name": "a", "in": "header", "schema": {"type": "integer"}},
        {"name": "b", "in": "query", "schema": {"type": "boolean"}, "required": True},
    ]
    components: dict[str, Any] = {"parameters": {"B": {"$ref": "#/components/parameters/Other"}}}
    components["parameters"]["Other"] = {"name": "b", "in": "query", "schema": {"type": "null"}}
    read = arguments(*own, shared=shared, components=components)
    assert read.schema["properties"] == {
        "a": {"type": "string"},
        "b": {"type": "boolean"},
        "c": {"type": "string"},
        "header_a": {"type": "integer"},
    }
    assert read.schema["required"] == ["b"]
    request = read.request({"a": "x", "header_a": 1, "b": True})
    assert (request.query, header(request, "a")) == ("a=x&b=true", ["1"])


def test_headers_that_follow_from_something_else_are_no_arguments() -> None:
    """C4: OpenAPI 3.1 §4.8.12.1."""
    names = ["Accept", "Content-Type", "AUTHORIZATION", "X-Trace"]
    read = arguments(*({"name": name, "in": "header", "required": True} for name in names))
    assert [*read.schema["properties"]] == ["X-Trace"]


def test_what_a_parameter_says_of_itself_is_published() -> None:
    """P1, P4: description and deprecation, examples not."""
    parameter = {
        "name": "a",
        "in": "query",
        "description": "The a.",
        "deprecated": True,
        "example": "x",
        "schema": {"type": "string", "example": "y", "x-order": 1},
    }
    published = arguments(parameter).schema["properties"]["a"]
    assert published == {"type": "string", "description": "The a.", "deprecated": True}


def test_a_reference_may_replace_a_description_since_3_1() -> None:
    """P3: OpenAPI 3.1 §4.8.23; in 3.0 nothing stands beside a reference."""
    shared = {"name": "a", "in": "query", "description": "Shared."}
    reference = {"$ref": "#/components/parameters/A", "description": "Mine.", "name": "b"}
    for version, described in (("3.1.0", "Mine."), ("3.0.3", "Shared.")):
        found, _ = operation(reference, components={"parameters": {"A": shared}}, openapi=version)
        assert [(each.name, each.description) for each in found.parameters] == [("a", described)]


def test_a_name_in_a_path_that_nothing_declares_is_an_argument() -> None:
    """C5: documents forget it, and without it there is no request (OpenAPI 3.1 §4.8.8.2)."""
    read = arguments(path="/users/{user-id}/posts/{id}")
    assert read.schema["properties"] == {"user-id": {"type": "string"}, "id": {"type": "string"}}
    assert read.schema["required"] == ["user-id", "id"]
    assert read.request({"user-id": "a/b", "id": "1"}).path == "/users/a%2Fb/posts/1"


def test_a_path_parameter_that_is_in_no_path_is_left_out() -> None:
    """C5: there is nowhere to put it."""
    read = arguments({"name": "id", "in": "path", "required": True, "schema": {}})
    assert read.schema["properties"] == {}
    assert read.request({}).path == "/colors"


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"name": "a", "in": "body"}, "the parameter 'a' is in 'body'. It needs an 'in' of path"),
        ({"name": "a"}, "the parameter 'a' is in ''"),
        ({"name": "a b", "in": "header"}, "the parameter 'a b': no header can have this name"),
        ({"name": "a\r\nx: y", "in": "header"}, "no header can have this name"),
        ({"name": "ключ", "in": "header"}, "no header can have this name"),
        ({"name": "a;b", "in": "cookie"}, "the parameter 'a;b': no cookie can have this name"),
        ({"name": "a", "in": "query", "schema": "string"}, "'schema' is a text, where an object"),
        ("a", "a parameter is a text, where an object is expected"),
        ({"$ref": "common.yaml#/A"}, "refers to 'common.yaml#/A', which it does not contain. Put"),
        ({"$ref": "#/components/parameters/A"}, "refers to '#/components/parameters/A', which it"),
    ],
)
def test_a_parameter_of_another_form_is_refused(parameter: Any, message: str) -> None:
    """C5: naming the operation, the parameter, and what is wrong."""
    with pytest.raises(MountError) as error:
        arguments(parameter)
    assert str(error.value).startswith("GET /colors: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("#/x-parts/a~1b~0c", "a/b~c"),
        ("#/x-parts/%7Bid%7D", "{id}"),
        ("#/x-parts/a%20b", "a b"),
        ("#/x-parts/Page%C2%ABPet%C2%BB", "Page«Pet»"),
        ("#/x-parts/Page«Pet»", "Page«Pet»"),
        ("#/x-parts/a%2525", "a%25"),
        ("#/x-parts/~01", "~1"),
    ],
)
def test_the_pointers_of_references_are_decoded(pointer: str, place: str) -> None:
    """RFC 6901 §6: first the percent signs, then the tildes."""
    part = {"name": "a", "in": "query", "schema": {"type": "integer"}}
    read = arguments({"$ref": pointer}, **{"x-parts": {place: part}})
    assert read.schema["properties"] == {"a": {"type": "integer"}}


def test_json_in_a_query_is_what_the_model_gave() -> None:
    """C5: nothing of it is lost on the way."""
    value = {"a": [1, None, {"b": "c&d=é"}], "e": 1.5}
    parameter = {"in": "query", "content": {"application/json": {"schema": {"type": "object"}}}}
    name, _, text = sent(parameter, value, "/c").query.partition("=")
    assert json.loads(unquote(text)) == value
    assert name == "color"


def test_a_long_name_with_brackets_is_refused_soon() -> None:
    """It was written anew for each value inside, for seven seconds, also where that was empty."""
    inside: dict[str, Any] = {str(number): {} for number in range(40_000)}
    with within_seconds(0.3), pytest.raises(InvalidArguments, match="2,000 characters"):
        sent({"in": "query", "style": "deepObject"}, {"a" * 2_000_000: inside}, path="/colors")


@pytest.mark.parametrize("value", [["a"] * 64_000, ["a" * 1_000] * 100])
def test_a_header_of_very_many_lines_is_refused_soon(value: list[str]) -> None:
    """They took 50 ms to write, and 130 more to send to an API elsewhere."""
    schema = {"type": "array", "items": {"type": "string"}, "title": "Color"}
    with within_seconds(0.02), pytest.raises(InvalidArguments, match=r"is a header|is too long"):
        sent({"in": "header", "schema": schema}, value, path="/colors")


def test_the_lines_of_several_headers_count_together() -> None:
    """F1: a hundred lists of a thousand took 90 ms to write, and 200 to read."""
    schema = {"type": "array", "items": {"type": "string"}, "title": "Color"}
    names = [f"x-{number}" for number in range(100)]
    parameters = [{"name": each, "in": "header", "schema": schema} for each in names]
    read = arguments(*parameters)
    lines = read.request(dict.fromkeys(names, ["a"] * 10)).headers
    assert sum(name.startswith(b"x-") for name, _ in lines) == 1_000
    refused = pytest.raises(InvalidArguments, match="all have 1,000 lines at the most")
    with within_seconds(0.03), refused:
        read.request(dict.fromkeys(names, ["a"] * 1_000))
