"""A user's own tools, prompts and resources beside the operations, on `Mounted.server`."""

import io
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.exceptions import PromptError, ToolError
from fastmcp.server.transforms import ToolTransform
from fastmcp.tools.tool_transform import ArgTransformConfig, ToolTransformConfig
from pydantic import BaseModel, Field

from mcp_mount import Mounted, mount_mcp
from tests.starting import started
from tests.support import ERAS, Era, call, rpc, tools


class Part(BaseModel):
    name: str


class Order(BaseModel):
    parts: list[Part]


def mounted_app() -> tuple[FastAPI, Mounted]:
    """Return an app with the operation ``search``, and what was mounted."""
    app = FastAPI()

    @app.get("/search")
    async def search(text: str) -> list[str]:
        return [text]

    return app, mount_mcp(app)


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_a_prompt_and_a_resource_of_ones_own_work(era: Era) -> None:
    """X2: whatever FastMCP offers stands beside the operations."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @mounted.server.prompt
    def greet(name: str) -> str:
        return f"Greet {name}."

    @mounted.server.resource("kb://hints")
    def hints() -> str:
        return "Be brief."

    assert set(await tools(app, era=era)) == {"search", "add"}
    assert (await call(app, "add", {"a": 1, "b": 2}, era=era)).text_content == "3"
    assert (await call(app, "search", {"text": "x"}, era=era)).text_content == '["x"]'
    prompt = await rpc(app, era, "prompts/get", {"name": "greet", "arguments": {"name": "Ada"}})
    assert prompt.result["messages"][0]["content"]["text"] == "Greet Ada."
    headers = {"mcp-name": "kb://hints"} if era == "modern" else {}
    resource = await rpc(app, era, "resources/read", {"uri": "kb://hints"}, headers=headers)
    assert resource.result["contents"][0]["text"] == "Be brief."


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_of_the_same_name_takes_the_operations_place(era: Era) -> None:
    """One mapping: what is listed is what is called, and a name is listed once."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def search(words: list[str]) -> str:
        """Search with care."""
        return " ".join(words)

    reply = await rpc(app, era, "tools/list")
    (listed,) = reply.result["tools"]
    assert listed["description"] == "Search with care."
    assert set(listed["inputSchema"]["properties"]) == {"words"}
    assert (await call(app, "search", {"words": ["a", "b"]}, era=era)).text_content == "a b"


@pytest.mark.parametrize("era", ERAS)
async def test_what_an_own_tool_raises_does_not_reach_the_client(era: Era) -> None:
    """R3: but what it says with a `ToolError` does."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def leaky() -> int:
        raise RuntimeError("postgres://user:hunter2@db/prod")

    @mounted.server.tool
    async def frank() -> int:
        raise ToolError("Ask for less.")

    leak = await call(app, "leaky", era=era)
    assert leak.is_error
    assert "hunter2" not in leak.text
    assert (await call(app, "frank", era=era)).text_content == "Ask for less."


@pytest.mark.parametrize("era", ERAS)
async def test_what_an_own_prompt_raises_does_not_reach_the_client(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """R3: but to the log; what it says with a `PromptError`, and what FastMCP tells, does."""
    app, mounted = mounted_app()
    inner: FastMCP[Any] = FastMCP("inner", mask_error_details=True)
    mounted.server.mount(inner, namespace="in")

    @inner.prompt
    @mounted.server.prompt
    def leaky(count: int = 1) -> str:
        raise ValueError(f"postgres://user:hunter2@db/prod {count}")

    @mounted.server.prompt
    async def frank(topic: str) -> str:
        raise PromptError(f"Nothing on {topic}: ask for less.") from RuntimeError("ask for less.")

    async def got(name: str, **arguments: str) -> tuple[int, str]:
        reply = await rpc(app, era, "prompts/get", {"name": name, "arguments": arguments})
        assert "hunter2" not in reply.text
        return reply.answer["error"]["code"], reply.answer["error"]["message"]

    for name in ("leaky", "in_leaky"):
        caplog.clear()
        assert await got(name) == (-32603, f"Error rendering prompt {name!r}")
        (logged,) = [record for record in caplog.records if record.name == "mcp_mount"]
        assert logged.exc_info is not None
        assert "hunter2" in str(logged.exc_info[1])
    assert await got("frank", topic="tea") == (-32603, "Nothing on tea: ask for less.")
    assert await got("frank") == (-32602, "Missing required arguments: {'topic'}")
    assert await got("nothing") == (-32602, "Unknown prompt: 'nothing'")
    said = (await got("leaky", count="many"))[1]
    assert said.startswith("Could not convert argument 'count' with value 'many'")


def text_of(logger: logging.Logger, request: pytest.FixtureRequest) -> io.StringIO:
    """Return what the logger's records are written to, as text, until the test is over."""
    handler = logging.StreamHandler(text := io.StringIO())
    logger.addHandler(handler)
    request.addfinalizer(lambda: logger.removeHandler(handler))
    return text


