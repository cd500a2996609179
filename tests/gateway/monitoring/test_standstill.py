"""Which part is said to stand still."""

import pytest

from gateway.monitoring.standstill import Turns, standstill


@pytest.mark.parametrize(
    ("turned_s", "found"), [(None, None), (1000.0, None), (920.0, None), (919.0, "the buffer")]
)
def test_a_part_stands_still_after_two_of_its_longest_turns_and_a_minute(
    turned_s: float | None, found: str | None
) -> None:
    assert standstill([Turns("the buffer", turned_s, longest_turn_s=10.0)], 1000.0) == found


def test_the_first_of_them_is_named() -> None:
    parts = [Turns("a", 1000.0, 1.0), Turns("b", 1.0, 1.0), Turns("c", 1.0, 1.0)]
    assert standstill(parts, 1000.0) == "b"
    assert standstill([], 1000.0) is None
