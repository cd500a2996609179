"""What could be known at all is a bound only if it is reckoned right."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.benchmarks.proof.combinations import Combination
from tests.benchmarks.proof.evaluation import evaluate
from tests.benchmarks.proof.homes import home
from tests.benchmarks.proof.informed import CELLS, LEVELS, Habits, habits_of, informed_rms_wh
from tests.benchmarks.proof.meters import Meter

BARE = Combination("10 Wh, no power", "family", Meter(10, shows_power=False))


@pytest.fixture(scope="module", autouse=True)
def _homes_are_forgotten() -> Iterator[None]:
    """The memory of the homes is given back."""
    yield
    home.cache_clear()


def steady(cells: float) -> Habits:
    """A home that is at one level for ever."""
    return Habits(np.full(LEVELS, cells), np.eye(LEVELS)[3], np.eye(LEVELS))


def test_power_moves_the_energy_and_the_register_leaves_what_it_allows() -> None:
    habits = steady(40.0)
    one = habits.moved(habits.begun(), 0)
    assert one.sum() == pytest.approx(0.6), "in 40 of 100 cells the register would have moved"
    assert one[:40].sum() == 0
    two = habits.moved(one, CELLS)
    assert two.sum() == pytest.approx(0.4)
    assert (np.flatnonzero(two.sum(axis=1)) < 40).all()


def test_a_level_between_two_cells_is_shared_by_both() -> None:
    habits = steady(2.25)
    odds = np.zeros((CELLS, LEVELS))
    odds[10, 3] = 1.0
    after = habits.moved(odds, 0)
    assert after[12, 3] == pytest.approx(0.75)
    assert after[13, 3] == pytest.approx(0.25)


def test_each_level_is_followed_by_some_level() -> None:
    goes = habits_of(BARE).goes
    assert goes.sum(axis=1).max() == pytest.approx(1.0)


def test_it_knows_more_than_we_do_and_less_than_all() -> None:
    ours_wh = evaluate(BARE).score.rms
    assert 0.5 * ours_wh < informed_rms_wh(BARE) < ours_wh
