"""What power is found to be off by is applied as far as it is likely to be there."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.estimate import Estimate, Seen, advanced, begun
from gateway.energy.power_faults import MOST_GAIN, MOST_OFFSET_W, Correction, Three

comparisons = st.lists(
    st.tuples(
        st.floats(1, 20_000), st.floats(0, 12), st.floats(0, 12), st.floats(-80, 80), st.floats(0.1)
    ),
    max_size=12,
)
"""What passed by power, hours at which it was shown and at which it was 0, by how much the register
moved more, and the variance of that.
"""


def compared(
    comparisons: list[tuple[float, float, float, float, float]], begin: Correction | None = None
) -> Correction:
    correction = begin or Correction()
    for wh, shown_h, idle_h, beyond_wh, variance in comparisons:
        days = (shown_h + idle_h) / 24
        correction = correction.learnt((wh, shown_h, idle_h), beyond_wh, variance, days)
    return correction


def applied(correction: Correction) -> Three:
    assert correction.applies is not None
    return correction.applies


@given(comparisons)
def test_no_more_of_an_offset_is_applied_than_was_found_and_gain_stays_within_its_bounds(
    comparisons: list[tuple[float, float, float, float, float]],
) -> None:
    correction = compared([(5_000, 10, 0, 0, 1), *comparisons])
    gain, *offsets_w = applied(correction)
    assert abs(gain) <= MOST_GAIN
    for offset_w, found_w in zip(offsets_w, correction.values[1:], strict=True):
        assert offset_w * found_w >= 0 or offset_w == 0
        assert abs(offset_w) <= abs(found_w) <= MOST_OFFSET_W


@pytest.mark.parametrize("offset_w", [-8.0, -2.0, 2.0, 15.0])
def test_an_offset_that_is_there_is_applied(offset_w: float) -> None:
    hours = [(400.0 * h, float(h), 0.0, offset_w * h, 8.0) for h in (1, 2, 4, 8, 12, 24)]
    gain, found_w, _ = applied(compared(hours * 3))
    assert gain * 400 + found_w == pytest.approx(offset_w, abs=0.3)


def test_one_that_nothing_but_chance_speaks_for_is_not() -> None:
    """A car is charged for three hours. What a step of 100 Wh leaves open looks like −1 W or
    −0.1 %; at 4 W through the night the first would be a quarter of a step.
    """
    correction = compared([(22_000, 3, 0, -14, 70), (11_000, 1.5, 0, -8, 70)])
    _, found_w, _ = correction.values
    gain, offset_w, _ = applied(correction)
    assert abs(offset_w) < 0.2 * abs(found_w)
    # While the car is charged, both say the same of it.
    assert gain * 7333 + offset_w == pytest.approx(correction.values[0] * 7333 + found_w, abs=0.5)
    assert correction.applied(88, 22 * 3600, 0) == pytest.approx(88, abs=3)


def test_one_that_an_older_version_stored_is_applied_as_it_was() -> None:
    stored = msgspec.json.encode(((0.001, -1.0, 0.0), Correction().covariance))
    correction = msgspec.json.decode(stored, type=Correction)
    assert correction.applied(100, 3600, 0) == pytest.approx(100.1 - 1)
    later = compared([(22_000, 3, 0, -14, 70)], correction)
    assert later.applies is not None


def test_a_night_at_few_watts_after_a_car_was_charged_ends_where_the_register_is() -> None:
    """Four charges of 7.4 kW, of other lengths, and nights at 4 W between them."""
    ends_wh: list[float] = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        energy_wh = float(rng.uniform(0, 100))
        estimate = begun(0.0, register(energy_wh), 4.0)
        for charge_s in (9_000, 14_000, 7_000, 11_000):
            estimate, energy_wh = passed(estimate, energy_wh, 7360.0, charge_s, rng)
            estimate, energy_wh = passed(estimate, energy_wh, 4.0, 60_000, rng)
            ends_wh.append(estimate.track.wh - energy_wh)
    assert float(np.sqrt(np.mean(np.square(ends_wh)))) < 3


def passed(
    estimate: Estimate, energy_wh: float, power_w: float, lasting_s: int, rng: np.random.Generator
) -> tuple[Estimate, float]:
    """So much power for so long, read every 10 s; it flickers a little."""
    at_s, shown_w = estimate.at_s, estimate.power_w or 0.0
    for n in range(1, lasting_s // 10 + 1):
        now_w = max(power_w + float(rng.normal(0, 2)), 0.0)
        energy_wh += (shown_w + now_w) / 2 * 10 / 3600
        estimate = advanced(estimate, at_s + 10 * n, now_w, register(energy_wh))
        shown_w = now_w
    return estimate, energy_wh


def register(energy_wh: float) -> Seen:
    low_wh = energy_wh // 100 * 100
    return Seen(low_wh, low_wh + 100)
