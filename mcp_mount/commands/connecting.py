"""What connects a client to an endpoint: shown, or written into the client's file."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from mcp_mount.clients import Connection, connections, short_name
from mcp_mount.commands.files import add_to_json, add_to_toml
from mcp_mount.commands.output import exiting, note, read_headers
from mcp_mount.errors import MountError
from mcp_mount.system import settings_folder

ClientName = Literal[
    "vscode", "cursor", "claude", "claude-desktop", "codex", "gemini", "windsurf", "zed"
]

_PATIENCE: Final = 5.0
"""Seconds for a server to tell its name."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""


@dataclass(frozen=True, slots=True)
class ClientFile:
    """Where a client keeps its servers: a file, and the object in it that has them by name."""

    client: str
    path: Callable[[], Path]
    group: str

    @property
    def next_step(self) -> str:
        """What a person does when the file is written."""
        if self.client == "Claude Code":
            return "Run 'claude' here, and approve the server."
        return f"Restart {self.client} to see it."


FILES: Final[Mapping[ClientName, ClientFile]] = {
    "vscode": ClientFile("VS Code", lambda: Path(".vscode/mcp.json"), "servers"),
    "cursor": ClientFile("Cursor", lambda: Path(".cursor/mcp.json"), "mcpServers"),
    "claude": ClientFile("Claude Code", lambda: Path(".mcp.json"), "mcpServers"),
    "claude-desktop": ClientFile(
        "Claude Desktop",
        lambda: settings_folder("Claude") / "claude_desktop_config.json",
        "mcpServers",
    ),
    "codex": ClientFile("Codex", lambda: Path.home() / ".codex/config.toml", "mcp_servers"),
    "gemini": ClientFile("Gemini CLI", lambda: Path(".gemini/settings.json"), "mcpServers"),
    "windsurf": ClientFile(
        "Windsurf", lambda: Path.home() / ".codeium/windsurf/mcp_config.json", "mcpServers"
    ),
    "zed": ClientFile(
        "Zed", lambda: settings_folder("zed", on_mac=".config") / "settings.json", "context_servers"
    ),
}


def connect(
    url: str,
    /,
    *,
    client: ClientName,
    name: str | None = None,
    header: str | None = None,
    write: bool = False,
) -> int:
    """Show what connects a client to a running endpoint, or write it where the client looks.

    Nothing that a file holds is changed: a server is added, or the command says why not.

    Args:
        url: The endpoint, such as https://kb.example/mcp.
        client: The client.
        name: The server's name in the client; by default the one that it says of itself.
        header: A header that the client sends, "X-Api-Key: secret"; with its name alone, a place
            is left for the value.
        write: Write it into the client's file.
    """
    import anyio

    with exiting():
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise MountError(f"{url!r} is no URL: it begins with http:// or https://.")
        if parts.path in {"", "/"}:
            note(f"{url!r} has no path: an endpoint usually has /mcp behind it.")
        known = FILES[client]
        key, value = _read_header(header)
        given = {key: value} if key is not None and value else {}
        short = short_name(name or anyio.run(_ask_name, url, given) or _host_name(url))
        found = {each.client: each for each in connections(short, url, key, _program())}
        if not write:
            _show(found[known.client], value)
            return 0
        if key is not None and not value:
            raise MountError("--write needs the header's value too: --header 'Name: value'.")
        path = known.path()
        # What a URL says beside where it is may be a key as well.
        has_key = bool(value or parts.query or "@" in parts.netloc)
        if _write(client, path, found, short, value, has_key=has_key):
            note(f"{short!r} is in {str(path)!r} now. {known.next_step}")
        else:
            note(f"{short!r} was in {str(path)!r} already.")
        if has_key and not path.is_absolute():
            # A file of the project, which its people share.
            what = "header's value" if value else "URL, with what may be a key,"
            note(f"The {what} stands in {str(path)!r} in plain text: do not commit it.")
    return 0


def server_of(client: ClientName, found: Mapping[str, Connection], name: str) -> Any:
    """Return what a client's file of JSON says of a server.

    Claude Code and Gemini CLI are told by commands, and keep the same in files (see `clients`).
    """
    if client == "claude":
        return json.loads(found["VS Code"].text)["servers"][name]
    if client == "gemini":
        server = json.loads(found["Cursor"].text)["mcpServers"][name]
        return {"httpUrl": server.pop("url"), **server}
    return json.loads(found[FILES[client].client].text)[FILES[client].group][name]


async def _ask_name(url: str, headers: Mapping[str, str]) -> str | None:
    """Return the name that the server at `url` says of itself, or None where it does not."""
    import httpx2
    from mcp.shared.exceptions import MCPError

    from mcp_mount.commands.target import Target

    try:
        async with Target(url, headers).client(_PATIENCE) as client:
            return client.server_info.name if client.server_info is not None else None
    except (httpx2.HTTPError, MCPError, RuntimeError):
        note(
            f"{url!r} has not told its name (does it run, and let you in?): "
            f"it is {short_name(_host_name(url))!r} here; --name says another."
        )
        return None


def _host_name(url: str) -> str:
    return (urlsplit(url).hostname or "").split(".")[0]


def _program() -> str:
    """Return the path of this command: who starts it may look elsewhere than this shell does."""
    return shutil.which("mcp-mount", path=str(Path(sys.executable).parent)) or "mcp-mount"


def _write(
    client: ClientName,
    path: Path,
    found: Mapping[str, Connection],
    name: str,
    value: str,
    *,
    has_key: bool,
) -> bool:
    group = FILES[client].group
    if client == "codex":
        table = _with_value(found["Codex"].text, value)
        return add_to_toml(path, group, name, table, has_key=has_key)
    text = json.dumps(server_of(client, found, name), ensure_ascii=False)
    server = json.loads(_with_value(text, value))
    return add_to_json(path, group, name, server, has_key=has_key)


def _show(connection: Connection, value: str) -> None:
    note(f"{connection.client}, {connection.where}:")
    text = connection.text
    if connection.where == "Terminal":
        text = shlex.join(_replace(word, value) for word in shlex.split(text))
    else:
        text = _with_value(text, value)
    sys.stdout.write(f"{text}\n")
    if connection.link is not None and not value:
        note(f"Or open {connection.link}")


def _read_header(header: str | None) -> tuple[str | None, str]:
    """Return a header's name, and its value or nothing."""
    if header is None:
        return None, ""
    name, value = header.strip(), ""
    if ":" in header:
        ((name, value),) = read_headers((header,)).items()
    if not _NAME.fullmatch(name):
        # It is not repeated: its key may stand in it.
        raise MountError("--header has the form 'Name: value', or is the name alone.")
    return name, value


def _with_value(text: str, value: str) -> str:
    """Put a value where the text leaves a place for it; in JSON and TOML alike, within quotes."""
    return _replace(text, json.dumps(value, ensure_ascii=False)[1:-1])


def _replace(text: str, value: str) -> str:
    if value:
        for place in ("Bearer YOUR_TOKEN", "YOUR_KEY"):
            text = text.replace(place, value)
    return text
