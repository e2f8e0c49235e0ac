"""The figure of `docs/answers.md` can be made again from a document's path."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fields


def operation(schema: dict[str, Any], **media: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, **media}}
    return {"get": {"responses": {"200": {"description": "", "content": content}}}}


def test_examples_are_measured_and_made_where_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4: a page by its items, an object by its members."""
    item = {"type": "object", "properties": {name: {"type": "string"} for name in "abcdefgh"}}
    page = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    example = dict.fromkeys("abcdefgh", "x" * 100)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Parts", "version": "1"},
        "paths": {
            "/one": operation(item, example=example),
            "/page": operation(page),
            "/text": operation({"type": "string"}),
        },
    }
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), "utf-8")
    monkeypatch.setattr(sys, "argv", ["fields", str(file)])
    fields.main()
    _, _, one, many = capsys.readouterr().out.splitlines()
    assert one.startswith("| Parts | 1 | one object | 214 | 134 | 63% |")
    assert many.startswith("| Parts | 1 | a list or page | ")
