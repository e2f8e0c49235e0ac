"""``--stdio``: one client that starts the command, and speaks to it on its standard streams."""

import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.client import CallToolResult
from fastmcp.client.transports import StdioTransport
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextContent
from starlette.responses import JSONResponse, Response, StreamingResponse

from mcp_mount import cli
from tests.api import PARTS
from tests.commands import MCP_MOUNT, environment, run, running
from tests.others import raw
from tests.support import ERAS, MODERN, Era, served
from tests.test_proxy_command import parts_api

pytestmark = pytest.mark.faults

APP = """
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

@asynccontextmanager
async def lifespan(app):
    yield {"greeting": "Hello"}
    (Path(__file__).parent / "ended").touch()

app = FastAPI(title="Parts", lifespan=lifespan)
print("printed at the import")

@app.get("/me", operation_id="whoami")
async def whoami(request: Request) -> str:
    print("printed by a route")
    key = request.headers.get("x-api-key")
    if key not in {"alice", "bob"}:
        raise HTTPException(403, "Who are you?")
    return f"{request.state.greeting}, {key}"

@app.get("/spared", operation_id="spared")
async def spared() -> bool:
    return gc.get_freeze_count() > 50_000

@app.delete("/parts", operation_id="delete_parts")
async def delete_parts(request: Request) -> str:
    if request.headers.get("x-api-key") != "alice":
        raise HTTPException(403, "Only Alice may")
    return "deleted"

@app.get("/near", operation_id="near")
async def near(region: Annotated[str, Query(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    return region

@app.get("/words", operation_id="words")
async def words() -> StreamingResponse:
    async def write():
        for word in ("one ", "two ", "three"):
            yield word
    return StreamingResponse(write(), media_type="text/plain")

@app.get("/wait", operation_id="wait")
async def wait() -> StreamingResponse:
    async def write():
        try:
            yield "begun"
            await anyio.sleep_forever()
        finally:
            (Path(__file__).parent / "left").touch()
    return StreamingResponse(write(), media_type="text/plain")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text(APP, "utf-8")
    return tmp_path


def words_for(folder: Path) -> list[str]:
    header = ("--header", "X-Api-Key: ${KEY}")
    return ["run", "parts:app", "--app-dir", str(folder), "--stdio", *header]


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def said(result: CallToolResult) -> str:
    value: str = json.loads(text(result))
    return value


BLOCKING = """
import time
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from mcp_mount import mount_mcp

@asynccontextmanager
async def lifespan(app):
    yield
    (Path(__file__).parent / "ended").touch()

app = FastAPI(lifespan=lifespan)

@app.get("/blocks", operation_id="blocks")
def blocks() -> None:
    print("blocks now", flush=True)
    time.sleep(60)

