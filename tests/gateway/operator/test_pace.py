"""What time it is to the exchange's engine."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.operator.pace import LATEST, Pace

SLOT_S = 900


def test_the_first_event_is_taken_as_it_comes() -> None:
    pace = Pace(SLOT_S)
    assert pace.newest_s is None
    assert pace.hear(9000, 50.0)
    assert (pace.newest_s, pace.began_s(), pace.deadline_s()) == (9000, 50.0, 50 + LATEST * 900)


def test_a_doubled_event_and_one_that_comes_after_a_newer_one_say_nothing() -> None:
    pace = Pace(SLOT_S)
    assert pace.hear(9000, 0.0)
    assert pace.hear(9900, 900.0)
    assert not pace.hear(9900, 901.0)
    assert not pace.hear(9000, 902.0)
    assert not pace.hear(0, 903.0)
    assert pace.newest_s == 9900
    assert pace.hear(10800, 1800.0)


def test_a_simulation_that_was_begun_anew_is_followed_after_six_slots() -> None:
    pace = Pace(SLOT_S)
    pace.hear(90_000, 0.0)
    heard = [pace.hear(9000 + n * 900, 10.0 + n * 900) for n in range(8)]
    assert heard == [False] * 6 + [True, True]
    assert (pace.newest_s, pace.began_s()) == (9000 + 7 * 900, 10.0 + 7 * 900)


def test_events_that_were_held_up_and_come_at_once_are_no_new_simulation() -> None:
    pace = Pace(SLOT_S)
    pace.hear(89_100, -900.0)
    pace.hear(90_000, 0.0)
    assert not any(pace.hear(9000 + n * 900, 10.0 + n) for n in range(20))
    assert pace.newest_s == 90_000


def test_one_event_of_a_far_future_is_no_slot() -> None:
    pace = Pace(SLOT_S)
    pace.hear(9000, 0.0)
    assert not pace.hear(10**9, 900.0)
    assert pace.hear(10800, 1800.0)


def test_a_simulation_that_goes_on_much_later_is_followed_after_six_slots() -> None:
    pace = Pace(SLOT_S)
    pace.hear(8100, -900.0)
    pace.hear(9000, 0.0)
    assert not pace.hear(900_000, 900.0)
    heard = [pace.hear(900_000 + n * 900, 900.0 + n * 900) for n in range(1, 8)]
    assert heard == [False] * 4 + [True] * 3


def test_a_late_event_leaves_less_time() -> None:
    pace = Pace(SLOT_S)
    pace.hear(0, 0.0)
    pace.hear(900, 900.0)
    pace.hear(1800, 1800.0)
    pace.hear(2700, 2700.0 + 850)
    assert pace.began_s() == 2700.0
    assert pace.deadline_s() == 2700 + LATEST * 900


def test_events_that_come_late_for_hours_are_known_by_the_one_that_did_not() -> None:
    pace = Pace(SLOT_S)
    pace.hear(0, 0.0)
    for n in range(1, 40):
        pace.hear(n * 900, n * 900 + 600.0)
    assert pace.began_s() == 39 * 900


def test_in_a_rehearsal_slots_go_by_faster() -> None:
    pace = Pace(SLOT_S)
    for n in range(6):
        pace.hear(n * SLOT_S, n * 10.0)
    assert pace.lasts_s == 10.0
    assert pace.deadline_s() == 50 + LATEST * 10


def test_after_an_outage_the_pace_is_the_same() -> None:
    pace = Pace(SLOT_S)
    for n in (0, 1, 2, 50, 51):
        pace.hear(n * SLOT_S, n * 900.0)
    assert pace.lasts_s == 900.0
    assert pace.began_s() == 51 * 900.0


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.floats(0, 2000, allow_nan=False)), min_size=1, max_size=30
    )
)
def test_whatever_the_delays_a_slot_is_never_thought_to_begin_before_it_did(
    events: list[tuple[int, float]],
) -> None:
    """So nothing is sent for a slot that has begun where the first event was in time."""
    pace = Pace(SLOT_S)
    pace.hear(0, 0.0)
    slot, heard_s = 0, 0.0
    for slots, delay_s in events:
        slot += slots
        heard_s = max(heard_s, slot * 900.0 + delay_s)
        pace.hear(slot * SLOT_S, heard_s)
        assert pace.began_s() <= heard_s


def test_in_a_rehearsal_slots_may_be_lost_before_its_pace_is_known() -> None:
    pace = Pace(SLOT_S)
    assert pace.hear(9000, 0.0)
    assert pace.hear(9000 + 7 * 900, 70.0)
    assert pace.lasts_s == 10.0
    assert pace.hear(9000 + 8 * 900, 80.0)


def test_a_rehearsal_that_is_begun_anew_after_its_first_slot_is_followed() -> None:
    pace = Pace(SLOT_S)
    assert pace.hear(9000, 0.0)
    heard = [pace.hear(900 * n, 30.0 + 10 * n) for n in range(8)]
    assert heard.index(True) <= 4
    assert pace.lasts_s == 10.0
