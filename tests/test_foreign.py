"""A short run of the guard over what others answer; `make fuzz` is the long one."""

import pytest

from tests import hostile
from tests.foreign import run

pytestmark = pytest.mark.faults


async def test_no_answer_of_others_holds_the_event_loop_or_is_left_behind() -> None:
    """S3: of the app, of a server, of a program, and of a document."""
    findings = await run(seed=5, answers=60)
    assert findings.found == []
    assert findings.answers == 60


def test_an_answer_can_be_made_again_from_its_seed_and_number() -> None:
    assert hostile.response(3, 41) == hostile.response(3, 41)
    assert hostile.result(3, 41) != hostile.result(4, 41)
