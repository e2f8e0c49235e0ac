"""Names that are near one that is none."""

import time
from random import Random

import pytest

from mcp_mount.near import near_names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("get_prats", ["get_parts", "get_part"]),
        ("list_part", ["list_parts", "get_part"]),
        ("x", ["xx"]),
        ("nothing like it", []),
        ("", []),
    ],
)
def test_names_that_are_near_are_found_nearest_first(name: str, near: list[str]) -> None:
    known = [
        "get_parts",
        "get_part",
        "list_parts",
        "add_order",
        "xx",
        *(f"{n}-{n}" for n in range(900)),
    ]
    assert near_names(name, known)[:2] == near


@pytest.mark.parametrize("letters", ["ab", "abcdefghijklmnopqrstuvwxyz" * 2 + "0123456789"])
def test_names_that_are_hard_to_compare_take_no_longer(letters: str) -> None:
    """Gateway and proxy, F1: a document, or a server, chooses the names."""
    random = Random(1)  # noqa: S311 - no secret
    known = ["".join(random.choices(letters, k=64)) for _ in range(3_000)]
    taken = []
    for _ in range(3):
        begun = time.process_time()
        near_names("".join(random.choices(letters, k=100_000)), known, n=5, cutoff=0.3)
        taken.append(time.process_time() - begun)
    assert min(taken) < 0.02
