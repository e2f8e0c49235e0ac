"""APIs of others behind the proxy, compared with what they answer over HTTP."""

import json
import tomllib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpx2

from tests.interop.asking import Account, Answer, User, ask
from tests.interop.environments import HERE, Environment
from tests.interop.meeting import mcp_mount
from tests.interop.processes import free_ports, running
from tests.interop.servers import FOREIGN, fill
from tests.support import ERAS, MODERN, Era


@dataclass(frozen=True, slots=True)
class ForeignAPI:
    """An API.

    Attributes:
        name: What it is called in the page.
        environment: Its packages.
        command: What starts it in the folder `foreign`, unless there is a script.
        script: Of ours, in that folder.
        env: Variables of the environment.
        document: Where its OpenAPI document is.
        calls: Tools with their arguments, and the requests that they stand for.
        differs: The tools that differ, and why.
    """

    name: str
    environment: Environment
    command: tuple[str, ...]
    script: str | None
    env: Mapping[str, str]
    document: str
    calls: tuple[Mapping[str, Any], ...]
    differs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """How an API did behind the proxy.

    Attributes:
        api: Which API.
        not_tried: Why it could not be tried.
        listed: How many tools there are.
        called: How many of them were called, how many calls there were, and in how many of them
            the API answered an error.
        differences: What differs and how, in either era.
    """

    api: ForeignAPI
    not_tried: str = ""
    listed: int = 0
    called: tuple[int, int, int] = (0, 0, 0)
    differences: tuple[tuple[str, str], ...] = ()

    @property
    def is_expected(self) -> bool:
        return {name for name, _ in self.differences} == {*self.api.differs}

    @property
    def summary(self) -> str:
        if self.not_tried:
            return f"not tried: {self.not_tried}"
        _, calls, errors = self.called
        lines = [f"{name}: {how}" for name, how in self.differences if name not in self.api.differs]
        return "\n    ".join([f"lists {self.listed} tools; {calls} calls, {errors} errors", *lines])


def try_api(api: ForeignAPI) -> Trial:
    """Send each call over HTTP, and in either era through a proxy.

    Raises:
        CannotStart: the API, or the proxy, does not.
    """
    with _started(api) as url, httpx2.Client(base_url=url, timeout=60) as client:
        responses = [_request(client, call) for call in api.calls]
    differences: dict[tuple[str, str], None] = {}
    for era in ERAS:
        account = _ask_behind(api, era)
        tools = account.lists["tools"]
        called = {call["tool"] for call in api.calls}
        differences |= {(name, "is not called"): None for name in tools if name not in called}
        for call, response, answer in zip(api.calls, responses, account.answers, strict=True):
            if problem := find_problem(response, answer):
                differences[call["tool"], problem] = None
    errors = sum(response.is_error for response in responses)
    return Trial(api, "", len(tools), (len(called), len(responses), errors), tuple(differences))


def find_problem(response: httpx2.Response, answer: Answer) -> str | None:
    """Return how a tool's answer differs from the API's response; None if it does not."""
    said = f"{_short(answer)}, but over HTTP {response.status_code} {response.text[:500]!r}"
    if "error" in answer or answer["isError"] != response.is_error:
        return f"answered {said}"
    texts = [block.get("text", "") for block in answer["content"]]
    if response.is_error:
        # The status, and everything that the API says.
        is_same = str(response.status_code) in texts[0] and _has_all(texts[0], _read(response))
    elif not response.content:
        is_same = True
    else:
        is_same = _read(response) in _values(answer, texts) or _file(answer) == response.content
    return None if is_same else f"answered {said}"


def _values(answer: Answer, texts: Sequence[str]) -> Iterator[Any]:
    """Yield what an answer may be read as: its structure, and its text."""
    structure = answer.get("structuredContent", {})
    yield structure
    yield structure.get("result")
    for text in texts:
        yield text
        try:
            yield json.loads(text)
        except ValueError:
            continue


def _file(answer: Answer) -> bytes | None:
    """Return the file that an answer holds."""
    for block in answer["content"]:
        if data := block.get("data") or block.get("resource", {}).get("blob"):
            return b64decode(data)
    return None


def _has_all(text: str, value: Any) -> bool:
    """Whether a text holds every text and number of a value of JSON."""
    if isinstance(value, Mapping):
        return all(_has_all(text, each) for each in value.values())
    if isinstance(value, list):
        return all(_has_all(text, each) for each in value)
    if isinstance(value, str):
        return value in text or json.dumps(value)[1:-1] in text
    return json.dumps(value) in text


def _read(response: httpx2.Response) -> Any:
    return response.json() if "json" in response.headers.get("content-type", "") else response.text


def _short(answer: Answer) -> str:
    return json.dumps({key: each for key, each in answer.items() if key != "_meta"})[:1_000]


def _request(client: httpx2.Client, call: Mapping[str, Any]) -> httpx2.Response:
    method, _, target = call["request"].partition(" ")
    files = {name: (file, text.encode()) for name, (file, text) in call.get("files", {}).items()}
    return client.request(
        method,
        target,
        json=call.get("json"),
        data=call.get("form"),
        files=files or None,
        headers=call.get("headers"),
    )


def _ask_behind(api: ForeignAPI, era: Era) -> Account:
    with _started(api) as url:
        [port] = free_ports(1)
        command = mcp_mount(
            *("proxy", "--openapi", f"{url}{api.document}", "--upstream", url), port=port
        )
        with running(command, f"http://127.0.0.1:{port}/health"):
            mode = MODERN if era == "modern" else "legacy"
            connect = partial(_connect, f"http://127.0.0.1:{port}/mcp", mode)
            return anyio.run(ask, connect, api.calls)


def _connect(url: str, mode: Any, user: User) -> Any:
    return user.connect(url, mode=mode)


@contextmanager
def _started(api: ForeignAPI) -> Iterator[str]:
    [port] = free_ports(1)
    values = {"port": str(port), "programs": str(api.environment.programs)}
    script = api.script
    command = (
        fill(api.command, values)
        if script is None
        else api.environment.run_script(FOREIGN / script)
    )
    url = f"http://127.0.0.1:{port}"
    env = {"PYTHONDONTWRITEBYTECODE": "1", **fill(api.env, values)}
    with running(command, url, env=env, folder=FOREIGN):
        yield url


def read_apis() -> list[ForeignAPI]:
    """Return the APIs of ``apis.toml`` in its order."""
    listed = tomllib.loads((HERE / "apis.toml").read_text())
    return [
        ForeignAPI(
            name,
            Environment(name, installer, tuple(entry[installer])),
            tuple(entry.get("command", ())),
            entry.get("script"),
            entry.get("env", {}),
            entry["document"],
            tuple(entry["calls"]),
            entry.get("differs", {}),
        )
        for name, entry in listed.items()
        for installer in ("pip", "npm")
        if installer in entry
    ]
