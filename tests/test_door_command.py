"""The door of both commands, as a shell and a container open and close it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_mount import cli
from tests.api import PARTS
from tests.commands import run, running
from tests.others import offered, parts_server
from tests.support import envelope, read_messages, served
from tests.test_proxy_command import parts_api
from tests.test_proxy_failures import certificate

pytestmark = pytest.mark.faults

COMMANDS = ("proxy", "gateway")
CLAUDE_CODE = (
    "MAX_MCP_OUTPUT_TOKENS",
    "MCP_CLIENT_SECRET",
    "MCP_CONNECTION_NONBLOCKING",
    "MCP_OAUTH_CALLBACK_PORT",
    "MCP_SERVER_CONNECTION_BATCH_SIZE",
    "MCP_TIMEOUT",
    "MCP_TOOL_TIMEOUT",
)
OPEN = "0.0.0.0"  # noqa: S104 - that is what is refused


def request(url: str, method: str, headers: dict[str, str], **params: Any) -> httpx2.Response:
    own, body = envelope("modern", method, params)
    return httpx2.post(f"{url}/mcp", headers={**own, **headers}, json=body)


def listed(url: str, **headers: str) -> set[str]:
    response = request(url, "tools/list", headers)
    (message,) = read_messages(response.headers["content-type"], response.text)
    return {tool["name"] for tool in message["result"]["tools"]}


@contextmanager
def behind(command: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve what a command stands before; yield the variables that say where."""
    document, servers = tmp_path / "openapi.json", tmp_path / "servers.json"
    document.write_text(json.dumps(PARTS), "utf-8")
    if command == "proxy":
        with served(parts_api()) as upstream:
            yield {"OPENAPI": str(document), "UPSTREAM_URL": upstream}
    else:
        with offered(parts_server()) as url:
            server = {"url": url, "headers": {"X-Key": "hunter2"}}
            servers.write_text(json.dumps({"mcpServers": {"parts": server}}), "utf-8")
            yield {"GATEWAY_SERVERS": str(servers)}


