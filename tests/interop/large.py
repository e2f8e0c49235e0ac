"""Large APIs behind the proxy: whole documents, searched, and called against a mock of them."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import anyio
import httpx2
from fastmcp import Client
from mcp_types import TextContent

from mcp_mount.openapi.operations import read_operations
from mcp_mount.tools.selection import SelectedOperation, select
from tests.interop.apis import find_problem
from tests.interop.environments import HERE, Environment
from tests.interop.examples import make_arguments, read_examples, with_example_answers
from tests.interop.meeting import mcp_mount
from tests.interop.processes import free_ports, running
from tests.interop.recorder import Recorder, recording
from tests.support import MODERN

_START: Final = 600
"""Seconds that a mock may take to read a large document."""

_VIOLATION: Final = re.compile(r'"location":\[(?:"request",?)?(?:"(\w+)")?(?:,"([^"]+)")?')
_FIRST: Final = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class LargeAPI:
    """A large API: its document is at a path below the environment's ``node_modules``.

    Attributes:
        name: What it is called in the page.
        environment: Its packages.
        path: Where its document is.
        options: Those of the proxy.
        makes_answers: Whether the mock gets answers that are made of the schemas beforehand.
        differs: The tools that do not do as the mock does, and why.
    """

    name: str
    environment: Environment
    path: str
    options: tuple[str, ...]
    makes_answers: bool
    differs: Mapping[str, str]

    @property
    def document(self) -> Path:
        return self.environment.folder / "node_modules" / self.path


@dataclass(frozen=True, slots=True)
class Survey:
    """How a large API did behind the proxy.

    Attributes:
        api: Which API.
        not_tried: Why it could not be tried.
        operations: How many its document has.
        found: How many tools a search for their summary has first, among five, and among ten.
        statuses: How often the mock answered with which status.
        problems: What is not the API's own, by tool.
    """

    api: LargeAPI
    not_tried: str = ""
    operations: int = 0
    tools: int = 0
    found: tuple[int, ...] = ()
    statuses: Mapping[int, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_expected(self) -> bool:
        return {*self.problems} == {*self.api.differs}

    @property
    def summary(self) -> str:
        if self.not_tried:
            return f"not tried: {self.not_tried}"
        statuses = ", ".join(f"{count} of {code}" for code, count in sorted(self.statuses.items()))
        known = self.api.differs
        lines = [f"{name}: {how}" for name, how in self.problems.items() if name not in known]
        first = f"{self.tools} tools of {self.operations} operations; answered {statuses}"
        return "\n    ".join([f"{first}; searched: {self.found}", *lines])


def survey(api: LargeAPI) -> Survey:
    """Search and call every operation of an API.

    Raises:
        CannotStart: the mock, or the proxy, does not.
    """
    document = json.loads(api.document.read_text())
    operations = read_operations(document)
    with _mocked(api, document) as mock, recording(mock) as (recorder, url):
        [port] = free_ports(1)
        command = mcp_mount(
            *("proxy", "--openapi", str(api.document), "--upstream", url, "--surface", "search"),
            *api.options,
            port=port,
        )
        with running(command, f"http://127.0.0.1:{port}/mcp"):
            surveyor = _Surveyor(document, recorder, f"http://127.0.0.1:{port}/mcp")
            anyio.run(surveyor.run, select(operations))
    return Survey(
        api,
        operations=len(operations),
        tools=len(surveyor.tools),
        found=tuple(surveyor.found[limit] for limit in _FIRST),
        statuses=surveyor.statuses,
        problems=surveyor.problems,
    )


class _Surveyor:
    """Searches, describes and calls, and counts."""

    def __init__(self, document: Mapping[str, Any], recorder: Recorder, url: str) -> None:
        self.tools: dict[str, Any] = {}
        self.found: Counter[int] = Counter()
        self.statuses: Counter[int] = Counter()
        self.problems: dict[str, str] = {}
        self._document = document
        self._recorder = recorder
        self._url = url

    async def run(self, operations: tuple[SelectedOperation, ...]) -> None:
        async with Client(f"{self._url}?surface=tools", mode=MODERN) as client:
            listed = (await client.list_tools_mcp()).model_dump(mode="json", by_alias=True)
            self.tools = {tool["name"]: tool for tool in listed["tools"]}
        async with Client(self._url, mode=MODERN, timeout=120) as client:
            assert len((await client.list_tools_mcp()).tools) < len(self.tools)
            for each in operations:
                if each.name in self.tools:
                    await self._search(client, each)
                    await self._call(client, each)

    async def _search(self, client: Client[Any], wanted: SelectedOperation) -> None:
        described = self.tools[wanted.name].get("description", "").partition("\n")[0]
        query = wanted.operation.summary or described or wanted.name
        answer = await client.call_tool_mcp("search_tools", {"query": query, "limit": _FIRST[-1]})
        text = next(block.text for block in answer.content if isinstance(block, TextContent))
        names = [each["name"] for each in json.loads(text)["tools"]]
        for limit in _FIRST:
            self.found[limit] += wanted.name in names[:limit]

    async def _call(self, client: Client[Any], wanted: SelectedOperation) -> None:
        name, operation = wanted.name, wanted.operation
        parameters, body = read_examples(self._document, operation.path, operation.method)
        arguments = make_arguments(self.tools[name]["inputSchema"], parameters, body)
        self._recorder.responses.clear()
        result = await client.call_tool_mcp("call_tool", {"name": name, "arguments": arguments})
        answer = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        responses = self._recorder.responses
        if not responses:
            said = json.dumps(answer["content"])[:300]
            self.problems[name] = f"was not sent with {json.dumps(arguments)[:300]}: {said}"
            return
        response = responses[-1]
        self.statuses[response.status_code] += 1
        if problem := find_problem(response, answer) or _find_violation(response):
            self.problems[name] = problem


def _find_violation(response: httpx2.Response) -> str | None:
    """Return what of a request is not as the document wants it, which Prism says in two ways.

    Prism takes an object that a form or a query leaves out for an empty one: what such an object
    lacks does not count.
    """
    said = unquote(response.headers.get("sl-violations", ""))
    if '"location":["request"' not in said:
        said = response.text if "errors#UNPROCESSABLE_ENTITY" in response.text else ""
    sent = unquote(f"{response.request.url} {response.request.content!r}")
    for where, name in _VIOLATION.findall(said):
        if where not in {"body", "query"} or not name or name in sent:
            return f"was sent as {sent[:600]}: {said[:600]}"
    return None


@contextmanager
def _mocked(api: LargeAPI, document: Mapping[str, Any]) -> Iterator[str]:
    [port] = free_ports(1)
    environment, file = api.environment, api.document
    if api.makes_answers:
        file = environment.folder / "mocked.json"
        file.write_text(json.dumps(with_example_answers(document)))
    command = [environment.find_program("prism"), "mock", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--verboseLevel", "error", str(file)]
    env = {"PATH": f"{environment.programs}:/usr/bin:/bin"}
    with running(command, f"http://127.0.0.1:{port}/", env=env, seconds=_START):
        yield f"http://127.0.0.1:{port}"


def read_large_apis() -> list[LargeAPI]:
    """Return the APIs of ``large.toml`` in its order."""
    listed = tomllib.loads((HERE / "large.toml").read_text())
    return [
        LargeAPI(
            name,
            Environment(name, "npm", tuple(entry["npm"])),
            entry["document"],
            tuple(entry.get("options", ())),
            entry.get("makes_answers", False),
            entry.get("differs", {}),
        )
        for name, entry in listed.items()
    ]
