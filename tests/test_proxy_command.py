"""The command ``mcp-mount proxy``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
import yaml
from fastapi import FastAPI, Header
from pydantic import BaseModel

from mcp_mount import cli
from tests.api import PARTS
from tests.commands import run, running
from tests.support import envelope, read_messages, served

pytestmark = pytest.mark.faults


def parts_api() -> FastAPI:
    app = FastAPI(title="Parts", servers=[{"url": "/"}])

    @app.get("/parts", operation_id="list_parts")
    async def parts(
        x_key: Annotated[str, Header(include_in_schema=False)] = "none",
        authorization: Annotated[str, Header(include_in_schema=False)] = "none",
    ) -> str:
        return f"{x_key}, {authorization}"

    @app.get("/secret")
    async def secret() -> str:
        return "secret"

    return app


class Part(BaseModel):
    number: str
    weight: int


def called(
    url: str, tool: str, arguments: dict[str, Any] | None = None, **headers: str
) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments or {}}
    own, body = envelope("modern", "tools/call", params)
    response = httpx2.post(f"{url}/mcp", headers={**own, **headers}, json=body)
    return read_messages(response.headers["content-type"], response.text)[-1]


def test_it_takes_everything_from_the_environment(tmp_path: Path) -> None:
    """Proxy: `OPENAPI`, `UPSTREAM_URL` and `PORT`; the document in YAML."""
    file = tmp_path / "openapi.yaml"
    file.write_text(yaml.safe_dump(PARTS), "utf-8")
    with (
        served(parts_api()) as upstream,
        running("proxy", OPENAPI=str(file), UPSTREAM_URL=upstream) as (url, lines),
    ):
        assert called(url, "list_parts")["result"]["content"][0]["text"] == '"none, none"'
        assert httpx2.get(f"{url}/health").json() == {"status": "ok", "upstream": "up"}
        assert "get_part(part: str)" in run("fastmcp", "list", f"{url}/mcp").stdout
    said = "".join(lines)
    assert f"4 tools of 'Parts' at {upstream}" in said
    assert f"The MCP endpoint is at {url}/mcp" in said
    assert "tool=list_parts operation='GET /parts' outcome=ok" in said


def test_it_takes_a_url_and_says_what_goes_along() -> None:
    """Proxy: the API is where its document is from; secrets are not shown."""
    with served(parts_api()) as upstream:
        words = ["--openapi", f"{upstream}/openapi.json", "--exclude", "GET /secret"]
        words += ["--forward-header", "Authorization", "--upstream-header", "X-Key: ${THE_KEY}"]
        with running("proxy", *words, THE_KEY="hunter2") as (url, lines):
            answer = called(
                url, "list_parts", None, authorization="Bearer mine", **{"x-key": "mine"}
            )
            assert answer["result"]["content"][0]["text"] == '"hunter2, Bearer mine"'
            assert called(url, "secret_secret_get")["error"]["code"] == -32602
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Where is the API? Give --upstream"),
        (["--upstream", "nowhere"], "write it like 'http://localhost:9000'"),
        (["--upstream-header", "X-Key hunter2"], "A header is written with a colon"),
        (["--upstream-header", "X-Key: ${NO_SUCH}"], "needs the environment variable 'NO_SUCH'"),
        (["--forward-header", "Host"], "'host' cannot be forwarded"),
        (["--allow-slashes", "GET /no"], "'GET /no', which is no operation"),
        (["--ca-file", "/no/such.pem"], "--ca-file '/no/such.pem' cannot be read"),
        (["--ca-file", "DOCUMENT"], "it holds nothing of the kind in PEM"),
        (["--client-cert", "DOCUMENT"], "--client-cert"),
        (["--client-key", "/no/such.pem"], "--client-key needs --client-cert"),
        (["--token-url", "http://localhost/t"], "needs the variables CLIENT_ID and CLIENT_SECRET"),
        (["--timeout", "0"], "Limits.timeout must be a positive number"),
        (["--include", "GET /no"], "'GET /no'"),
        (["--fields", "GET /no"], "'GET /no'"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    """Proxy: what to write instead, and no traceback; a secret is not repeated."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(PARTS), "utf-8")
    words = [str(file) if word == "DOCUMENT" else word for word in words]
    if words and "--upstream" not in words:
        words += ["--upstream", "http://localhost:9"]
    with pytest.raises(SystemExit) as refused:
        cli.app(["proxy", "--openapi", str(file), *words])
    message = str(refused.value)
    assert message.startswith("mcp-mount: ")
    assert said in message
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "proxy", ["socks5://hunter2@localhost:9", "http://hunter2@[::1", "ftp://a"]
)
@pytest.mark.parametrize("is_fetched", [False, True])
def test_a_proxy_of_the_environment_that_is_none_is_one_line(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_fetched: bool
) -> None:
    """Proxy: that another one is set is nothing that its user thinks of."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(PARTS), "utf-8")
    document = "http://localhost:9/openapi.json" if is_fetched else str(file)
    with pytest.raises(SystemExit) as refused:
        cli.app(["proxy", "--openapi", document, "--upstream", "http://localhost:9"])
    message = str(refused.value)
    assert message.startswith("mcp-mount: The proxies of the environment cannot be used")
    assert "ALL_PROXY" in message
    assert "hunter2" not in message


def test_a_document_that_is_none_is_one_line(tmp_path: Path) -> None:
    """Proxy: and the command ends with status 1."""
    file = tmp_path / "openapi.json"
    for text, said in (("{}", "is no OpenAPI 3 document"), ("{", "is neither JSON nor YAML")):
        file.write_text(text, "utf-8")
        done = run("mcp-mount", "proxy", "--openapi", str(file), "--upstream", "http://localhost:9")
        assert done.returncode == 1
        assert done.stdout.startswith("mcp-mount: ")
        assert said in done.stdout
        assert done.stdout.count("\n") == 1


def test_a_model_may_ask_for_some_fields_of_what_it_names() -> None:
    """Proxy: `--fields` takes selectors."""
    app = FastAPI(title="Parts", servers=[{"url": "/"}])

    @app.get("/part", operation_id="get_part")
    async def part() -> Part:
        return Part(number="P-1", weight=2)

    with served(app) as upstream:
        words = ["--openapi", f"{upstream}/openapi.json", "--fields", "get_*"]
        with running("proxy", *words) as (url, _):
            answer = called(url, "get_part", {"fields": ["weight"]})
    assert answer["result"]["structuredContent"] == {"weight": 2}
