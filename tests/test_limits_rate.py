"""How often a caller may call, counted in memory; and what cannot be a rate limit."""

import gc
import hashlib
import logging
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from fastapi.testclient import TestClient
from fastmcp import Client
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import MountError, RateLimit, mount_mcp
from mcp_mount.access.principals import credentials_of
from mcp_mount.access.rates import CallRate
from mcp_mount.errors import Busy
from tests.support import ERAS, Era, Reply, call, envelope, rpc

UNCHECKED = "The rate limit cannot be checked now. Try again in a minute."


def limited(rate: str | RateLimit = "2/hour") -> FastAPI:
    """Return an app whose tool ``ping`` may be called so often."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mount_mcp(app, rate_limit=RateLimit(rate) if isinstance(rate, str) else rate)
    return app


async def ping(app: ASGIApp, era: Era = "modern", /, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(app, "ping", era=era, headers=named)


@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_over_the_rate_is_told_when_to_come_back(era: Era) -> None:
    """C6: a tool error with the seconds, and the route does not run."""
    app = limited()
    for _ in range(2):
        assert (await ping(app, era)).text_content == '"pong"'
    refused = await ping(app, era)
    assert (refused.status, refused.is_error) == (200, True)
    found = re.fullmatch(
        r"Too many calls: 2 per 1 hour are allowed\. Try again in (\d+) seconds?\.",
        refused.text_content,
    )
    assert found is not None, refused.text_content
    assert 1 <= int(found[1]) <= 3601


@pytest.mark.parametrize("era", ERAS)
async def test_only_calls_that_would_run_count(era: Era) -> None:
    """C6: neither lists, nor unknown tools, nor arguments that do not fit."""
    app = limited("1/hour")
    for _ in range(2):
        await rpc(app, era, "tools/list")
        assert "error" in (await call(app, "nothing", era=era)).answer
        assert "Unknown argument" in (await call(app, "ping", {"a": 1}, era=era)).text_content
    assert (await ping(app, era)).text_content == '"pong"'
    assert (await ping(app, era)).is_error


async def test_the_hint_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: whoever waits as long as was said is let in, and the window slides."""
    clock = SimpleNamespace(now=1_000_000_000.0 + 25)
    watch = SimpleNamespace(time=lambda: clock.now)
    for module in ("limits.storage.memory", "limits.strategies", "mcp_mount.access.rates"):
        monkeypatch.setattr(f"{module}.time", watch)
    app = limited("3/minute")
    waits = []
    for _ in range(3):
        assert not (await ping(app)).is_error
    for _ in range(3):
        said = re.search(r"in (\d+) second", (await ping(app)).text_content)
        assert said is not None
        waits.append(int(said[1]))
        clock.now += waits[-1]
        assert not (await ping(app)).is_error
    # Three at once; then one more whenever a third of the window has passed.
    assert waits == [56, 20, 20]


CALLERS: list[tuple[Mapping[str, str], Mapping[str, str]]] = [
    ({"authorization": "Bearer a"}, {"authorization": "Bearer b"}),
    ({"x-api-key": "a"}, {"x-api-key": "b"}),
    ({"x-api-key": "a"}, {}),
]


@pytest.mark.parametrize(("one", "other"), CALLERS)
@pytest.mark.parametrize("era", ERAS)
async def test_callers_with_other_credentials_count_apart(
    one: Mapping[str, str], other: Mapping[str, str], era: Era
) -> None:
    """C6: no caller uses up another one's calls."""
    app = limited("1/hour")
    assert not (await ping(app, era, **one)).is_error
    assert (await ping(app, era, **one)).is_error
    assert not (await ping(app, era, **other)).is_error


JUNK = "Bearer junk-{}"


