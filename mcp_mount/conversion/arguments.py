"""What a model gives, as a request. Pure.

Files are objects with their content as ``text`` or ``base64``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_mount.backends.request import Request
from mcp_mount.conversion.encoding import (
    AS_IS,
    Part,
    write_form,
    write_json,
    write_multipart,
    write_whole,
)
from mcp_mount.conversion.styles import write_cookies, write_headers, write_path, write_query
from mcp_mount.conversion.texts import Given
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.bodies import Body, Encoding
from mcp_mount.openapi.media import FORM, MULTIPART, is_json
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.parameters import Location, Parameter

METHOD_FIELD = "_method"
"""A field of a query or form that some frameworks take for the method of the request."""

_OVERRIDE = re.compile(rf"(?:^|[&;]){METHOD_FIELD}=", re.IGNORECASE)
_NO_OVERRIDE = f"{METHOD_FIELD!r} cannot be sent: a tool has one method. Leave it out."

# What a caller makes up is given back in part only.
_MOST_ECHOES = 5
_LONGEST_ECHO = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a body that is sent as arguments of its own."""

    argument: str
    name: str
    is_file: bool = False
    encoding: Encoding = AS_IS


@dataclass(frozen=True, slots=True)
class Arguments:
    """How the arguments of one tool become a request.

    `schema` is the tool's ``inputSchema``. `parameters` pairs each argument's name with the
    parameter it fills, by where that is. `headers` are those of every request.
    """

    operation: Operation
    schema: Schema
    headers: tuple[tuple[bytes, bytes], ...]
    known: frozenset[str]
    required: frozenset[str]
    query_credentials: frozenset[str]
    parameters: Mapping[Location, tuple[tuple[str, Parameter], ...]]
    body: Body | None = None
    fields: tuple[Field, ...] = ()
    whole_body: str | None = None

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """Build the request that the arguments describe.

        An argument that is left out is not sent; ``null`` is kept in a JSON body and left out
        elsewhere, where there is no way to write it.

        Raises:
            InvalidArguments: an argument is unknown, missing, or cannot be written where it goes.
        """
        if not (self.required <= arguments.keys() <= self.known):
            self._check_names(arguments)
        path, path_values = write_path(self.operation.path, self._given("path", arguments))
        query = write_query(self._given("query", arguments))
        # Free names of an object are in it, too.
        if _OVERRIDE.search(query):
            raise InvalidArguments(_NO_OVERRIDE)
        body, content_type = self._body(arguments)
        headers = [*self.headers]
        if "header" in self.parameters:
            headers += write_headers(self._given("header", arguments))
        if "cookie" in self.parameters:
            headers += write_cookies(self._given("cookie", arguments))
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
            query=query,
            headers=tuple(headers),
            body=body,
            query_credentials=self.query_credentials,
        )

    def _given(self, location: Location, arguments: Mapping[str, Any]) -> list[Given]:
        given = []
        for argument, parameter in self.parameters.get(location, ()):
            value = arguments.get(argument)
            if value == [] and parameter.schema.get("default"):
                message = (
                    f"{argument!r} cannot be an empty list, which is written like its default."
                )
                raise InvalidArguments(message)
            if value is not None:
                given.append(Given(argument, parameter, value))
            elif location == "path":
                message = f"Missing argument {argument!r}."
                raise InvalidArguments(message)
        return given

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        known = self.schema.get("properties", {})
        if unknown := [name for name in arguments if name not in known]:
            takes = ", ".join(map(repr, known)) if known else "no arguments"
            named = ", ".join(repr(name[:_LONGEST_ECHO]) for name in unknown[:_MOST_ECHOES])
            message = f"Unknown argument {named}. The tool takes: {takes}."
            raise InvalidArguments(message)
        if missing := [name for name in known if name in self.required - arguments.keys()]:
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
            if media_type not in {FORM, MULTIPART}:
                return write_whole(self.whole_body, value, media_type)
            if not isinstance(value, Mapping):
                message = f"{self.whole_body!r} is a form: it takes an object."
                raise InvalidArguments(message)
            parts = [
                Part(self.whole_body, name, item, encoding=self._encoding(name))
                for name, item in value.items()
            ]
        else:
            parts = [
                Part(
                    each.argument,
                    each.name,
                    arguments[each.argument],
                    is_file=each.is_file,
                    encoding=each.encoding,
                )
                for each in self.fields
                if each.argument in arguments
            ]
            if not parts and not self.body.required:
                return None, ""
            if is_json(media_type):
                return write_json({part.name: part.value for part in parts}), media_type
        form = write_form(parts) if media_type == FORM else write_multipart(parts)
        names = [part.name.lower() for part in parts]
        if METHOD_FIELD in names or (media_type == FORM and _OVERRIDE.search(form[0].decode())):
            raise InvalidArguments(_NO_OVERRIDE)
        return form

    def _encoding(self, name: str) -> Encoding:
        return self.body.encodings.get(name, AS_IS) if self.body is not None else AS_IS