mount_mcp(app).server.tool(blocks, name="own_blocks")
"""


@asynccontextmanager
async def fastmcp_client(
    era: Era, words: list[str], **variables: str
) -> AsyncIterator[Client[Any]]:
    transport = StdioTransport(
        MCP_MOUNT[0], [*MCP_MOUNT[1:], *words], env=environment(**variables), keep_alive=False
    )
    async with Client(transport, mode=MODERN if era == "modern" else "legacy") as client:
        yield client


@pytest.mark.parametrize("era", ERAS)
async def test_each_client_acts_with_its_own_key(era: Era, folder: Path) -> None:
    """Stdio: `--header` says who calls; what a caller may not do stays forbidden."""
    words = words_for(folder)
    async with (
        fastmcp_client(era, words, KEY="alice") as alice,
        fastmcp_client(era, words, KEY="bob") as bob,
    ):
        assert said(await alice.call_tool("whoami")) == "Hello, alice"
        assert said(await bob.call_tool("whoami")) == "Hello, bob"
        assert said(await alice.call_tool("delete_parts")) == "deleted"
        refused = await bob.call_tool("delete_parts", raise_on_error=False)
        assert refused.is_error
        assert "Only Alice may" in text(refused)
    assert (folder / "ended").exists()


@pytest.mark.parametrize("era", ERAS)
async def test_a_stream_arrives_as_progress(era: Era, folder: Path) -> None:
    """Stdio: progress comes before the result."""
    pieces: list[str | None] = []

    async def show(progress: float, total: float | None, message: str | None) -> None:
        pieces.append(message)

    async with fastmcp_client(era, words_for(folder), KEY="alice") as client:
        result = await client.call_tool("words", progress_handler=show)
    assert text(result) == "one two three"
    assert "".join(map(str, pieces)) == "one two three"


async def test_the_client_of_the_sdk_lists_and_calls(folder: Path) -> None:
    """Stdio: not FastMCP alone."""
    parameters = StdioServerParameters(
        command=MCP_MOUNT[0],
        args=[*MCP_MOUNT[1:], *words_for(folder)],
        env=environment(KEY="alice"),
    )
    async with (
        stdio_client(parameters) as streams,
        ClientSession(*streams) as session,
    ):
        await session.initialize()
        listed = {tool.name for tool in (await session.list_tools()).tools}
        assert listed == {"whoami", "spared", "delete_parts", "near", "words", "wait"}
        result = await session.call_tool("whoami", {})
        assert result.structured_content == {"result": "Hello, alice"}


@contextmanager
def program(
    *words: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    with subprocess.Popen(
        [*MCP_MOUNT, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, process.stdin, process.stdout
        finally:
            process.kill()


def message(method: str, request: int | None = None, **params: Any) -> str:
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if request is not None:
        body["id"] = request
    return f"{json.dumps(body)}\n"


MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
OPENING = message(
    "initialize",
    1,
    protocolVersion="2025-06-18",
    capabilities={},
    clientInfo={"name": "test", "version": "1"},
)


def say(stdin: IO[str], text: str) -> None:
    stdin.write(text)
    stdin.flush()


@pytest.mark.parametrize("meta", [{}, MODERN_META], ids=["legacy", "modern"])
def test_sigterm_ends_it_in_order_while_a_call_runs(meta: dict[str, Any], folder: Path) -> None:
    """Stdio: the route is left, the lifespan ends, and nothing waits for the client."""
    with program(*words_for(folder), KEY="alice") as (process, stdin, stdout):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        asked = {"name": "wait", "arguments": {}, "_meta": {**meta, "progressToken": "p"}}
        say(stdin, message("tools/call", 2, **asked))
        assert json.loads(stdout.readline())["params"]["message"] == "begun"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert (folder / "left").exists()
    assert (folder / "ended").exists()
    assert "Traceback" not in log
    assert "printed at the import" in log


@pytest.mark.parametrize("meta", [{}, MODERN_META], ids=["legacy", "modern"])
def test_a_cancelled_call_ends_and_is_not_answered(meta: dict[str, Any], folder: Path) -> None:
    """Stdio: `notifications/cancelled` ends it in both eras; others go on."""
    with program(*words_for(folder), KEY="alice") as (process, stdin, stdout):
        say(stdin, OPENING)
        stdout.readline()
        asked = {"name": "wait", "arguments": {}, "_meta": {**meta, "progressToken": "p"}}
        say(stdin, message("tools/call", 2, **asked))
        assert json.loads(stdout.readline())["params"]["message"] == "begun"
        say(stdin, message("notifications/cancelled", requestId=2))
        say(stdin, message("tools/call", 3, name="whoami", arguments={}, _meta=meta))
        assert json.loads(stdout.readline())["id"] == 3
        stdin.close()
        assert process.wait(10) == 0
        assert stdout.read() == ""
    assert (folder / "left").exists()


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("meta", [{}, MODERN_META], ids=["legacy", "modern"])
def test_arguments_that_are_mirrored_in_headers_over_http_are_mirrored(
    meta: dict[str, Any], folder: Path, *, is_listed: bool
) -> None:
    """Stdio: there are no headers on it, and a client need not list the tools first."""
    with program(*words_for(folder), KEY="alice") as (_, stdin, stdout):
        say(stdin, OPENING)
        stdout.readline()
        if is_listed:
            say(stdin, message("tools/list", 2, _meta=meta))
            assert json.loads(stdout.readline())["id"] == 2
        for id_ in (3, 4):
            asked = {"name": "near", "arguments": {"region": "éu"}, "_meta": meta}
            say(stdin, message("tools/call", id_, **asked))
            answer = json.loads(stdout.readline())
            assert (answer["id"], answer.get("error")) == (id_, None)
            assert answer["result"]["structuredContent"] == {"result": "éu"}


def test_nothing_but_messages_is_on_standard_output(folder: Path) -> None:
    """Stdio: what the app prints goes to standard error, and a line that is none is told so."""
    call = message("tools/call", 2, name="whoami", arguments={})
    done = subprocess.run(
        [*MCP_MOUNT, *words_for(folder)],
        check=False,
        input=f"{OPENING}what?\n{call}",
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(KEY="bob"),
    )
    assert done.returncode == 0
    answers = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert answers[None]["error"]["code"] == -32700
    assert answers[2]["result"]["structuredContent"] == {"result": "Hello, bob"}
    assert "printed at the import" in done.stderr
    assert "printed by a route" in done.stderr


async def test_an_endpoint_elsewhere_is_reached_with_a_key(folder: Path) -> None:
    """Stdio: `run URL` carries messages to it, for clients that only start programs."""
    with running("run", "parts:app", "--app-dir", str(folder)) as (url, _):
        words = ["run", f"{url}/mcp", "--stdio", "--header", "X-Api-Key: ${KEY}"]
        for era in ERAS:
            async with fastmcp_client(era, words, KEY="bob") as client:
                assert said(await client.call_tool("whoami")) == "Hello, bob"
    assert "mcp-mount gateway" in run("mcp-mount", "run", "http://localhost:1/mcp").stdout


async def test_collecting_garbage_spares_what_a_command_has_started_with(folder: Path) -> None:
    """F1: what lives as long as the process is not looked at while it serves."""
    async with fastmcp_client("modern", words_for(folder), KEY="bob") as client:
        assert text(await client.call_tool("spared")) == "true"
    with running("run", "parts:app", "--app-dir", str(folder)) as (url, _):
        async with Client(f"{url}/mcp") as client:
            assert text(await client.call_tool("spared")) == "true"


@pytest.mark.parametrize("era", ERAS)
async def test_a_proxy_and_a_gateway_speak_on_stdio(era: Era, tmp_path: Path) -> None:
    """Stdio: the same options, without a port."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(PARTS), "utf-8")
    with served(parts_api()) as upstream:
        words = ["proxy", "--openapi", str(document), "--upstream", upstream, "--stdio"]
        async with fastmcp_client(era, words) as client:
            result = await client.call_tool("list_parts")
            assert text(result) == '"none, none"'
    async with fastmcp_client(era, ["gateway", "--example", "--stdio"]) as client:
        result = await client.call_tool("example_hello_world")
        assert text(result) == "Hello from the example MCP server!"


