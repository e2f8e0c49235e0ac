"""Completes the arguments of resource templates, where their values are few."""

from typing import Any

import mcp_types
from fastmcp import FastMCP

from mcp_mount.access.auth import granted_scopes, scopes_to_request
from mcp_mount.server import low_level_server
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.resources import OperationTemplate


def offer_completion(server: FastMCP[Any], provider: OperationProvider) -> None:
    """Answer ``completion/complete`` if there is something to complete, and the user does not."""
    if low_level_server(server).get_request_handler("completion/complete") is not None:
        return
    if not any(each.has_choices for each in _templates(provider)):
        return

    def complete(
        reference: mcp_types.PromptReference | mcp_types.ResourceTemplateReference,
        argument: mcp_types.CompletionArgument,
        context: mcp_types.CompletionContext | None,  # noqa: ARG001 - FastMCP's signature
    ) -> list[str]:
        if not isinstance(reference, mcp_types.ResourceTemplateReference):
            return []
        return [
            value
            for each in _templates(provider)
            if each.uri_template == reference.uri
            and not scopes_to_request(each.scopes, granted_scopes.get())
            for value in each.choices(argument.name)
            if value.startswith(argument.value)
        ]

    server.add_completion_handler(complete)


def _templates(provider: OperationProvider) -> list[OperationTemplate]:
    return [each for each in provider.resources() if isinstance(each, OperationTemplate)]
