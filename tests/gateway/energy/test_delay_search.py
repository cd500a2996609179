"""The delay of power is found where samples are fine, and none where there is none."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.delay_search import FINE_S, REACH, DelaySearch, searched


def followed(late_s: int, *, step_wh: float = 1.0, seed: int = 1, hours: int = 3) -> DelaySearch:
    """The search over a home with a hob, whose power is shown so much later than it is (or, where
    that is negative, whose register is), at one sample a second.
    """
    draw = random.Random(seed)
    loads: list[float] = []
    while len(loads) < hours * 3600:
        loads += [draw.choice((120.0, 2300.0, 1400.0))] * draw.randrange(1, 40)
    search, energy_wh, shown_wh, before = DelaySearch(), 0.0, 0.0, 0.0
    for n in range(REACH, len(loads) - REACH):
        shown_wh += loads[n - max(late_s, 0)] / 3600
        energy_wh += loads[n - max(-late_s, 0)] / 3600
        low_wh = energy_wh // step_wh * step_wh
        search = searched(search, float(n), shown_wh, low_wh if low_wh > before else None)
        before = low_wh
    return search


@pytest.mark.parametrize("late_s", [-4, -2, 2, 3, 5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_delay_is_found_to_half_a_second(late_s: int, seed: int) -> None:
    found_s = followed(late_s, seed=seed).found_s
    assert found_s == pytest.approx(late_s, abs=0.5)


@pytest.mark.parametrize("step_wh", [1.0, 10.0])
def test_no_delay_is_found_where_there_is_none(step_wh: float) -> None:
    assert followed(0, step_wh=step_wh).found_s == 0.0


def test_nothing_is_said_of_a_home_in_which_nothing_changes() -> None:
    search = DelaySearch()
    for n in range(4000):
        search = searched(search, float(n), n / 10, n // 10 * 1.0 if n % 10 == 0 else None)
    assert search.found_s == 0.0


def test_samples_that_are_not_fine_say_nothing() -> None:
    search = DelaySearch()
    for n in range(100):
        search = searched(search, n * 4 * FINE_S, n * 9.0, n * 9.0)
    assert search.found_s is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.2, 1.0, 1.0, 1.0, 2.0, 30.0]),
            st.floats(0, 20),
            st.none() | st.floats(0, 1e6),
        ),
        max_size=120,
    )
)
def test_whatever_comes_the_search_stays_small_and_a_restart_changes_nothing(
    passing: list[tuple[float, float, float | None]],
) -> None:
    search, at_s, wh = DelaySearch(), 0.0, 0.0
    for elapsed_s, passed_wh, step_wh in passing:
        at_s, wh = at_s + elapsed_s, wh + passed_wh
        stored = msgspec.json.encode(search)
        again = msgspec.json.decode(stored, type=DelaySearch)
        search = searched(search, at_s, wh, step_wh)
        assert searched(again, at_s, wh, step_wh) == search
        assert len(search.line) <= 4 * (REACH + 2)
