"""The arguments of an operation: their names, their JSON Schema, and what each of them fills.

Every parameter and every property of an object body is one argument. A body that is no object
(a list, a union, a mapping) is the one argument ``body``.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, count, islice
from typing import Any, Final

from mcp.shared.inbound import X_MCP_HEADER_KEY, find_invalid_x_mcp_header

from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.encoding import AS_IS, FILE, METHOD_FIELD, Field, body_writer
from mcp_mount.conversion.reserved import is_reserved
from mcp_mount.conversion.slips import slip_reader
from mcp_mount.conversion.styles import Named, header_writer, path_writer, query_writer
from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.bodies import Body, Encoding
from mcp_mount.openapi.media import FORM, MULTIPART, is_json, is_text
from mcp_mount.openapi.nodes import Schema, within
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.openapi.parameters import LOCATIONS, Location, Parameter
from mcp_mount.openapi.portable import name_type
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.openapi.simplify import drop_null

logger = logging.getLogger("mcp_mount")

_MOST_MIRRORED: Final = 100
"""Headers of one call; servers take few more in a request."""

_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def read_arguments(operation: Operation, schemas: Schemas) -> Arguments:
    """Work out an operation's arguments and how they become a request.

    Parameters that carry credentials, or override the method or path, are left out.

    Raises:
        InvalidDocument: a schema refers to what is not there, or the path has a ``matrix`` or
            ``label`` parameter, which no API was seen to use.
    """
    schemas.work.begin_tool()
    with within(str(operation)):
        for each in operation.parameters:
            if each.location == "path" and each.style != "simple":
                found = f"the parameter {each.name!r} is in the style {each.style!r}"
                advice = f"leave the operation out with exclude=[{str(operation)!r}]"
                raise InvalidDocument(f"{found}, and a path takes only 'simple': {advice}.")
        return _arguments(operation, schemas)


def _arguments(operation: Operation, schemas: Schemas) -> Arguments:
    body, fields, whole = operation.body, [], None
    resolved = schemas.resolve(body.schema) if body else {}
    # A name that is some argument's own is not given to another.
    names = _Names(
        {parameter.name for parameter in operation.parameters} | {*resolved.get("properties", {})}
    )
    properties: dict[str, Schema] = {}
    required: list[str] = []

    mirrored: dict[str, object] = {}

    def add(
        name: str, schema: Schema, source: Mapping[str, Any], *, needed: bool, prefix: str
    ) -> str:
        argument = names.give(name, prefix)
        properties[argument] = name_type(schema)
        if (header := source.get(X_MCP_HEADER_KEY)) is not None:
            mirrored[argument] = header
        if needed:
            required.append(argument)
        return argument

    parameters = tuple(
        (
            add(
                parameter.name,
                _parameter_schema(parameter, schemas),
                parameter.schema,
                needed=parameter.required,
                prefix=parameter.location,
            ),
            parameter,
        )
        for parameter in operation.parameters
        if not is_reserved(parameter, operation)
    )
    if body is not None:
        can_split = _splits_into_arguments(resolved, body.media_type)
        if can_split and schemas.work.can_list(resolved):
            fields = [*_fields(body, resolved, schemas, add, patch=operation.method == "PATCH")]
        else:
            schema = _whole_schema(body, schemas, patch=operation.method == "PATCH")
            whole = add("body", schema, {}, needed=body.required, prefix="request")
    _mirror(properties, mirrored)
    root: Schema = {"type": "object", "properties": properties}
    if required:
        root["required"] = required
    root["additionalProperties"] = False
    is_json_body = body is not None and is_json(body.media_type)
    sent = {each.argument for each in fields} | ({whole} if whole is not None else set())
    files = {each.argument for each in fields if each.is_file}
    if body is not None and whole is not None and _is_sent_as_it_is(body):
        files.add(whole)
    by_location: dict[Location, list[Named]] = {location: [] for location in LOCATIONS}
    for argument, parameter in parameters:
        by_location[parameter.location].append((argument, parameter))
    headers, cookies = by_location["header"], by_location["cookie"]
    return Arguments(
        operation=operation,
        schema=root,
        known=frozenset(properties),
        # Where nothing is said of a body, it is the API's to say whether it can be left out.
        required=frozenset(required)
        - (set() if body is None or body.required else {each.argument for each in fields}),
        headers=((b"accept", _accept(operation).encode()), (b"accept-encoding", b"identity")),
        query_credentials=frozenset(
            name for location, name in operation.credentials if location == "query"
        ),
        read_slips=slip_reader(root, sent if is_json_body else (), files),
        write_path=path_writer(operation.path, by_location["path"]),
        write_query=query_writer(by_location["query"]),
        write_headers=header_writer(headers, cookies) if headers or cookies else None,
        write_body=None if body is None else body_writer(body, fields, whole),
    )


def _mirror(properties: dict[str, Schema], mirrored: Mapping[str, object]) -> None:
    """Say that clients mirror arguments in headers (MCP "Transports", "Custom Headers").

    A mark that clients do not accept would cost the tool, so it is left out.
    """
    accepted: dict[str, Schema] = {}
    for argument, header in islice(mirrored.items(), _MOST_MIRRORED):
        marked = {argument: {**properties[argument], X_MCP_HEADER_KEY: header}}
        reason = find_invalid_x_mcp_header({"type": "object", "properties": accepted | marked})
        if reason is None:
            accepted |= marked
        else:
            logger.warning("The argument %r is not mirrored in a header: %s", argument, reason)
    properties.update(accepted)
    if len(mirrored) > _MOST_MIRRORED:
        logger.warning("No more than %d arguments are mirrored in headers", _MOST_MIRRORED)


def _is_sent_as_it_is(body: Body) -> bool:
    """Whether a body is a text or a file."""
    return not is_json(body.media_type) and body.media_type not in {FORM, MULTIPART}


def _splits_into_arguments(schema: Schema, media_type: str) -> bool:
    """Whether a body's properties can be arguments of their own, with nothing beside them."""
    sends_properties = is_json(media_type) or media_type in {FORM, MULTIPART}
    return (
        sends_properties
        and isinstance(schema.get("properties"), dict)
        and schema.get("type", "object") == "object"
        and not schema.get("additionalProperties")
        and not {"anyOf", "oneOf", "allOf", "patternProperties"} & schema.keys()
    )


