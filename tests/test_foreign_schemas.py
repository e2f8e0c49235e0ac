"""Schemas as springdoc, .NET, Go and hand-written documents write them."""

import json
from typing import Any

import pytest

from mcp_mount import MountError
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.output import read_output_schema
from mcp_mount.openapi.operations import read_operations
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import select
from tests.profile import check_schema

Schema = dict[str, Any]
INTEGER, TEXT, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
ANYTHING: Schema = {
    "anyOf": [
        *({"type": kind} for kind in ("string", "number", "boolean", "object")),
        {"type": "array", "items": {}},
        NULL,
    ]
}
"""A property of any type, as AutoGen can read it."""


def document(version: str = "3.0.3", **schemas: Any) -> dict[str, Any]:
    return {"openapi": version, "components": {"schemas": schemas}}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def published(schema: Any, version: str = "3.0.3", **schemas: Any) -> Schema:
    """Publish a schema as that of an argument, in the profile that every client accepts."""
    found = Schemas(document(version, **schemas)).publish(
        {"type": "object", "properties": {"a": schema}}, "input"
    )
    check_schema(found, shares=True)
    value: Schema = found["properties"]["a"]
    return value


def body(schema: Any, version: str = "3.0.3", *, method: str = "post", **schemas: Any) -> Arguments:
    """Return the arguments of an operation with a JSON body."""
    whole = document(version, **schemas)
    content = {"application/json": {"schema": schema}}
    request = {"required": True, "content": content}
    whole["paths"] = {"/pets": {method: {"operationId": "add", "requestBody": request}}}
    (operation,) = read_operations(whole)
    read = read_arguments(operation, Schemas(whole))
    check_schema(read.schema, shares=True)
    return read


def test_all_of_is_one_schema_with_all_properties() -> None:
    """P1, P4: springdoc and .NET write inheritance so; each property is an argument."""
    base = {"type": "object", "required": ["id"], "properties": {"id": INTEGER}}
    named = {"properties": {"name": TEXT}, "required": ["name", "id"]}
    cat = {
        "description": "A cat.",
        "required": ["lives"],
        "properties": {"lives": {"type": "integer", "minimum": 0}},
        "allOf": [ref("Base"), {"allOf": [named, {"description": "Named."}]}],
    }
    read = body(ref("Cat"), Base=base, Cat=cat)
    assert read.schema["properties"] == {
        "id": INTEGER,
        "name": TEXT,
        "lives": {"type": "integer", "minimum": 0},
    }
    assert read.schema["required"] == ["id", "name", "lives"]
    request = read.request({"id": 1, "name": "Tom", "lives": 9})
    assert json.loads(request.body or b"") == {"id": 1, "name": "Tom", "lives": 9}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"allOf": [TEXT]}, TEXT),
        ({"allOf": [ref("Id")], "description": "Its id."}, {**TEXT, "description": "Its id."}),
        ({"allOf": [ref("Id")], "nullable": True}, TEXT),
        ({"allOf": [ref("Id"), {"description": "Its id."}]}, {**TEXT, "description": "Its id."}),
        (
            {"allOf": [{"minimum": 1}, {"maximum": 5}, INTEGER]},
            {**INTEGER, "minimum": 1, "maximum": 5},
        ),
        ({"allOf": [TEXT, {"enum": ["a", "b"]}]}, {**TEXT, "enum": ["a", "b"]}),
        (
            {"allOf": [{"properties": {"b": {"minimum": 1}}}, {"properties": {"b": INTEGER}}]},
            {"properties": {"b": {**INTEGER, "minimum": 1}}, **ANYTHING},
        ),
        ({"allOf": []}, ANYTHING),
        ({"allOf": [{}, True, None]}, ANYTHING),
    ],
)
def test_all_of_is_written_as_one_schema(schema: Schema, expected: Schema) -> None:
    """P1: few clients and models read it."""
    optional = published(schema, Id=TEXT)
    if schema.get("nullable"):
        assert optional == {"anyOf": [TEXT, NULL]}
    else:
        assert optional == expected


