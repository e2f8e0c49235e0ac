"""What a server lists and answers to a client, directly or through a gateway."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import mcp_types
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from mcp.shared.exceptions import MCPError

Answer = dict[str, Any]
_SECONDS: Final = 60
_LISTS: Final = ("tools", "resources", "resource_templates", "prompts")


@dataclass(frozen=True, slots=True)
class Account:
    """What a client was told.

    Attributes:
        lists: Each list, by the name or the address of what is in it.
        answers: The answer to each call, in their order.
    """

    lists: dict[str, dict[str, Answer]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)


class User:
    """Answers a server's questions always in the same way, and keeps what it says during a call."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def connect(self, transport: Any, **options: Any) -> Client[Any]:
        """Return a client with this user before it."""
        return Client(
            transport,
            sampling_handler=self._sample,
            elicitation_handler=self._elicit,
            log_handler=self._log,
            progress_handler=self._progress,
            timeout=_SECONDS,
            **options,
        )

    async def _sample(self, messages: Any, _params: Any, _context: Any) -> str:
        self.said.append(["asked a model", [each.content.text for each in messages]])
        return "a model's answer"

    async def _elicit(self, message: str, _type: Any, params: Any, _context: Any) -> Any:
        self.said.append(["asked a user", message])
        schema = params.requested_schema
        given = {name: _example(schema["properties"][name]) for name in schema.get("required", ())}
        return ElicitResult(action="accept", content=given)

    async def _log(self, message: Any) -> None:
        self.said.append(["log", message.level, message.data])

    async def _progress(self, done: float, total: float | None, message: str | None) -> None:
        self.said.append(["progress", done, total, message])


async def ask(
    connect: Callable[[User], Client[Any]], calls: Sequence[Mapping[str, Any]]
) -> Account:
    """Connect, list everything, and send the calls one after the other."""
    user, account = User(), Account()
    async with connect(user) as client:
        for kind in _LISTS:
            account.lists[kind] = await _list(client, kind)
        for each in calls:
            if each.get("once_listed"):
                await _wait_until_listed(client, each["tool"])
            user.said.clear()
            answer = await _answer(partial(_send, client, each))
            # What is said during a call may come after its answer.
            await anyio.sleep(0.05)
            account.answers.append({**answer, "meanwhile": [*user.said]} if user.said else answer)
    return account


async def _list(client: Client[Any], kind: str) -> dict[str, Answer]:
    answer = await _answer(getattr(client, f"list_{kind}_mcp"))
    items = next((each for each in answer.values() if isinstance(each, list)), [])
    return {each.get("uri") or each.get("uriTemplate") or each["name"]: each for each in items}


async def _wait_until_listed(client: Client[Any], tool: str) -> None:
    """Wait for a tool that a server has just begun to offer; not for ever."""
    with anyio.move_on_after(10):
        while tool not in await _list(client, "tools"):  # noqa: ASYNC110 - only asking tells
            await anyio.sleep(0.2)


async def _send(client: Client[Any], call: Mapping[str, Any]) -> Any:
    if "tool" in call:
        return await client.call_tool_mcp(call["tool"], call["arguments"])
    if "read" in call:
        return await client.read_resource_mcp(call["read"])
    if "prompt" in call:
        return await client.get_prompt_mcp(call["prompt"], call["arguments"])
    reference = mcp_types.PromptReference(type="ref/prompt", name=call["complete"])
    return await client.complete_mcp(reference, {"name": call["argument"], "value": call["value"]})


async def _answer(send: Callable[[], Coroutine[Any, Any, Any]]) -> Answer:
    """Return a result, or an error, as JSON."""
    try:
        with anyio.fail_after(_SECONDS):
            result = await send()
    except MCPError as error:
        return {"error": error.error.model_dump(mode="json", by_alias=True, exclude_none=True)}
    except TimeoutError:
        return {"error": f"no answer in {_SECONDS} seconds"}
    answer: Answer = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return answer


def _example(schema: Mapping[str, Any]) -> Any:
    values: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": True}
    return schema.get("default", schema.get("enum", [values.get(schema.get("type", ""))])[0])