def test_a_key_of_the_endpoint_is_asked_for(tmp_path: Path) -> None:
    """Stdio: the log says what to give."""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(PARTS), "utf-8")
    words = ["proxy", "--openapi", str(document), "--upstream", "http://localhost:9", "--stdio"]
    done = subprocess.run(
        [*MCP_MOUNT, *words],
        check=False,
        input=OPENING,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(MCP_API_KEY="secret"),
    )
    assert "error" in json.loads(done.stdout)
    assert "answered 401: say who calls, such as with --header" in done.stderr
    done = subprocess.run(
        [*MCP_MOUNT, *words, "--header", "X-Api-Key: other"],
        check=False,
        input=OPENING,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(MCP_API_KEY="secret"),
    )
    assert "answered 401: The key or token in 'x-api-key' is not accepted." in done.stderr


def test_an_app_without_an_endpoint_is_served_with_one(folder: Path) -> None:
    """Run: over HTTP, beside the app's own routes; a function may make the app."""
    with (folder / "parts.py").open("a", encoding="utf-8") as file:
        file.write("\ndef create_app() -> FastAPI:\n    return app\n")
    words = ["run", "parts:create_app", "--app-dir", str(folder), "--exclude", "DELETE *"]
    with running(*words) as (url, lines):
        headers = {"x-api-key": "alice"}
        assert httpx2.get(f"{url}/me", headers=headers).json() == "Hello, alice"
        assert "whoami" in run("fastmcp", "list", f"{url}/mcp").stdout
    assert f"The MCP endpoint is at {url}/mcp" in "".join(lines)
    assert "5 tools at /mcp" in "".join(lines)


