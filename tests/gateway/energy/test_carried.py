"""What a slot's beginning is off by is carried on to its end, and made good little by little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.carried import MOST_OF_ENERGY, REPAID, end_of

OPEN = (-1e9, 1e9)

wh = st.floats(-1000, 1000)
energies_wh = st.floats(0, 500)


@given(wh, wh, energies_wh, st.floats(0, 100), st.floats(0, 100))
def test_the_end_is_inside_of_what_the_register_leaves_open_and_nothing_flows_back(
    begin_wh: float, began_wh: float, energy_wh: float, below_wh: float, above_wh: float
) -> None:
    end_wh = began_wh + energy_wh
    low_wh, high_wh = end_wh - below_wh, end_wh + above_wh
    end = end_of(begin_wh, began_wh, end_wh, (low_wh, high_wh))
    assert low_wh <= end.wh <= high_wh
    assert end.wh >= begin_wh or end.wh == high_wh
    assert end.off_wh == pytest.approx(end.wh - end_wh)


@given(wh, energies_wh)
def test_where_the_beginning_was_booked_right_the_end_is_where_it_is_taken_to_be(
    begin_wh: float, energy_wh: float
) -> None:
    end = end_of(begin_wh, begin_wh, begin_wh + energy_wh, OPEN)
    assert (end.off_wh, end.repaid_wh) == (pytest.approx(0), pytest.approx(0))


@given(wh, st.floats(-50, 50), energies_wh)
def test_a_slot_gets_what_passed_in_it_but_for_a_part_of_what_is_off(
    began_wh: float, off_wh: float, energy_wh: float
) -> None:
    begin_wh = began_wh + off_wh
    end = end_of(begin_wh, began_wh, began_wh + energy_wh, OPEN)
    booked_wh = end.wh - begin_wh
    assert booked_wh == pytest.approx(energy_wh - end.repaid_wh, abs=1e-6)
    assert abs(end.repaid_wh) <= REPAID * abs(off_wh) + 1e-6
    assert abs(end.repaid_wh) <= MOST_OF_ENERGY * energy_wh + 1e-6
    assert abs(end.off_wh) <= abs(off_wh) + 1e-6


@given(wh, st.floats(-50, 50))
def test_a_slot_in_which_nothing_flowed_makes_nothing_good(began_wh: float, off_wh: float) -> None:
    begin_wh = began_wh + off_wh
    assert end_of(begin_wh, began_wh, began_wh, OPEN).wh == pytest.approx(begin_wh, abs=1e-6)


def test_slots_err_by_less_than_where_all_lands_in_the_next_one() -> None:
    """A hundred days of slots of 100 Wh. Each end is known to ± 10 Wh in time, and to ± 1 later."""
    rng = np.random.default_rng(1)
    true_wh = np.arange(9600) * 100.0
    in_time_wh, later_wh = (true_wh + rng.normal(0, sd, len(true_wh)) for sd in (10, 1))
    at_once = np.diff(in_time_wh) - 100
    booked_wh, off_wh = [true_wh[0]], []
    for began_wh, found_wh in zip(later_wh, in_time_wh[1:], strict=False):
        end = end_of(booked_wh[-1], began_wh, found_wh, OPEN)
        booked_wh.append(end.wh)
        off_wh.append(end.off_wh)
    carried = np.diff(booked_wh) - 100
    assert float(np.std(carried)) < 0.8 * float(np.std(at_once))
    # And the counter goes nowhere: it is off as if it forgot all of it within some slots.
    assert float(np.std(off_wh)) < 20
    assert abs(booked_wh[-1] - true_wh[-1]) < 80
