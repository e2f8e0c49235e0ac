"""The order of the modules: each imports only from those above it."""

import ast
from pathlib import Path

import mock_api

ORDER = [
    *("errors", "settings", "models", "corpus", "feed", "media", "negotiation"),
    *("faults", "building", "database"),
    *(
        "rows",
        "synonyms",
        "snippets",
        "search",
        "searching",
        "store",
        "tokens",
        "identity",
        "middleware",
    ),
    *("tools", "about", "answers", "turns", "receiving", "model", "agent", "answering", "telling"),
    *("routes", "routes.common", "routes.articles", "routes.attachments", "routes.changes"),
    *("routes.chat", "routes.service", "stopping", "addresses", "app", "main"),
]
FOLDER = Path(mock_api.__file__).parent


def source(module: str) -> ast.Module:
    path = FOLDER / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8"))


def imported(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(source(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mock_api"):
            base = (node.module or "").removeprefix("mock_api").removeprefix(".")
            inner = {f"{base}.{alias.name}".removeprefix(".") for alias in node.names}
            names |= (inner & set(ORDER)) or {base}
    return names


def test_every_module_is_in_the_order() -> None:
    found = {
        ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")
        for path in FOLDER.rglob("*.py")
    }
    assert found == {"__init__", *ORDER}


def test_modules_import_downward_only() -> None:
    for position, module in enumerate(ORDER):
        assert imported(module) <= set(ORDER[:position]), module


def test_a_module_says_what_it_is_for_in_one_sentence() -> None:
    for module in ORDER:
        first = (ast.get_docstring(source(module)) or "").partition("\n")[0]
        assert first.endswith((".", ":", "`.")), module
