"""What a user installs: the wheel, its bounds, its pins, and an import that does nothing else."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

import mcp_mount

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in PROJECT["optional-dependencies"].items()
}
# The tests of an example are skipped where what it needs is not installed.
OF_EXAMPLES = EXTRAS.pop("examples")
REQUIREMENTS = [*RUNTIME, *(requirement for extra in EXTRAS.values() for requirement in extra)]


def pins(file: str = "constraints.txt") -> dict[NormalizedName, Version]:
    """A file of constraints as `{"fastapi": Version("0.165.0"), …}`."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return {
        canonicalize_name(name): Version(version)
        for name, version in (line.split("==") for line in lines)
    }


def test_the_wheel_holds_mcp_mount_with_its_types_and_nothing_else(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)),
            str(ROOT),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    written = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mcp_mount").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == written
    assert "mcp_mount/py.typed" in packed


@pytest.mark.parametrize(
    "requirement", [*REQUIREMENTS, *OF_EXAMPLES], ids=lambda requirement: requirement.name
)
def test_a_dependency_is_bounded_by_its_next_major_and_tested_within(
    requirement: Requirement,
) -> None:
    bounds = {bound.operator: Version(bound.version) for bound in requirement.specifier}
    pinned = pins()[canonicalize_name(requirement.name)]
    assert set(bounds) == {">=", "<"}
    assert bounds["<"] == Version(str(pinned.major + 1))
    assert pinned in requirement.specifier


@pytest.mark.parametrize(
    "requirement",
    [*RUNTIME, *EXTRAS["rate-limit"], *EXTRAS["tasks"], *EXTRAS["demo"]],
    ids=lambda requirement: requirement.name,
)
def test_a_user_s_dependency_starts_at_the_oldest_version_that_is_tested(
    requirement: Requirement,
) -> None:
    (start,) = (bound for bound in requirement.specifier if bound.operator == ">=")
    assert (
        Version(start.version)
        == pins("constraints-lowest.txt")[canonicalize_name(requirement.name)]
    )


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-lowest.txt"])
def test_constraints_are_plain_names_with_versions(file: str) -> None:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert odd == []
    assert len(pins(file)) == len(lines), "a name stands twice"


def test_the_whole_dependency_tree_is_pinned() -> None:
    pinned = pins() | pins("constraints-lowest.txt")
    assert sorted(name for name in tree(REQUIREMENTS) if name not in pinned) == []


def tree(requirements: list[Requirement]) -> set[NormalizedName]:
    """The names of what `requirements` install on this Python, through all levels."""
    reached: set[tuple[NormalizedName, frozenset[str]]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in reached:
            continue
        reached.add(key)
        for line in metadata.requires(requirement.name) or []:
            inner = Requirement(line)
            # The empty extra stands for the requirements that belong to no extra.
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in (*requirement.extras, "")
            ):
                waiting.append(inner)
    return {name for name, _ in reached}


PYTEST = [each for each in EXTRAS["dev"] if each.name == "pytest"]


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        # Its plugin is imported by pytest alone.
        ("mcp_mount", RUNTIME + EXTRAS["rate-limit"] + EXTRAS["tasks"] + PYTEST),
        ("mock_api", RUNTIME + EXTRAS["demo"]),
        ("tests", REQUIREMENTS),
    ],
    ids=["mcp_mount", "mock_api", "tests"],
)
def test_every_import_is_of_a_declared_dependency(folder: str, declared: list[Requirement]) -> None:
    own = {"mcp_mount", "mock_api", "examples", "tests", "benchmarks"}
    names = {name for requirement in declared for name in parts(requirement)}
    providers = metadata.packages_distributions()
    undeclared = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in (ROOT / folder).rglob("*.py")
        # Each of these runs in an environment of its own.
        if not {"clients", "foreign"} & {*path.parts}
        for module in imported(path)
        if module not in sys.stdlib_module_names | own
        and names.isdisjoint(canonicalize_name(name) for name in providers.get(module, []))
    }
    assert sorted(undeclared) == []


def parts(requirement: Requirement) -> Iterator[NormalizedName]:
    """The names `requirement` brings in lockstep; `fastmcp` itself is packed as `fastmcp-slim`."""
    yield canonicalize_name(requirement.name)
    for line in metadata.requires(requirement.name) or []:
        inner = Requirement(line)
        if inner.marker is None and any(bound.operator == "==" for bound in inner.specifier):
            yield canonicalize_name(inner.name)


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, `"fastapi"` for `from fastapi.routing import …`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


# In front of what is run: no metadata of ours are found, as in a checkout that was not installed.
UNINSTALLED = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder

