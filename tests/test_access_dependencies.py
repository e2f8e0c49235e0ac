"""Dependencies that guard the endpoint: who they let in, and what they leave as it was."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mcp_mount import mount_mcp
from tests.raw import send_raw
from tests.starting import started
from tests.support import ERAS, Era, call, envelope, http, rpc

ALICE = {"authorization": "Bearer alice"}
CHALLENGE = 'Bearer realm="kb", error="invalid_token"'
METHODS = ["tools/list", "tools/call", "initialize", "server/discover", "ping", "nonsense"]

eras = pytest.mark.parametrize("era", ERAS)


async def require_alice(request: Request) -> str:
    if request.headers.get("authorization") != "Bearer alice":
        raise HTTPException(401, {"reason": "who?"}, {"WWW-Authenticate": CHALLENGE})
    request.state.caller = "alice"
    return "alice"


def guarded_app(*guards: Any, **options: Any) -> FastAPI:
    """Return an app with one open tool, ``caller``, behind an endpoint with guards."""
    app = FastAPI()

    @app.get("/caller")
    async def caller(request: Request) -> str:
        return str(getattr(request.state, "caller", "nobody"))

    mount_mcp(app, dependencies=[Depends(guard) for guard in guards], **options)
    return app


@eras
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_started", [True, False])
async def test_a_guard_refuses_a_stranger_everything_in_the_words_of_rest(
    era: Era, method: str, *, is_started: bool
) -> None:
    """C8: status, headers and body of the HTTPException, before anything."""
    app = guarded_app(require_alice)
    params = {"name": "caller", "arguments": {}} if method == "tools/call" else {}
    if is_started:
        async with started(app):
            reply = await rpc(app, era, method, params)
    else:
        reply = await rpc(app, era, method, params)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, CHALLENGE)
    assert reply.text == '{"detail":{"reason":"who?"}}'


@eras
async def test_whom_the_guard_lets_in_is_the_same_caller_at_the_route(era: Era) -> None:
    """C2: what the guard put into `request.state` is there."""
    app = guarded_app(require_alice)
    reply = await call(app, "caller", era=era, headers=ALICE)
    assert reply.result["structuredContent"] == {"result": "alice"}
    async with http(app) as client:
        assert (await client.get("/caller")).json() == "nobody"


async def test_with_sessions_the_guard_sees_every_method() -> None:
    """M1: the stream and the end of a session are guarded like its requests."""
    app = guarded_app(require_alice, sessions=True)
    async with started(app), http(app) as client:
        for method in ("GET", "DELETE", "POST"):
            assert (await client.request(method, "/mcp")).status_code == 401


@eras
async def test_guards_are_overridden_like_any_dependency(era: Era) -> None:
    """C8: also after the endpoint was mounted."""
    app = guarded_app(require_alice)
    app.dependency_overrides[require_alice] = lambda: "anyone"
    assert (await call(app, "caller", era=era)).result["structuredContent"] == {"result": "nobody"}
    app.dependency_overrides.clear()
    assert (await call(app, "caller", era=era)).status == 401


@eras
async def test_the_apps_own_handlers_word_the_refusal(era: Era) -> None:
    """C8: exception handlers, also those that were added later."""

    class Unwelcome(Exception):
        pass

    async def refuse() -> None:
        raise Unwelcome

    app = guarded_app(refuse)

    @app.exception_handler(Unwelcome)
    async def word(request: Request, error: Unwelcome) -> Response:
        return Response("Not today.", 403)

    reply = await rpc(app, era, "tools/list")
    assert (reply.status, reply.text) == (403, "Not today.")


@eras
@pytest.mark.parametrize("scheme", [HTTPBearer()])
async def test_fastapis_own_security_schemes_are_guards(era: Era, scheme: HTTPBearer) -> None:
    """C8."""

    async def require(given: Annotated[HTTPAuthorizationCredentials, Depends(scheme)]) -> None:
        if given.credentials != "alice":
            raise HTTPException(403, "Not you.")

    app = guarded_app(require)
    reply = await rpc(app, era, "tools/list")
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    mallory = {"authorization": "Bearer mallory"}
    assert (await rpc(app, era, "tools/list", headers=mallory)).status == 403
    assert not (await call(app, "caller", era=era, headers=ALICE)).is_error


@eras
async def test_what_a_guard_holds_is_held_until_the_response_is_over(era: Era) -> None:
    """C8: a dependency with `yield` closes after a stream, not before it."""
    steps: list[str] = []

    async def hold() -> AsyncIterator[None]:
        steps.append("open")
        yield
        steps.append("closed")

    app = FastAPI()

    @app.get("/words")
    async def words() -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            for word in ("one ", "two"):
                steps.append(word)
                yield word
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(produce(), media_type="text/plain")

    mount_mcp(app, dependencies=[Depends(hold)])
    reply = await call(app, "words", era=era, token="p")
    assert reply.text_content == "one two"
    assert "".join(reply.progress) == "one two"
    assert steps == ["open", "one ", "two", "closed"]


@eras
async def test_what_a_guard_holds_is_closed_when_it_refuses(era: Era) -> None:
    """C8."""
    steps: list[str] = []

    async def hold() -> AsyncIterator[None]:
        steps.append("open")
        try:
            yield
        finally:
            steps.append("closed")

    async def refuse() -> None:
        raise HTTPException(403)

    assert (await rpc(guarded_app(hold, refuse), era, "tools/list")).status == 403
    assert steps == ["open", "closed"]


@eras
async def test_headers_and_background_tasks_of_a_guard_are_those_of_the_response(era: Era) -> None:
    """C8: a limit that counts in a dependency tells how much is left."""
    done: list[str] = []

    async def count(response: Response, tasks: BackgroundTasks) -> None:
        response.headers["x-left"] = "41"
        tasks.add_task(done.append, "counted")

    reply = await call(guarded_app(count), "caller", era=era)
    assert (reply.headers["x-left"], done) == ("41", ["counted"])
    assert reply.result["structuredContent"] == {"result": "nobody"}


async def by_bytes(request: Request) -> None:
    request.state.caller = str(len(await request.body()) > 0)


async def by_json(request: Request) -> None:
    request.state.caller = str((await request.json())["jsonrpc"] == "2.0")


async def by_parameter(request: Request, message: Annotated[dict[str, Any], Body()]) -> None:
    request.state.caller = str(message["jsonrpc"] == "2.0")


async def by_form(request: Request) -> None:
    request.state.caller = str(not await request.form())


async def by_nothing(request: Request) -> None:
    request.state.caller = "True"


@eras
@pytest.mark.parametrize("guard", [by_bytes, by_json, by_parameter, by_form, by_nothing])
async def test_a_guard_may_read_the_body_which_is_there_afterwards(era: Era, guard: Any) -> None:
    """C8: a signature over the body can be checked."""
    with anyio.fail_after(30):
        reply = await call(guarded_app(guard), "caller", era=era)
    assert reply.result["structuredContent"] == {"result": "True"}


async def test_a_guard_decides_before_the_body_is_received() -> None:
    """M1: a stranger's body is not even read."""
    headers, body = envelope("modern", "tools/list")
    app, content = guarded_app(require_alice), json.dumps(body).encode()
    refused = await send_raw(app, [content], headers)
    assert (refused.status, refused.received) == (401, 0)
    served = await send_raw(app, [content[:20], content[20:]], {**headers, **ALICE})
    assert (served.status, served.received) == (200, 2)


def test_guards_are_not_documented() -> None:
    """M1: the app's document does not change."""
    app = guarded_app(by_parameter, require_alice)
    assert list(app.openapi()["paths"]) == ["/caller"]
