"""Writes files whole, and a server into a client's without losing what is there.

A file of JSON is read whole and written whole, in its own indentation and with its own numbers; one
that could not be written back as it was, for its comments for example, is left alone. To TOML
something is added at the end only.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import NamedTemporaryFile
from typing import Any

from mcp_mount.errors import MountError


def add_to_json(
    path: Path, group: str, name: str, server: Mapping[str, Any], *, has_key: bool = False
) -> bool:
    """Add a server to the object `group` of a file; return whether it was not there yet.

    With a key in it, a file that everybody could read is its owner's alone then.

    Raises:
        MountError: the file is not plain JSON, or has another server of that name.
    """
    bom, text = _read(path)
    # Python's own numbers are not those of others: 1e400 would be written as Infinity.
    mark = f"number {token_hex()} "
    known = _parse(text, path, mark) if text.strip() else {}
    servers = known.setdefault(group, {}) if isinstance(known, dict) else None
    if not isinstance(servers, dict):
        raise MountError(f"{str(path)!r} has another form: {group!r} is no object in it.")
    if name in servers:
        _check_same(path, name, servers[name], server)
        _hide(path, has_key=has_key)
        return False
    servers[name] = dict(server)
    indented = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    try:
        written = json.dumps(known, indent=indented[1] if indented else 2, ensure_ascii=False)
    except RecursionError as error:
        raise _left_alone(path, error) from None
    written = re.sub(f'"{mark}([^"]*)"', r"\1", written)
    # Half a character, which only JSON can hold.
    written = re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", written)
    written = f"{written}\n".replace("\n", "\r\n" if "\r\n" in text else "\n")
    _write(path, bom + written, has_key=has_key)
    return True


def add_to_toml(path: Path, group: str, name: str, table: str, *, has_key: bool = False) -> bool:
    """Add a table at the end of a file; return whether it was not there yet. For a key, see above.

    Raises:
        MountError: the file is no TOML, has another server of that name, or takes no more tables.
    """
    bom, text = _read(path)
    try:
        servers = tomllib.loads(text).get(group, {})
        server = tomllib.loads(table)[group][name]
        if not isinstance(servers, dict):
            raise MountError(f"{str(path)!r} has another form: {group!r} is no table in it.")
        if name in servers:
            _check_same(path, name, servers[name], server)
            _hide(path, has_key=has_key)
            return False
        end = "" if not text or text.endswith("\n") else "\n"
        added = f"{text}{end}{chr(10) if text else ''}{table}\n"
        # Refuses what the file says already in another way, such as in an inline table.
        tomllib.loads(added)
    except tomllib.TOMLDecodeError as error:
        raise MountError(f"{str(path)!r} cannot be added to: {error}.") from None
    _write(path, bom + added, has_key=has_key)
    return True


def _read(path: Path) -> tuple[str, str]:
    """Return the byte order mark of a file, if it has one, and what comes behind it."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return "", ""
    except (OSError, UnicodeDecodeError) as error:
        raise MountError(f"{str(path)!r} cannot be read: {error}.") from None
    rest = text.removeprefix("\ufeff")
    return text[: len(text) - len(rest)], rest


def _parse(text: str, path: Path, mark: str) -> Any:
    """Return what JSON says, each number as its text behind a mark."""

    def as_marked(number: str) -> str:
        return f"{mark}{number}"

    def refuse(name: str) -> None:
        raise ValueError(f"{name} stands in it")

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key stands in it twice")
        return found

    try:
        return json.loads(
            text,
            object_pairs_hook=as_object,
            parse_int=as_marked,
            parse_float=as_marked,
            parse_constant=refuse,
        )
    except (ValueError, RecursionError) as error:
        raise _left_alone(path, error) from None


def _left_alone(path: Path, error: Exception) -> MountError:
    return MountError(
        f"{str(path)!r} is left as it is, for it is not plain JSON ({error}), and comments "
        "would be lost. Add by hand what the command prints without --write."
    )


def _check_same(path: Path, name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise MountError(
            f"{str(path)!r} has another server {name!r}. Choose a name with --name, or take that "
            "one out first."
        )


def _write(path: Path, text: str, *, has_key: bool) -> None:
    with _telling(path):
        content = text.encode()
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content, new=0o600, has_key=has_key)


def _hide(path: Path, *, has_key: bool) -> None:
    """Make a file that has a key already, and that everybody could read, its owner's alone."""
    with _telling(path):
        mode = path.stat().st_mode & 0o777
        if has_key and mode & 0o007:
            path.chmod(mode & 0o700)


def write_whole(path: Path, content: bytes, *, new: int = 0o666, has_key: bool = False) -> None:
    """Write the whole file or nothing, with the rights and behind the links that it has.

    One with a key that everybody could read is its owner's alone then.

    A `new` file has these rights, less what the umask takes. What is no file, such as a pipe, is
    written as it is.

    Raises:
        MountError: it cannot be written.
    """
    with _telling(path):
        real = path.resolve()
        if real.exists() and not real.is_file():
            real.write_bytes(content)
            return
        os.umask(umask := os.umask(0o077))
        mode = real.stat().st_mode & 0o777 if real.exists() else new & ~umask
        if has_key and mode & 0o007:
            mode &= 0o700
        with NamedTemporaryFile(dir=real.parent, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.close()
                temporary.chmod(mode)
                temporary.replace(real)
            finally:
                temporary.unlink(missing_ok=True)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MountError(f"{str(path)!r} cannot be written: {error.strerror}.") from None
    except UnicodeEncodeError:
        # Such as the value of a header, from a shell of another encoding.
        raise MountError(f"{str(path)!r} cannot be written: half a character is in it.") from None