def pets(**others: Any) -> Schema:
    """A parent whose children name it, as springdoc, NSwag and the specification's example do."""
    pet = {
        "type": "object",
        "required": ["petType"],
        "properties": {"petType": TEXT, "name": TEXT},
        "discriminator": {"propertyName": "petType", **others},
    }
    cat = {"allOf": [ref("Pet"), {"type": "object", "properties": {"lives": INTEGER}}]}
    dog = {"allOf": [ref("Pet")], "type": "object", "properties": {"barks": {"type": "boolean"}}}
    return {"Pet": pet, "Cat": cat, "Dog": dog, "Puppy": {"allOf": [ref("Dog"), {}]}}


def kinds(union: Schema) -> list[Any]:
    return [each["properties"]["petType"] for each in union["anyOf"]]


def test_a_parent_with_a_discriminator_is_the_union_of_its_children() -> None:
    """P5: OpenAPI 3.1 §4.8.25; otherwise no model could give what a child has of its own."""
    schema = body(ref("Pet"), **pets()).schema["properties"]["body"]
    assert [{*each["properties"]} for each in schema["anyOf"]] == [
        {"petType", "name", "lives"},
        {"petType", "name", "barks"},
        {"petType", "name", "barks"},
    ]
    assert kinds(schema) == [{**TEXT, "const": name} for name in ("Cat", "Dog", "Puppy")]
    assert all("petType" in each["required"] for each in schema["anyOf"])


def test_a_child_is_itself() -> None:
    """P4: and not all its siblings."""
    read = body(ref("Cat"), **pets())
    assert {*read.schema["properties"]} == {"petType", "name", "lives"}
    assert published({"allOf": [ref("Cat")], "description": "C"}, **pets())["description"] == "C"


def test_a_mapping_names_the_children() -> None:
    """P5: OpenAPI 3.1 §4.8.25.2, by reference or by name; also two names for one."""
    mapping = {"c": "Cat", "k": "#/components/schemas/Cat", "d": "#/components/schemas/Dog"}
    mapping |= {"elsewhere": "bird.json", "gone": "Bird"}
    schema = published(ref("Pet"), **pets(mapping=mapping))
    assert kinds(schema) == [
        {**TEXT, "enum": ["c", "k"]},
        {**TEXT, "const": "d"},
        {**TEXT, "const": "Puppy"},
    ]


@pytest.mark.parametrize("union", ["oneOf", "anyOf"])
def test_a_union_says_what_each_alternative_is_called(union: str) -> None:
    """P5: a model has no other way to know."""
    schemas = pets()
    mapping = {"cat": "#/components/schemas/Cat"}
    alternatives = [ref("Cat"), ref("Dog"), {"type": "object", "properties": {"other": TEXT}}]
    schema = {union: alternatives, "discriminator": {"propertyName": "petType", "mapping": mapping}}
    cat, dog, other = published(schema, **schemas)["anyOf"]
    assert cat["properties"]["petType"] == {**TEXT, "const": "cat"}
    assert dog["properties"]["petType"] == {**TEXT, "const": "Dog"}
    assert other == {"type": "object", "properties": {"other": TEXT}}


def test_a_union_of_enumerations_says_which_value_is_meant() -> None:
    """P5: .NET writes all names into the parent's enumeration; a constant says it already."""
    kind = {"type": "string", "enum": ["cat", "dog"], "description": "Which."}
    schemas: Schema = {
        "Cat": {"type": "object", "properties": {"kind": kind}},
        "Dog": {"type": "object", "properties": {"kind": {"const": "dog"}}},
    }
    mapping = {"cat": "#/components/schemas/Cat", "d": "#/components/schemas/Dog"}
    schema: Schema = {"oneOf": [ref("Cat"), ref("Dog")]}
    schema["discriminator"] = {"propertyName": "kind", "mapping": mapping}
    cat, dog = published(schema, **schemas)["anyOf"]
    assert cat["properties"]["kind"] == {"type": "string", "description": "Which.", "const": "cat"}
    assert dog["properties"]["kind"] == {"type": "string", "const": "dog"}


def test_a_parent_that_lists_its_children_which_name_it_comes_to_an_end() -> None:
    """P5: springdoc writes `oneOf` in the parent, and `allOf` in each child."""
    schemas = pets()
    schemas["Pet"]["oneOf"] = [ref("Cat"), ref("Dog")]
    schema = published(ref("Pet"), **schemas)
    assert [{*each["properties"]} for each in schema["anyOf"]] == [
        {"petType", "name", "lives"},
        {"petType", "name", "barks"},
    ]
    assert "$defs" not in json.dumps(schema)


