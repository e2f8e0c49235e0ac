"""How each client is connected to an endpoint: what to write, and where. Pure."""

import json
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Connection:
    """What connects one client.

    Attributes:
        client: E.g. ``"VS Code"``.
        where: Where the text goes: a file, or ``"Terminal"``.
        text: What to write there, or to run.
        link: A link that does the same with one click; None where the client has none.
    """

    client: str
    where: str
    text: str
    link: str | None = None


def connections(
    name: str, url: str, header: str | None = None, program: str | None = None
) -> list[Connection]:
    """Return how each client is connected to the endpoint at `url`.

    Args:
        name: The server's name, e.g. ``"Teamcenter-KB"``; clients get a short form of it.
        url: E.g. ``"https://kb.example/mcp"``.
        header: The header that carries a caller's key, e.g. ``"X-Api-Key"``; None where clients
            need none, or sign in by themselves.
        program: Where ``mcp-mount`` is on the client's machine; None where it may not be there.
    """
    return [*_connections(short_name(name), url, header, program)]


def short_name(name: str) -> str:
    """Return a name as configurations have them, e.g. ``"teamcenter-kb"``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].strip("-") or "api"


def _connections(
    name: str, url: str, header: str | None, program: str | None
) -> Iterator[Connection]:
    value = _placeholder(header) if header is not None else ""
    headers = {"headers": {header: value}} if header is not None else {}
    option = f" --header {shlex.quote(f'{header}: {value}')}" if header is not None else ""
    at, known = shlex.quote(url), {"type": "http", "url": url, **headers}
    yield Connection(
        "VS Code",
        ".vscode/mcp.json",
        _write({"servers": {name: known}}),
        f"vscode:mcp/install?{quote(json.dumps({'name': name, **known}), safe='')}",
    )
    config = b64encode(json.dumps({"url": url, **headers}).encode()).decode()
    yield Connection(
        "Cursor",
        ".cursor/mcp.json",
        _servers(name, {"url": url, **headers}),
        "cursor://anysphere.cursor-deeplink/mcp/install"
        f"?name={quote(name)}&config={quote(config, safe='')}",
    )
    yield Connection(
        "Claude Code", "Terminal", f"claude mcp add --transport http {name} {at}{option}"
    )
    yield Connection(
        "Claude Desktop",
        "claude_desktop_config.json",
        _servers(name, _program(program, url, header, value)),
    )
    yield Connection("Codex", "~/.codex/config.toml", _codex(name, url, header, value))
    yield Connection(
        "Gemini CLI", "Terminal", f"gemini mcp add --transport http{option} {name} {at}"
    )
    yield Connection("Windsurf", "mcp_config.json", _servers(name, {"serverUrl": url, **headers}))
    yield Connection(
        "Zed", "settings.json", _write({"context_servers": {name: {"url": url, **headers}}})
    )
    yield Connection("ChatGPT, claude.ai", "Settings → Connectors", url)
    yield Connection(
        "Inspector",
        "Terminal",
        f"npx @modelcontextprotocol/inspector --cli {at} --transport http{option} "
        "--method tools/list",
    )


def _placeholder(header: str) -> str:
    """Return what stands for a caller's own key, which no text that is copied has to hold."""
    return "Bearer YOUR_TOKEN" if header.lower() == "authorization" else "YOUR_KEY"


def _program(program: str | None, url: str, header: str | None, value: str) -> dict[str, object]:
    """Return what a client starts that speaks to programs alone: ours, or one that Node fetches."""
    if program is None:
        key = ["--header", f"{header}: {value}"] if header is not None else []
        return {"command": "npx", "args": ["-y", "mcp-remote", url, *key]}
    args = ["run", url, "--stdio"]
    if header is None:
        return {"command": program, "args": args}
    # Arguments stand in the list of processes, where all users of the machine read them.
    args += ["--header", f"{header}: ${{KEY}}"]
    return {"command": program, "args": args, "env": {"KEY": value}}


def _servers(name: str, server: dict[str, object]) -> str:
    return _write({"mcpServers": {name: server}})


def _codex(name: str, url: str, header: str | None, value: str) -> str:
    lines = [f"[mcp_servers.{name}]", f"url = {json.dumps(url)}"]
    if header is not None:
        lines.append(f"http_headers = {{ {json.dumps(header)} = {json.dumps(value)} }}")
    return "\n".join(lines)


def _write(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