@pytest.mark.parametrize("era", ERAS)
async def test_a_made_up_credential_beside_the_real_one_is_no_new_caller(era: Era) -> None:
    """C6: each that is shown counts by itself, as only the app knows which one it looks at."""
    app = limited("2/hour")
    for number in range(2):
        shown = {"x_api_key": "real", "authorization": JUNK.format(number)}
        assert not (await ping(app, era, **shown)).is_error
    assert (await ping(app, era, x_api_key="real", authorization=JUNK.format(2))).is_error
    for number in range(2):
        shown = {"authorization": "Bearer real", "x_api_key": JUNK.format(number)}
        assert not (await ping(app, era, **shown)).is_error
    assert (await ping(app, era, authorization="Bearer real", x_api_key="other")).is_error


@pytest.mark.parametrize("same", ["bearer a", "BEARER a", "Bearer   a"])
async def test_a_token_is_one_however_it_is_written(same: str) -> None:
    """C6: as the routes that check it read it."""
    app = limited("1/hour")
    assert not (await ping(app, authorization="Bearer a")).is_error
    assert (await ping(app, authorization=same)).is_error


BASIC = "Basic dTpw"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "same", ["basic dTpw", "Basic  dTpw", "Basic !dTpw", "BASIC d!!T-p_w", "Basic dTpw===="]
)
async def test_a_name_and_password_are_one_however_they_are_written(era: Era, same: str) -> None:
    """C6: as FastAPI reads them, whose decoder leaves out what is no Base64."""
    assert HTTPBasicCredentials(username="u", password="p") == await HTTPBasic()(
        Request({"type": "http", "headers": [(b"authorization", same.encode())]})
    )
    app = limited("1/hour")
    assert not (await ping(app, era, authorization=BASIC)).is_error
    assert (await ping(app, era, authorization=same)).is_error


@pytest.mark.parametrize("other", ["Basic dTpx", "Basic u:p", "Basic d", "Bearer dTpw", "Basic é"])
async def test_what_is_no_such_name_and_password_is_counted_as_it_is_given(other: str) -> None:
    """C6: and breaks no call."""
    rate = CallRate(RateLimit("1/hour"))
    given, same = (
        Request({"type": "http", "headers": [(b"authorization", text.encode("latin-1"))]})
        for text in (other, BASIC)
    )
    await rate.count(same)
    await rate.count(given)
    with pytest.raises(Busy, match="Too many calls"):
        await rate.count(given)


PLACES = [
    ("header", "x-team-key", {"headers": [(b"x-team-key", b"real")]}),
    ("query", "teamkey", {"query_string": b"teamKey=real"}),
    ("cookie", "team", {"headers": [(b"cookie", b"Team=real")]}),
]


@pytest.mark.parametrize(("where", "name", "shown"), PLACES, ids=lambda value: str(value)[:9])
async def test_keys_that_the_app_declares_are_credentials(
    where: str, name: str, shown: Mapping[str, list[tuple[bytes, bytes]]]
) -> None:
    """C6: in a header, the query or a cookie, whatever else is shown beside them."""
    rate = CallRate(RateLimit("1/hour"), lambda: [(where, name)])
    scope = {"type": "http", "headers": [], "query_string": b"", **shown}
    await rate.count(Request(scope))
    junk = [*scope["headers"], (b"authorization", b"Bearer junk")]
    with pytest.raises(Busy, match="Too many calls"):
        await rate.count(Request({**scope, "headers": junk}))
    # A refused call has used up nothing else.
    await rate.count(Request({"type": "http", "headers": junk[-1:], "query_string": b"x=1"}))


SLOW = [
    # Up to Python 3.11.9, the library's own reader takes seconds.
    [(b"cookie", b'a="' + b'\\"' * 30_000 + b'"; Team="re\\141l"')],
    [(b"cookie", b"a;" * 30_000 + b"team=real")],
    [(b"cookie", b"team=real"), *[(b"x-other", b"1")] * 198],
]


@pytest.mark.parametrize("headers", SLOW, ids=["quoted", "many", "places"])
async def test_to_find_the_keys_takes_no_time(headers: list[tuple[bytes, bytes]]) -> None:
    """X5: whatever the request holds, and however many places a foreign document names."""
    places = frozenset([("cookie", "team"), *(("header", f"x-{each}") for each in range(20_000))])
    taken = []
    for _ in range(3):
        # It keeps what it has read.
        request = Request({"type": "http", "headers": headers, "query_string": b""})
        began = time.thread_time()
        found = credentials_of(request, places)
        taken.append(time.thread_time() - began)
    assert found == [f"key:{hashlib.sha256(b'cookie team=real').hexdigest()}"]
    assert min(taken) < 0.05