def test_the_page_is_switched_off_where_an_app_gets_its_endpoint(folder: Path) -> None:
    """Run: by an option, or by the environment."""
    words, browser = ["run", "parts:app", "--app-dir", str(folder)], {"accept": "text/html"}
    with running(*words) as (url, _):
        assert httpx2.get(f"{url}/mcp", headers=browser).status_code == 200
    for more, variables in ((["--no-page"], {}), ([], {"MCP_NO_PAGE": "1"})):
        with running(*words, *more, **variables) as (url, _):
            assert httpx2.get(f"{url}/mcp", headers=browser).status_code == 405


def test_an_app_with_an_endpoint_keeps_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run: where it is, and as it is; options that it would not hear of stop the start."""
    (folder / "mounted_app.py").write_text(
        "from fastapi import FastAPI\nfrom mcp_mount import mount_mcp\n"
        "app = FastAPI()\nmount_mcp(app, path='/tools')\n",
        "utf-8",
    )
    with running("run", "mounted_app.py", "--app-dir", str(folder)) as (url, lines):
        assert httpx2.get(f"{url}/tools").status_code == 405
    assert f"The MCP endpoint is at {url}/tools" in "".join(lines)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as refused:
        cli.app(["run", "mounted_app", "--app-dir", str(folder), "--exclude", "GET *"])
    assert "calls mount_mcp itself, and would not hear of --exclude" in str(refused.value)
    monkeypatch.setenv("MCP_API_KEY", "secret")
    with pytest.raises(SystemExit) as refused:
        cli.app(["run", "mounted_app", "--app-dir", str(folder)])
    assert "would not hear of MCP_API_KEY" in str(refused.value)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["no_such_module:app"], "There is no module 'no_such_module' in"),
        (["parts:ap"], "'parts' has no 'ap'. Did you mean 'app'?"),
        (["json:loads"], "takes a FastAPI application"),
        (["parts:app", "--stdio", "--header", "X-Key hunter2"], "written with a colon: --header"),
        (["parts:app", "--stdio", "--header", "X-Key: ${NO_SUCH}"], "'NO_SUCH'"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], reason: str, folder: Path) -> None:
    """Run: what to write instead, on standard error."""
    done = run("mcp-mount", "run", *words, "--app-dir", str(folder))
    assert done.returncode == 1
    assert done.stdout.startswith("mcp-mount: ")
    assert reason in done.stdout
    assert "hunter2" not in done.stdout


def test_an_app_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Stdio: the reason is in the log, and the command fails."""
    (tmp_path / "broken.py").write_text(
        "from fastapi import FastAPI\n"
        "async def lifespan(app):\n    raise RuntimeError('no database')\n    yield\n"
        "from contextlib import asynccontextmanager\n"
        "app = FastAPI(lifespan=asynccontextmanager(lifespan))\n",
        "utf-8",
    )
    done = run("mcp-mount", "run", "broken:app", "--app-dir", str(tmp_path), "--stdio")
    assert done.returncode == 1
    assert "no database" in done.stdout
    assert "mcp-mount: The app has not started" in done.stdout


def test_a_changed_file_starts_the_app_anew(folder: Path) -> None:
    """Run: `--reload`, with the options it was given."""
    words = ["run", "parts:app", "--app-dir", str(folder), "--reload", "--exclude", "DELETE *"]
    with running(*words) as (url, _), anyio.from_thread.start_blocking_portal() as portal:
        assert "delete_parts" not in portal.call(names_with, url, "whoami")
        source = (folder / "parts.py").read_text("utf-8")
        source += '\n@app.get("/late", operation_id="late")\nasync def late() -> str: return ""\n'
        (folder / "parts.py").write_text(source, "utf-8")
        assert "late" in portal.call(names_with, url, "late")


async def names(url: str) -> set[str]:
    async with Client(f"{url}/mcp") as client:
        return {tool.name for tool in await client.list_tools()}


