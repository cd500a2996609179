"""What the next slot is expected to be."""

import pytest

from gateway.energy.forecast.naive import Naive, naive_uwh

TARGET_S = 1_800_000_000
KNOWN = {TARGET_S - 86_400: 24, TARGET_S - 7 * 86_400: 168}


@pytest.mark.parametrize(
    ("method", "expected"),
    [("last_slot", 5), ("yesterday", 24), ("last_week", 168), ("none", None)],
)
def test_each_method_takes_the_slot_it_names(method: Naive, expected: int | None) -> None:
    assert naive_uwh(method, TARGET_S, 5, KNOWN.get) == expected


@pytest.mark.parametrize("method", ["last_slot", "yesterday", "last_week"])
def test_a_day_or_week_that_is_not_known_falls_back_to_the_last_slot(method: Naive) -> None:
    assert naive_uwh(method, TARGET_S, 5, lambda _: None) == 5


def test_an_earlier_slot_of_zero_is_known_and_not_missing() -> None:
    assert naive_uwh("yesterday", TARGET_S, 5, lambda _: 0) == 0


@pytest.mark.parametrize("method", ["last_slot", "yesterday"])
def test_a_forecast_is_never_negative(method: Naive) -> None:
    assert naive_uwh(method, TARGET_S, -5, lambda _: -7) == 0
