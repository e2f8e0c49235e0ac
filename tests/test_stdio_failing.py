"""``--stdio`` with a client, or an endpoint elsewhere, that does not do as it should."""

import json
from pathlib import Path

import pytest

from tests.test_stdio import OPENING, folder, message, program, say, words_for

__all__ = ["folder"]

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("request_id", [[1], {}, True, 1.5, None])
def test_a_cancellation_of_no_request_ends_nothing(request_id: object, folder: Path) -> None:
    """Stdio: an id that is a list ended the program with a traceback."""
    with program(*words_for(folder), KEY="alice") as (process, stdin, stdout):
        say(stdin, OPENING)
        assert json.loads(stdout.readline())["id"] == 1
        say(stdin, message("notifications/cancelled", requestId=request_id))
        say(stdin, message("tools/list", 2))
        assert json.loads(stdout.readline())["id"] == 2
        stdin.close()
        assert process.wait(10) == 0
