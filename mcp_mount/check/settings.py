"""What a project says of `mcp-mount check` in its ``pyproject.toml``.

[tool.mcp-mount]
silence = ["long-name", "get_token:secret-answer"]
strict = true
"""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from mcp_mount.errors import MountError


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[tool.mcp-mount]``."""

    silence: tuple[str, ...] = ()
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Settings, and the file that has them."""

    settings: Settings
    file: str


def read_settings(folder: Path) -> Found:
    """Return the settings of the nearest ``pyproject.toml``, in `folder` or above it.

    Raises:
        MountError: it cannot be read, or has a setting that is not known.
    """
    for each in (folder, *folder.parents):
        path = each / "pyproject.toml"
        if path.is_file():
            return Found(_read(path), str(path))
    return Found(Settings(), "")


def _read(path: Path) -> Settings:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MountError(f"{str(path)!r} cannot be read: {error}.") from None
    table = document.get("tool", {}).get("mcp-mount", {})
    known = Settings.__struct_fields__
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1) or known
            raise MountError(
                f"{str(path)!r} says {key!r} in [tool.mcp-mount]. "
                f"Did you mean {' or '.join(map(repr, near))}?"
            )
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise MountError(f"[tool.mcp-mount] in {str(path)!r} cannot be read: {error}.") from None
