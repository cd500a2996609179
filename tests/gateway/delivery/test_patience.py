"""When a destination that fails is tried again."""

from itertools import count

import pytest

from gateway.delivery.patience import MAX_BACKOFF_S, MAX_RETRY_AFTER_S, Patience

BOUNDARY = 900


def test_waits_double_up_to_a_minute_and_begin_anew_after_a_verdict() -> None:
    patience = Patience(lambda: 1.0)
    waits = []
    for _ in range(8):
        patience.fail(0.0)
        waits.append(patience.retry_at_s)
    assert waits == [1, 2, 4, 8, 16, 32, MAX_BACKOFF_S, MAX_BACKOFF_S]
    assert patience.failures == 8

    patience.succeed()
    assert patience.failures == 0
    assert patience.allows(0.0, BOUNDARY) == "all"
    patience.fail(0.0)
    assert patience.retry_at_s == 1


def test_each_wait_is_a_random_part_and_costs_one_draw() -> None:
    draws = count()
    patience = Patience(lambda: next(draws) / 4)
    for expected in (0.0, 0.25 * 2, 0.5 * 4):
        patience.fail(100.0)
        assert patience.retry_at_s == 100.0 + expected
    assert next(draws) == 3


@pytest.mark.parametrize(
    ("asked_s", "waits_s"), [(0.1, 1.0), (30.0, 30.0), (1e9, MAX_RETRY_AFTER_S)]
)
def test_it_waits_as_long_as_it_is_asked_to(asked_s: float, waits_s: float) -> None:
    patience = Patience(lambda: 1.0)
    patience.fail(0.0, asked_s)
    assert patience.retry_at_s == waits_s
    assert patience.allows(waits_s - 0.01, BOUNDARY) == "nothing", "it asked for silence"
    assert patience.allows(waits_s, BOUNDARY) == "all"


def test_a_slot_that_has_just_closed_is_tried_at_once_and_once() -> None:
    patience = Patience(lambda: 1.0)
    patience.fail(0.0)
    assert patience.allows(0.5, BOUNDARY) == "just_closed"
    patience.spend_the_try(BOUNDARY)
    patience.fail(0.5)
    assert patience.allows(0.6, BOUNDARY) == "nothing"
    assert patience.allows(0.6, 2 * BOUNDARY) == "just_closed"
