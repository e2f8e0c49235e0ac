"""Writes what the clients did as ``docs/clients.md``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.interop.outcomes import Outcome

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "clients.md"
_HEAD: Final = """# What clients show their models

`make interop` lists and calls an app's tools with each of these clients, in an environment of its
own, and writes this page. The tools take no arguments, many, nested ones, a union, a tree, two
models that lead to each other, null, a file, and what readers of schemas stumble over; they answer
with a structure, an image, an error and a stream.

*Text* and *structure* tell which of the two forms of a result a client hands its model: both hold
the same, so that nothing is missing where it is one of them. For a client without a model, such as
an SDK, it is what it hands its program.

| client | versions | list | text | structure | images | errors |
|---|---|---|---|---|---|---|
"""


def write_page(outcomes: Sequence[Outcome]) -> None:
    rows = [f"| {' | '.join(_cells(each))} |" for each in outcomes]
    notes = [
        f"* **{each.client.name}**, `{tool}`: {why}"
        for each in outcomes
        for tool, why in each.client.loses.items()
    ]
    text = _HEAD + "\n".join(rows) + "\n"
    if notes:
        text += "\n## What is lost on the way\n\n" + "\n".join(notes) + "\n"
    PAGE.write_text(text, encoding="utf-8")


def _cells(outcome: Outcome) -> list[str]:
    client = outcome.client
    versions = client.versions
    if outcome.not_tried:
        return [client.name, versions, f"not tried: {outcome.not_tried}", "", "", "", ""]
    if outcome.failure:
        return [client.name, versions, f"lost: {outcome.failure}", "", "", "", ""]
    listed = f"all but {', '.join(outcome.missing)}" if outcome.missing else "whole"
    images = "as base64" if "images as base64" in outcome.shows else _yes(outcome, "images")
    text, structure = _yes(outcome, "text"), _yes(outcome, "structure")
    return [client.name, versions, listed, text, structure, images, outcome.errors]


def _yes(outcome: Outcome, what: str) -> str:
    return "yes" if what in outcome.shows else "no"
