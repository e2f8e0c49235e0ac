"""Regular expressions of other servers: none is published, and none compiled, wherever it stands.

A short one can take a second to compile, in which nothing else in the process runs.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_mount import Remote
from mcp_mount.remotes.schemas import publish_input, publish_output
from tests.others import gateway, raw, tool
from tests.support import ERAS, Era, rpc

Schema = dict[str, Any]

EXPRESSION = r"\p{L}{150}"
BAD: Schema = {"type": "string", "pattern": EXPRESSION, "format": "regex"}
MAPS = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]
VALUES = ["default", "const", "example", "x-more"]
LISTS = ["allOf", "anyOf", "oneOf", "prefixItems", "items", "enum", "examples"]
SINGLES = ["items", "additionalProperties", "propertyNames", "not", "if", "then", "contains"]
SINGLES += ["contentSchema", "unevaluatedProperties", "unevaluatedItems", "x-mcp-header"]


def at(pointer: str, **more: Any) -> Schema:
    """Return an object whose one property is what is at a pointer."""
    return {"type": "object", "properties": {"a": {"$ref": pointer}}, **more}


HIDDEN: list[Schema] = [
    at("#/default/0", default=[BAD]),
    at("#/examples/0", examples=[BAD]),
    at("#/enum/0", enum=[BAD]),
    at("#/const", const=BAD),
    at("#/x-more/x", **{"x-more": {"x": BAD}}),
    at("#/x-more", **{"x-more": {"type": "object", "patternProperties": {EXPRESSION: {}}}}),
    at("#/properties/b/default", properties={"a": {"$ref": "#/default"}}, default=BAD),
    at("#/default/a", default={"a": {"$ref": "#/default/b"}, "b": BAD}),
    at("#/default/a", default={"a": {"items": {"$ref": "#/default/a"}, **BAD}}),
    at("#/default", default={"type": "object", "properties": {"b": {"allOf": [BAD, {}]}}}),
    at("#/x-more", **{"x-more": {"propertyNames": BAD, "type": "object"}}),
    at("#/x-more", **{"x-more": {"contentSchema": BAD, "type": "string"}}),
    at("#/x-more", **{"x-more": {"anyOf": [BAD, {"$ref": "#/x-more"}]}}),
    at("#hidden", default={"$anchor": "hidden", **BAD}),
    at("other", default={"$id": "other", **BAD}),
    {**at("", properties={"a": {"$dynamicRef": "#x"}}), "default": {"$dynamicAnchor": "x", **BAD}},
    {**at("", properties={"a": {"$recursiveRef": "#"}}), "$recursiveAnchor": True, **BAD},
    {"type": "object", "$ref": "#/default", "default": {"properties": {"a": BAD}}},
    {"type": "object", "allOf": [{"$ref": "#/default"}], "default": {"properties": {"a": BAD}}},
    at("#/$defs/a~1b", **{"$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}, **BAD}}}),
    {"type": "object", "properties": {"pattern": BAD, "default": {"items": BAD}}},
]


def expressions(schema: Any) -> Iterator[object]:
    """Yield every regular expression that who reads a schema could compile."""
    if not isinstance(schema, dict):
        return
    yield from (schema[key] for key in ("pattern", "patternProperties") if key in schema)
    if schema.get("format") == "regex":
        yield schema
    if "$ref" in schema:
        assert schema["$ref"].startswith("#/$defs/")
    for key, value in schema.items():
        if key in MAPS:
            inner = [*value.values()]
        elif key in {"enum", "const", "default"}:
            inner = []
        else:
            inner = value if isinstance(value, list) else [value]
        for each in inner:
            yield from expressions(each)


@pytest.mark.parametrize("schema", HIDDEN, ids=json.dumps)
def test_no_reference_brings_one_back(schema: Schema) -> None:
    """Gateway, F1: into a default, an example, an unknown keyword or anywhere else."""
    for published in (publish_input(schema)[0], publish_output(schema) or {}):
        assert [*expressions(published)] == []
        assert EXPRESSION not in json.dumps(published.get("properties", {}).get("a", {}))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])
async def test_none_is_in_the_list_that_clients_get(era: Era, modern: bool) -> None:  # noqa: FBT001
    """Gateway, F1: each tool stays, and says the rest."""
    hidden = at("#/default/0", default=[{**BAD, "description": "Bad."}])
    listing = [tool("t", inputSchema=hidden, outputSchema=hidden)]
    with raw(listing, modern=modern) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            (shown,) = (await rpc(app, era, "tools/list")).result["tools"]
    assert shown["inputSchema"]["properties"]["a"] == {"type": "string", "description": "Bad."}
    assert EXPRESSION not in json.dumps(shown)


def test_what_had_patterns_for_its_names_accepts_all_names() -> None:
    """Gateway, P1: the other server checks them itself, also where a reference leads there."""
    inner = {"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False}
    shown, _ = publish_input(at("#/x-more", **{"x-more": inner}))
    assert jsonschema_rs.is_valid(shown, {"a": {"x-1": 1}})


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a schema, or what looks like one, with others anywhere in it."""
    names = st.sampled_from(["a", "b", "default", "pattern", "patternProperties", "$ref"])
    several = st.lists(inner, min_size=1, max_size=3)
    by_name = st.dictionaries(names, inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {"type": st.sampled_from(["object", "array", "string"])},
        optional={
            "$ref": st.integers(0, 500),
            "pattern": st.just(EXPRESSION),
            "format": st.sampled_from(["regex", "date"]),
            **dict.fromkeys(LISTS, several),
            **dict.fromkeys(SINGLES, inner),
            **dict.fromkeys(MAPS, by_name),
            **dict.fromkeys(VALUES, inner | several | by_name),
        },
    )


LEAVES = st.sampled_from([BAD, {"type": "integer"}, True, "x", {"$ref": 0}])
DOCUMENTS = containers(st.recursive(LEAVES, containers, max_leaves=8))
REFERENCES = st.lists(st.integers(0, 500), min_size=1, max_size=4)


def pointers(value: object, path: str = "#") -> Iterator[str]:
    yield path
    named: Any = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value) if isinstance(value, list) else named:
        yield from pointers(each, f"{path}/{quote(str(key).replace('/', '~1'))}")


def refer(value: Any, known: list[str]) -> Any:
    """Write references, which are drawn as numbers, as those to places that there are."""
    if isinstance(value, list):
        return [refer(each, known) for each in value]
    if not isinstance(value, dict):
        return value
    number = value.get("$ref")
    more = {"$ref": known[number % len(known)]} if isinstance(number, int) else {}
    return {key: refer(each, known) for key, each in value.items()} | more


@given(document=DOCUMENTS, numbers=REFERENCES)
@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_references_to_anywhere_bring_none_back(
    document: Schema, numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateway, F1: nor is one compiled while the schema is read."""
    document["type"] = "object"
    properties = document.get("properties", {})
    document["properties"] = properties | {f"p{n}": {"$ref": n} for n in numbers}
    schema = refer(document, [*pointers(document)])
    compiled: list[Schema] = []
    validator = jsonschema_rs.Draft202012Validator

    def keep(schema: Schema) -> jsonschema_rs.Draft202012Validator:
        compiled.append(schema)
        return validator(schema)

    with monkeypatch.context() as patched:
        patched.setattr(jsonschema_rs, "Draft202012Validator", keep)
        published = [publish_input(schema)[0], publish_output(schema) or {}]
    for each in (*published, *compiled):
        assert [*expressions(each)] == []
        validator(each)
