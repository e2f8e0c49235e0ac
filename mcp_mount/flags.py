"""Reads the flags of the commands that are more than a word."""

import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mcp_mount.backends.token import ClientCredentials
from mcp_mount.environment import expand_variables
from mcp_mount.errors import MountError
from mcp_mount.openapi.document import is_url
from mcp_mount.outgoing.tls import harden
from mcp_mount.tools.marks import ToolMarks


def check_source(openapi: str, upstream: str | None) -> None:
    """Refuse a document on disk that does not say where its API is; one that is missing says so.

    Raises:
        MountError: nothing says where the API is.
    """
    if upstream is None and not is_url(openapi) and Path(openapi).exists():
        raise MountError("Where is the API? Give --upstream http://localhost:9000.")


def describe_prefix(upstream: str, used: str) -> str:
    """Return a note where the path before all operations is the document's, and not the upstream's.

    `used` has the path that requests have, e.g. ``"http://localhost:9000/api/v3"``.
    """
    path = urlsplit(used).path
    if not path or urlsplit(upstream).path.strip("/"):
        return ""
    return f" ({path} is from the document's servers; --base-path '' leaves it out)"


def read_headers(lines: Sequence[str], option: str) -> dict[str, str]:
    """Read headers such as ``["X-Key: 1"]``; ``${NAME}`` stands for an environment variable.

    `option` is what they were given with, e.g. ``"--header"``.

    Raises:
        MountError: a line is no header, or a variable is not set.
    """
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            # The line may hold a secret.
            raise MountError(f"A header is written with a colon: {option} 'X-Key: …'.")
        headers[name.strip()] = expand_variables(value.strip(), f"The header {name.strip()!r}")
    return headers


def read_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return the TLS context for these PEM files, or None if none is given.

    Raises:
        MountError: one of them cannot be used.
    """
    if ca is None and certificate is None:
        if key is not None:
            raise MountError("--client-key needs --client-cert: the certificate it belongs to.")
        return None
    try:
        context = harden(ssl.create_default_context(cafile=ca))
    except OSError as error:
        raise MountError(f"--ca-file {str(ca)!r} cannot be read: {_reason(error)}.") from None
    if certificate is not None:
        try:
            # Without a password here, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password=b"")
        except OSError as error:
            message = f"--client-cert {str(certificate)!r} cannot be used: {_reason(error)}."
            raise MountError(message) from None
    return context


def read_tools(file: Path | None) -> ToolMarks | None:
    """Read what a JSON file says of the tools, as for ``tools=`` of `mount_mcp`.

    Raises:
        MountError: the file cannot be read, or holds no mapping.
    """
    if file is None:
        return None
    try:
        # Editors of Windows write a mark before the text.
        tools: object = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MountError(f"--tools {str(file)!r} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise MountError(f"--tools {str(file)!r} is no JSON: {error}.") from None
    if not isinstance(tools, dict):
        example = '{"POST /search*": {"annotations": {"readOnlyHint": true}}}'
        raise MountError(f"--tools {str(file)!r} holds no mapping: write {example}.")
    return tools


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it holds nothing of the kind in PEM, or its key does not fit or is encrypted"
    return error.strerror or "it cannot be read"


def read_credentials(
    token_url: str | None, client_id: str | None, client_secret: str | None, scope: str | None
) -> ClientCredentials | None:
    """Return how the proxy gets its own tokens, or None without a token URL.

    Raises:
        MountError: the client id or its secret is missing.
    """
    if token_url is None:
        return None
    if not client_id or not client_secret:
        raise MountError("--token-url needs the variables CLIENT_ID and CLIENT_SECRET: set both.")
    return ClientCredentials(
        token_url, client_id=client_id, client_secret=client_secret, scope=scope
    )
