"""The gate of scopes reads what the SDK reads: no odd JSON is a way around it."""

import json
from typing import Any

import pydantic_core
import pytest
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import mount_mcp
from mcp_mount.access.auth import scopes_to_request
from mcp_mount.fastpath.outline import read_outline
from tests.access import bearer, static
from tests.raw import RawReply, send_raw
from tests.support import ERAS, Era, envelope

eras = pytest.mark.parametrize("era", ERAS)

CALL = b'"method":"tools/call"'
META = json.dumps(envelope("modern", "x")[1]["params"]["_meta"]).encode()
SECRET = b'"params":{"name":"secret","arguments":{},"_meta":' + META + b"}"
OPEN = b'"params":{"name":"open","arguments":{},"_meta":' + META + b"}"
HEAD = b'{"jsonrpc":"2.0","id":1,'
PLAIN = HEAD + CALL + b"," + SECRET + b"}"

ODD: dict[str, bytes] = {
    "plain": PLAIN,
    "two names": PLAIN.replace(b'"name":', b'"name":"open","name":'),
    "two names, the open one last": PLAIN.replace(
        b'"name":"secret"', b'"name":"secret","name":"open"'
    ),
    "two params": HEAD + CALL + b"," + OPEN + b"," + SECRET + b"}",
    "two params, the open one last": HEAD + CALL + b"," + SECRET + b"," + OPEN + b"}",
    "two methods": HEAD + b'"method":"tools/list",' + CALL + b"," + SECRET + b"}",
    "two methods, another last": HEAD + CALL + b',"method":"tools/list",' + SECRET + b"}",
    "escaped name": PLAIN.replace(b'"secret"', rb'"\u0073ecre\u0074"'),
    "escaped keys": PLAIN.replace(b'"name"', rb'"n\u0061me"').replace(
        b'"params"', rb'"\u0070arams"'
    ),
    "escaped method": PLAIN.replace(b"tools/call", rb"tools\/c\u0061ll"),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "utf-16": PLAIN.decode().encode("utf-16"),
    "utf-16 without mark": PLAIN.decode().encode("utf-16-le"),
    "utf-32": PLAIN.decode().encode("utf-32"),
    "latin-1": PLAIN.replace(HEAD, HEAD + b'"x":"\xff",'),
    "lone surrogate": PLAIN.replace(HEAD, HEAD + rb'"x":"\ud800",'),
    "raw surrogate": PLAIN.replace(HEAD, HEAD + b'"x":"\xed\xa0\x80",'),
    "control character": PLAIN.replace(HEAD, HEAD + b'"x":"\x01",'),
    "not a number": PLAIN.replace(HEAD, HEAD + b'"x":NaN,'),
    "infinite": PLAIN.replace(HEAD, HEAD + b'"x":[Infinity,-Infinity,1e999],'),
    "huge integer": PLAIN.replace(HEAD, HEAD + b'"x":' + b"9" * 5_000 + b","),
    "white space": b" \r\n\t" + PLAIN + b"\n\n ",
    "form feed": b"\f" + PLAIN,
    "NUL behind": PLAIN + b"\0",
    "deep": PLAIN.replace(HEAD, HEAD + b'"x":' + b"[" * 150 + b"]" * 150 + b","),
    "deeper": PLAIN.replace(HEAD, HEAD + b'"x":' + b"[" * 900 + b"]" * 900 + b","),
    "deepest": PLAIN.replace(HEAD, HEAD + b'"x":' + b"[" * 50_000 + b"]" * 50_000 + b","),
    "trailing comma": PLAIN[:-1] + b",}",
    "comment": b"/**/" + PLAIN,
    "batch": b"[" + PLAIN + b"]",
    "batch of two": b"[" + PLAIN.replace(b"secret", b"open") + b"," + PLAIN + b"]",
    "notification": PLAIN.replace(b'"id":1,', b""),
    "id of null": PLAIN.replace(b'"id":1,', b'"id":null,'),
    "other case of the name": PLAIN.replace(b'"secret"', b'"Secret"'),
    "space in the name": PLAIN.replace(b'"secret"', b'" secret"'),
    "NUL in the name": PLAIN.replace(b'"secret"', rb'"secret\u0000"'),
    "full-width name": PLAIN.replace(b'"secret"', '"\uff53ecret"'.encode()),
    "versioned name": PLAIN.replace(b'"secret"', b'"secret@1"'),
    "name in a list": PLAIN.replace(b'"secret"', b'["secret"]'),
    "name of null": PLAIN.replace(b'"secret"', b"null"),
    "params in a list": HEAD + CALL + b',"params":["secret"]}',
    "space in the method": PLAIN.replace(b"tools/call", b"tools/call "),
    "other case of the method": PLAIN.replace(b"tools/call", b"Tools/Call"),
    "other case of the key": PLAIN.replace(b'"params"', b'"Params"'),
}


