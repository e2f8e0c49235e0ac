"""Completions of arguments, asked of the server whose prompt or template it is."""

from typing import Any, Final

from fastmcp import FastMCP
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    CompleteResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from mcp_mount.errors import Busy
from mcp_mount.remotes.binding import NotForwarded
from mcp_mount.remotes.bounds import MAX_INTEGER
from mcp_mount.remotes.resources import RemotePrompt, RemoteTemplate
from mcp_mount.remotes.text import clean_json
from mcp_mount.remotes.tool import admit
from mcp_mount.tools.context import current_context

_MAX_VALUES: Final = 100
"""As many as MCP allows ("Completion")."""

_MAX_VALUE: Final = 1_000
"""Characters of a value; what is longer is left out, as it is sent back whole."""


def complete_with_remotes(server: FastMCP[Any]) -> None:
    """Have a server complete arguments of other servers' prompts and templates.

    A handler that its user adds takes the place of this one.
    """

    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        given: CompletionContext | None,
    ) -> Completion | None:
        component = await _find(server, ref)
        if component is None or not component.binding.monitor.offer.catalog.lists.has_completions:
            return None
        return await _complete(component, argument, given)

    server.add_completion_handler(complete)


async def _find(
    server: FastMCP[Any], ref: PromptReference | ResourceTemplateReference
) -> RemotePrompt | RemoteTemplate | None:
    """Return the prompt or template, if it is another server's, and the caller may use it."""
    if isinstance(ref, PromptReference):
        prompt = await server.get_prompt(ref.name)
        return prompt if isinstance(prompt, RemotePrompt) else None
    for template in await server.list_resource_templates():
        if template.uri_template == ref.uri and isinstance(template, RemoteTemplate):
            return template
    return None


async def _complete(
    component: RemotePrompt | RemoteTemplate,
    argument: CompletionArgument,
    given: CompletionContext | None,
) -> Completion:
    named = {"name": argument.name, "value": argument.value}
    others = given.arguments if given is not None else None
    context = current_context()
    try:
        async with admit(component.binding, context) as trace:
            answer = await component.binding.forward(
                lambda session, _: session.complete(component.reference, named, others),
                context,
                trace,
            )
    except (Busy, NotForwarded) as refused:
        # FastMCP would answer with less, and write a traceback.
        raise MCPError(code=INTERNAL_ERROR, message=str(refused)) from None
    if not isinstance(answer, CompleteResult):
        message = "The server asks something first, which is refused here."
        raise MCPError(code=INTERNAL_ERROR, message=message)
    completion = answer.completion
    values = [each for each in completion.values if len(each) <= _MAX_VALUE][:_MAX_VALUES]
    total = completion.total
    told = total if total is not None and 0 <= total <= MAX_INTEGER else None
    return completion.model_copy(update={"values": clean_json(values), "total": told})
