"""An operation's arguments: their JSON Schema, and the inverse, arguments back into a request.

Every parameter and every property of an object body is one argument. A body that is no object
(a list, a union, a mapping) is the one argument ``body``. Files are objects with their content as
``text`` or ``base64``.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import httpx2

from mcp_mount.call import Request
from mcp_mount.errors import InvalidArguments
from mcp_mount.operations import Body, Operation, Parameter, Schema, is_json
from mcp_mount.schemas import Schemas, without_null

# Headers that carry who the caller is. They come from the caller's request, never from a model.
_CREDENTIAL_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie", "api-key", "apikey", "x-api-key"),
        *("x-apikey", "x-auth-token", "x-access-token", "x-amz-security-token", "x-csrf-token"),
        *("x-xsrf-token", "x-session-id", "x-session-token", "x-goog-api-key"),
    }
)
_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"

FILE: Final[Schema] = {
    "type": "object",
    "description": "A file: its content as `text` or as `base64`.",
    "properties": {
        "filename": {"type": "string"},
        "media_type": {"type": "string", "description": "For example image/png."},
        "text": {"type": "string"},
        "base64": {"type": "string"},
    },
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Field:
    """One property of a body that is sent as arguments of its own."""

    argument: str
    name: str
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """How the arguments of one tool become a request.

    `schema` is the tool's ``inputSchema``. `parameters` pairs each argument's name with the
    parameter it fills.
    """

    operation: Operation
    schema: Schema
    accept: str
    parameters: tuple[tuple[str, Parameter], ...]
    body: Body | None = None
    fields: tuple[_Field, ...] = ()
    whole_body: str | None = None

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """Build the request that the arguments describe.

        An argument that is left out is not sent; ``null`` is kept in a JSON body and left out
        elsewhere, where there is no way to write it.

        Raises:
            InvalidArguments: an argument is unknown, missing, or cannot be written where it goes.
        """
        self._check_names(arguments)
        given = [
            (argument, parameter, value)
            for argument, parameter in self.parameters
            if (value := arguments.get(argument)) is not None
        ]
        body, content_type = self._body(arguments)
        path, path_values = _path(self.operation.path, given)
        headers = [(b"accept", self.accept.encode()), (b"accept-encoding", b"identity")]
        headers += _headers(given)
        if body is not None:
            headers += [
                (b"content-type", content_type.encode()),
                (b"content-length", b"%d" % len(body)),
            ]
        return Request(
            method=self.operation.method,
            path=path,
            template=self.operation.path,
            path_values=path_values,
            query="&".join(_query(given)),
            headers=tuple(headers),
            body=body,
        )

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        known = self.schema.get("properties", {})
        if unknown := [name for name in arguments if name not in known]:
            takes = ", ".join(map(repr, known)) if known else "no arguments"
            message = f"Unknown argument {', '.join(map(repr, unknown))}. The tool takes: {takes}."
            raise InvalidArguments(message)
        missing = [name for name in self.schema.get("required", ()) if name not in arguments]
        missing += [
            argument
            for argument, parameter in self.parameters
            if parameter.location == "path" and arguments.get(argument) is None
            if argument not in missing
        ]
        if missing:
            message = f"Missing argument {', '.join(map(repr, missing))}."
            raise InvalidArguments(message)

    def _body(self, arguments: Mapping[str, Any]) -> tuple[bytes | None, str]:
        """Return the body and its content type; None where nothing is sent."""
        if self.body is None:
            return None, ""
        media_type = self.body.media_type
        if self.whole_body is not None:
            if self.whole_body not in arguments:
                return None, ""
            value = arguments[self.whole_body]
            return _whole(value, media_type, self.whole_body), media_type
        values = [
            (each, arguments[each.argument]) for each in self.fields if each.argument in arguments
        ]
        if not values and not self.body.required:
            return None, ""
        if is_json(media_type):
            return _json({each.name: value for each, value in values}), media_type
        if media_type == _FORM:
            pairs = [pair for each, value in values for pair in _form_pairs(each.name, value)]
            return urlencode(pairs).encode(), media_type
        return _multipart(values)


def read_arguments(operation: Operation, schemas: Schemas) -> Arguments:
    """Work out an operation's arguments and how they become a request.

    Header, cookie and query parameters that carry credentials are left out.
    """
    properties: dict[str, Schema] = {}
    required: list[str] = []

    def add(name: str, schema: Schema, *, needed: bool, prefix: str) -> str:
        argument = _argument_name(name, prefix, properties)
        properties[argument] = schema
        if needed:
            required.append(argument)
        return argument

    parameters = tuple(
        (
            add(
                parameter.name,
                _parameter_schema(parameter, schemas),
                needed=parameter.required,
                prefix=parameter.location,
            ),
            parameter,
        )
        for parameter in operation.parameters
        if not _is_credential(parameter, operation)
    )
    body, fields, whole = operation.body, [], None
    if body is not None:
        resolved = schemas.resolve(body.schema)
        if _is_open_object(resolved, body.media_type):
            fields = [*_fields(body, resolved, schemas, add, patch=operation.method == "PATCH")]
        else:
            schema = _described(_whole_schema(body, schemas), body.description)
            whole = add("body", schema, needed=body.required, prefix="request")
    root: Schema = {"type": "object"}
    if properties:
        root["properties"] = properties
    if required:
        root["required"] = required
    root["additionalProperties"] = False
    return Arguments(
        operation=operation,
        schema=_with_shared_definitions(root),
        accept=_accept(operation),
        parameters=parameters,
        body=body,
        fields=tuple(fields),
        whole_body=whole,
    )


def _is_open_object(schema: Schema, media_type: str) -> bool:
    """Whether a body's properties can be arguments of their own, with nothing beside them."""
    sends_properties = is_json(media_type) or media_type in {_FORM, _MULTIPART}
    return (
        sends_properties
        and isinstance(schema.get("properties"), dict)
        and schema.get("type", "object") == "object"
        and not schema.get("additionalProperties")
        and not {"anyOf", "oneOf", "allOf", "patternProperties"} & schema.keys()
    )