def _fields(
    body: Body, resolved: Schema, schemas: Schemas, add: Callable[..., str], *, patch: bool
) -> Iterator[Field]:
    # As arguments, the body itself cannot be null.
    whole = {**resolved, "nullable": False}
    published = schemas.publish(whole, "input", keep_null=patch)
    needed = set() if body.is_optional else set(resolved.get("required", ()))
    for name, schema in published.get("properties", {}).items():
        if name.lower() == METHOD_FIELD and not is_json(body.media_type):
            continue
        encoding = body.encodings.get(name, AS_IS)
        property_ = schemas.resolve(resolved["properties"][name])
        is_file = body.media_type == MULTIPART and _is_file(property_, encoding, schemas)
        if is_file:
            shown = _file_schema(property_)
        else:
            # A form has no way to write null.
            shown = schema if is_json(body.media_type) else drop_null(schema)
        argument = add(name, shown, property_, needed=name in needed, prefix="body")
        yield Field(argument, name, is_file=is_file, encoding=encoding)


def _is_file(resolved: Schema, encoding: Encoding, schemas: Schemas) -> bool:
    """Whether a part of a form is a file, or a list of files, or may be left out."""
    for option in map(schemas.resolve, resolved.get("anyOf") or [resolved]):
        is_list = option.get("type") == "array"
        each = schemas.resolve(option.get("items", {})) if is_list else option
        if each.get("format") == "binary":
            return True
        # Without an encoding the content is as it is (OpenAPI 3.1 §4.8.14.3).
        media_type = "" if "contentEncoding" in each else each.get("contentMediaType", "")
        for kind in (media_type, encoding.media_type if "type" not in each else ""):
            if kind and not is_json(kind) and not is_text(kind):
                return True
    return False


def _file_schema(resolved: Schema) -> Schema:
    options = [option for option in resolved.get("anyOf", ()) if option.get("type") != "null"]
    kind = (options[0] if options else resolved).get("type")
    schema: Schema = {"type": "array", "items": FILE} if kind == "array" else FILE
    return _described(schema, resolved.get("description", ""))


def _whole_schema(body: Body, schemas: Schemas, *, patch: bool) -> Schema:
    if not _is_sent_as_it_is(body):
        described = _described(schemas.resolve(body.schema), body.description)
        return schemas.publish(described, "input", keep_null=patch)
    if is_text(body.media_type):
        return _described({"type": "string"}, body.description)
    return _described(FILE, body.description)


def _parameter_schema(parameter: Parameter, schemas: Schemas) -> Schema:
    described = _described(schemas.resolve(parameter.schema), parameter.description)
    if parameter.deprecated:
        described = {**described, "deprecated": True}
    return drop_null(schemas.publish(described, "input", keep_null=False))


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema


class _Names:
    """Gives each argument its own name, or one that clients accept and that is still free."""

    def __init__(self, own: Collection[str]) -> None:
        self._own = own
        self._taken: set[str] = set()
        # What is taken stays so: no number is tried twice, where thousands come to one name.
        self._numbered: dict[str, Iterator[str]] = {}

    def give(self, name: str, prefix: str) -> str:
        def is_free(alias: str) -> bool:
            return alias not in self._taken and (alias == name or alias not in self._own)

        alias = name
        if not _PROPERTY_KEY.fullmatch(alias):
            alias = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_")[:60] or prefix
        if not is_free(alias):
            alias = f"{prefix}_{alias}"[:60]
        if not is_free(alias):
            start = alias
            numbered = (f"{start}_{number}" for number in count(2))
            alias = next(filter(is_free, self._numbered.setdefault(start, numbered)))
        self._taken.add(alias)
        return alias


def _accept(operation: Operation) -> str:
    """Prefer the documented representations of success in their order, and take any other."""
    documented = dict.fromkeys(each.media_type for each in chain(*successes(operation)))
    ranked = [
        media_type if rank == 0 else f"{media_type};q={max(0.2, 1 - rank / 10):.1f}"
        for rank, media_type in enumerate(documented)
        if media_type != "*/*"
    ]
    return ", ".join([*ranked, "*/*;q=0.1"])