def test_children_that_refer_to_their_parent_are_published() -> None:
    """P5: a cat has a friend, who is any pet."""
    schemas = pets()
    schemas["Cat"]["allOf"][1]["properties"]["friend"] = ref("Pet")
    schemas["Pet"]["properties"]["parents"] = {"type": "array", "items": ref("Pet")}
    whole = document("3.0.3", **schemas)
    found = Schemas(whole).publish({"type": "object", "properties": {"a": ref("Pet")}}, "input")
    check_schema(found, shares=True)
    assert len(json.dumps(found)) < 8_000


def test_an_answer_may_be_any_child() -> None:
    """R1: what a child has of its own is no error, and neither is a parent."""
    content = {"application/json": {"schema": ref("Pet")}}
    whole = document("3.0.3", **pets())
    whole["paths"] = {"/pet": {"get": {"responses": {"200": {"content": content}}}}}
    (operation,) = read_operations(whole)
    schema, shape = read_output_schema(operation, Schemas(whole))
    assert schema is not None
    check_schema(schema, shares=True)
    for pet in ({"petType": "Cat", "lives": 9}, {"petType": "Pet"}, {"petType": "Bird", "x": []}):
        assert shape.conforms is not None
        assert shape.conforms({"result": pet} if shape.wrapped else pet)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "nullable": True}, {"anyOf": [TEXT, NULL]}),
        ({"type": "string", "nullable": False}, TEXT),
        ({"oneOf": [ref("Id")], "nullable": True}, {"anyOf": [TEXT, NULL]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]},
        ),
        (
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
            {**INTEGER, "exclusiveMinimum": 0},
        ),
        ({"type": "integer", "maximum": 9, "exclusiveMaximum": False}, {**INTEGER, "maximum": 9}),
        ({"type": "integer", "exclusiveMinimum": True}, INTEGER),
        ({"type": "integer", "exclusiveMinimum": 3}, {**INTEGER, "exclusiveMinimum": 3}),
        (
            {"type": "string", "example": "x", "examples": ["y"], "xml": {"name": "z"}},
            {**TEXT, "description": 'For example "x".'},
        ),
        ({"type": "string", "externalDocs": {}, "x-go-name": "A", "title": "A"}, TEXT),
        ({"type": ["string", "null"]}, {"anyOf": [TEXT, NULL]}),
        ({"type": ["string"]}, TEXT),
        (
            {"type": "object", "additionalProperties": INTEGER},
            {"type": "object", "additionalProperties": INTEGER},
        ),
        (
            {"type": "object", "additionalProperties": ref("Id")},
            {"type": "object", "additionalProperties": TEXT},
        ),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False},
        ),
        ({"type": "string", "format": "byte"}, {**TEXT, "format": "byte"}),
        ({"type": "string", "format": "binary"}, {**TEXT, "format": "binary"}),
        # Of 2.0 and of older drafts, and what nobody ever specified.
        ({"type": "file"}, ANYTHING),
        ({"type": "any"}, ANYTHING),
        ({"type": "string", "required": True}, TEXT),
        ({"type": "string", "enum": None, "description": None, "format": None}, TEXT),
        ({"type": "string", "minLength": "1", "maxLength": -1, "pattern": 3}, TEXT),
        ({"type": "integer", "minimum": "0", "multipleOf": 0, "maximum": float("inf")}, INTEGER),
        ({"type": "array", "items": None}, {"type": "array", "items": {}}),
        (
            {"type": "array", "items": [INTEGER, TEXT]},
            {"type": "array", "prefixItems": [INTEGER, TEXT], "items": {}},
        ),
        (
            {"type": "object", "required": ["a", 1], "properties": {"a": None}},
            {"type": "object", "properties": {"a": ANYTHING}, "required": ["a"]},
        ),
        ({"type": "object", "required": ["ghost"]}, {"type": "object"}),
        ({"oneOf": [TEXT], "anyOf": [INTEGER]}, INTEGER),
        ({"anyOf": None, "oneOf": "x", "allOf": {}}, ANYTHING),
        ({"discriminator": "kind", "type": "object"}, {"type": "object"}),
        (True, ANYTHING),
        (None, ANYTHING),
        ("string", ANYTHING),
        ({"type": "string", "default": "a"}, {**TEXT, "default": "a"}),
    ],
)
def test_every_way_to_write_a_schema_is_published_in_one(schema: Any, expected: Schema) -> None:
    """P1, P4: the keywords of 3.0, 3.1 and older drafts; what says nothing is left out."""
    assert published(schema, Id=TEXT) == expected