def secret_app(called: list[str]) -> FastAPI:
    """Return an app with two tools, ``open`` and ``secret``, which needs a scope."""
    app = FastAPI()
    scheme = HTTPBearer()

    @app.get("/open")
    async def open() -> str:  # noqa: A001
        return "open"

    @app.get("/secret", dependencies=[Security(scheme, scopes=["kb:admin"])])
    async def secret() -> str:
        called.append("secret")
        return "the secret"

    mount_mcp(app, auth=static(alice=["kb:read"], admin=["kb:admin"]))
    return app


async def post(
    app: FastAPI, era: Era, body: bytes, caller: str, named: str = "secret", **headers: str
) -> RawReply:
    own, _ = envelope(era, "tools/call", {"name": named})
    return await send_raw(app, [body], {**own, **headers, **bearer(caller)})


@eras
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
@pytest.mark.parametrize("named", ["secret", "open"])
async def test_no_odd_json_calls_what_the_caller_may_not(era: Era, body: bytes, named: str) -> None:
    """C4: what calls for a caller who may is answered with 403 to one who may not."""
    called: list[str] = []
    app = secret_app(called)
    reply = await post(app, era, body, "alice", named)
    assert called == []
    assert b"the secret" not in reply.body
    assert reply.status in {200, 202, 400, 403, 404}
    await post(app, era, body, "admin", named)
    if called:
        assert reply.status == 403


@eras
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-16", "text/plain", ""])
async def test_another_content_type_is_no_way_around(era: Era, content_type: str) -> None:
    """C4."""
    called: list[str] = []
    app = secret_app(called)
    for body in (PLAIN, PLAIN.decode().encode("utf-16")):
        await post(app, era, body, "alice", **{"content-type": content_type})
    assert called == []


@eras
async def test_the_same_bytes_serve_a_caller_who_may(era: Era) -> None:
    """C4: so that the tests before this one cannot pass in vain."""
    called: list[str] = []
    app = secret_app(called)
    for name in ("plain", "two names", "two params", "two methods", "escaped keys", "deep"):
        reply = await post(app, era, ODD[name], "admin")
        assert reply.answer["result"]["structuredContent"] == {"result": "the secret"}, name
    assert called == ["secret"] * 6


json_like = st.recursive(
    st.sampled_from(["tools/call", "tools/list", "secret", "open", 1, None, True, 1e3]),
    lambda inner: st.lists(st.tuples(st.sampled_from(["name", "params", "method", "x"]), inner)),
    max_leaves=12,
)


def write(value: Any) -> str:
    """Write pairs as an object, whose keys may be there twice."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "{" + ",".join(f"{json.dumps(key)}:{write(item)}" for key, item in value) + "}"


@given(json_like)
def test_both_eras_readers_and_the_gate_see_the_same_call(value: Any) -> None:
    """C4: the modern era is read by `json`, the handshake versions by `pydantic_core`."""
    body = write(value).encode()
    seen = []
    for read in (json.loads, pydantic_core.from_json):
        message = read(body)
        params = message.get("params") if isinstance(message, dict) else None
        name = params.get("name") if isinstance(params, dict) else None
        is_call = isinstance(name, str) and message.get("method") == "tools/call"
        seen.append(name if is_call else None)
    assert seen == [read_outline(body).tool] * 2


R, W, A = frozenset({"r"}), frozenset({"r", "w"}), frozenset({"a"})


@pytest.mark.parametrize(
    ("alternatives", "granted", "asked"),
    [
        ((), set(), set()),
        ((R,), None, set()),
        ((R,), {"r"}, set()),
        ((R,), {"r", "x"}, set()),
        ((R,), set(), {"r"}),
        ((W,), {"r"}, {"r", "w"}),
        ((W, A), {"a"}, set()),
        ((W, A), {"r", "w"}, set()),
        ((W, A), set(), {"a"}),
        ((A, W), {"x"}, {"a"}),
    ],
)
def test_the_nearest_of_several_alternatives_is_asked_for(
    alternatives: tuple[frozenset[str], ...], granted: set[str] | None, asked: set[str]
) -> None:
    """C4: all of its scopes, as clients may drop those they do not ask for again."""
    given = frozenset(granted) if granted is not None else None
    assert scopes_to_request(alternatives, given) == asked
