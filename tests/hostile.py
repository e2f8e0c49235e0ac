"""What others could send to take our time or memory: JSON, streams, and messages of MCP.

Everything is made from a seed and a number, so that a finding can be made again by itself.
"""

import json
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

# Mostly small, so that there can be many; what takes long does so in the middle too.
SIZES = (*[1_000] * 20, *[30_000] * 20, *[300_000] * 6, 1_000_000, 3_000_000, 9_000_000)

_ITEMS = {
    "lists": "[]",
    "objects": "{}",
    "rows": '{"id":1,"name":"abc"}',
    "nested": "[[[[[]]]]]",
    "numbers": "1",
    "digits": "1" * 299,
    "thousands of digits": "7" * 4_000,
    "fractions": "2.2250738585072011" + "9" * 700 + "e-308",
    "short fractions": "2.2250738585072011" + "9" * 23 + "e-308",
    "texts": '"ab"',
    "digits in texts": '"' + "1" * 299 + '"',
    "escapes": '"\\u00e9\\u202e"',
    "halves of characters": '"\\ud800"',
    "quotation marks": r'"\"\\\""',
    "no numbers": "NaN",
}


@lru_cache(maxsize=24)
def value(kind: str, size: int) -> str:
    """Return a JSON value of a kind, or what looks like one, of about so many characters."""
    if kind in _ITEMS:
        item = _ITEMS[kind]
        return f"[{','.join([item] * max(1, size // (len(item) + 1)))}]"
    makers: dict[str, Callable[[], str]] = {
        "names": lambda: "{" + ",".join(f'"{number}":1' for number in range(size // 10)) + '"":1}',
        "one text": lambda: json.dumps("x" * size),
        "one text of escapes": lambda: '"' + "\\u202e" * (size // 6) + '"',
        "deep": lambda: "[" * (size // 2) + "]" * (size // 2),
        "one number": lambda: "1" * size,
        "cut": lambda: "[" + "[]," * (size // 3),
        "blanks": lambda: " " * size + "1",
    }
    return makers[kind]()


KINDS = (
    *_ITEMS,
    *("names", "one text", "one text of escapes", "deep", "one number", "cut", "blanks"),
)


def pick(random: Random, *, largest: int = SIZES[-1]) -> str:
    """Return any of the values."""
    return value(random.choice(KINDS), random.choice([size for size in SIZES if size <= largest]))


_STREAMS: dict[str, Callable[[str, int], str]] = {
    "events": lambda _, size: "data: 1\n\n" * (size // 9),
    "an event": lambda json_, _: f"data: {json_}\n\n",
    "events of values": lambda json_, size: f"data: {json_[:30_000]}\n\n" * (size // 30_000 or 1),
    "line ends": lambda _, size: "\n" * size,
    "bare lines": lambda _, size: "a\n" * (size // 2),
    "fields": lambda _, size: "event: a\nid: 1\n" * (size // 15),
    "lines": lambda json_, size: f"{json_[:30_000]}\n" * (size // 30_000 or 1),
    "short lines": lambda _, size: "{}\n" * (size // 3),
}

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def response(seed: int, number: int) -> Answer:
    """Return status, headers and body of the response with this number."""
    random = Random(f"{seed}/response/{number}")  # noqa: S311 - to be repeated, not to be secret
    media, body = "application/json", b""
    kind = random.randrange(10)
    if kind < 5:
        body = pick(random).encode()
    elif kind < 8:
        media = random.choice(["text/event-stream", "application/jsonl"])
        size = random.choice(SIZES)
        body = _STREAMS[random.choice([*_STREAMS])](pick(random), size).encode()[: SIZES[-1]]
    else:
        media = random.choice(
            ["text/plain; charset=utf-16", "image/png", "text/html; charset=punycode", "x" * 9_000]
        )
        body = random.randbytes(1_000) * random.choice([1, 100, 3_000])
    headers = [(b"content-type", media.encode())]
    if random.random() < 0.1:
        body = zlib.compress(body * 3)
        headers.append((b"content-encoding", b"deflate"))
    if random.random() < 0.1:
        headers += [(b"link", b"<x>; " * 1_000)] * 20
    status = random.choice([200, 200, 200, 200, 201, 204, 302, 422, 500])
    return status, headers, body


def result(seed: int, number: int) -> str:
    """Return the member of a JSON-RPC message with which another server answers a call."""
    random = Random(f"{seed}/result/{number}")  # noqa: S311 - as above
    said = pick(random)
    text = json.dumps({"type": "text", "text": "x" * random.choice(SIZES)})
    blocks = ",".join([json.dumps({"type": "text", "text": ""})] * random.choice([999, 99_999]))
    return random.choice(
        [
            f'"result":{{"content":[],"structuredContent":{{"result":{said}}}}}',
            f'"result":{{"content":[{text}],"structuredContent":{said}}}',
            f'"result":{{"content":{said}}}',
            f'"result":{{"content":[{blocks}]}}',
            f'"result":{{"content":[{text}],"_meta":{said}}}',
            f'"result":{said}',
            f'"error":{{"code":-32000,"message":{said}}}',
            f'"error":{{"code":-32000,"message":"no","data":{said}}}',
            f'"error":{{"code":-32000,"message":"no"}},"more":{said}',
        ]
    )


def listed(seed: int, number: int) -> list[dict[str, Any]]:
    """Return the tools that another server lists; the first of them is in order."""
    random = Random(f"{seed}/list/{number}")  # noqa: S311 - as above
    part: dict[str, Any] = {"type": "string", "pattern": "(a+)+$", "enum": ["a"] * 300}
    for _ in range(random.choice([3, 60, 300])):
        part = {random.choice(["anyOf", "allOf", "oneOf", "prefixItems"]): [part, {"$ref": "#"}]}
    many = {f"p{index}": {"$ref": "#/$defs/part"} for index in range(random.choice([5, 300]))}
    schema = {"type": "object", "properties": many, "$defs": {"part": part}}
    other = {
        "name": "a" * random.choice([1, 90_000]),
        "description": "\u202e" * random.choice([1, 90_000]),
        "inputSchema": schema,
        "outputSchema": schema,
    }
    first = {"name": "tool", "inputSchema": {"type": "object"}}
    tools = [first, *({**other, "name": f"{index}{other['name']}"} for index in range(99))]
    while len(json.dumps(tools)) > 12_000_000:
        tools = tools[: len(tools) // 2]
    return tools


def _combined(random: Random, names: list[str], index: int) -> dict[str, Any]:
    """Return a union of any schemas, or all of those that come later: a circle is refused."""
    key = random.choice(["anyOf", "oneOf", "allOf"])
    others = names[index + 1 :] or ["None"] if key == "allOf" else names
    pointers = [f"#/components/schemas/{random.choice(others)}" for _ in range(3)]
    return {key: [{"$ref": pointer} for pointer in pointers]}


def document(seed: int, number: int) -> dict[str, Any]:
    """Return an OpenAPI document with an operation of everything that could take long."""
    random = Random(f"{seed}/document/{number}")  # noqa: S311 - as above
    size = random.choice([5, 20, 60])
    patterns = [
        "(a+)+$",
        "a-[^]" * 24 + "\\",
        "(" * size,
        "[" * size,
        "\\u{" * size,
        "(?<a>" * size,
    ]
    names = [f"S{index}" for index in range(size)]
    schemas: dict[str, Any] = {
        name: {
            "type": random.choice(["object", "array", ["null"] * size, None]),
            "properties": {
                key: {"$ref": f"#/components/schemas/{random.choice(names)}"} for key in names[:20]
            },
            **_combined(random, names, index),
            "pattern": random.choice(patterns),
            "description": "<" * random.choice([1, 100 * size]) + "&lt;" * size,
        }
        for index, name in enumerate(names)
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}
    operation = {
        "operationId": "_-" * random.choice([2, 10 * size]),
        "summary": "a" * random.choice([2, 100 * size]),
        "requestBody": body,
        "responses": {"200": body},
        "parameters": [
            {"name": f"q{index}", "in": "query", "schema": schemas[random.choice(names)]}
            for index in range(5)
        ],
    }
    # A path with a brace that is left open is refused, and with it the document.
    odd = "/a{b" if random.random() < 0.2 else "/a{b}"
    paths = {f"/{index}{odd * random.choice([0, 40])}": {"post": operation} for index in range(5)}
    components = {"schemas": {**schemas, "None": {}}}
    return {"openapi": "3.1.0", "paths": paths, "components": components}
