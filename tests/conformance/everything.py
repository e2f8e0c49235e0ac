"""The app that the official conformance suite is run against: each fixture by the name it wants.

What a route can answer is a route. Own tools, prompts and resources are what only they can be:
those that ask the client something, or send it log messages.
"""

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import anyio
from fastapi import Body, FastAPI, HTTPException, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastmcp import Context, FastMCP
from fastmcp.prompts import Message
from fastmcp.server.middleware import Middleware
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

from mcp_mount import Tasks, mount_mcp
from tests.conformance.asking import add_asking_tools, answer, ask, form, supports

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
WAV: Final = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16, b"data", 0
)
_PAUSE: Final = 0.05
"""Seconds between two notifications, as the suite wants them."""


def everything_app(
    *, sessions: bool = False, seen_by_middleware: bool = False, tasks: bool = False
) -> FastAPI:
    """Return the app; FastMCP middleware sees every message, so that FastMCP answers it."""
    app = FastAPI(title="Everything")
    add_routes(app)
    if tasks:
        add_long_work(app)
    server = mount_mcp(app, sessions=sessions, tasks=Tasks() if tasks else None).server
    if seen_by_middleware:
        server.add_middleware(Middleware())
    add_talking_tools(server)
    add_asking_tools(server)
    add_resources(server)
    add_prompts(server)
    return app


def add_long_work(app: FastAPI) -> None:
    """Add what the scenarios of the tasks extension start."""

    @app.get("/greet")
    async def greet(name: str) -> PlainTextResponse:
        """Greet somebody."""
        return PlainTextResponse(f"Hello, {name}!")

    @app.post("/slow", operation_id="slow_compute", openapi_extra={"x-mcp": {"task": True}})
    async def slow_compute(
        seconds: Annotated[float, Body()], label: Annotated[str, Body()]
    ) -> PlainTextResponse:
        """Work for some seconds."""
        await anyio.sleep(seconds)
        return PlainTextResponse(f"{label} is done.")

    @app.post("/failing", operation_id="failing_job", openapi_extra={"x-mcp": {"task": True}})
    async def failing_job() -> None:
        """Fail."""
        raise HTTPException(409, "It cannot be done.")


def add_routes(app: FastAPI) -> None:
    @app.get("/near")
    async def near(
        region: Annotated[str, Query(json_schema_extra={"x-mcp-header": "Region"})],
    ) -> PlainTextResponse:
        """Return a text that the client says in a header too."""
        return PlainTextResponse(region)

    @app.get("/text")
    async def test_simple_text() -> PlainTextResponse:
        """Return a text."""
        return PlainTextResponse("This is a simple text response for testing.")

    @app.get("/image")
    async def test_image_content() -> Response:
        """Return an image."""
        return Response(PNG, media_type="image/png")

    @app.get("/audio")
    async def test_audio_content() -> Response:
        """Return a sound."""
        return Response(WAV, media_type="audio/wav")

    @app.get("/document")
    async def test_embedded_resource() -> Response:
        """Return a document."""
        return Response(b"%PDF-1.7", media_type="application/pdf")

    @app.get("/error")
    async def test_error_handling() -> None:
        """Fail."""
        raise HTTPException(400, "This tool intentionally returns an error for testing")

    @app.get("/progress")
    async def test_tool_with_progress() -> StreamingResponse:
        """Count to a hundred."""

        async def count() -> AsyncIterator[str]:
            for done in ("0", "50", "100"):
                yield f"{done} of 100\n"
                await anyio.sleep(_PAUSE)

        return StreamingResponse(count(), media_type="text/plain")


