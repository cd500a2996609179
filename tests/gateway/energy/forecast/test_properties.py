"""What holds of forecasts whatever an asset does."""

from collections.abc import Sequence
from math import isfinite
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.energy.forecast import (
    Learned,
    Rules,
    begin,
    pack,
    predict,
    score,
    unpack,
    update,
)
from gateway.energy.slot import AssetSlot, Quality
from tests.draws import draws
from tests.gateway.energy.forecast.asset import ASSET

HOUR_S = 3_600
DAY_S = 86_400
FIRST_S = 1_790_000_000 // DAY_S * DAY_S
LOAD = Rules(HOUR_S, "load", "grid", lambda _: 7_200)
PV = Rules(HOUR_S, "pv", "roof", lambda _: 7_200)

qualities: st.SearchStrategy[Quality] = st.sampled_from(
    ("measured", "measured", "measured", "estimated", "partial", "missing")
)
energies = st.one_of(
    st.just(0),
    st.integers(0, 3_000_000_000),
    st.integers(-(10**9), 10**18),
    st.none(),
)
some_slots = st.lists(st.tuples(energies, qualities, st.integers(1, 4)), min_size=1, max_size=80)


def made(energy_uwh: int | None, start_s: int, quality: Quality = "measured") -> AssetSlot:
    if quality in ("partial", "missing"):
        energy_uwh = None
    return AssetSlot(ASSET, start_s, HOUR_S, energy_uwh, None, quality)


def days_of(rules: Rules, count: int, scale: int = 1, from_s: int = FIRST_S) -> list[AssetSlot]:
    """Days of a home that cooks in the evening, or of a roof, that differ from each other."""
    slots = []
    for n in range(count * 24):
        hour, day = n % 24, n // 24
        if rules.kind == "pv":
            energy = max(0, 36 - (hour - 12) ** 2) * (40 + day * 7 % 13) * 2_000_000
        else:
            energy = (120 + 31 * (n * n % 7) + 900 * (hour in (7, 18, 19))) * 1_000_000
            energy += day * 17 % 5 * 20_000_000
        slots.append(made(energy * scale, from_s + n * HOUR_S))
    return slots


def learned_of(slots: Sequence[AssetSlot], rules: Rules, learned: Learned | None = None) -> Learned:
    learned = learned or begin(rules)
    for slot in slots:
        learned = update(learned, slot, rules)
    return learned


def said(learned: Learned, rules: Rules) -> list[int]:
    """Everything that is said of the next two slots."""
    found = []
    for horizon in (1, 2):
        for aim in (0.05, 0.3, 0.5, 0.9, "sums"):
            forecast = predict(learned, horizon, rules, aim)  # type: ignore[arg-type]
            assert forecast is not None
            found += [forecast.energy_uwh, forecast.low_uwh, forecast.high_uwh]
    return found


@pytest.mark.hypothesis
@draws(60)
@given(slots=some_slots, rules=st.sampled_from((LOAD, PV)))
def test_whatever_comes_nothing_is_negative_and_nothing_is_not_a_number(
    slots: list[tuple[int | None, Quality, int]], rules: Rules
) -> None:
    learned, start_s = begin(rules), FIRST_S
    for energy_uwh, quality, apart in slots:
        start_s += apart * HOUR_S
        learned = update(learned, made(energy_uwh, start_s, quality), rules)
    if learned.newest is None:
        assert predict(learned, 2, rules) is None
        return
    for forecast in (
        predict(learned, horizon, rules, aim) for horizon in (1, 2) for aim in (0.1, 0.5)
    ):
        assert forecast is not None
        assert 0 <= forecast.low_uwh <= forecast.energy_uwh <= forecast.high_uwh
    for name in ("slots", "profiles", "level", "regressions", "mixtures", "bands", "scores"):
        assert all(map(isfinite, getattr(learned, name))), name


@pytest.mark.hypothesis
@draws(40)
@given(slots=some_slots, rules=st.sampled_from((LOAD, PV)), cut=st.integers(0, 79))
def test_packed_and_unpacked_it_goes_on_bit_for_bit(
    slots: list[tuple[int | None, Quality, int]], rules: Rules, cut: int
) -> None:
    whole = resumed = begin(rules)
    start_s = FIRST_S
    for n, (energy_uwh, quality, apart) in enumerate(slots):
        start_s += apart * HOUR_S
        slot = made(energy_uwh, start_s, quality)
        whole, resumed = update(whole, slot, rules), update(resumed, slot, rules)
        if n == cut:
            resumed = unpack(pack(resumed), rules)
    assert resumed == whole
    assert pack(resumed) == pack(whole)


