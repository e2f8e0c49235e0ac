"""What a server of the handshake versions asks and says while a call runs, passed on to its caller.

The caller's client can be asked where it keeps a session with us, and only for what it says that
it can do. A server is told of no more than that: nobody declines in a user's place.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from mcp.client.session import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    INVALID_REQUEST,
    LOG_LEVEL_META_KEY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    CreateMessageResultWithTools,
    ElicitRequest,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    PromptListChangedNotification,
    ResourceListChangedNotification,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_mount.loops import in_thread
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.elicitation import clean_request
from mcp_mount.remotes.outgoing import Caller, current_request
from mcp_mount.remotes.text import clean_json, clean_text, clean_title

_CHANGES: Final = (
    ToolListChangedNotification,
    ResourceListChangedNotification,
    PromptListChangedNotification,
)

_MAX_LOG: Final = 10_000

_MOST_LINES: Final = 1_000
"""Lines of its log that wait for the caller's client; more are dropped."""

_MOST_ASKED: Final = 100
"""What a server may ask while one call runs, one after the other or at once."""

_CANNOT: Final = "The client of the caller cannot be asked."


def callbacks_for(name: str, caller: Caller | None) -> Mapping[str, Any]:
    """Return the callbacks of a session for one caller with the server of that name."""
    callbacks: dict[str, Any] = {}
    if caller is None or not can_be_asked(caller):
        return callbacks
    capabilities = caller.session.client_capabilities
    if capabilities is not None and capabilities.elicitation is not None:
        callbacks["elicitation_callback"] = partial(_elicit, name)
    if capabilities is not None and capabilities.sampling is not None:
        callbacks["sampling_callback"] = partial(_sample, name)
    return callbacks


def can_be_asked(caller: Caller) -> bool:
    """Whether a request can be sent to the caller's client while its own runs."""
    is_modern = caller.protocol_version in MODERN_PROTOCOL_VERSIONS
    return not is_modern and caller.session.can_send_request


async def _elicit(
    name: str,
    context: ClientRequestContext,  # noqa: ARG001 - the SDK's signature
    params: ElicitRequestParams,
) -> ElicitResult | ErrorData:
    answer: ElicitResult | ErrorData = await _ask(name, ElicitRequest(params=params), ElicitResult)
    return answer


async def _sample(
    name: str,
    context: ClientRequestContext,  # noqa: ARG001 - the SDK's signature
    params: CreateMessageRequestParams,
) -> CreateMessageResult | CreateMessageResultWithTools | ErrorData:
    kind = CreateMessageResult if params.tools is None else CreateMessageResultWithTools
    answer: CreateMessageResult | CreateMessageResultWithTools | ErrorData = await _ask(
        name, CreateMessageRequest(params=params), kind
    )
    return answer


async def _ask(name: str, asked: Any, kind: Any) -> Any:
    """Send a request to the caller's client; return its result, or the error that it answers."""
    outgoing = current_request()
    if outgoing is not None:
        outgoing.asked += 1
        if outgoing.asked > _MOST_ASKED:
            return ErrorData(code=INVALID_REQUEST, message="Too much has been asked.")
    caller = outgoing.caller if outgoing is not None else None
    # A form takes a while.
    request = await in_thread(partial(clean_request, asked, name, caller))
    if request is None:
        whom = "user" if kind is ElicitResult else "model"
        return ErrorData(code=INVALID_REQUEST, message=f"This is not asked of a {whom}.")
    if outgoing is None or caller is None or not can_be_asked(caller):
        return ErrorData(code=INVALID_REQUEST, message=_CANNOT)
    try:
        with outgoing.waiting_for_user():
            return await caller.session.send_request(
                request, kind, metadata=ServerMessageMetadata(related_request_id=caller.request_id)
            )
    except MCPError as error:
        return error.error
    except TimeoutError:
        return ErrorData(code=INVALID_REQUEST, message="The user has not answered in time.")


def calling_on_change(call: Callable[[], None]) -> Callable[[object], Awaitable[None]]:
    """Return what calls a function when a server says that it offers something else."""

    async def hear(message: object) -> None:
        if isinstance(message, _CHANGES):
            call()

    return hear


async def pass_on_log(name: str, params: LoggingMessageNotificationParams) -> None:
    """Pass on a line of the log of the server of that name, cleaned and bounded."""
    outgoing = current_request()
    if outgoing is None or outgoing.caller is None:
        return
    caller = outgoing.caller
    is_modern = caller.protocol_version in MODERN_PROTOCOL_VERSIONS
    if is_modern and LOG_LEVEL_META_KEY not in (caller.meta or {}):
        return
    is_short = fits(params.data, _MAX_LOG)
    data = clean_json(params.data) if is_short else clean_text(str(params.data), _MAX_LOG)
    # With the server's name before it: it would pass for ours, or for another server's.
    own = clean_title(params.logger)
    logger = f"{name}/{own}" if own else name
    line = LoggingMessageNotificationParams(level=params.level, data=data, logger=logger)
    if outgoing.lines >= _MOST_LINES:
        # The client is slow, or has gone.
        return
    outgoing.lines += 1
    try:
        await caller.session.send_notification(
            LoggingMessageNotification(params=line), caller.request_id
        )
    finally:
        outgoing.lines -= 1
