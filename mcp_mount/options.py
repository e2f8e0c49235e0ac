"""The options that all commands have, from the command line or the environment."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def split_lines(_: object, value: str, **__: object) -> list[str]:
    """Split a variable by line breaks and commas; a blank one is not set."""
    parts = value.replace(",", "\n").split("\n")
    return [part.strip() for part in parts if part.strip()]


def strip_blank(_: object, value: str, **__: object) -> list[str]:
    """Take a variable as one value; a blank one is not set."""
    return [value.strip()] if value.strip() else []


def variable(name: str, **more: Any) -> Parameter:
    """Return what makes an option one of the environment, too; a blank variable is not set."""
    return Parameter(env_var=name, **{"env_var_split": strip_blank, **more})


def several(name: str) -> Parameter:
    """Return what makes an option one that may be given several times."""
    return variable(name, env_var_split=split_lines, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Who may call, what is offered to them, and how.

    Attributes:
        host: The address to listen on; 0.0.0.0 stands for all of the machine's.
        mcp_api_key: The key that callers must show, as "Authorization: Bearer KEY" or
            "X-Api-Key: KEY"; from the environment only, where other users cannot read it.
        auth_issuer: Accept access tokens (JWT) of this issuer; needs --auth-audience and
            --auth-jwks-url.
        auth_audience: What the tokens' "aud" must name.
        auth_jwks_url: Where the issuer's public keys are.
        auth_scope: Have clients ask for this scope when their users sign in.
        auth_scope_prefix: What stands before a scope where a client asks for it, and not in the
            token: "api://CLIENT-ID/" with Entra ID.
        no_auth: Let everyone in who reaches the port, although there are credentials behind it and
            neither MCP_API_KEY nor AUTH_ISSUER is set.
        include: Offer these tools only: a name; of an API also an operation id, "tag:NAME",
            "/path/*" or "GET *".
        exclude: Leave these tools out.
        timeout: Seconds until a response must be complete.
        rate_limit: How often one caller may call tools, such as "60/minute"; needs
            mcp-mount[rate-limit].
        public_url: The endpoint's URL as clients see it.
        allowed_origin: Let web pages of this origin call, such as https://app.example.
        sse: Serve the older HTTP+SSE transport at /sse as well. The proxy does unless told not to.
        surface: What clients are shown: all tools, or a few with which they search the others
            ("search"); "auto" has them search from 60 tools on.
        pin: List this tool beside the search: written as for --include.
        no_page: Show nothing to a person who opens the endpoint in a browser.
        stdio: Serve one client on standard input and output, which starts this program and ends it;
            there is no port.
        header: With --stdio, send this header with each of the client's requests, such as
            'X-Api-Key: ${KEY}': it says who calls. ${NAME} is replaced with that environment
            variable.
    """

    host: str = "127.0.0.1"
    mcp_api_key: Annotated[str | None, variable("MCP_API_KEY", show=False)] = field(
        default=None, repr=False
    )
    auth_issuer: Annotated[str | None, variable("AUTH_ISSUER")] = None
    auth_audience: Annotated[str | None, variable("AUTH_AUDIENCE")] = None
    auth_jwks_url: Annotated[str | None, variable("AUTH_JWKS_URL")] = None
    auth_scope: Annotated[tuple[str, ...], several("AUTH_SCOPE")] = ()
    auth_scope_prefix: Annotated[str | None, variable("AUTH_SCOPE_PREFIX")] = None
    no_auth: Annotated[bool, variable("MCP_NO_AUTH")] = False
    include: Annotated[tuple[str, ...], several("MCP_INCLUDE")] = ()
    exclude: Annotated[tuple[str, ...], several("MCP_EXCLUDE")] = ()
    timeout: Annotated[float, variable("MCP_CALL_TIMEOUT")] = 60.0
    rate_limit: Annotated[str | None, variable("MCP_RATE_LIMIT")] = None
    public_url: Annotated[str | None, variable("PUBLIC_URL")] = None
    allowed_origin: Annotated[tuple[str, ...], several("MCP_ALLOWED_ORIGIN")] = ()
    sse: Annotated[bool | None, variable("MCP_SSE", negative="--no-sse")] = None
    surface: Annotated[Literal["tools", "search", "auto"], variable("MCP_SURFACE")] = "tools"
    pin: Annotated[tuple[str, ...], several("MCP_PIN")] = ()
    no_page: Annotated[bool, variable("MCP_NO_PAGE")] = False
    stdio: bool = False
    header: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
