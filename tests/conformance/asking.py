"""Fixtures of 2026-07-28: tools that answer with a question first (SEP-2322)."""

from typing import Any

from fastmcp import Context, FastMCP
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)


def add_asking_tools(server: FastMCP) -> None:
    add_tools_of_one_question(server)
    add_tools_with_state(server)
    add_tool_that_knows_its_client(server)


def add_tools_of_one_question(server: FastMCP) -> None:

    @server.tool
    @server.tool(name="test_streaming_elicitation")
    async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
        """Ask for a name."""
        name = answer(ctx, "user_name", "name")
        return f"Hello, {name}!" if name else ask({"user_name": form("What is your name?", "name")})

    @server.tool
    async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
        """Ask the client's model."""
        said = (ctx.input_responses or {}).get("capital_question")
        if isinstance(said, CreateMessageResult):
            return f"It said: {said.content}"
        return ask({"capital_question": sample("What is the capital of France?")})

    @server.tool
    async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
        """Ask for the client's roots."""
        listed = (ctx.input_responses or {}).get("client_roots")
        if isinstance(listed, ListRootsResult):
            return f"Roots: {[str(root.uri) for root in listed.roots]}"
        return ask({"client_roots": ListRootsRequest()})


def add_tools_with_state(server: FastMCP) -> None:
    @server.tool
    @server.tool(name="test_input_required_result_tampered_state")
    async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
        """Ask, and know the question again."""
        if ctx.request_state == "asked" and answer(ctx, "confirm", "ok") is not None:
            return "state-ok"
        return ask({"confirm": form("Please confirm", "ok", of="boolean")}, "asked")

    @server.tool
    async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
        """Ask three things at once."""
        questions: dict[str, InputRequest] = {
            "user_name": form("What is your name?", "name"),
            "greeting": sample("Generate a greeting"),
            "client_roots": ListRootsRequest(),
        }
        if ctx.request_state == "asked" and questions.keys() <= (ctx.input_responses or {}).keys():
            return "All three were answered."
        return ask(questions, "asked")

    @server.tool
    async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
        """Ask two things, one after the other."""
        if ctx.request_state == "second" and (color := answer(ctx, "step2", "color")):
            return f"The color is {color}."
        if ctx.request_state == "first" and answer(ctx, "step1", "name"):
            return ask({"step2": form("Step 2: What is your favorite color?", "color")}, "second")
        return ask({"step1": form("Step 1: What is your name?", "name")}, "first")


def add_tool_that_knows_its_client(server: FastMCP) -> None:
    @server.tool
    async def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
        """Ask only what the client can answer."""
        questions: dict[str, InputRequest] = {}
        if supports(ctx, "sampling"):
            questions["greeting"] = sample("Generate a greeting")
        if supports(ctx, "elicitation"):
            questions["user_name"] = form("What is your name?", "name")
        return ask(questions) if questions else "The client can be asked nothing."


def supports(ctx: Context, name: str) -> bool:
    return getattr(ctx.session.client_capabilities, name, None) is not None


def ask(questions: dict[str, InputRequest], state: str | None = None) -> InputRequiredResult:
    return InputRequiredResult(input_requests=questions, request_state=state)


def form(message: str, key: str, *, of: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {key: {"type": of}}, "required": [key]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=prompt))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=100)
    )


def answer(ctx: Context, question: str, key: str) -> Any:
    """Return what the client filled into a form; None if it has not been asked or did not say."""
    said = (ctx.input_responses or {}).get(question)
    return (said.content or {}).get(key) if isinstance(said, ElicitResult) else None
