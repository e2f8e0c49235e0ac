"""The events that language models stream: which hold text, and which a part of something. Pure.

Chat completions and responses of OpenAI's API, messages of Anthropic's, and the UI messages of the
AI SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Path = tuple[str, ...]
Value = dict[str, Any]

DONE: Final = "[DONE]"
"""The data of the last event of many APIs; no text."""

_TEXT_EVENTS = frozenset(
    {
        *("token", "tokens", "delta", "text", "chunk", "content", "word", "words"),
        *("text_delta", "text-delta", "answer", "completion", "output"),
    }
)
_NAMELESS = frozenset({None, "message"})


@dataclass(frozen=True, slots=True)
class StreamForm:
    """Where the text of a stream is, as the document and the mark of its operation say.

    `has_json_data` tells that the data of events is JSON; `has_text` that data which is a string is
    text, unlike dates or the members of an enumeration. `text` is where the mark finds it in the
    data or line, ``("delta", "text")``; False: nowhere; None: where it is known to be.
    """

    has_json_data: bool = False
    has_text: bool = True
    text: Path | Literal[False] | None = None


UNKNOWN_FORM: Final = StreamForm()
"""Of a stream of which nothing is said."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event is to whoever reads its stream.

    Attributes:
        family: The events that belong together; those of no family stand for themselves.
        subject: What it is about, such as one of several tool calls.
        slot: What it says of that; a later event takes the place of an earlier one.
        text: Where its text is.
        part: Where the next part of a value is, which comes in several events.
        opens: Something new begins: a text, the subject again, or all of the family.
        ends: It says again all that was said of its subject, or of the family.
        is_told: Other events say what it says.
    """

    family: str = ""
    subject: object = None
    slot: str = ""
    text: Path = ()
    part: Path = ()
    opens: Literal["", "text", "subject", "family"] = ""
    ends: Literal["", "subject", "family"] = ""
    is_told: bool = False


ITEM: Final = Kind()
TOLD: Final = Kind(is_told=True)
CHUNK: Final = Kind(family="chunk")
_OPENING: Final = Kind(opens="text", is_told=True)

_KINDS: Final[Mapping[str, Kind]] = {
    "ping": TOLD,
    "content_block_start/text": _OPENING,
    "content_block_start/thinking": TOLD,
    "content_block_delta/text_delta": Kind(text=("delta", "text")),
    "content_block_stop": TOLD,
    "text-start": _OPENING,
    "text-delta": Kind(text=("delta",)),
    "text-end": TOLD,
    "reasoning-start": TOLD,
    "reasoning-end": TOLD,
    "response.output_text.delta": Kind(text=("delta",)),
    "response.output_text.done": TOLD,
    "response.refusal.delta": Kind(text=("delta",)),
    "response.refusal.done": TOLD,
    "response.content_part.added": _OPENING,
    "response.content_part.done": TOLD,
}
_ANTHROPIC_PARTS: Final = {"input_json_delta": "partial_json", "thinking_delta": "thinking"}
_RESPONSE_ENDS: Final = frozenset({"completed", "failed", "incomplete"})
_RESPONSE_STATES: Final = frozenset({"created", "in_progress", "queued"})


def is_text_event(name: object) -> bool:
    """Whether the data of events of that name is text, where it is no JSON."""
    return name in _NAMELESS or name in _TEXT_EVENTS


def is_token_event(name: object) -> bool:
    """Whether the name says that each event is a piece of a text, and no whole word or line."""
    return name in _TEXT_EVENTS


def read_kind(value: Mapping[str, Any]) -> Kind:
    """Tell what an event is by its ``type``; one without is a chat completion's, or an item."""
    name = value.get("type")
    if not isinstance(name, str):
        return CHUNK if _is_chunk(value) else ITEM
    inner = value.get("content_block" if name == "content_block_start" else "delta")
    inner_type = inner.get("type") if isinstance(inner, dict) else None
    kind = _KINDS.get(f"{name}/{inner_type}" if isinstance(inner_type, str) else name)
    if kind is not None:
        return kind
    if name.startswith("response."):
        return _response_kind(name.removeprefix("response."), value)
    if name.startswith("content_block_"):
        return _block_kind(name, inner_type, value)
    return _message_part_kind(name, value)