async def test_a_request_that_shows_heaps_of_credentials_is_refused() -> None:
    """C6: each would be a question to the store."""
    headers = [(b"x-api-key", b"%d" % number) for number in range(5)]
    with pytest.raises(Busy, match="Too many credentials are shown: 5"):
        await CallRate(RateLimit("9/hour")).count(Request({"type": "http", "headers": headers}))


def _at(app: ASGIApp, **added: object) -> ASGIApp:
    """Return the app as reached by this client, by this user."""

    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **added}, receive, send)

    return reached


async def test_callers_without_a_credential_count_by_address() -> None:
    """C6: whatever port they call from, and whatever else they say of themselves."""
    app = limited("1/hour")
    assert not (await ping(_at(app, client=("10.0.0.1", 1)))).is_error
    assert (await ping(_at(app, client=("10.0.0.1", 2)), user_agent="other")).is_error
    assert not (await ping(_at(app, client=("10.0.0.2", 1)))).is_error
    assert not (await ping(_at(app, client=None))).is_error


class Backend(AuthenticationBackend):
    """Takes a caller for who they say they are."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(), SimpleUser(conn.headers["x-user"])


@pytest.mark.parametrize("era", ERAS)
async def test_an_authenticated_caller_is_one_whichever_credential_is_used(era: Era) -> None:
    """C6: a new token is no new allowance, and one address may have many users."""
    app = limited("1/hour")
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    assert not (await ping(app, era, x_user="alice", authorization="Bearer 1")).is_error
    assert (await ping(app, era, x_user="alice", authorization="Bearer 2")).is_error
    assert not (await ping(app, era, x_user="bob", authorization="Bearer 1")).is_error


class Nameless(BaseUser):
    """A user of the app's own that says only that somebody is there."""

    @property
    def is_authenticated(self) -> bool:
        return True


@pytest.mark.parametrize("user", [{"name": "alice"}, "alice", None, Nameless(), object()])
async def test_a_user_of_no_known_form_breaks_no_call(user: object) -> None:
    """C6: whatever the app's middleware puts into the scope, the credential still tells callers."""
    app = _at(limited("1/hour"), user=user)
    assert not (await ping(app, authorization="Bearer a")).is_error
    assert (await ping(app, authorization="Bearer a")).is_error
    assert not (await ping(app, authorization="Bearer b")).is_error


async def test_an_app_may_say_itself_who_calls() -> None:
    """C6: `caller_of` replaces everything else."""

    def tenant(request: Request) -> str:
        return request.headers["x-tenant"]

    app = limited(RateLimit("1/hour", caller_of=tenant))
    assert not (await ping(app, x_tenant="one", x_api_key="a")).is_error
    assert (await ping(app, x_tenant="one", x_api_key="b")).is_error
    assert not (await ping(app, x_tenant="two", x_api_key="a")).is_error


def test_of_a_long_name_a_hash_is_kept() -> None:
    """C6: it may be a token, of which a made-up one has 60 KB as well."""
    rate = CallRate(RateLimit("1/day", caller_of=lambda request: request.headers["authorization"]))

    def kept(shown: bytes) -> str:
        scope = {"type": "http", "headers": [(b"authorization", shown)]}
        (caller,) = rate.callers(Request(scope))
        return caller

    assert kept(b"Bearer ab") == "Bearer ab"
    long = kept(b"Bearer " + b"\xe9" * 60_000)
    assert len(long) < 100
    assert long != kept(b"Bearer " + b"\xe9" * 60_001)


def _raising(request: Request) -> str:
    raise KeyError("a-secret-of-the-app")


