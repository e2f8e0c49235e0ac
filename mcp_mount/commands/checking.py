"""What is wrong with the tools as a model sees them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mcp_mount.commands.output import (
    FAILED,
    Header,
    Token,
    console,
    exiting,
    print_json,
    read_headers,
    write,
)

Format = Literal["text", "json", "github"]


def check(
    app: str,
    /,
    *,
    strict: bool = False,
    silence: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    format: Format = "text",  # noqa: A002 - the option's name
    header: Header = (),
    auth: Token = None,
) -> int:
    """Look for what makes models choose, fill in or read tools badly, and say what to do.

    The code is 1 where there are errors; with --strict where there is anything. Rules are silenced
    here, by a mark on the route, or in pyproject.toml: [tool.mcp-mount] silence = ["long-name"].

    Args:
        app: "module:attribute", a Python file, an OpenAPI document, or the URL of an MCP endpoint.
        strict: Let warnings count as errors do.
        silence: Leave this rule out: "long-name", or for one tool "get_token:secret-answer".
        format: How to write what is found.
        header: Send this with each request, "Name: value".
        auth: Send this access token with each request, as "Authorization: Bearer TOKEN".
    """
    import anyio

    from mcp_mount.check.formats import as_github, as_text
    from mcp_mount.check.report import as_json, check_tools
    from mcp_mount.check.rules import check_silenced
    from mcp_mount.check.settings import read_settings
    from mcp_mount.commands.target import find_target

    with exiting():
        found = read_settings(Path.cwd())
        silenced = check_silenced(silence, "--silence")
        silenced |= check_silenced(found.settings.silence, f"{found.file!r}")
        subjects = anyio.run(find_target(app, read_headers(header, auth)).subjects)
        report = check_tools(subjects, silenced)
    if format == "json":
        print_json(as_json(report))
    elif format == "github":
        write("".join(f"{line}\n" for line in as_github(report)))
    else:
        console(soft_wrap=not sys.stdout.isatty()).print(as_text(report))
    is_strict = strict or found.settings.strict
    return FAILED if report.errors or (is_strict and report.everything) else 0