def _is_chunk(value: Mapping[str, Any]) -> bool:
    choices = value.get("choices")
    return isinstance(choices, list) and (
        value.get("object") == "chat.completion.chunk"
        or any(isinstance(each, dict) and isinstance(each.get("delta"), dict) for each in choices)
    )


def _response_kind(name: str, value: Mapping[str, Any]) -> Kind:
    """Of OpenAI's responses, whose last event says all of it once more."""
    if name in _RESPONSE_ENDS:
        return Kind("response", ends="family")
    if name in _RESPONSE_STATES:
        return Kind("response", opens="family" if name == "created" else "")
    subject = _key(value.get("output_index"))
    if subject is None:
        return ITEM
    if name == "output_item.done":
        return Kind("response", subject, ends="subject")
    slot, _, step = name.rpartition(".")
    if step == "delta" and isinstance(value.get("delta"), str):
        return Kind("response", subject, slot, part=("delta",))
    return Kind("response", subject, slot)


def _block_kind(name: str, inner_type: object, value: Mapping[str, Any]) -> Kind:
    """Of Anthropic's messages: a content block, and the parts of its input or thinking."""
    subject = _key(value.get("index"))
    if subject is None:
        return ITEM
    if name == "content_block_start":
        return Kind("message", subject, opens="subject")
    part = _ANTHROPIC_PARTS.get(str(inner_type))
    return Kind("message", subject, part, part=("delta", part)) if part else ITEM


def _message_part_kind(name: str, value: Mapping[str, Any]) -> Kind:
    """Of the AI SDK's UI messages: a tool's input, and what the model thinks."""
    if name == "reasoning-delta" and (subject := _key(value.get("id"))) is not None:
        return Kind("ui", ("reasoning", subject), part=("delta",))
    subject = _key(value.get("toolCallId"))
    if subject is None:
        return ITEM
    if name == "tool-input-delta":
        return Kind("ui", subject, "input", part=("inputTextDelta",))
    if name in {"tool-input-available", "tool-input-error"}:
        return Kind("ui", subject, ends="subject")
    return Kind("ui", subject) if name == "tool-input-start" else ITEM


def _key(value: object) -> str | int | None:
    return value if isinstance(value, str | int) else None


def take_text(value: Value, path: Path) -> str:
    """Take the text at a path out of a value, and return it; empty where there is none."""
    holder: Any = value
    for name in path[:-1]:
        holder = _member(holder, name)
    text = _member(holder, path[-1]) if path else None
    if not isinstance(text, str):
        return ""
    if isinstance(holder, dict):
        del holder[path[-1]]
    else:
        holder[int(path[-1])] = None
    return text


def has_text(value: Value, path: Path) -> bool:
    """Whether there is a string at a path."""
    holder: object = value
    for name in path:
        holder = _member(holder, name)
    return isinstance(holder, str)


def _member(holder: object, name: str) -> object:
    """Return what a JSON pointer names inside a value (RFC 6901 §4), or None."""
    if isinstance(holder, dict):
        return holder.get(name)
    if isinstance(holder, list) and name.isdecimal() and name.isascii() and len(name) < 10:
        return holder[int(name)] if int(name) < len(holder) else None
    return None


def read_pointer(pointer: str) -> Path:
    """Read a JSON pointer (RFC 6901), e.g. ``"/delta/text"``; the empty one is the whole value."""
    names = pointer.split("/")[1:]
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in names)


def take_chunk_text(chunk: Value) -> str:
    """Take the text of the first choice out of a chunk of a chat completion, and return it."""
    text = ""
    for position, choice in enumerate(chunk["choices"]):
        # Where nothing tells the choices apart, their place does.
        if isinstance(choice, dict) and choice.setdefault("index", position) == 0:
            parts = (take_text(choice, ("delta", name)) for name in ("content", "refusal"))
            text += "".join(parts)
    return text


def drop_told_text(value: object) -> object:
    """Leave the text that came before out of the event that ends a response of OpenAI's."""
    if isinstance(value, list):
        return [drop_told_text(each) for each in value]
    if not isinstance(value, dict):
        return value
    told = {"output_text": "text", "refusal": "refusal"}.get(str(value.get("type")))
    return {name: drop_told_text(each) for name, each in value.items() if name != told}
