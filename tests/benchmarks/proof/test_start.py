"""The first slots after a start are as right as those after them."""

import numpy as np
import pytest

from tests.benchmarks.proof.homes import home
from tests.benchmarks.proof.meters import Meter, Truth, look
from tests.benchmarks.proof.ours import SLOT_S, UWH_PER_WH, rules_of, settle

HOUR_S = 3600


def errors_wh(step_wh: int, begin_s: int) -> list[float]:
    """Of the whole slots after metering began then that begin before the register's second step."""
    meter = Meter(step_wh)
    watts = home("family")
    truth = Truth(watts, "import", singly=False)
    readings = look(meter, watts, truth, np.arange(begin_s, begin_s + 6 * HOUR_S, 10))
    settled = settle(readings, "import", rules_of(meter, "import", 10))
    assert settled.unbalanced_uwh == 0

    steps = np.flatnonzero(np.diff(readings.register_wh) > 0) + 1
    known_s = readings.at_s[steps[1]] if len(steps) > 1 else np.inf
    errors: list[float] = []
    for start_s, slot in settled.slots.items():
        true_wh = np.diff(truth.energy_wh(np.array([start_s, start_s + SLOT_S])))[0]
        if begin_s <= start_s < known_s and slot.energy_uwh is not None:
            errors.append(float(slot.energy_uwh / UWH_PER_WH - true_wh))
    return errors


@pytest.mark.parametrize(("step_wh", "most_wh"), [(10, 1.0), (100, 3.0), (1000, 12.0)])
def test_the_first_step_after_a_start_moves_no_energy_into_a_slot(
    step_wh: int, most_wh: float
) -> None:
    first: list[float] = []
    for begin_s in (3_700, 9_450, 20_010, 30_300, 41_000, 52_345):
        first += errors_wh(step_wh, begin_s)
    assert first
    assert float(np.sqrt(np.mean(np.square(first)))) < most_wh