def _fields(
    body: Body, resolved: Schema, schemas: Schemas, add: Callable[..., str], *, patch: bool
) -> Iterator[_Field]:
    published = schemas.publish(body.schema, "input")
    needed = set(resolved.get("required", ())) if body.required else set()
    definitions = published.get("$defs")
    for name, schema in published.get("properties", {}).items():
        is_file = body.media_type == _MULTIPART and _is_file(resolved["properties"][name], schemas)
        if is_file:
            shown = _file_schema(schemas.resolve(resolved["properties"][name]))
        else:
            # In a PATCH, null clears a value; elsewhere it says no more than leaving it out.
            shown = schema if patch or name in needed else without_null(schema)
        if definitions and _mentions_definitions(shown):
            shown = {**shown, "$defs": definitions}
        argument = add(name, shown, needed=name in needed, prefix="body")
        yield _Field(argument, name, is_file=is_file)


def _is_file(schema: Schema, schemas: Schemas) -> bool:
    resolved = schemas.resolve(schema)
    options = [schemas.resolve(option) for option in resolved.get("anyOf", ())]
    if any(_is_file(option, schemas) for option in options if option.get("type") != "null"):
        return True
    if resolved.get("type") == "array":
        return _is_file(resolved.get("items", {}), schemas)
    media_type = resolved.get("contentMediaType", "")
    return resolved.get("format") == "binary" or media_type == "application/octet-stream"


def _file_schema(resolved: Schema) -> Schema:
    options = [option for option in resolved.get("anyOf", ()) if option.get("type") != "null"]
    kind = (options[0] if options else resolved).get("type")
    schema: Schema = {"type": "array", "items": FILE} if kind == "array" else FILE
    return _described(schema, resolved.get("description", ""))


def _whole_schema(body: Body, schemas: Schemas) -> Schema:
    if is_json(body.media_type):
        return schemas.publish(body.schema, "input")
    if body.media_type.startswith("text/"):
        return {"type": "string"}
    return FILE


def _parameter_schema(parameter: Parameter, schemas: Schemas) -> Schema:
    schema = without_null(schemas.publish(parameter.schema, "input"))
    return _described(schema, parameter.description)


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema


def _argument_name(name: str, prefix: str, taken: Mapping[str, Schema]) -> str:
    """Give an argument its own name, or one that clients accept and that is still free."""
    alias = name
    if not _PROPERTY_KEY.fullmatch(alias):
        alias = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_")[:60] or prefix
    if alias in taken:
        alias = f"{prefix}_{alias}"[:60]
    candidate, count = alias, 1
    while candidate in taken:
        count += 1
        candidate = f"{alias}_{count}"
    return candidate


def _is_credential(parameter: Parameter, operation: Operation) -> bool:
    name = parameter.name.lower()
    if parameter.location == "header" and name in _CREDENTIAL_HEADERS:
        return True
    return (parameter.location, name) in operation.credentials


def _accept(operation: Operation) -> str:
    """Prefer the documented representations of success in their order, and take any other."""
    documented = dict.fromkeys(
        media.media_type
        for status, medias in operation.responses.items()
        if status.startswith("2")
        for media in medias
    )
    ranked = [
        media_type if rank == 0 else f"{media_type};q={max(0.2, 1 - rank / 10):.1f}"
        for rank, media_type in enumerate(documented)
        if media_type.isascii() and media_type != "*/*"
    ]
    return ", ".join([*ranked, "*/*;q=0.1"])


def _mentions_definitions(schema: object) -> bool:
    if isinstance(schema, Mapping):
        return "$ref" in schema or any(map(_mentions_definitions, schema.values()))
    return isinstance(schema, list) and any(map(_mentions_definitions, schema))


def _with_shared_definitions(schema: Schema) -> Schema:
    """Move the definitions of single arguments to the root, where their references point."""
    definitions: Schema = {}
    properties = {}
    for name, argument in schema.get("properties", {}).items():
        definitions |= argument.get("$defs", {})
        properties[name] = {key: value for key, value in argument.items() if key != "$defs"}
    if properties:
        schema = {**schema, "properties": properties}
    return {**schema, "$defs": definitions} if definitions else schema


def _path(template: str, given: Iterable[tuple[str, Parameter, Any]]) -> tuple[str, dict[str, str]]:
    values = {}
    for argument, parameter, value in given:
        if parameter.location != "path":
            continue
        text = _delimited(argument, value, ",")
        if text in {"", ".", ".."} or "\0" in text:
            message = f"{argument!r} is part of a path: it cannot be {text!r}."
            raise InvalidArguments(message)
        values[parameter.name] = text
    # All at once: a value that reads `{other}` must not be filled in again.
    path = re.sub(
        r"\{([^{}]+)\}",
        lambda match: quote(values.get(unquote(match[1]), match[0]), safe=""),
        quote(template, safe="/{}:@!$&'()*+,;=~%"),
    )
    return path, values


def _query(given: Iterable[tuple[str, Parameter, Any]]) -> Iterator[str]:
    for argument, parameter, value in given:
        if parameter.location == "query":
            for name, text in _query_pairs(argument, parameter, value):
                yield f"{quote(name, safe='')}={text}"


def _query_pairs(argument: str, parameter: Parameter, value: object) -> Iterator[tuple[str, str]]:
    """Write a value in its OpenAPI style (§4.8.12.2.1); the text is percent-encoded."""
    name = parameter.name
    if parameter.media_type is not None:
        yield name, quote(_compact(value), safe="")
    elif isinstance(value, Mapping):
        yield from _object_pairs(argument, parameter, value)
    elif isinstance(value, list):
        texts = [quote(_scalar(argument, item), safe="") for item in value]
        separators = {"spaceDelimited": "%20", "pipeDelimited": "|"}
        if parameter.explode:
            for text in texts:
                yield name, text
        elif texts:
            yield name, separators.get(parameter.style, ",").join(texts)
    else:
        yield name, quote(_scalar(argument, value), safe="")