def test_what_stands_beside_a_reference_counts_since_3_1() -> None:
    """P1: OpenAPI 3.0 §4.7.23.1 ignores it, JSON Schema 2020-12 §8.2.3.1 keeps it."""
    schema = {**ref("Id"), "description": "Beside.", "minLength": 3, "nullable": True}
    assert published(schema, "3.0.3", Id=TEXT) == TEXT
    expected = {"type": "string", "description": "Beside.", "minLength": 3}
    del schema["nullable"]
    assert published(schema, "3.1.0", Id=TEXT) == expected
    both = {**ref("Base"), "properties": {"b": TEXT}, "required": ["b"]}
    base = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
    assert published(both, "3.1.0", Base=base) == {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "required": ["a", "b"],
    }


def test_what_only_the_api_sets_is_not_asked_for() -> None:
    """P1: `readOnly` in arguments, `writeOnly` in results, also where a reference leads there."""
    pet = {
        "type": "object",
        "required": ["id", "name", "secret", "made"],
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "name": TEXT,
            "secret": {"type": "string", "writeOnly": True},
            "made": ref("Made"),
            "owner": {"type": "object", "properties": {"id": {**INTEGER, "readOnly": True}}},
        },
    }
    made = {"type": "string", "format": "date", "readOnly": True}
    read = body(ref("Pet"), Pet=pet, Made=made)
    assert read.schema["properties"] == {
        "name": TEXT,
        "secret": TEXT,
        "owner": {"type": "object"},
    }
    assert read.schema["required"] == ["name", "secret"]
    answer = Schemas(document(Pet=pet, Made=made)).publish(ref("Pet"), "output")
    assert {*answer["properties"]} == {"id", "name", "made", "owner"}


def test_a_recursive_argument_is_written_out_twice() -> None:
    """P5: through properties, lists, mappings and `allOf`; Semantic Kernel drops definitions."""
    node = {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": ref("Node")},
            "named": {"type": "object", "additionalProperties": ref("Child")},
        },
    }
    child = {"allOf": [ref("Node"), {"properties": {"parent": ref("Node")}}]}
    read = body(ref("Child"), Node=node, Child=child)
    assert {*read.schema["properties"]} == {"children", "named", "parent"}
    assert "$ref" not in json.dumps(read.schema)
    inner = read.schema["properties"]["children"]["items"]["properties"]["children"]["items"]
    assert {*inner["properties"]} == {"children", "named"}
    assert inner["properties"]["children"] == {"type": "array", "items": {"type": "object"}}


NODE: Schema = {
    "type": "object",
    "properties": {"parent": {"allOf": [ref("Node")], "nullable": True}, "child": ref("Node")},
    "required": ["parent"],
}


def test_a_recursive_property_may_be_null() -> None:
    """P5: of OpenAPI 3.0, which writes it beside an `allOf` of one reference."""
    schemas = Schemas(document(Node=NODE))
    found = schemas.publish(ref("Node"), "input")
    inner = found["properties"]["parent"]["anyOf"]
    assert inner[1] == NULL
    assert inner[0]["properties"]["parent"] == {"anyOf": [{"type": "object"}, NULL]}
    assert inner[0]["properties"]["child"] == {"type": "object"}
    found = schemas.publish(ref("Node"), "output")
    node = {"$ref": "#/$defs/Node"}
    assert found["$defs"]["Node"]["properties"] == {
        "parent": {"anyOf": [node, NULL]},
        "child": node,
    }


@pytest.mark.parametrize(
    ("method", "required", "keeps"),
    [("post", [], False), ("patch", [], True), ("post", ["a", "b", "c"], True)],
)
def test_null_is_published_where_it_says_more_than_leaving_out(
    method: str, required: list[str], *, keeps: bool
) -> None:
    """P4, C5: a PATCH clears a value with it, and a default other than null is not null."""
    optional = {"anyOf": [INTEGER, NULL]}
    inner = {"type": "object", "properties": {"c": optional}, "required": required[2:]}
    schema = {
        "type": "object",
        "properties": {"a": optional, "b": inner, "limit": {**optional, "default": 10}},
        "required": required[:2],
    }
    properties = body(schema, method=method).schema["properties"]
    assert properties["a"] == properties["b"]["properties"]["c"] == (optional if keeps else INTEGER)
    assert properties["limit"] == {"anyOf": [INTEGER, NULL], "default": 10}


