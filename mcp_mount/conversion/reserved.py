"""Which parameters of an operation are never a model's to fill."""

import re

from mcp_mount.backends.request import ROUTING_OVERRIDES
from mcp_mount.conversion.encoding import METHOD_FIELD
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.parameters import Parameter

# Headers that carry who the caller is. They come from the caller's request, never from a model.
_CREDENTIAL_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie", "api-key", "apikey", "x-api-key"),
        *("x-apikey", "x-auth-token", "x-access-token", "x-amz-security-token", "x-csrf-token"),
        *("x-xsrf-token", "x-session-id", "x-session-token", "x-goog-api-key", "x-token"),
        # What a proxy in front of the app says of the caller, which the caller cannot say itself.
        *("forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "x-remote-user"),
        *("remote-user", "remote-groups", "remote-email", "remote-name", "x-user", "x-user-id"),
        *("x-authenticated-user", "x-webauth-user", "x-original-forwarded-for"),
    }
)
_CREDENTIAL_PREFIXES = (
    *("x-forwarded-", "x-auth-request-", "x-remote-", "cf-", "x-ms-client-principal"),
    *("x-amzn-oidc-", "x-goog-authenticated-user-", "x-goog-iap-"),
)
# What a middleware routes by in place of the method and the path: no tool may become another one.
_OVERRIDES = frozenset({*(("header", name) for name in ROUTING_OVERRIDES), ("query", METHOD_FIELD)})
_SESSION_COOKIES = re.compile(r"(.*[-_.])?(session|sessionid|sid|token|auth|jwt)([-_.]?id)?")


def is_reserved(parameter: Parameter, operation: Operation) -> bool:
    """Whether a parameter carries a credential, or overrides the method or path."""
    name = parameter.name.lower()
    if parameter.location == "header":
        if name in _CREDENTIAL_HEADERS or name.startswith(_CREDENTIAL_PREFIXES):
            return True
    elif parameter.location == "cookie" and _SESSION_COOKIES.fullmatch(name):
        return True
    key = (parameter.location, name)
    return key in operation.credentials or key in _OVERRIDES
