"""The tools, as a table for people and as JSON for programs and reviews."""

from pathlib import Path
from typing import Final

from mcp_mount.commands.files import write_whole
from mcp_mount.commands.output import (
    Header,
    Token,
    console,
    exiting,
    note,
    one_line,
    print_json,
    read_headers,
)

_LONGEST: Final = 2_000
"""Characters of a cell: a line of 8 MB took a minute to be laid out."""


def list_tools(app: str, /, *, header: Header = (), auth: Token = None, json: bool = False) -> int:
    """List the tools of an app, a file or a running server.

    Args:
        app: "module:attribute", a Python file, an OpenAPI document, or the URL of an MCP endpoint.
        header: Send this with each request, "Name: value"; of an app, list what that caller may
            use.
        auth: Send this access token with each request, as "Authorization: Bearer TOKEN".
        json: Write what clients get, as JSON.
    """
    import anyio

    from mcp_mount.commands.target import find_target

    with exiting():
        subjects = anyio.run(find_target(app, read_headers(header, auth)).subjects)
    if json:
        print_json([subject.tool for subject in subjects])
        return 0
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ["tool", "what it does", "arguments"]
    # Of a running server nobody knows the operations.
    if any(subject.operation is not None for subject in subjects):
        columns.append("operation")
    for column in columns:
        table.add_column(column, overflow="fold")
    for subject in subjects:
        arguments = [
            name if name in subject.required else f"[{name}]" for name in subject.arguments
        ]
        first, *_ = subject.description[:_LONGEST].splitlines() or [""]
        operation = str(subject.operation) if subject.operation is not None else ""
        cells = (subject.name, first, " ".join(arguments), operation)
        table.add_row(*(Text(one_line(cell[:_LONGEST])) for cell in cells[: len(columns)]))
    console().print(table)
    note(f"{len(subjects)} tool{'' if len(subjects) == 1 else 's'}")
    return 0


def export(
    app: str, /, *, header: Header = (), auth: Token = None, output: Path | None = None
) -> int:
    """Write the list of tools as JSON, sorted by name, for review in a pull request.

    Args:
        app: "module:attribute", a Python file, an OpenAPI document, or the URL of an MCP endpoint.
        header: Send this with each request, "Name: value".
        auth: Send this access token with each request, as "Authorization: Bearer TOKEN".
        output: The file to write; otherwise it is written on stdout.
    """
    import json

    import anyio

    from mcp_mount.commands.target import find_target

    with exiting():
        subjects = anyio.run(find_target(app, read_headers(header, auth)).subjects)
        tools = [subject.tool for subject in sorted(subjects, key=lambda each: each.name)]
        if output is None:
            print_json(tools)
            return 0
        text = json.dumps(tools, indent=2, ensure_ascii=False)
        write_whole(output, f"{text}\n".encode())
    note(f"{len(tools)} tool{'' if len(tools) == 1 else 's'} in {output}")
    return 0