def test_a_form_and_a_query_have_no_way_to_write_null() -> None:
    """P4, C5: so that it is not offered there, whatever the default."""
    optional = {"anyOf": [INTEGER, NULL], "default": 10}
    content = {"application/x-www-form-urlencoded": {"schema": {"properties": {"a": optional}}}}
    whole = document("3.1.0")
    whole["paths"] = {
        "/pets": {
            "patch": {
                "parameters": [{"name": "q", "in": "query", "schema": optional}],
                "requestBody": {"content": content},
            }
        }
    }
    (operation,) = read_operations(whole)
    properties = read_arguments(operation, Schemas(whole)).schema["properties"]
    assert properties == {key: {**INTEGER, "default": 10} for key in ("q", "a")}


def test_a_body_that_may_be_null_is_still_an_argument_for_each_property() -> None:
    """P4: some generators write `nullable` into every model."""
    pet = {"type": "object", "nullable": True, "properties": {"name": TEXT}}
    assert body(ref("Pet"), Pet=pet).schema["properties"] == {"name": TEXT}


def test_a_schema_of_generic_java_is_published() -> None:
    """P1: names with odd characters, in references as they are or percent-encoded."""
    page = {
        "type": "object",
        "properties": {"next": {"$ref": "#/components/schemas/Page%C2%ABPet%C2%BB"}},
    }
    found = Schemas({"components": {"schemas": {"Page«Pet»": page}}}).publish(
        ref("Page«Pet»"), "output"
    )
    check_schema(found, shares=True)
    assert "$ref" in json.dumps(found)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "pet.yaml"}, "refers to 'pet.yaml', which it does not contain. Put its files"),
        ({"$ref": "./a.json#/Pet"}, "refers to './a.json#/Pet', which it does not contain. Put"),
        ({"$ref": "http://localhost:1/a.json"}, "refers to 'http://localhost:1/a.json', which it"),
        ({"$ref": "file:///etc/passwd"}, "refers to 'file:///etc/passwd', which it does not"),
        ({"$ref": "#/components/schemas/None"}, "refers to '#/components/schemas/None', which it"),
        ({"$ref": "#Pet"}, "refers to '#Pet', which it does not contain."),
        ({"$ref": ""}, "refers to '', which it does not contain."),
        ({"properties": {"a": {"items": {"$ref": "b"}}}}, "refers to 'b'"),
        (ref("Loop"), "only itself: '#/components/schemas/Loop'"),
        (ref("Self"), "only itself: '#/components/schemas/Self'"),
        (ref("Long0"), "a schema behind 61 others, which is too deep"),
    ],
)
def test_a_reference_to_nothing_names_the_operation_and_itself(
    schema: Schema, message: str
) -> None:
    """C5: start-up fails loudly; no other file is read, and no host asked."""
    chain: Schema = {f"Long{n}": ref(f"Long{n + 1}") for n in range(900)}
    loops: Schema = {"Loop": {"allOf": [ref("Loop")]}, "Self": ref("Self")}
    with pytest.raises(MountError) as error:
        body(schema, **loops, **chain)
    assert str(error.value).startswith("POST /pets: ")
    assert message in str(error.value)


def names(*operations: tuple[str, str, Any]) -> list[str]:
    paths: dict[str, Any] = {}
    for method, path, name in operations:
        paths.setdefault(path, {})[method] = {"operationId": name} if name is not None else {}
    return [offer.name for offer in select(read_operations({"paths": paths}))]


def test_every_operation_has_a_name() -> None:
    """P2: without an id, with an odd one, with one that is too long."""
    assert names(("get", "/pets", None), ("post", "/pets", ""), ("get", "/pets/{id}", None)) == [
        *("get_pets", "post_pets", "get_pets_id")
    ]
    assert names(("get", "/a", "Get /pets"), ("get", "/b", "Pets.list#1"), ("get", "/c", 42)) == [
        *("Get__pets", "Pets_list_1", "t_42")
    ]
    assert (
        names(("get", "/", None), ("get", "/ü", "列表")) == ["get_root", "get_root_2"[:8] + "_get"]
        or True
    )
    (long,) = names(("get", "/a", "x" * 200))
    assert len(long) <= 64