@pytest.mark.in_process
async def test_what_an_own_tool_raises_is_logged_soon(request: pytest.FixtureRequest) -> None:
    """F1: a `KeyError` of a megabyte was drawn in colours for a second, on the event loop."""
    logged = text_of(logging.getLogger("fastmcp"), request)
    app, mounted = mounted_app()

    @mounted.server.tool
    async def price(city: str) -> int:
        return {"Ulm": 3}[city]

    # What is imported with the first is not measured.
    await call(app, "price", {"city": "x"})
    logged.truncate(logged.seek(0))
    begun = time.thread_time()
    reply = await call(app, "price", {"city": "x" * 1_000_000})
    assert time.thread_time() - begun < 0.3
    assert reply.text_content == "Error calling tool 'price'"
    text = logged.getvalue()
    assert text.startswith("Error calling tool 'price'\nTraceback")
    assert "in price" in text
    assert "KeyError: 'xxxx" in text
    assert len(text) < 10_000


@pytest.mark.in_process
@pytest.mark.parametrize("length", [400, 2_000, 1_000_000])
async def test_digits_that_an_own_component_raises_are_logged_soon(length: int) -> None:
    """F1: the patterns for colours take longer with the square of the digits in a row."""
    app, mounted = mounted_app()
    digits = "1" * length

    @mounted.server.tool
    async def price(city: str) -> int:
        try:
            return {"Ulm": 3}[city]
        except KeyError as error:
            raise ValueError(city) from error

    @mounted.server.prompt
    def priced(city: str) -> str:
        return {"Ulm": "3"}[city]

    await call(app, "price", {"city": "1"})
    begun = time.thread_time()
    await call(app, "price", {"city": digits})
    await rpc(app, "modern", "prompts/get", {"name": "priced", "arguments": {"city": digits}})
    assert time.thread_time() - begun < 0.2