@pytest.mark.parametrize("command", COMMANDS)
def test_everything_is_taken_from_the_environment(command: str, tmp_path: Path) -> None:
    """Proxy and gateway: the key, the choice of tools, the rate, the older transport."""
    name = {"proxy": "list_parts", "gateway": "parts_find"}[command]
    arguments = {"word": "a"} if command == "gateway" else {}
    variables = {
        "MCP_API_KEY": "sesame",
        "MCP_INCLUDE": "list_parts, get_part" if command == "proxy" else "parts_f*",
        "MCP_EXCLUDE": "get_part" if command == "proxy" else "parts_fail\n",
        "MCP_RATE_LIMIT": "1/hour",
        "MCP_CALL_TIMEOUT": "7",
        # Claude Code's own, which it hands on to programs that it starts.
        **dict.fromkeys(CLAUDE_CODE, "10_000 ms"),
        "MCP_ALLOWED_ORIGIN": "https://app.example",
        "MCP_SSE": "true",
        "MCP_NO_PAGE": "true",
        "PUBLIC_URL": "https://kb.example",
        "AUTH_ISSUER": "",
    }
    key = {"x-api-key": "sesame"}
    with (
        behind(command, tmp_path) as where,
        running(command, **where, **variables) as (url, lines),
    ):
        assert request(url, "tools/list", {}).status_code == 401
        assert listed(url, **key) == {name}
        assert listed(url, authorization="Bearer sesame") == {name}
        for origin, status in (
            ("https://app.example", 200),
            ("https://kb.example", 200),
            ("https://other.example", 403),
        ):
            answer = request(url, "tools/list", {**key, "origin": origin})
            assert answer.status_code == status
        said = [
            request(url, "tools/call", key, name=name, arguments=arguments).text for _ in range(2)
        ]
        assert '"isError":false' in said[0]
        assert "1 per 1 hour" in said[1]
        assert httpx2.get(f"{url}/sse").status_code == 401
        assert httpx2.get(f"{url}/mcp", headers={"accept": "text/html"}).status_code != 200
        assert httpx2.get(f"{url}/health").status_code == 200
    assert "sesame" not in "".join(lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_variable_that_cannot_be_read_stops_the_command(command: str, tmp_path: Path) -> None:
    """Proxy and gateway: so that the names above are seen to be read."""
    with behind(command, tmp_path) as where:
        done = run("mcp-mount", command, **where, MCP_CALL_TIMEOUT="soon")
    assert done.returncode == 2
    assert "MCP_CALL_TIMEOUT" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_credentials_behind_an_open_door_stop_the_command(command: str, tmp_path: Path) -> None:
    """Proxy and gateway: one line, with the two ways out."""
    words = ["--host", OPEN]
    if command == "proxy":
        words += ["--upstream-header", "X-Key: hunter2"]
    with behind(command, tmp_path) as where:
        done = run("mcp-mount", command, *words, **where)
        assert done.returncode == 1
        assert done.stdout.startswith(f"mcp-mount: Whoever reaches {OPEN} could use ")
        assert "MCP_API_KEY" in done.stdout
        assert "--no-auth" in done.stdout
        assert done.stdout.count("\n") == 1
        assert "hunter2" not in done.stdout
        for more, variables in (([], {"MCP_API_KEY": "sesame"}), (["--no-auth"], {})):
            with running(command, *words, *more, **where, **variables) as (url, lines):
                assert (request(url, "tools/list", {}).status_code == 200) == bool(more)
            assert ("Nobody is asked for a key" in "".join(lines)) == bool(more)


def test_a_certificate_of_the_proxys_own_is_a_credential(tmp_path: Path) -> None:
    """Proxy: also where it is all there is."""
    pem, key = certificate(tmp_path)
    words = ["--host", OPEN, "--client-cert", str(pem), "--client-key", str(key)]
    with behind("proxy", tmp_path) as where:
        done = run("mcp-mount", "proxy", *words, **where)
    assert done.returncode == 1
    assert f"Whoever reaches {OPEN} could use --client-cert" in done.stdout


def test_both_commands_have_the_same_options_of_the_door() -> None:
    """Proxy and gateway: written once."""
    options = {
        command: {*re.findall(r"(--[a-z-]+)", run("mcp-mount", command, "--help").stdout)}
        for command in COMMANDS
    }
    shared = options["proxy"] & options["gateway"]
    assert shared >= {
        *("--host", "--port", "--auth-issuer", "--auth-audience", "--auth-jwks-url", "--no-auth"),
        *("--include", "--exclude", "--timeout", "--rate-limit", "--public-url"),
        *("--allowed-origin", "--sse", "--no-sse"),
    }
    assert options["gateway"] - shared == {"--example"}


def test_the_path_that_the_document_brings_is_said(tmp_path: Path) -> None:
    """Proxy: and how to leave it out, where an ingress takes it away."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps({**PARTS, "servers": [{"url": "/api/v3"}]}), "utf-8")
    with served(parts_api()) as upstream:
        words = ["proxy", "--openapi", str(file), "--upstream", f"{upstream}/"]
        for more, said in (
            ([], f"at {upstream}/api/v3 (/api/v3 is from the document's servers; --base-path ''"),
            (["--base-path", "", "--no-sse"], f"at {upstream}\n"),
        ):
            with running(*words, *more) as (url, lines):
                called = request(url, "tools/call", {}, name="list_parts", arguments={})
                assert ('"isError":false' in called.text) == bool(more)
                if more:
                    assert httpx2.get(f"{url}/sse").status_code == 404
            assert said in "".join(lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--openapi", "missing.json"], "'missing.json' cannot be read: No such file"),
        (["--openapi", "missing.json", "--upstream", "http://localhost:9"], "No such file"),
        (["--base-path", "a b"], "The base path cannot be 'a b'"),
        (["--strict"], "GET /parts/latest is on another host"),
        (["--allow-encoded-slashes", "GET /no"], "encoded_slashes= names 'GET /no'"),
        (["--auth-issuer", "https://x.example"], "AUTH_AUDIENCE and AUTH_JWKS_URL missing"),
        (["--rate-limit", "often"], "The rate 'often' cannot be read"),
        (["--no-auth", "--mcp-api-key", "hunter2"], "take one of the two away"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    """Proxy: what to write instead; a secret is not repeated."""
    document = {**PARTS, "paths": {**PARTS["paths"]}}
    elsewhere = {"servers": [{"url": "https://other.example"}]}
    document["paths"]["/parts/latest"] = {**PARTS["paths"]["/parts/latest"], **elsewhere}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), "utf-8")
    if "--openapi" not in words:
        words = ["--openapi", str(file), "--upstream", "http://localhost:9", *words]
    with pytest.raises(SystemExit) as refused:
        cli.app(["proxy", *words])
    message = str(refused.value)
    assert message.startswith("mcp-mount: ")
    assert said in message
    assert "\n" not in message
    assert "hunter2" not in message
