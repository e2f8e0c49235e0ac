"""Generated MCP requests: most are in order, and each part of them may be odd."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.lanes import HeaderPairs
from tests.support import ERAS, LEGACY, MODERN, Era, envelope

Draw = Callable[[st.SearchStrategy[Any]], Any]


def encoded(body: str | bytes) -> str:
    return b64encode(
        body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    ).decode()


TEXTS = st.sampled_from(
    ["", "x", "../admin", "..", "a/b", "%2e", "?x#y", "a\0b", "a\r\nX: 1", "é", "\u2028", "\ud800"]
) | st.text(max_size=5)
NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, -(2**70), 10**310, 1.5, 1e308, -0.0, 1.0])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ODD_JSON: st.SearchStrategy[str | bytes] = st.sampled_from(
    [
        *("NaN", "[NaN, -Infinity]", "1e400", "[1E5, -0, 0.10]", '{"a": 1, "b": 2}', "null", ""),
        *('"\\ud800"', '"\\ud83d\\ude00"', "9" * 300, "9" * 5_000, "[" * 99 + "]" * 99, "[1] x"),
        *("[" * 120 + "]" * 120, '{\r\n "a": [\n1,\t2]\n}\n', '"\u2028\u2029\x85"', "\ufeff[1]"),
        *('{"name": "n", "count": 1.0}', '{"name": 1}', "[1, 2, 3]", '"\x01"', "{'a': 1}", "01"),
        *('{"NaN": "Infinity"}', '{"a": {"a": null}}', "[1,]", " \n 1 ", "true", "-", "1.5e3"),
        *(
            b'"\xff"',
            b'"\xc3',
            "[1]".encode("utf-16"),
            "{}".encode("utf-32-le"),
            b"\xff\xfe",
            b"\0",
        ),
    ]
)
BODIES: st.SearchStrategy[str | bytes] = (
    ODD_JSON | VALUES.map(json.dumps) | st.binary(max_size=8) | TEXTS
)
JSON_TYPES = ["application/json", "application/problem+json", "Application/JSON; charset=latin-1"]
MEDIA_TYPES = st.sampled_from(
    [
        *JSON_TYPES,
        *("text/plain", "text/html; charset=latin-1", "text/event-stream", "application/x-ndjson"),
        *("image/png", "audio/mpeg", "application/pdf", "application/xml", "nonsense", "text/json"),
    ]
)
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 202, 204, 206, 304, 400, 401, 404, 422, 429, 500, 503]
)
EXTRAS = st.sampled_from(
    [
        *("", "", "", "location: /x", 'etag: "1"\nlink: <a>; rel=next', "content-encoding: gzip"),
        *(
            'content-disposition: attachment; filename="a b.pdf"',
            "retry-after: 3",
            "x-total-count: 7",
        ),
        *("www-authenticate: Bearer", "set-cookie: a=b"),
    ]
)


def raw(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    whole = {"media_type": MEDIA_TYPES | st.sampled_from(JSON_TYPES), "body": BODIES.map(encoded)}
    return st.fixed_dictionaries({**whole, "status": STATUSES | st.just(200), **more})


TARGETS = st.sampled_from(
    [
        *(
            "/seen/x",
            "/seen/x?a=1",
            "seen/y",
            "http://localhost/seen/z",
            "http://evil.example/seen/z",
        ),
        *(
            "//evil.example/x",
            "/redirect?to=/seen/a",
            "/fails?how=http",
            "/nothing",
            "/nowhere",
            "",
        ),
        *("/redirect?to=/redirect%3Fto=/redirect", "http://[", "/seen/%2e%2e"),
    ]
)
FILES = st.lists(
    st.fixed_dictionaries(
        {}, optional={"filename": TEXTS, "text": TEXTS, "base64": st.sampled_from(["QUJD", "!"])}
    ),
    max_size=2,
)
CALLS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "raw": raw(extra=EXTRAS),
    "raw_object": raw(),
    "raw_list": raw(),
    "raw_optional": raw(),
    "anything": st.fixed_dictionaries({}, optional={"value": VALUES, "body": VALUES}),
    "put_item": st.fixed_dictionaries(
        {"item_id": TEXTS, "name": TEXTS}, optional={"count": SCALARS, "x_note": TEXTS}
    ),
    "seen": st.fixed_dictionaries({"text": TEXTS}, optional={"crumb": TEXTS}),
    "upload": st.fixed_dictionaries({"files": FILES}, optional={"note": TEXTS}),
    "form": st.fixed_dictionaries({"name": TEXTS}, optional={"count": SCALARS}),
    "lines": st.fixed_dictionaries({}, optional={"count": st.integers(0, 3)}),
    "events": st.fixed_dictionaries({}, optional={"count": st.integers(0, 3)}),
    "fails": st.fixed_dictionaries({}, optional={"how": st.sampled_from(["http", "teapot", "x"])}),
    "redirect": st.fixed_dictionaries(
        {"to": TARGETS}, optional={"status": st.sampled_from([200, 201, 301, 302, 303, 307, 308])}
    ),
    "nothing": st.just({}),
    "slow": st.just({}),
    "dribble": st.fixed_dictionaries({}, optional={"media_type": MEDIA_TYPES}),
    "capped": st.fixed_dictionaries({}, optional={"media_type": MEDIA_TYPES, "text": TEXTS}),
}
META_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "progressToken": st.sampled_from(["p", 7, 7.5, None, True, "", [1]]),
    "traceparent": st.sampled_from(
        ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x", 7]
    ),
    "baggage": TEXTS,
    "fastmcp": st.sampled_from([{"version": "1"}, None]),
    "io.modelcontextprotocol/clientInfo": st.sampled_from(
        [{"name": "c", "version": "1"}, {"name": 1}, {}, "c", None, {"name": "c"}, [1]]
    ),
    "io.modelcontextprotocol/clientCapabilities": st.sampled_from(
        [{"elicitation": {}}, None, [], 1]
    ),
    "io.modelcontextprotocol/protocolVersion": st.sampled_from([LEGACY, MODERN, None, 1]),
    "io.modelcontextprotocol/related-task": st.just({"taskId": "1"}),
    "io.modelcontextprotocol/logLevel": st.sampled_from(["info", "loud", None, 1]),
    "x": SCALARS,
}
PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "cursor": st.sampled_from(["", "x", None, 1]),
    "task": st.sampled_from([{"ttl": 1}, None, {}]),
    "inputResponses": st.sampled_from([{}, {"a": {"action": "accept"}}, None, []]),
    "requestState": st.sampled_from(["", "x", None]),
    "arguments": SCALARS,
    "name": SCALARS,
    "x": SCALARS,
}
IDS = st.sampled_from(
    [1, 0, -1, "a", "", 'é\u2028"', 2**63, 10**400, 1.0, 1.5, None, True, [1], "\ud800"]
)
HEADERS: dict[str, list[str]] = {
    "content-type": [
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/plain",
        "",
        "application/json,",
    ],
    "accept": [
        "*/*",
        "application/json",
        "text/event-stream",
        "application/*, text/*",
        "",
        "application/json;q=0, text/event-stream",
    ],
    "mcp-protocol-version": [
        "2024-11-05",
        "2025-03-26",
        "2025-11-25",
        "2025-06-18",
        MODERN,
        "2099-01-01",
        "",
    ],
    "mcp-method": ["tools/call", "tools/list", "Tools/Call", ""],
    "mcp-name": ["nothing", "=?base64?bm90aGluZw==?=", "=?base64?!?=", ""],
    "mcp-session-id": ["x", ""],
    "mcp-param-text": ["x", ""],
    "last-event-id": ["1"],
    "x-note": ["n", "é"],
    "authorization": ["Bearer x"],
    "traceparent": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    "host": ["evil.example", ""],
    "cookie": ["a=b"],
    "origin": ["http://localhost:8000", "http://evil.example", "null"],
}


@st.composite
def requests(draw: Draw) -> tuple[HeaderPairs, bytes]:
    """Draw a request that is most often in order."""
    era: Era = draw(st.sampled_from(ERAS))
    method = draw(st.sampled_from(["tools/call"] * 8 + ["tools/list"] * 2 + ["ping", "nonsense"]))
    params: dict[str, Any] = {}
    if method == "tools/call":
        params["name"] = tool = draw(
            st.sampled_from([*CALLS, *CALLS, *CALLS, "unknown", "Raw", ""])
        )
        params["arguments"] = dict(draw(CALLS.get(tool, st.just({}))))
        if draw(_rarely):
            params["arguments"][draw(TEXTS)] = draw(VALUES)
    if draw(_rarely):
        params["_meta"] = draw(st.fixed_dictionaries({}, optional=META_VALUES))
    headers, message = envelope(era, method, params)
    if draw(_seldom):
        key = draw(st.sampled_from([*PARAMS]))
        message["params"][key] = draw(PARAMS[key])
    if draw(_rarely):
        message["id"] = draw(IDS)
    if draw(_seldom):
        message[draw(st.sampled_from(["jsonrpc", "method", "params", "x", "id"]))] = draw(SCALARS)
    if draw(_seldom):
        message.pop(draw(st.sampled_from([*message])))
    body = json.dumps(message, ensure_ascii=draw(st.booleans())).encode("utf-8", "replace")
    if draw(_seldom):
        body = draw(st.sampled_from(_BODY_FAULTS))(body)
    pairs = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
    if draw(_rarely):
        pairs = draw(_spoiled(pairs))
    return pairs, body


@st.composite
def lists(draw: Draw) -> tuple[HeaderPairs, bytes]:
    """Draw a request for the list with what is seldom sent in its parameters."""
    era: Era = draw(st.sampled_from(ERAS))
    params: dict[str, Any] = draw(
        st.fixed_dictionaries({}, optional={**PARAMS, "cursor": TEXTS | st.none(), "x": VALUES})
    )
    meta = st.fixed_dictionaries({}, optional={**META_VALUES, "x": VALUES | st.none()})
    headers, message = envelope(era, "tools/list", params)
    headers.pop("mcp-name", None)
    message["params"].setdefault("_meta", {}).update(draw(meta))
    body = json.dumps(message, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(_rarely):
        # Within what is not looked at.
        odd = draw(ODD_JSON)
        value = odd if isinstance(odd, bytes) else odd.encode()
        body = body.replace(b'"_meta": {', b'"_meta": {"y": ' + value + b", ", 1)
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


@st.composite
def near_misses(draw: Draw) -> tuple[tuple[HeaderPairs, bytes], tuple[HeaderPairs, bytes]]:
    """Draw a call that is in order, and one that differs from it in one place."""
    era: Era = draw(st.sampled_from(ERAS))
    about = {"io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"}}
    meta = draw(st.sampled_from([{}, about, {"progressToken": 1}, {"traceparent": "x"}]))
    params = {"name": "anything", "arguments": {"value": 1}, "_meta": meta}
    headers, message = envelope(era, "tools/call", params)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    in_order = pairs, json.dumps(message).encode()
    if draw(_rarely):
        return in_order, (draw(_spoiled(pairs)), in_order[1])
    owner = draw(
        st.sampled_from(
            [message, message["params"], message["params"]["_meta"], params["arguments"]]
        )
    )
    key = draw(st.sampled_from([*owner, *META_VALUES, *PARAMS, "method", "id"]))
    owner[key] = draw(META_VALUES.get(key, SCALARS) | SCALARS | st.just({}) | IDS)
    if draw(_rarely):
        del owner[key]
    return in_order, (pairs, json.dumps(message).encode())


_seldom = st.integers(0, 15).map(lambda number: number == 15)
_rarely = st.integers(0, 5).map(lambda number: number == 5)
_BODY_FAULTS: list[Callable[[bytes], bytes]] = [
    lambda body: body[:-1],
    lambda body: b" " + body,
    lambda body: body + b"\n",
    lambda body: body + b"x",
    lambda body: b"[" + body + b"]",
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.decode().encode("utf-16"),
    lambda body: body.decode().encode("utf-16-le"),
    lambda body: body.replace(b'"id": 1', b'"id": 1, "id": 2'),
    lambda body: body.replace(b'"arguments": {', b'"arguments": {"q": NaN, "q": 1e999, '),
    lambda body: body.replace(b": {", b": {" + b'"a": {' * 300 + b"}" * 300 + b", ", 1),
    lambda body: body.replace(b"e", b"\xff", 1),
    lambda _: b"",
]


@st.composite
def _spoiled(draw: Draw, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Draw a header that is doubled, missing, changed or odd."""
    kind = draw(st.sampled_from(["double", "drop", "set", "add"]))
    if kind == "drop":
        gone = draw(st.sampled_from(pairs))
        return [pair for pair in pairs if pair is not gone]
    if kind == "double":
        return [*pairs, draw(st.sampled_from(pairs))]
    name = draw(st.sampled_from([*HEADERS]))
    new = (name.encode(), draw(st.sampled_from(HEADERS[name])).encode())
    kept = pairs if kind == "add" else [pair for pair in pairs if pair[0] != new[0]]
    return [*kept, new]
