"""`docs/answers.md` does what it says."""

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tests.support import call

PAGE = (Path(__file__).parent.parent / "docs" / "answers.md").read_text("utf-8")


def the_app() -> FastAPI:
    """Run the example of the page, and return its app."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (source,) = (block for block in blocks if "mount_mcp" in block)
    module: dict[str, Any] = {"__name__": "answers"}
    exec(compile(source, "docs/answers.md", "exec"), module)  # noqa: S102 - it is ours
    app: FastAPI = module["app"]
    return app


async def test_the_example_answers_as_the_page_says() -> None:
    app = the_app()
    assert (await call(app, "tell")).result["structuredContent"] == {"text": "It is 20°."}
    log = (await call(app, "log")).result["structuredContent"]
    assert log == {"result": [{"data": "one"}, {"data": "two"}]}
    fields = {"fields": ["total", "items.number"]}
    structured = (await call(app, "list_parts", fields)).result["structuredContent"]
    assert structured["total"] == 100
    assert structured["items"][0] == {"number": "P-0"}


async def test_the_note_of_a_long_answer_is_that_of_the_page() -> None:
    (note,) = re.findall(r"^ {4}(\[Shortened .*\])$", PAGE, re.MULTILINE)
    reply = await call(the_app(), "list_parts")
    assert reply.result["structuredContent"]["truncated"] == note
