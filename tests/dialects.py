"""Streams of language models as their APIs write them, and what is in them."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

TEXT = "It is 20° in Paris, and the sun shines."
TOKENS = ["It ", "is ", "20° ", "in ", "Paris,", " and", " the sun", " shines."]
ARGUMENTS = ['{"ci', 'ty": ', '"Paris"}']


class Dialect(NamedTuple):
    """The body of a stream, and which items are left of it beside its text."""

    body: str
    items: list[Any]
    media_type: str = "text/event-stream"


def events(datas: Iterable[Any], *, named: bool = False) -> str:
    """Write events, under the names of their types where `named`."""
    texts = ((each, each if isinstance(each, str) else json.dumps(each)) for each in datas)
    return "".join(
        f"event: {each['type']}\ndata: {text}\n\n" if named else f"data: {text}\n\n"
        for each, text in texts
    )


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    return {**head, "choices": [choice | more], "usage": None}


def _chat() -> Dialect:
    call: dict[str, Any] = {"index": 0, "id": "call_1", "type": "function"}
    function = {"name": "weather", "arguments": ""}
    usage = {"prompt_tokens": 9, "completion_tokens": 8}
    parts = [{"index": 0, "function": {"arguments": part}} for part in ARGUMENTS]
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": token}) for token in TOKENS),
        chunk({"tool_calls": [{**call, "function": function}]}),
        *(chunk({"tool_calls": [part]}) for part in parts),
        chunk({}, finish_reason="tool_calls"),
        {**chunk({}), "choices": [], "usage": usage},
    ]
    function = {"name": "weather", "arguments": "".join(ARGUMENTS)}
    delta = {"role": "assistant", "tool_calls": [{**call, "function": function}]}
    whole = {**chunk(delta, finish_reason="tool_calls"), "usage": usage}
    return Dialect(events([*chunks, "[DONE]"]), [{"data": whole}, {"data": "[DONE]"}])


def _responses() -> Dialect:
    message: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant"}
    call: dict[str, Any] = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "weather",
    }
    part: dict[str, Any] = {"type": "output_text", "annotations": []}
    at: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    of_call: dict[str, Any] = {"item_id": "fc_1", "output_index": 1}
    response = {"id": "resp_1", "status": "in_progress", "output": []}
    told = {**message, "content": [{**part, "text": TEXT}]}
    called = {**call, "arguments": "".join(ARGUMENTS)}
    usage = {"output_tokens": 8}
    ended = {"id": "resp_1", "status": "completed", "output": [told, called], "usage": usage}
    sent: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": token} for token in TOKENS),
        {"type": "response.output_text.done", **at, "text": TEXT},
        {"type": "response.content_part.done", **at, "part": {**part, "text": TEXT}},
        {"type": "response.output_item.done", "output_index": 0, "item": told},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        *(
            {"type": "response.function_call_arguments.delta", **of_call, "delta": each}
            for each in ARGUMENTS
        ),
        {"type": "response.function_call_arguments.done", **of_call, "arguments": "{…}"},
        {"type": "response.output_item.done", "output_index": 1, "item": called},
        {"type": "response.completed", "response": ended},
    ]
    numbered = [{**each, "sequence_number": number} for number, each in enumerate(sent)]
    left = {**ended, "output": [{**message, "content": [part]}, called]}
    name = "response.completed"
    data = {"type": name, "response": left, "sequence_number": len(sent) - 1}
    return Dialect(events(numbered, named=True), [{"event": name, "data": data}])


def _messages() -> Dialect:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    start = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 9}}}
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"n": 8}}

    def begin(index: int, block: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def delta(index: int, **of: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": of}

    whole = delta(1, type="input_json_delta", partial_json="".join(ARGUMENTS))
    sent = [
        start,
        begin(0, {"type": "text", "text": ""}),
        {"type": "ping"},
        *(delta(0, type="text_delta", text=token) for token in TOKENS),
        {"type": "content_block_stop", "index": 0},
        begin(1, use),
        *(delta(1, type="input_json_delta", partial_json=part) for part in ARGUMENTS),
        {"type": "content_block_stop", "index": 1},
        end,
        {"type": "message_stop"},
    ]
    kept = [start, begin(1, use), whole, end, {"type": "message_stop"}]
    items = [{"event": each["type"], "data": each} for each in kept]
    return Dialect(events(sent, named=True), items)


def _ui_messages() -> Dialect:
    call: dict[str, Any] = {"toolCallId": "call_1", "toolName": "weather"}
    whole = {"type": "tool-input-available", **call, "input": {"city": "Paris"}}
    start, finish = {"type": "start", "messageId": "m1"}, {"type": "finish"}
    given = {"type": "tool-output-available", "toolCallId": "call_1", "output": 20}
    sent = [
        start,
        {"type": "tool-input-start", **call},
        *(
            {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": part}
            for part in ARGUMENTS
        ),
        whole,
        given,
        {"type": "text-start", "id": "t1"},
        *({"type": "text-delta", "id": "t1", "delta": token} for token in TOKENS),
        {"type": "text-end", "id": "t1"},
        finish,
        "[DONE]",
    ]
    kept: list[Any] = [start, whole, given, finish, "[DONE]"]
    return Dialect(events(sent), [{"data": each} for each in kept])


DIALECTS = {
    "chat completions": _chat(),
    "responses": _responses(),
    "messages": _messages(),
    "ui messages": _ui_messages(),
    "data": Dialect(events(TOKENS), []),
    "token": Dialect(
        "".join(f"id: {n}\r\nevent: token\r\ndata: {t}\r\n\r\n" for n, t in enumerate(TOKENS)), []
    ),
}