def add_talking_tools(server: FastMCP) -> None:
    """Tools of several kinds of content, and those that talk to the client while they work."""

    @server.tool
    async def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        """Return a text, an image and a resource."""
        return [TextContent(text="Multiple content types test:"), image(), embedded('{"value": 1}')]

    @server.tool
    @server.tool(name="test_logging_tool")
    async def test_tool_with_logging(ctx: Context) -> str:
        """Send three log messages."""
        for message in ("execution started", "processing data", "execution completed"):
            await ctx.info(f"Tool {message}")
            await anyio.sleep(_PAUSE)
        return "Logged three messages."

    @server.tool
    async def test_sampling(prompt: str, ctx: Context) -> str:
        """Ask the client's model."""
        said = await ctx.session.create_message(
            [SamplingMessage(role="user", content=TextContent(text=prompt))],
            max_tokens=100,
            related_request_id=ctx.request_id,
        )
        return f"LLM response: {said.content}"

    @server.tool
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Ask the user for a name and an address."""
        return await elicit(
            ctx, message, username={"type": "string"}, email={"type": "string"}, required=True
        )

    @server.tool
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Ask the user, with defaults for all types (SEP-1034)."""
        return await elicit(
            ctx,
            "Are these right?",
            name={"type": "string", "default": "John Doe"},
            age={"type": "integer", "default": 30},
            score={"type": "number", "default": 95.5},
            status=choice("active", "inactive", "pending") | {"default": "active"},
            verified={"type": "boolean", "default": True},
        )

    @server.tool
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        """Ask the user, with all forms of a choice (SEP-1330)."""
        options = choice("option1", "option2", "option3")
        titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
        names = ["Option One", "Option Two", "Option Three"]
        return await elicit(
            ctx,
            "Which ones?",
            untitledSingle=options,
            titledSingle={"type": "string", "oneOf": titled},
            legacyEnum=choice("opt1", "opt2", "opt3") | {"enumNames": names},
            untitledMulti={"type": "array", "items": options},
            titledMulti={"type": "array", "items": {"anyOf": titled}},
        )

    @server.tool
    async def test_missing_capability(ctx: Context) -> str:
        """Need a client that can sample."""
        if not supports(ctx, "sampling"):
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                "This tool needs a client that can sample.",
                {"requiredCapabilities": {"sampling": {}}},
            )
        return "The client can sample."


def add_resources(server: FastMCP) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    async def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> bytes:
        return PNG

    @server.resource("test://watched-resource", mime_type="text/plain")
    async def watched_resource() -> str:
        return "This would change."

    @server.resource("test://template/{id}/data", mime_type="application/json")
    async def template(id: str) -> str:  # noqa: A002 - the suite's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def add_prompts(server: FastMCP) -> None:
    @server.prompt
    async def test_simple_prompt() -> str:
        """Return one message."""
        return "This is a simple prompt for testing."

    @server.prompt
    async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Return a message with both arguments in it."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt
    async def test_prompt_with_embedded_resource(
        resourceUri: str,  # noqa: N803 - the suite's name
    ) -> list[Message]:
        """Return a resource and what to do with it."""
        resource = embedded("Embedded resource content for testing.", resourceUri)
        return [Message(resource), Message("Please process the embedded resource above.")]

    @server.prompt
    async def test_prompt_with_image() -> list[Message]:
        """Return an image and what to do with it."""
        return [Message(image()), Message("Please analyze the image above.")]

    @server.prompt
    async def test_input_required_result_prompt(ctx: Context) -> str | InputRequiredResult:
        """Ask for the context of the prompt."""
        context = answer(ctx, "user_context", "context")
        if context:
            return f"Answer in the context of {context}."
        return ask({"user_context": form("What context should the prompt use?", "context")})

    @server.completion
    async def complete(*_: object) -> list[str]:
        return ["test", "testing"]


def image() -> ImageContent:
    return ImageContent(data=base64.b64encode(PNG).decode(), mime_type="image/png")


def embedded(text: str, uri: str = "test://mixed-content-resource") -> EmbeddedResource:
    return EmbeddedResource(
        resource=TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    )


def choice(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": [*values]}


async def elicit(
    ctx: Context, message: str, *, required: bool = False, **properties: dict[str, Any]
) -> str:
    """Ask the client while the call runs, as the handshake versions do."""
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = [*properties]
    said = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"Elicitation completed: action={said.action}, content={json.dumps(said.content)}"
