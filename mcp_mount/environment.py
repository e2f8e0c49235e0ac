"""Variables of the environment in what configuration says."""

import os
import re
from typing import Any, Final

from mcp_mount.errors import MountError

_VARIABLE: Final = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")
_INPUT: Final = re.compile(r"\$\{(?:input|command|config):[^}]*\}")


def expand_variables(value: Any, where: str) -> Any:
    """Put variables in, wherever ``${NAME}`` or ``${NAME:-default}`` stands in a JSON value.

    `where` is what it belongs to, to begin a sentence with.

    Raises:
        MountError: a variable is not set.
    """
    if isinstance(value, list):
        return [expand_variables(each, where) for each in value]
    if isinstance(value, dict):
        return {key: expand_variables(each, where) for key, each in value.items()}
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise MountError(f"{where} needs the environment variable {match[1]!r}: set it.")
        return found

    asked = _INPUT.search(value)
    if asked is not None:
        raise MountError(
            f"{where} has {asked[0]!r}, which an editor asks its user for: take a variable of the "
            "environment instead, such as ${TOKEN}."
        )
    return _VARIABLE.sub(variable, value)
