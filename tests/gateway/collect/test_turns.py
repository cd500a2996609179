"""When meters of a line are read, and when with everything: without a line and without a clock."""

import pytest

from gateway.collect.turns import STEP_S, Due, Turns

NOON_S = 1_800_000_000.0
"""A slot boundary."""
SLOT_S = 900


def due(interval_s: float = 10.0, next_s: float = NOON_S + 10) -> Due:
    return Due(interval_s, SLOT_S, next_s, everything_s=NOON_S + 60)


def test_an_answer_is_followed_by_the_next_aligned_instant() -> None:
    one = due()
    one.answered(NOON_S + 10, NOON_S + 10.3, everything=False)
    assert one.next_s == NOON_S + 20
    assert one.everything_s == NOON_S + 60


def test_a_late_answer_skips_the_instants_that_have_passed() -> None:
    one = due()
    one.answered(NOON_S + 10, NOON_S + 41, everything=False)
    assert one.next_s == NOON_S + 50


def test_everything_is_read_a_minute_after_the_turn_in_which_it_was() -> None:
    one = due()
    one.answered(NOON_S + 10, NOON_S + 10.3, everything=True)
    assert one.everything_s == NOON_S + 70


def test_a_plan_that_the_clock_has_moved_meanwhile_stays() -> None:
    one = due(next_s=NOON_S + 3610)
    one.answered(NOON_S + 10, NOON_S + 3600.2, everything=False)
    assert one.next_s == NOON_S + 3610


@pytest.mark.parametrize(
    ("wait_s", "next_s"), [(5, NOON_S + 20), (10, NOON_S + 20), (35, NOON_S + 40)]
)
def test_after_a_failure_it_is_asked_again_at_an_aligned_instant(
    wait_s: float, next_s: float
) -> None:
    one = due()
    one.failed(NOON_S + 11, wait_s)
    assert one.next_s == next_s


def test_everything_is_put_off_where_a_turn_fails_and_never_brought_forward() -> None:
    one = due()
    one.put_off_everything()
    assert one.everything_s == NOON_S + 70
    one.everything_s = NOON_S + 500
    one.put_off_everything()
    assert one.everything_s == NOON_S + 500


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
def test_plans_move_with_the_clock_to_the_next_aligned_instant(by_s: float) -> None:
    one = due()
    turns = Turns([one], moved_s=5.0)
    turns.follow(NOON_S + 2 + by_s, 5.0 + by_s)
    assert one.next_s == NOON_S + 10 + by_s
    assert one.everything_s == NOON_S + 60 + by_s
    turns.follow(NOON_S + 3 + by_s, 5.0 + by_s)
    assert one.next_s == NOON_S + 10 + by_s, "once"


def test_a_correction_of_the_clock_moves_no_plan() -> None:
    one = due()
    turns = Turns([one], moved_s=0.0)
    turns.follow(NOON_S, STEP_S * 0.9)
    assert one.next_s == NOON_S + 10


def test_at_first_every_meter_is_read_at_once_with_everything() -> None:
    dues = [due(), due(next_s=NOON_S + 400)]
    turns = Turns(dues, 0.0)
    turns.begin(NOON_S + 3)
    assert turns.next_s == NOON_S + 3
    assert [turns.with_everything(each, known=False) for each in dues] == [True, True]


def test_a_meter_alone_on_its_line_is_read_with_everything_also_on_a_boundary() -> None:
    one = due(next_s=NOON_S + 900)
    assert Turns([one], 0.0).with_everything(one, known=True)


def test_before_the_minute_is_over_nothing_but_energy_and_power_is_read() -> None:
    one = due(next_s=NOON_S + 50)
    assert not Turns([one], 0.0).with_everything(one, known=True)


def test_on_a_shared_line_everything_waits_until_the_boundary_is_over() -> None:
    one, other = due(next_s=NOON_S + 900), due()
    turns = Turns([one, other], 0.0)
    assert not turns.with_everything(one, known=True)
    one.next_s = NOON_S + 910
    assert turns.with_everything(one, known=True)


def test_on_a_shared_line_everything_is_spread_over_the_minute() -> None:
    dues = [due(next_s=NOON_S + 70) for _ in range(8)]  # 8 meters, 6 turns a minute: 2 at once
    turns = Turns(dues, 0.0)
    assert [turns.with_everything(each, known=True) for each in dues] == [True] * 2 + [False] * 6
    for each in dues:
        each.next_s = NOON_S + 80
    assert sum(turns.with_everything(each, known=True) for each in dues[2:]) == 2
