"""What a load is forecast from: the middle of a week, and what its days teach each other."""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array

import pytest

from gateway.energy.forecast import Learned, Rules, begin, mixture, update
from gateway.energy.forecast.features import week_before
from gateway.energy.forecast.learned import EXPERTS, MIXTURE, MIXTURES, NEVER
from gateway.energy.slot import AssetSlot
from tests.gateway.energy.forecast.asset import ASSET

PER_DAY = 24
HOURS = Rules(slot_s=3_600, kind="load", identity="load", utc_offset_s=lambda _: 0)
MONDAY_S = 1_699_833_600
SIZE = 7 * PER_DAY + 5


def ring_of(roots: dict[int, float]) -> array[float]:
    slots = array("f", [NEVER]) * SIZE
    for number, root in roots.items():
        slots[number % SIZE] = root
    return slots


@pytest.mark.parametrize("newest", [6 * PER_DAY, 7 * PER_DAY, SIZE - 1, SIZE, 10_000, 10_100])
def test_the_median_of_a_week_is_that_of_the_same_time_of_each_day(newest: int) -> None:
    roots = {newest - back: float(back) for back in range(7 * PER_DAY)}
    assert week_before(ring_of(roots), newest, PER_DAY, -5.0) == (3 * PER_DAY, 5 * PER_DAY)


def test_days_that_are_not_known_have_no_part_in_the_median() -> None:
    roots = {1_000: 9.0, 1_000 - PER_DAY: -1.0 - 4.0, 1_000 - 3 * PER_DAY: 1.0}
    assert week_before(ring_of(roots), 1_000, PER_DAY, 7.0) == (5.0, 1.0)
    assert week_before(ring_of({}), 1_000, PER_DAY, 7.0) == (7.0, 7.0)


def learned_of(energies_wh: list[float]) -> Learned:
    learned = begin(HOURS)
    for n, energy_wh in enumerate(energies_wh):
        slot = AssetSlot(
            asset=ASSET,
            start_s=MONDAY_S + n * 3_600,
            length_s=3_600,
            energy_uwh=round(energy_wh * 1e6),
            uncertainty_uwh=None,
            quality="measured",
        )
        learned = update(learned, slot, HOURS)
    return learned


def test_a_weekday_teaches_the_weekend_less_than_itself() -> None:
    week = learned_of([100.0] * 7 * PER_DAY)
    grown = learned_of([100.0] * 7 * PER_DAY + [400.0] * PER_DAY)
    noon = 12
    weekday, weekend = (grown.profiles[at] - week.profiles[at] for at in (noon, PER_DAY + noon))
    assert 0.0 < weekend < 0.5 * weekday


def test_years_without_energy_leave_the_mixture_as_it_was() -> None:
    before = array("d", range(1, 1 + MIXTURES * MIXTURE))
    numbers = before[:]
    experts = [0.0, 0.0, 1e-7, *(2e-7,) * (EXPERTS - 3)]
    mixture.learn(numbers, (0, MIXTURE), experts, 1e-7, 0.0, 0.99, 1.0)
    assert numbers == before
    mixture.learn(numbers, (0, MIXTURE), experts, 1e-3, 0.0, 0.99, 1.0)
    assert numbers != before