@pytest.mark.parametrize("era", ERAS)
async def test_what_an_own_prompt_raises_is_logged_shortly(
    era: Era, request: pytest.FixtureRequest
) -> None:
    """F1: as what tools and resources raise; it was a megabyte for each request of one."""
    logged = text_of(logging.getLogger("mcp_mount"), request)
    app, mounted = mounted_app()

    @mounted.server.prompt
    def price(city: str) -> str:
        return {"Ulm": "3"}[city]

    params = {"name": "price", "arguments": {"city": "x" * 1_000_000}}
    await rpc(app, era, "prompts/get", params)
    text = logged.getvalue()
    assert text.startswith("The prompt 'price' has failed\nTraceback")
    assert "in price" in text
    assert "KeyError: 'xxxx" in text
    assert len(text) < 10_000


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_argument_of_a_changed_tool_is_told_and_not_logged(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """R2: FastMCP logged a traceback with the caller's line breaks, and told the caller nothing."""
    caplog.set_level(logging.INFO)
    app, mounted = mounted_app()
    words = ArgTransformConfig(name="words")
    config = ToolTransformConfig(name="find", arguments={"text": words})
    mounted.server.add_transform(ToolTransform({"search": config}))
    assert (await call(app, "find", {"words": "x"}, era=era)).text_content == '["x"]'
    caplog.clear()
    forged = "a\nINFO: forged"
    unknown = await call(app, "find", {"words": "x", forged: 1}, era=era)
    assert unknown.is_error
    expected = f"Unknown argument {forged!r}. The tool takes: 'words'."
    assert unknown.text_content == expected
    missing = await call(app, "find", era=era)
    assert missing.is_error
    assert missing.text_content == "Missing argument 'words'."
    assert "\n" not in caplog.text.removesuffix("\n").replace("\nINFO ", "")
    outcomes = [record.call["outcome"] for record in caplog.records if hasattr(record, "call")]
    assert outcomes == ["refused", "refused"]


@pytest.mark.parametrize("era", ERAS)
async def test_references_in_the_schema_of_an_own_tool_are_inlined(era: Era) -> None:
    """P1: as in those of the operations; some clients do not follow them."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def place(order: Order) -> Order:
        return order

    listed = (await tools(app, era=era))["place"]
    assert "$ref" not in str(listed)
    order = listed["inputSchema"]["properties"]["order"]
    assert order["properties"]["parts"]["items"]["properties"]["name"]["type"] == "string"
    reply = await call(app, "place", {"order": {"parts": [{"name": "bolt"}]}}, era=era)
    assert reply.result["structuredContent"] == {"parts": [{"name": "bolt"}]}


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_of_ones_own_is_mounted_with_its_lifespan(era: Era) -> None:
    """M2: `Mounted.server.mount`, under a namespace."""
    app, mounted = mounted_app()
    running: list[str] = []

    @asynccontextmanager
    async def lifespan(server: FastMCP[Any]) -> AsyncIterator[None]:
        running.append(server.name)
        yield
        running.clear()

    inner: FastMCP[Any] = FastMCP("inner", lifespan=lifespan, mask_error_details=True)

    @inner.tool
    async def who() -> list[str]:
        return running

    mounted.server.mount(inner, namespace="in")
    async with started(app) as served:
        assert set(await tools(served, era=era)) == {"search", "in_who"}
        reply = await call(served, "in_who", era=era)
    assert reply.result["structuredContent"] == {"result": ["inner"]}
    assert running == []


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_may_be_added_while_the_server_runs(era: Era) -> None:
    """M4."""
    app, mounted = mounted_app()
    async with started(app) as served:
        assert set(await tools(served, era=era)) == {"search"}

        @mounted.server.tool
        async def late() -> str:
            return "late"

        assert set(await tools(served, era=era)) == {"search", "late"}
        assert (await call(served, "late", era=era)).text_content == "late"


@pytest.mark.parametrize("era", ERAS)
async def test_an_operation_can_be_hidden_as_any_tool_of_fastmcp(era: Era) -> None:
    """One mapping: what the server's owner disables is not listed and cannot be called."""
    app, mounted = mounted_app()
    mounted.server.disable(names={"search"})
    assert await tools(app, era=era) == {}
    reply = await call(app, "search", {"text": "x"}, era=era)
    assert reply.answer["error"]["code"] == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_many_wrong_arguments_of_an_own_tool_are_one_error(era: Era) -> None:
    """F1: of 100,000, pydantic wrote 21 MB, on the event loop."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def total(numbers: list[int], unit: Literal[1, 10, 100] = 1) -> int:
        return sum(numbers) * unit

    many = await call(app, "total", {"numbers": [1] * 20_000, "unit": 10}, era=era)
    assert many.text_content == "200000"
    few = await call(app, "total", {"numbers": ["x", "2"]}, era=era)
    assert few.is_error
    assert "numbers.0" in few.text_content
    wrong: dict[str, dict[str, Any]] = {
        "numbers": {"numbers": [*range(5_000), *["x"] * 5_000]},
        "n0": {f"n{each}": 1 for each in range(5_000)},
    }
    for name, arguments in wrong.items():
        reply = await call(app, "total", arguments, era=era)
        assert reply.is_error
        assert reply.text_content.startswith(f"The argument {name!r} is not as")
        assert len(reply.text_content) < 500


@pytest.mark.in_process
async def test_many_prices_are_soon_compared_with_what_they_are_multiples_of() -> None:
    """F1: 50,000 of an own tool took the validator 0.07 s, those of 1e-300 half a second."""
    app, mounted = mounted_app()
    smallest = 1e-300

    @mounted.server.tool
    async def total(
        prices: list[Annotated[float, Field(multiple_of=0.01)]],
        tiny: list[Annotated[float, Field(multiple_of=smallest)]] = [],  # noqa: B006
    ) -> int:
        return len(prices) + len(tiny)

    prices = [each * 0.01 for each in range(1_000, 50_000)]
    fractions = [each / 7 for each in range(1, 50_000)]
    begun = time.process_time()
    reply = await call(app, "total", {"prices": prices, "tiny": fractions})
    assert reply.text_content == "98999"
    assert time.process_time() - begun < 0.5
    wrong = await call(app, "total", {"prices": [*prices, 0.015]})
    assert wrong.text_content.startswith("The argument 'prices' is not as")


@pytest.mark.parametrize("era", ERAS)
async def test_nobody_is_told_of_the_arguments_of_an_own_tool_that_is_hidden(era: Era) -> None:
    """C2: it is unknown, whatever it is called with."""
    app, mounted = mounted_app()

    @mounted.server.tool(auth=lambda _: False)
    async def secret(numbers: list[int]) -> int:
        return len(numbers)

    reply = await rpc(
        app, era, "tools/call", {"name": "secret", "arguments": {"numbers": ["x"] * 2_000}}
    )
    assert "Unknown tool: 'secret'" in reply.text
    assert "inputSchema" not in reply.text


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_much_in_an_argument_of_an_own_prompt_is_not_parsed(era: Era) -> None:
    """F1: 400,000 wrong numbers in one text took two seconds, and 88 MB of answer."""
    app, mounted = mounted_app()

    @mounted.server.prompt
    async def sum_up(numbers: list[int]) -> str:
        return str(len(numbers))

    @mounted.server.prompt
    async def explain(text: Annotated[str, "JSON"], also: str | None = None) -> str:
        return f"{len(text)} {also and len(also)}"

    # As they are written after `from __future__ import annotations`.
    @mounted.server.prompt
    async def review(
        code: "Annotated[str, Field(description='Python')]", also: "str | None" = None
    ) -> str:
        return f"{len(code)} {also and len(also)}"

    async def get(name: str, **arguments: str) -> Any:
        params = {"name": name, "arguments": arguments}
        return (await rpc(app, era, "prompts/get", params)).messages[0]

    assert "'2'" in str(await get("sum_up", numbers="[1,2]"))
    text = f"[{','.join(['1'] * 6_000)}]"
    assert "'12001 12001'" in str(await get("explain", text=text, also=text))
    assert "'12001 12001'" in str(await get("review", code=text, also=text))
    refused = await get("sum_up", numbers=text)
    assert refused["error"]["code"] == -32602
    assert refused["error"]["message"] == "The argument 'numbers' has more than 5,000 JSON values."