def _object_pairs(
    argument: str, parameter: Parameter, value: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    items = {
        key: quote(_scalar(argument, item), safe="")
        for key, item in value.items()
        if item is not None
    }
    if parameter.style == "deepObject":
        yield from ((f"{parameter.name}[{key}]", text) for key, text in items.items())
    elif parameter.explode:
        yield from items.items()
    else:
        parts = [part for key, text in items.items() for part in (quote(key, safe=""), text)]
        yield parameter.name, ",".join(parts)


def _headers(given: Iterable[tuple[str, Parameter, Any]]) -> Iterator[tuple[bytes, bytes]]:
    cookies = []
    for argument, parameter, value in given:
        if parameter.location == "header":
            text = _field_value(argument, _delimited(argument, value, ","))
            yield parameter.name.lower().encode("latin-1"), text
        elif parameter.location == "cookie":
            text = _field_value(argument, _delimited(argument, value, ","))
            if re.search(rb'[;,"\\\s]', text):
                message = f'{argument!r} is a cookie: it cannot hold spaces or any of ; , " \\.'
                raise InvalidArguments(message)
            cookies.append(parameter.name.encode("latin-1") + b"=" + text)
    if cookies:
        yield b"cookie", b"; ".join(cookies)


def _field_value(argument: str, text: str) -> bytes:
    """Write a header's value (RFC 9110 §5.5): no control characters, and Latin-1 at the most."""
    try:
        value = text.encode("latin-1")
    except UnicodeEncodeError:
        message = f"{argument!r} is a header: it can hold Latin-1 characters only."
        raise InvalidArguments(message) from None
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
        message = f"{argument!r} is a header: it cannot hold control characters."
        raise InvalidArguments(message)
    return value.strip()


def _delimited(argument: str, value: object, separator: str) -> str:
    if isinstance(value, list):
        return separator.join(_scalar(argument, item) for item in value)
    if isinstance(value, Mapping):
        parts = [part for key, item in value.items() for part in (key, _scalar(argument, item))]
        return separator.join(parts)
    return _scalar(argument, value)


def _scalar(argument: str, value: object) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            message = f"{argument!r} holds half of a character (a lone surrogate)."
            raise InvalidArguments(message) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return _compact(value)
    message = f"{argument!r} takes a single value, not {type(value).__name__}."
    raise InvalidArguments(message)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _json(value: object) -> bytes:
    # ASCII only: a lone surrogate then stays the escape it was, and breaks no encoder.
    return _compact(value).encode()


def _whole(value: object, media_type: str, argument: str) -> bytes:
    if is_json(media_type):
        return _json(value)
    if media_type.startswith("text/"):
        return _scalar(argument, value).encode()
    return _file(argument, value).content


def _form_pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    for item in value if isinstance(value, list) else [value]:
        if item is not None:
            yield name, _compact(item) if isinstance(item, dict | list) else _scalar(name, item)


@dataclass(frozen=True, slots=True)
class _File:
    filename: str
    media_type: str
    content: bytes


def _file(argument: str, value: object) -> _File:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping) or value.keys() - FILE["properties"].keys():
        message = f"{argument!r} is a file: an object with `filename`, `text` or `base64`."
        raise InvalidArguments(message)
    if any(not isinstance(item, str) for item in value.values()):
        message = f"{argument!r} is a file: all its properties are strings."
        raise InvalidArguments(message)
    if ("text" in value) == ("base64" in value):
        message = f"{argument!r} is a file: give its content either as `text` or as `base64`."
        raise InvalidArguments(message)
    try:
        content = (
            base64.b64decode("".join(value["base64"].split()), validate=True)
            if "base64" in value
            else _scalar(argument, value["text"]).encode()
        )
    except (binascii.Error, ValueError):
        message = f"{argument!r} holds `base64` that cannot be decoded."
        raise InvalidArguments(message) from None
    default = "application/octet-stream" if "base64" in value else "text/plain; charset=utf-8"
    media_type = _field_value(argument, value.get("media_type", default)).decode("latin-1")
    return _File(_scalar(argument, value.get("filename", "file")), media_type, content)


def _multipart(values: Iterable[tuple[_Field, Any]]) -> tuple[bytes, str]:
    """Write RFC 7578 parts, a plain field being a part without a file name."""
    parts: list[tuple[str, tuple[str | None, bytes, str | None]]] = []
    for each, value in values:
        if not each.is_file:
            pairs = _form_pairs(each.name, value)
            parts += [(name, (None, text.encode(), None)) for name, text in pairs]
        elif value is not None:
            for item in value if isinstance(value, list) else [value]:
                file = _file(each.argument, item)
                parts.append((each.name, (file.filename, file.content, file.media_type)))
    # The host is never asked: httpx2 writes the parts, and nothing is sent through it.
    request = httpx2.Request("POST", "http://localhost", files=parts or {"": (None, b"")})
    return request.read(), request.headers["content-type"]
