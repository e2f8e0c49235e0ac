"""Finds the app that a command names: ``module:attribute``, or a file."""

import importlib
import sys
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from inspect import Parameter, isfunction, signature
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mcp_mount.errors import MountError

_HERE: Final = Path()
_STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_USUAL: Final = ("app", "application", "api", "asgi")


def import_app(name: str, folder: Path = _HERE) -> Any:
    """Return the app of a name: ``"parts.main:app"``, ``"parts/main.py"``, ``"main.py:api"``.

    Modules and files are looked for in `folder` first, the working directory. A function that needs
    no arguments, and is no app, is called for one, as an app factory.

    Raises:
        MountError: there is none; the message says what is near.
    """
    where, colon, attribute = name.rpartition(":")
    # The colon of a drive is none of ours.
    if not colon or "\\" in attribute or attribute.endswith(".py"):
        where, attribute = name, ""
    folder = folder.resolve()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    is_file = where.endswith(".py")
    module = _import_file(where, folder) if is_file else _import_module(where, folder)
    found = _find(module, attribute, name) if attribute else _find_usual(module, name)
    parameters = signature(found).parameters.values() if isfunction(found) else None
    is_factory = parameters is not None and all(
        each.kind in _STARS or each.default is not each.empty for each in parameters
    )
    return found() if is_factory else found


def _import_module(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the module itself imports and does not find is another matter.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    except (ValueError, TypeError):
        pass
    raise MountError(
        f"There is no module {name!r} in {str(folder)!r}. Name the app as 'module:attribute', such "
        "as 'main:app', as a file, or as a URL of a running server."
    ) from None


def _import_file(name: str, folder: Path) -> ModuleType:
    path = (folder / name).resolve()
    if not path.is_file():
        raise MountError(f"There is no file {name!r} in {str(folder)!r}.")
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
