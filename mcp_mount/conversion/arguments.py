"""What a model gives, as a request. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mcp_mount.backends.request import OperationRequest
from mcp_mount.conversion.encoding import Content, refuse_override
from mcp_mount.conversion.slips import SlipReader
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.operations import Operation

# What a caller makes up is given back in part only.
_MOST_ECHOES: Final = 5
_LONGEST_ECHO: Final = 64


@dataclass(frozen=True, slots=True)
class Arguments:
    """How the arguments of one tool become a request.

    `schema` is the tool's ``inputSchema``; `headers` are those of every request. `path_writer`,
    `query_writer`, `header_writer` and `body_writer` make what writes, and `slip_reader` what reads
    slips before that; None where there is nothing to write or read.
    """

    operation: Operation
    schema: Schema
    known: frozenset[str]
    required: frozenset[str]
    headers: tuple[tuple[bytes, bytes], ...]
    query_credentials: frozenset[str]
    write_path: Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]]
    write_query: Callable[[Mapping[str, Any]], str]
    read_slips: SlipReader | None = None
    write_headers: Callable[[Mapping[str, Any]], list[tuple[bytes, bytes]]] | None = None
    write_body: Callable[[Mapping[str, Any]], Content | None] | None = None

    def request(self, arguments: Mapping[str, Any]) -> OperationRequest:
        """Build the request that the arguments describe.

        An argument that is left out is not sent; ``null`` is kept in a JSON body and left out
        elsewhere, where there is no way to write it.

        Raises:
            InvalidArguments: an argument is unknown, missing, or cannot be written where it goes.
        """
        if not (self.required <= arguments.keys() <= self.known):
            self._check_names(arguments)
        path, path_values = self.write_path(arguments)
        query = self.write_query(arguments)
        if query:
            refuse_override(query)
        headers, body = self.headers, None
        if self.write_headers is not None:
            headers = (*headers, *self.write_headers(arguments))
        content = self.write_body(arguments) if self.write_body is not None else None
        if content is not None:
            body, content_type = content
            headers = (
                *headers,
                (b"content-type", content_type.encode()),
                (b"content-length", b"%d" % len(body)),
            )
        return OperationRequest(
            method=self.operation.method,
            path=path,
            template=self.operation.path,
            path_values=path_values,
            query=query,
            headers=headers,
            body=body,
            query_credentials=self.query_credentials,
        )

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        known = self.schema.get("properties", {})
        if unknown := [name for name in arguments if name not in known]:
            takes = ", ".join(map(repr, known)) if known else "no arguments"
            named = ", ".join(repr(name[:_LONGEST_ECHO]) for name in unknown[:_MOST_ECHOES])
            raise InvalidArguments(f"Unknown argument {named}. The tool takes: {takes}.")
        left_out = self.required - arguments.keys()
        if missing := [name for name in known if name in left_out]:
            raise InvalidArguments(f"Missing argument {', '.join(map(repr, missing))}.")
