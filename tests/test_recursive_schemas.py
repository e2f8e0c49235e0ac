"""Which schemas lead back to themselves, found in time that grows with their number."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mcp_mount.openapi.models import Models
from tests.test_linear import within_seconds


def document(targets: dict[int, set[int]]) -> dict[str, Any]:
    """Return schemas of which each has a property for each that it refers to."""
    return {
        "components": {
            "schemas": {
                f"S{number}": {
                    "properties": {f"p{each}": {"$ref": pointer(each)} for each in sorted(others)}
                }
                for number, others in targets.items()
            }
        }
    }


def pointer(number: int) -> str:
    return f"#/components/schemas/S{number}"


def leads_back(targets: dict[int, set[int]], start: int) -> bool:
    reached: set[int] = set()
    waiting = [*targets[start]]
    while waiting:
        following = waiting.pop()
        if following not in reached:
            reached.add(following)
            waiting += targets[following]
    return start in reached


@given(
    st.integers(1, 8).flatmap(
        lambda count: st.tuples(
            st.fixed_dictionaries(
                {each: st.sets(st.integers(0, count - 1)) for each in range(count)}
            ),
            st.permutations(range(count)),
        )
    )
)
def test_a_schema_is_recursive_where_it_leads_back_to_itself(
    case: tuple[dict[int, set[int]], list[int]],
) -> None:
    """Whichever of them is asked for first."""
    targets, order = case
    models = Models(document(targets))
    for number in order:
        assert models.is_recursive(pointer(number)) == leads_back(targets, number)


def test_a_long_chain_of_schemas_is_read_once() -> None:
    """Promise F1: another server's schema can have thousands, each of which is asked for."""
    count = 5_000
    chain = {number: {number + 1} for number in range(count)} | {count: set()}
    for targets, expected in ((chain, False), (chain | {count: {0}}, True)):
        models = Models(document(targets))
        with within_seconds(3.0):
            assert all(models.is_recursive(pointer(each)) is expected for each in targets)