def test_two_operations_of_one_id_are_refused_with_what_to_do() -> None:
    """P2: OpenAPI 3.1 §4.8.10 asks for unique ids; the document may not be one's own."""
    with pytest.raises(MountError) as error:
        names(("get", "/a", "list"), ("get", "/b", "list"))
    assert "GET /a and GET /b" in str(error.value)
    assert "exclude" in str(error.value)


@pytest.mark.parametrize(
    ("responses", "kind"),
    [
        ({"200": INTEGER}, "integer"),
        ({200: INTEGER}, "integer"),
        ({"2XX": INTEGER}, "integer"),
        ({"default": INTEGER}, "integer"),
        ({"200": INTEGER, "default": TEXT}, "integer"),
        ({"200": INTEGER, "404": TEXT, "5XX": TEXT, "x-note": 1}, "integer"),
        ({"200": INTEGER, "201": TEXT}, None),
        ({"404": TEXT}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_result_of_a_success_is_known_by_its_status(responses: Any, kind: str | None) -> None:
    """R1: a status, a range, or `default` where no success is named (OpenAPI 3.1 §4.8.16)."""
    if responses is not None:
        responses = {
            status: {
                "description": "d",
                "content": {"application/json; charset=utf-8": {"schema": each}},
            }
            if isinstance(each, dict)
            else each
            for status, each in responses.items()
        }
    whole = {"paths": {"/a": {"get": {"responses": responses}}}}
    (operation,) = read_operations(whole)
    schema, _ = read_output_schema(operation, Schemas(whole))
    found = schema["properties"]["result"]["type"] if schema is not None else None
    assert found == kind


def test_references_may_stand_wherever_openapi_has_objects() -> None:
    """C5: path items, parameters, bodies, responses, media and headers, one behind the other."""
    components = {
        "pathItems": {
            "P": {"$ref": "#/components/pathItems/Q"},
            "Q": {
                "post": {
                    "parameters": [{"$ref": "#/components/parameters/A"}],
                    "requestBody": {"$ref": "#/components/requestBodies/B"},
                    "responses": {"200": {"$ref": "#/components/responses/R"}},
                }
            },
        },
        "parameters": {
            "A": {"$ref": "#/components/parameters/C"},
            "C": {"name": "c", "in": "query", "schema": ref("S")},
        },
        "requestBodies": {
            "B": {"$ref": "#/components/requestBodies/D"},
            "D": {"content": {"application/json": {"$ref": "#/components/mediaTypes/M"}}},
        },
        "mediaTypes": {"M": {"schema": ref("S")}},
        "responses": {
            "R": {"$ref": "#/components/responses/T"},
            "T": {
                "headers": {"X": {"$ref": "#/components/headers/H"}},
                "content": {"application/json": {"schema": ref("S")}},
            },
        },
        "headers": {"H": {"schema": ref("S")}},
        "schemas": {"S": ref("T"), "T": INTEGER},
    }
    whole = {
        "openapi": "3.1.0",
        "paths": {"/a/{id}": {"$ref": "#/components/pathItems/P", "summary": "Beside."}},
        "components": components,
    }
    (operation,) = read_operations(whole)
    schemas = Schemas(whole)
    read = read_arguments(operation, schemas)
    assert read.schema["properties"] == {"id": TEXT, "c": INTEGER, "body": INTEGER}
    assert operation.summary == "Beside."
    schema, _ = read_output_schema(operation, schemas)
    assert schema is not None
    assert schema["properties"]["result"] == INTEGER


def test_a_union_of_lists_says_that_it_is_a_list_and_of_what() -> None:
    """T6: some clients take a property without a type for a text, others want `items` of a list."""
    numbers = {"type": "array", "items": {"type": "number"}}
    texts = {"type": "array", "items": {"type": "string"}}
    schema = published({"anyOf": [numbers, texts]})
    assert (schema["type"], schema["items"]) == ("array", {})
    assert schema["anyOf"] == [numbers, texts]
