"""Addresses of another server's resources, under ours. Pure."""


def add_prefix(uri: str, name: str) -> str:
    """Return the address under which we offer another one: ``data://wiki/parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{name}/{rest}"


def remove_prefix(uri: str, name: str) -> str:
    """Return the other server's own address for one of ours: ``data://parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.removeprefix(f'{name}/')}"
