"""What connects each client is what that client reads."""

import base64
import json
import tomllib
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mcp_mount.clients import Connection, connections, short_name

URL = "https://kb.example/api/mcp"


def by_client(header: str | None = None) -> dict[str, Connection]:
    return {each.client: each for each in connections("kb", URL, header)}


@pytest.mark.parametrize(
    ("client", "path"),
    [
        ("VS Code", ("servers", "kb", "url")),
        ("Cursor", ("mcpServers", "kb", "url")),
        ("Windsurf", ("mcpServers", "kb", "serverUrl")),
        ("Zed", ("context_servers", "kb", "url")),
    ],
)
def test_a_file_names_the_url_and_the_header(client: str, path: tuple[str, ...]) -> None:
    for header, value in ((None, None), ("X-Api-Key", "YOUR_KEY")):
        found = json.loads(by_client(header)[client].text)
        server = found[path[0]]["kb"]
        assert server[path[2]] == URL
        assert server.get("headers") == (header and {header: value})


def test_one_click_says_what_the_file_says() -> None:
    for header in (None, "Authorization"):
        vscode, cursor = by_client(header)["VS Code"], by_client(header)["Cursor"]
        assert vscode.link is not None
        installed = json.loads(unquote(vscode.link.removeprefix("vscode:mcp/install?")))
        assert installed.pop("name") == "kb"
        assert {"servers": {"kb": installed}} == json.loads(vscode.text)
        assert cursor.link is not None
        query = parse_qs(urlsplit(cursor.link).query)
        config = json.loads(base64.b64decode(query["config"][0]))
        assert {"mcpServers": {query["name"][0]: config}} == json.loads(cursor.text)


def test_commands_have_the_header_in_quotes() -> None:
    found = by_client("Authorization")
    option = "--header 'Authorization: Bearer YOUR_TOKEN'"
    assert found["Claude Code"].text == f"claude mcp add --transport http kb {URL} {option}"
    assert found["Gemini CLI"].text == f"gemini mcp add --transport http {option} kb {URL}"
    assert by_client()["Claude Code"].text == f"claude mcp add --transport http kb {URL}"
    codex = tomllib.loads(found["Codex"].text)["mcp_servers"]["kb"]
    assert codex == {"url": URL, "http_headers": {"Authorization": "Bearer YOUR_TOKEN"}}


def test_claude_desktop_starts_our_command_where_it_is() -> None:
    """Elsewhere, as for who reads the page, it is one that Node fetches."""

    def server(header: str | None, program: str | None) -> Any:
        found = {each.client: each.text for each in connections("kb", URL, header, program)}
        return json.loads(found["Claude Desktop"])["mcpServers"]["kb"]

    args = ["run", URL, "--stdio"]
    assert server(None, "/bin/mcp-mount") == {"command": "/bin/mcp-mount", "args": args}
    assert server("X-Api-Key", "mcp-mount") == {
        "command": "mcp-mount",
        "args": [*args, "--header", "X-Api-Key: ${KEY}"],
        "env": {"KEY": "YOUR_KEY"},
    }
    assert server("Authorization", "mcp-mount")["env"] == {"KEY": "Bearer YOUR_TOKEN"}
    assert server(None, None) == {"command": "npx", "args": ["-y", "mcp-remote", URL]}


def test_an_odd_url_stays_one_argument() -> None:
    odd = "https://kb.example/mcp?a=1&b=';reboot'"
    found = {each.client: each.text for each in connections("kb", odd)}
    assert found["Claude Code"].endswith(""" 'https://kb.example/mcp?a=1&b='"'"';reboot'"'"''""")
    assert tomllib.loads(found["Codex"])["mcp_servers"]["kb"]["url"] == odd


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Teamcenter-KB", "teamcenter-kb"),
        ('  My "API" [2] ', "my-api-2"),
        ("日本", "api"),
        ("x" * 40, "x" * 32),
    ],
)
def test_a_server_s_short_name_needs_no_quotes(name: str, short: str) -> None:
    assert short_name(name) == short
    assert f"[mcp_servers.{short}]" in str(connections(name, URL))
