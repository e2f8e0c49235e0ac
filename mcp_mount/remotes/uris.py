"""Addresses of another server's resources, under ours. Pure."""

from mcp_mount.tools.uris import is_uri


def add_prefix(uri: str, name: str) -> str:
    """Return the address under which we offer another one: ``data://wiki/parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{name}/{rest}"


def has_prefix(uri: str, name: str) -> bool:
    """Whether an address is one of ours for something of the server of that name."""
    return is_uri(uri) and uri.partition("://")[2].startswith(f"{name}/")


def remove_prefix(uri: str, name: str) -> str:
    """Return the other server's own address for one of ours: ``data://parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.removeprefix(f'{name}/')}"
