"""What is written where, and with which code a command ends.

Results are written on stdout, everything else on stderr. What is no character is left out, for a
terminal would obey what a server wrote; in JSON it is escaped on a terminal, and nowhere else, so
that a file is the same however it is written. The codes: 0, it is done; 1, it has failed or
something was found; 2, it cannot be done as it was asked for.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from mcp_mount.errors import MountError
from mcp_mount.near import near_names

if TYPE_CHECKING:
    from rich.console import Console

FAILED: Final = 1
MISUSED: Final = 2

Header = Annotated[
    tuple[str, ...], Parameter(name=("--header", "-H"), negative=(), show_default=False)
]
"""``Name: value``, several times."""
Token = Annotated[str | None, Parameter(name="--auth", show_default=False)]
"""An access token."""

_TOKEN: Final = re.compile(r"[!-~]+")
_BEYOND_ASCII: Final = re.compile(r"[^\n -~]")
_CONTROL: Final = re.compile(r"[\x00-\x08\n-\x1f\x7f]")


def visible(text: str) -> str:
    """Return a text without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(each for each in text if each.isprintable() or each in "\n\t")


def one_line(text: str) -> str:
    """Return a text as one line that does nothing to a terminal: others can add no line to it."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def write(text: str) -> None:
    """Write on stdout at once; end where nobody reads any more, as behind ``| head``."""
    _write(visible(text))


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written would be an error when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def print_json(value: Any) -> None:
    """Write a value on stdout, in a form that is the same each time."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    _write(_BEYOND_ASCII.sub(_escape, text) if sys.stdout.isatty() else text)


def _escape(found: re.Match[str]) -> str:
    # As JSON has it: one beyond the first 65,536 is two escapes.
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def note(text: str) -> None:
    """Tell the person, and no program."""
    sys.stderr.write(f"{visible(text)}\n")


def console(*, stderr: bool = False, soft_wrap: bool = False) -> "Console":
    """Return what renders tables and colours, from texts of others as well."""
    from rich.console import Console
    from rich.segment import Segment

    class Cleaning(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
            for text, style, control in super().render(*arguments, **options):
                yield Segment(visible(text), style, control)

    return Cleaning(stderr=stderr, soft_wrap=soft_wrap)


@contextmanager
def exiting() -> Iterator[None]:
    """End the command with one line where it cannot go on."""
    import httpx2
    from mcp.shared.exceptions import MCPError

    try:
        yield
    except MountError as error:
        note(f"mcp-mount: {error}")
        sys.exit(MISUSED)
    except (httpx2.HTTPError, MCPError, RuntimeError) as error:
        note(f"mcp-mount: {describe(error)}")
        sys.exit(FAILED)


def describe(error: BaseException) -> str:
    """Return what went wrong, with the next step where there is one."""
    import httpx2

    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    if isinstance(cause, httpx2.HTTPStatusError):
        return f"The server answers {cause.response.status_code} at {str(cause.request.url)!r}."
    if isinstance(cause, httpx2.ConnectError):
        return f"Nothing answers there: {cause}. Is the server running?"
    return str(error) or type(error).__name__


def did_you_mean(word: str, known: list[str]) -> str:
    """Return a hint at what is near, or at what there is."""
    near = near_names(word, known, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return f"There are: {', '.join(map(one_line, sorted(known)))}." if known else "There are none."


def read_headers(lines: tuple[str, ...], token: str | None = None) -> dict[str, str]:
    """Read headers as curl takes them, e.g. ``("X-Api-Key: secret",)``, and add that of a token.

    Raises:
        MountError: one has no colon, or several lines; or what says who calls is no token, or is
            said twice.
    """
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MountError("--header has the form 'Name: value'.")
        if _CONTROL.search(line.strip()):
            # An HTTP library would refuse it, too, and say what the value is.
            raise MountError("--header has the form 'Name: value', in one line.")
        headers[name.strip()] = value.strip()
    if token is None:
        return headers
    if "authorization" in map(str.lower, headers):
        raise MountError("Give --auth or --header 'Authorization: …', and not both.")
    if not _TOKEN.fullmatch(token):
        # It is not repeated: others may read the terminal.
        raise MountError("--auth is the token alone, without 'Bearer' and without blanks.")
    return {**headers, "Authorization": f"Bearer {token}"}
