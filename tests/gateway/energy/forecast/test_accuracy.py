"""How far forecasts are off on real homes: some weeks, in seconds. `python -m tests.benchmarks
forecast` measures all of it.
"""

import random
from dataclasses import replace

import pytest

from gateway.energy.forecast import begin, predict, score, update, used_method
from tests.gateway.energy.forecast.series import shipped
from tests.gateway.energy.forecast.test_properties import FIRST_S, HOUR_S, LOAD, made
from tests.gateway.energy.forecast.trial import run

BOUNDS = {"britain-116": 0.88, "california-pv-4": 0.78}
"""Errors over the best naive one's, in weeks four to six. Here 0.79 and 0.69 were measured; what
spoils the method moves them by much more than what another Python may.
"""


@pytest.mark.parametrize("name", BOUNDS)
def test_forecasts_are_better_than_the_best_naive_one_in_hindsight(name: str) -> None:
    outcome = run(shipped()[name].days(0, 45), windows={"late": (21, 45)})
    sums = outcome.sums[2, "late"]
    assert sums.ratio < BOUNDS[name]
    assert 0.70 < sums.held < 0.90
    assert outcome.dark_share <= 0.0005


def test_where_a_naive_one_is_better_for_14_days_it_is_sent() -> None:
    home = shipped()["california-load-2"].days(0, 45)
    day = [100.0 * (1 + n * 37 % 11) for n in range(24)]
    exact = replace(home, energies_wh=tuple(day * 45))
    rules = exact.rules
    learned = begin(rules)
    for slot in exact.slots():
        learned = update(learned, slot, rules)
    weeks = score(learned, 14)
    # Every day is the same: yesterday is never off, but for rounding, and nothing that learns is as
    # good.
    best_uwh = weeks.naive_mae_uwh["yesterday"]
    assert best_uwh is not None
    assert weeks.mae_uwh is not None
    assert best_uwh < 1_000 < weeks.mae_uwh
    assert used_method(learned) == "yesterday"
    forecast = predict(learned, 2, rules)
    assert forecast is not None
    assert forecast.energy_uwh == pytest.approx(day[1] * 1e6, rel=1e-6)
    assert forecast.low_uwh <= forecast.energy_uwh <= forecast.high_uwh


def test_half_of_all_slots_lie_above_in_each_part_of_the_day() -> None:
    # Mornings are quiet, afternoons spiky, evenings spiky and four times as high: what all hours
    # have in common is too high for the one and too low for the other.
    drawn = random.Random(1)
    learned, said_uwh = begin(LOAD), 0
    above: dict[str, list[bool]] = {"night and morning": [], "afternoon": [], "evening": []}
    for n in range(90 * 24):
        hour = n % 24
        part = "night and morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
        spread, level_uwh = (0.3 if hour < 12 else 1.3), (1e8 if hour < 18 else 4e8)
        energy_uwh = int(level_uwh * drawn.lognormvariate(0, spread))
        if n > 30 * 24:
            above[part].append(energy_uwh > said_uwh)
        learned = update(learned, made(energy_uwh, FIRST_S + n * HOUR_S), LOAD)
        forecast = predict(learned, 1, LOAD)
        assert forecast is not None
        said_uwh = forecast.energy_uwh
    for part, found in above.items():
        assert sum(found) / len(found) == pytest.approx(0.5, abs=0.05), part