def _lambda_of_none(request: Request) -> str:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize("wrong", [_raising, _lambda_of_none])
@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_who_cannot_be_told_is_refused(
    wrong: Callable[[Request], str], era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: a limit that cannot be checked is not passed; why is in the log only."""
    reply = await ping(limited(RateLimit("9/hour", caller_of=wrong)), era)
    assert (reply.is_error, reply.text_content) == (True, UNCHECKED)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
    assert "secret" not in reply.text


async def _asynchronous(request: Request) -> str:
    return "alice"


MISTAKES: list[tuple[RateLimit, str]] = [
    (RateLimit("often"), "The rate 'often' cannot be read: write one like '60/minute'"),
    (RateLimit(""), "The rate '' cannot be read"),
    (RateLimit("3/fortnight"), "The rate '3/fortnight' cannot be read"),
    (RateLimit("3/minute;9/hour"), "cannot be read"),
    (RateLimit("0/minute"), "lets nobody in: write one like '60/minute'"),
    (RateLimit(60), "The rate 60 cannot be read"),  # type: ignore[arg-type]
    (RateLimit("1/day", "nowhere://x"), "'nowhere', cannot be used .*: write 'memory://' or"),
    (RateLimit("1/day", "async+memory://"), r"'async\+memory', cannot be used"),
    (RateLimit("1/day", "redis://h:port"), "'redis', cannot be used"),
    (RateLimit("1/day", None), "'None', cannot be used"),  # type: ignore[arg-type]
    (RateLimit("1/day", caller_of=_asynchronous), "is asynchronous. Make it a plain function"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("limit", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_what_cannot_be_a_rate_limit_stops_the_start_up(limit: RateLimit, said: str) -> None:
    """C6: with an instruction, before the first call."""
    with pytest.raises(MountError, match=said):
        mount_mcp(FastAPI(), rate_limit=limit)


@pytest.mark.parametrize("url", ["redsi://:s3cret@host", "redis://:s3cret@host:port"])
def test_a_stores_password_is_in_no_error(url: str) -> None:
    """C6: nor in the value itself, as a log or a debugger shows it."""
    limit = RateLimit("1/day", url)
    with pytest.raises(MountError) as raised:
        mount_mcp(FastAPI(), rate_limit=limit)
    shown = "".join(traceback.format_exception(raised.value))
    assert "s3cret" not in f"{shown} {limit!r}"


BLOCKED = """
import sys
sys.modules[{module!r}] = None
from fastapi import FastAPI
import mcp_mount
try:
    mcp_mount.mount_mcp(FastAPI(), rate_limit=mcp_mount.RateLimit("1/day", {storage!r}))
except mcp_mount.MountError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "storage"), [("limits", "memory://"), ("redis", "redis://localhost")]
)
def test_without_the_extra_the_start_up_says_what_to_install(module: str, storage: str) -> None:
    """C6, M6: and without `rate_limit=` nothing is missed."""
    script = BLOCKED.format(module=module, storage=storage)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'mcp-mount[rate-limit]'" in done.stdout


async def test_a_tool_that_is_called_by_the_app_itself_is_not_counted() -> None:
    """C6: over no transport there is no caller to count."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mounted = mount_mcp(app, rate_limit=RateLimit("1/hour"))
    async with Client(mounted.server) as client:
        for _ in range(3):
            assert not (await client.call_tool("ping")).is_error


@pytest.mark.parametrize("era", ERAS)
def test_calls_are_counted_across_event_loops(era: Era, caplog: pytest.LogCaptureFixture) -> None:
    """C6, M3: as under Starlette's `TestClient` without `with`; and nothing stays behind."""
    caplog.set_level(logging.WARNING)
    client = TestClient(limited("2/hour"))
    headers, body = envelope(era, "tools/call", {"name": "ping", "arguments": {}})
    threads = threading.active_count()
    texts = [client.post("/mcp", headers=headers, json=body).text for _ in range(3)]
    assert [("Too many calls" in text) for text in texts] == [False, False, True]
    gc.collect()
    assert caplog.records == []
    assert threading.active_count() <= threads + 1
