"""Finds the app that a command names: ``module:attribute``, or a file."""

import importlib
import sys
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mcp_mount.errors import MountError

_USUAL: Final = ("app", "application", "api", "asgi")


def import_app(name: str) -> Any:
    """Return the app of a name: ``"parts.main:app"``, ``"parts/main.py"``, ``"main.py:api"``.

    Modules are looked for in the working directory first. A function that is no app is called for
    one, as an app factory.

    Raises:
        MountError: there is none; the message says what is near.
    """
    where, colon, attribute = name.rpartition(":")
    # The colon of a drive is none of ours.
    if not colon or "\\" in attribute or attribute.endswith(".py"):
        where, attribute = name, ""
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    module = _import_file(where) if where.endswith(".py") else _import_module(where)
    found = _find(module, attribute, name) if attribute else _find_usual(module, name)
    is_factory = callable(found) and not hasattr(found, "routes") and _takes_nothing(found)
    return found() if is_factory else found


def _takes_nothing(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    needed = 0 if code is None else code.co_argcount - len(function.__defaults__ or ())
    return code is not None and needed == 0


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the module itself imports and does not find is another matter.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    except (ValueError, TypeError):
        pass
    message = (
        f"There is no module {name!r} here ({str(Path.cwd())!r}). Name the app as "
        "'module:attribute', such as 'main:app', as a file, or as a URL of a running server."
    )
    raise MountError(message) from None


def _import_file(name: str) -> ModuleType:
    path = Path(name).resolve()
    if not path.is_file():
        raise MountError(f"There is no file {name!r} here ({str(Path.cwd())!r}).")
    # Under its full name, so that what it imports relatively is found.
    package = path.parent
    while (package / "__init__.py").is_file():
        package = package.parent
    if package != path.parent:
        sys.path.insert(0, str(package))
        return importlib.import_module(".".join(path.relative_to(package).with_suffix("").parts))
    sys.path.insert(0, str(path.parent))
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise MountError(f"{name!r} is no Python file.")
    module = sys.modules[path.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _find(module: ModuleType, attribute: str, name: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise MountError(f"{name!r}: {module.__name__!r} has no {attribute!r}.{hint}")
        found = getattr(found, part)
    return found


def _find_usual(module: ModuleType, name: str) -> Any:
    for each in _USUAL:
        if hasattr(module, each):
            return getattr(module, each)
    message = f"{name!r} has none of {', '.join(map(repr, _USUAL))}. Name the app: {name}:NAME."
    raise MountError(message)