found = PathFinder.find_distributions
PathFinder.find_distributions = lambda *context: (
    each for each in found(*context) if each.name != "mcp-mount"
)
assert list(metadata.distributions(name="fastmcp"))
assert not list(metadata.distributions(name="mcp-mount"))
"""


@pytest.mark.parametrize(
    "code",
    [
        "from mock_api.main import app",
        "sys.argv = ['mcp-mount', '--version']; from mcp_mount.cli import app; app()",
        "import pytest; sys.exit(pytest.main(['--quiet', 'tests/test_layers.py']))",
    ],
    ids=["uvicorn", "mcp-mount", "pytest"],
)
def test_a_checkout_works_without_being_installed(code: str, tmp_path: Path) -> None:
    """Its dependencies are enough for `uvicorn mock_api.main:app` and `pytest`."""
    started = subprocess.run(
        [sys.executable, "-c", UNINSTALLED + code],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"KB_DATABASE": str(tmp_path / "kb.sqlite3")},
    )
    assert started.returncode == 0, started.stdout + started.stderr
    if "--version" in code:
        assert started.stdout.strip() == mcp_mount.__version__


def test_the_installed_package_has_the_version_and_the_command_of_the_source() -> None:
    try:
        installed = metadata.distribution("mcp-mount")
    except metadata.PackageNotFoundError:
        pytest.skip("mcp-mount is not installed here: `make test` installs it")
    (command,) = installed.entry_points.select(group="console_scripts")
    assert installed.version == mcp_mount.__version__
    assert command.name == "mcp-mount"
    assert callable(command.load())


# Run in an interpreter of its own. The dependencies are imported first, so that what they do at
# import is not held against us; what remains is what our own modules did.
IMPORT_PROBE = """
import importlib, json, logging, os, pkgutil, sys, threading, types, warnings
import fastapi, fastmcp.client, fastmcp.server.http, fastmcp.server.server, jsonschema_rs
import mcp.server.lowlevel, mcp.server.streamable_http_manager, starlette.applications

CODE = (types.FunctionType, classmethod, staticmethod, property, type)
THROUGH = ("os", "collections", "pydantic_settings")

def code():
    for name, module in list(sys.modules.items()):
        for key, value in list(getattr(module, "__dict__", {}).items()):
            if isinstance(value, CODE):
                yield f"{name}.{key}", value
            if isinstance(value, type):
                for inner, member in list(vars(value).items()):
                    if isinstance(member, CODE):
                        yield f"{name}.{key}.{inner}", member

def loggers():
    known = {"root": logging.root, **logging.root.manager.loggerDict}
    return {
        name: (logger.level, logger.propagate, logger.disabled, *logger.handlers, *logger.filters)
        for name, logger in known.items()
        if isinstance(logger, logging.Logger)
    }

def surroundings():
    return {
        "environment variables": dict(os.environ),
        "warning filters": list(warnings.filters),
        "threads": threading.enumerate(),
        "sys.path": list(sys.path),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "disabled logging": logging.root.manager.disable,
        "the classes of loggers and records": (
            logging.getLoggerClass(), logging.getLogRecordFactory(),
        ),
    }

def reader():
    # Which of our modules reads the environment, by itself or through settings.
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__", "").partition(".")[0] in THROUGH:
        frame = frame.f_back
    name = frame.f_globals.get("__name__", "")
    return name if name.partition(".")[0] == "mcp_mount" else None

code_before, loggers_before, before = dict(code()), loggers(), surroundings()
readers, faults = set(), []

class Watched(type(os.environ)):
    def __getitem__(self, key):
        readers.add(reader())
        return super().__getitem__(key)

    def __iter__(self):
        readers.add(reader())
        return super().__iter__()

plain, os.environ.__class__ = type(os.environ), Watched
package = importlib.import_module("mcp_mount")
for found in pkgutil.walk_packages(package.__path__, "mcp_mount."):
    if not found.name.endswith(".__main__"):
        importlib.import_module(found.name)
os.environ.__class__ = plain

code_after, loggers_after, after = dict(code()), loggers(), surroundings()
faults += [f"{name} read the environment" for name in readers if name]
for name, value in code_before.items():
    if code_after.get(name) is not value:
        faults.append(f"{name} was replaced")
for name, state in loggers_after.items():
    untouched = loggers_before.get(name, (logging.NOTSET, True, False))
    if state != untouched and (name in loggers_before or name.startswith("mcp_mount")):
        faults.append(f"the logger {name} was set up")
faults += [f"{what} changed" for what in before if before[what] != after[what]]
if "mock_api" in sys.modules:
    faults.append("mock_api was imported")
print(json.dumps(faults))
"""


def test_importing_the_package_has_no_side_effect() -> None:
    """Promise M6: no logging set-up, no patching, no settings read; and no warning."""
    probe = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_PROBE],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert probe.returncode == 0, probe.stderr
    assert json.loads(probe.stdout) == []
    assert probe.stderr == ""
