"""A short run of the fuzzer; `make fuzz` is the long one."""

from tests.fuzz import HIDDEN, make, run, target
from tests.support import call, http


async def test_hostile_requests_end_without_a_crash_a_hang_or_a_leak() -> None:
    """X3, R3, C5: 1,500 hostile requests get an answer below 500 that gives nothing away."""
    report = await run(seed=7, requests=1_500)
    assert report.findings == []
    assert report.statuses[200] > 300, "the requests are all refused at the door"
    assert report.growth < 50_000_000


def test_a_request_can_be_made_again_from_its_seed_and_number() -> None:
    assert make(3, 41) == make(3, 41)
    assert make(3, 41) != make(4, 41)


async def test_the_app_under_fuzz_has_something_to_find() -> None:
    """What the fuzzer looks for is there: the hidden route answers over REST."""
    async with http(target()) as client:
        assert HIDDEN in (await client.get("/items/hidden")).text
    assert (await call(target(), "get_item", {"item_id": "hidden"})).is_error