@pytest.mark.parametrize("rules", [LOAD, PV])
def test_the_same_slots_give_the_same_bytes(rules: Rules) -> None:
    assert pack(learned_of(days_of(rules, 9), rules)) == pack(learned_of(days_of(rules, 9), rules))


@pytest.mark.hypothesis
@draws(8)
@given(scale=st.sampled_from((2, 3, 10, 1_000)), rules=st.sampled_from((LOAD, PV)))
def test_an_asset_so_many_times_larger_is_forecast_so_many_times_larger(
    scale: int, rules: Rules
) -> None:
    small = said(learned_of(days_of(rules, 6), rules), rules)
    large = said(learned_of(days_of(rules, 6, scale), rules), rules)
    assert large == pytest.approx([each * scale for each in small], rel=1e-6, abs=scale)


@pytest.mark.hypothesis
@draws(8)
@given(weeks=st.integers(1, 500), rules=st.sampled_from((LOAD, PV)))
def test_whole_weeks_later_the_same_is_forecast(weeks: int, rules: Rules) -> None:
    now = said(learned_of(days_of(rules, 6), rules), rules)
    later_s = FIRST_S + weeks * 7 * DAY_S
    later = said(learned_of(days_of(rules, 6, from_s=later_s), rules), rules)
    assert later == pytest.approx(now, rel=1e-6, abs=2)


@pytest.mark.hypothesis
@draws(8)
@given(days=st.integers(1, 500))
def test_whole_days_later_a_roof_is_forecast_the_same(days: int) -> None:
    now = said(learned_of(days_of(PV, 6), PV), PV)
    later = said(learned_of(days_of(PV, 6, from_s=FIRST_S + days * DAY_S), PV), PV)
    assert later == pytest.approx(now, rel=1e-6, abs=2)


@pytest.mark.parametrize("rules", [LOAD, PV])
def test_a_slot_left_out_is_a_slot_that_is_missing(rules: Rules) -> None:
    slots = days_of(rules, 5)
    out = {30, 31, 50, 77}
    left_out = [slot for n, slot in enumerate(slots) if n not in out]
    missing = [
        replace(slot, energy_uwh=None, quality="missing") if n in out else slot
        for n, slot in enumerate(slots)
    ]
    assert pack(learned_of(left_out, rules)) == pack(learned_of(missing, rules))


def test_the_asset_s_meters_do_not_matter_and_a_swap_changes_nothing() -> None:
    slots = days_of(LOAD, 4)
    swapped = [replace(slot, asset=UUID(int=9), revision=3) for slot in slots]
    assert pack(learned_of(slots, LOAD)) == pack(learned_of(swapped, LOAD))


def test_what_is_handed_out_is_never_changed() -> None:
    learned = learned_of(days_of(LOAD, 3), LOAD)
    before = pack(learned)
    learned_of(days_of(LOAD, 1, from_s=FIRST_S + 3 * DAY_S), LOAD, learned)
    assert pack(learned) == before


def test_higher_quantiles_are_never_lower() -> None:
    learned = learned_of(days_of(LOAD, 12), LOAD)
    found = []
    for percent in range(5, 100, 5):
        forecast = predict(learned, 2, LOAD, percent / 100)
        assert forecast is not None
        found.append(forecast.energy_uwh)
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_the_first_forecast_does_not_claim_to_be_sure() -> None:
    learned = learned_of([made(10_000_000, FIRST_S)], LOAD)
    for horizon in (1, 2):
        forecast = predict(learned, horizon, LOAD)
        assert forecast is not None
        assert forecast.low_uwh < forecast.energy_uwh / 2
        # No more than a little above the largest slot there was, which is this one.
        assert forecast.high_uwh == pytest.approx(1.05**2 * 10_000_000)


def test_its_errors_are_kept_by_the_day() -> None:
    learned = learned_of(days_of(LOAD, 12), LOAD)
    day, week = score(learned, 1), score(learned, 7)
    assert (day.slots, week.slots) == (24, 7 * 24)
    assert week.mae_uwh is not None
    assert week.best_naive is not None
    assert week.mae_uwh > 0
    assert week.inside is not None
    assert 0.5 < week.inside <= 1