async def names_with(url: str, name: str) -> set[str]:
    """Ask until a server that starts has a tool; it refuses connections before."""
    found: set[str] = set()
    with anyio.fail_after(20):
        while name not in found:
            try:
                found = await names(url)
            except (httpx2.HTTPError, RuntimeError):
                await anyio.lowlevel.checkpoint()
    return found


def flood(begin: bytes, part: bytes, kind: str, **headers: str) -> Callable[[object], Response]:
    async def write() -> AsyncIterator[bytes]:
        yield begin
        while True:
            yield part
            await anyio.lowlevel.checkpoint()

    return lambda _: StreamingResponse(write(), media_type=kind, headers=headers)


EVENTS, JSON = "text/event-stream", "application/json"
EXCESS = {
    "line": flood(b"data: ", b"A" * 65_536, EVENTS),
    "lines": flood(b"", b"data: \n" * 10_000, EVENTS),
    "values": flood(b"data: [", b"[]," * 20_000, EVENTS),
    "body": flood(b"", b" " * 65_536, JSON),
    "list": flood(b"[", b"[]," * 20_000, JSON),
    "compressed": flood(b"", b" " * 65_536, JSON, **{"content-encoding": "gzip"}),
    "compressed events": flood(b"", b" " * 65_536, EVENTS, **{"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", EXCESS)
@pytest.mark.parametrize("modern", [True, False])
def test_an_answer_without_an_end_ends_the_request_that_it_is_for(
    kind: str, *, modern: bool
) -> None:
    """Stdio: `run URL` kept all of it."""
    meta = MODERN_META if modern else {}
    with (
        raw([], modern=modern, list=EXCESS[kind], call={"content": []}) as (_, url),
        program("run", url, "--stdio") as (process, stdin, stdout),
    ):
        if not modern:
            say(stdin, OPENING)
            assert json.loads(stdout.readline())["id"] == 1
        # It has no more memory than for an answer; one without an end takes whatever there is.
        resource.prlimit(process.pid, resource.RLIMIT_AS, (2**30, 2**30))
        say(stdin, message("tools/list", 2, _meta=meta))
        answer = json.loads(stdout.readline())
        assert answer["id"] == 2
        assert re.search("byte limit|larger than|too many|compressed", answer["error"]["message"])
        say(stdin, message("tools/call", 3, name="t", arguments={}, _meta=meta))
        assert json.loads(stdout.readline())["id"] == 3
        stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("version", "session"),
    [({"a": 1}, "s"), ("x\r\nY: z", "s"), ("\u00e9", "s"), ("2025-06-18", "\u00e9")],
)
def test_what_an_endpoint_says_first_goes_into_no_header_that_cannot_be_written(
    version: object, session: str
) -> None:
    """Stdio: `run URL` ended with a traceback."""
    opened = {"protocolVersion": version, "capabilities": {}, "serverInfo": {}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": opened}
    headers = {"mcp-session-id": session}
    with (
        raw([], modern=False, initialize=JSONResponse(answer, headers=headers)) as (_, url),
        program("run", url, "--stdio") as (process, stdin, stdout),
    ):
        say(stdin, OPENING)
        assert json.loads(stdout.readline()) == answer
        say(stdin, message("tools/list", 2))
        assert json.loads(stdout.readline())["id"] == 2
        stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("tool", "end"), [("blocks", "signal"), ("own_blocks", "signal"), ("blocks", "input")]
)
def test_what_runs_in_a_thread_does_not_keep_it(tool: str, end: str, tmp_path: Path) -> None:
    """F6: the lifespan ends, and then the process, whatever a thread still does."""
    (tmp_path / "blocking.py").write_text(BLOCKING, "utf-8")
    words = ["run", "blocking:app", "--app-dir", str(tmp_path), "--stdio"]
    with program(*words) as (process, stdin, stdout):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        say(stdin, message("tools/call", 2, name=tool, arguments={}))
        assert process.stderr is not None
        assert any("blocks now" in line for line in process.stderr)
        if end == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            stdin.close()
        assert process.wait(20) == 0
    assert (tmp_path / "ended").exists()
