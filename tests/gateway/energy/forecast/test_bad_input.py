"""What is forecast when what comes is wrong: something sensible, or nothing with its reason."""

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec.structs
import pytest

from gateway.energy.forecast import (
    Rules,
    begin,
    pack,
    predict,
    score,
    unpack,
    update,
    used_method,
    why_none,
)
from gateway.energy.forecast.packing import VERSION
from gateway.energy.slot import AssetSlot
from tests.gateway.energy.forecast.series import shipped
from tests.gateway.energy.forecast.test_properties import (
    DAY_S,
    FIRST_S,
    HOUR_S,
    LOAD,
    PV,
    days_of,
    learned_of,
    made,
    said,
)

NEXT_S = FIRST_S + 6 * DAY_S
"""The first slot after six days."""


def test_nothing_is_forecast_before_the_first_slot_and_it_is_said_why() -> None:
    learned = begin(LOAD)
    assert predict(learned, 2, LOAD) is None
    assert why_none(learned) == "no slot of it has been metered yet"
    assert used_method(learned) == "auto"
    assert score(learned, 28).mae_uwh is None
    first = update(learned, made(5_000_000, FIRST_S), LOAD)
    assert why_none(first) == ""
    assert first.since_s == FIRST_S
    forecast = predict(first, 1, LOAD)
    assert forecast is not None
    assert forecast.energy_uwh == pytest.approx(5_000_000, rel=0.3)


def test_a_year_of_zeros_is_forecast_as_zero_and_what_comes_then_is_learned() -> None:
    zeros = [made(0, FIRST_S + n * HOUR_S) for n in range(365 * 24)]
    learned = learned_of(zeros, LOAD)
    assert set(said(learned, LOAD)) == {0}
    later = days_of(LOAD, 3, from_s=FIRST_S + 365 * DAY_S)
    forecast = predict(learned_of(later, LOAD, learned), 2, LOAD)
    assert forecast is not None
    assert forecast.energy_uwh > 50_000_000


def test_a_dead_inverter_is_forecast_as_dark_and_a_mended_one_within_a_day() -> None:
    learned = learned_of(days_of(PV, 10), PV)
    dead = [made(0, FIRST_S + 10 * DAY_S + n * HOUR_S) for n in range(20 * 24 + 11)]
    learned = learned_of(dead, PV, learned)
    assert set(said(learned, PV)) == {0}
    mended = days_of(PV, 2, from_s=FIRST_S + 31 * DAY_S)
    learned = learned_of(mended[: 24 + 11], PV, learned)
    forecast = predict(learned, 1, PV)
    assert forecast is not None
    assert forecast.energy_uwh == pytest.approx(mended[24 + 11].energy_uwh, rel=0.35)


def test_the_dark_is_forecast_as_exactly_nothing() -> None:
    learned = begin(PV)
    for slot in days_of(PV, 12):
        hour = slot.start_s // HOUR_S % 24
        forecast = predict(learned, 2, PV) if learned.known > 48 else None
        if forecast and (hour + 1) % 24 in (20, 21, 22, 23, 0, 1, 2, 3):
            assert forecast == type(forecast)(0, 0, 0)
        learned = update(learned, slot, PV)


def test_a_roof_is_forecast_after_one_day_of_sun() -> None:
    slots = days_of(PV, 3)
    learned = learned_of(slots[: 24 + 11], PV)
    forecast = predict(learned, 2, PV)
    assert forecast is not None
    assert forecast.energy_uwh == pytest.approx(slots[24 + 12].energy_uwh, rel=0.25)


def test_a_meter_that_is_read_once_a_day_is_forecast_without_a_fall() -> None:
    once = [slot for n, slot in enumerate(days_of(LOAD, 40)) if n % 24 == 7]
    learned = learned_of(once, LOAD)
    assert all(each >= 0 for each in said(learned, LOAD))
    assert learned.known == 40


def test_negative_energy_counts_as_none() -> None:
    negative = [msgspec.structs.replace(slot, energy_uwh=-10_000_000) for slot in days_of(LOAD, 3)]
    assert set(said(learned_of(negative, LOAD), LOAD)) == {0}


def test_one_absurd_slot_changes_little_and_a_second_one_is_believed() -> None:
    learned = learned_of(days_of(LOAD, 6), LOAD)
    usual = said(update(learned, made(400_000_000, NEXT_S), LOAD), LOAD)
    once = update(learned, made(10**15, NEXT_S), LOAD)
    assert max(said(once, LOAD)) < 2 * max(usual)
    assert once.known == learned.known
    grown = [made(10**11, NEXT_S + n * HOUR_S) for n in range(1, 30)]
    assert update(once, grown[0], LOAD).known == learned.known + 1
    assert max(said(learned_of(grown, LOAD, once), LOAD)) > 5 * 10**10


def test_a_slot_of_another_length_changes_nothing() -> None:
    learned = learned_of(days_of(LOAD, 2), LOAD)
    other = AssetSlot(made(0, 0).asset, NEXT_S, 900, 5, None, "measured")
    assert update(learned, other, LOAD) is learned


def test_other_rules_begin_anew() -> None:
    learned = learned_of(days_of(LOAD, 2), LOAD)
    for rules in (replace(LOAD, slot_s=900), replace(LOAD, identity="grid + car"), PV):
        assert predict(learned, 2, rules) is None
        slot = msgspec.structs.replace(made(7_000_000, NEXT_S), length_s=rules.slot_s)
        assert update(learned, slot, rules).known == 1


def test_a_slot_that_is_not_newer_changes_nothing() -> None:
    learned = learned_of(days_of(LOAD, 3), LOAD)
    for back in (1, 2, 20):
        slot = made(10**9, FIRST_S + 3 * DAY_S - back * HOUR_S)
        assert update(learned, slot, LOAD) is learned


def test_a_clock_that_jumped_ahead_is_forgotten_after_a_day() -> None:
    learned = learned_of(days_of(LOAD, 6), LOAD)
    ahead = update(learned, made(100_000_000, NEXT_S + 4_000 * DAY_S), LOAD)
    back = learned_of(days_of(LOAD, 3, from_s=NEXT_S), LOAD, ahead)
    assert back.newest == (NEXT_S + 3 * DAY_S) // HOUR_S - 1
    forecast, usual = predict(back, 1, LOAD), predict(learned, 1, LOAD)
    assert forecast is not None
    assert usual is not None
    assert forecast.energy_uwh == pytest.approx(usual.energy_uwh, rel=0.6)


@pytest.mark.parametrize("days", [1, 3, 30, 900])
def test_after_a_gap_habits_are_still_known(days: int) -> None:
    learned = learned_of(days_of(LOAD, 21), LOAD)
    after_s = FIRST_S + (21 + days) * DAY_S
    evening = [
        slot for slot in days_of(LOAD, 1, from_s=after_s) if slot.start_s % DAY_S < 17 * HOUR_S
    ]
    learned = learned_of(evening, LOAD, learned)
    quiet, busy = predict(learned, 1, LOAD), predict(learned, 2, LOAD)
    assert quiet is not None
    assert busy is not None
    assert busy.energy_uwh > 1.5 * quiet.energy_uwh


def error_after(change_s: int, habit_s: Callable[[int], int], rules: Rules) -> float:
    """The mean error (Wh) in the two days after clocks changed, of someone who cooks at six in the
    evening by a clock that is so many seconds ahead of UTC.
    """
    learned, errors_wh = begin(rules), []
    for n in range(37 * 24):
        start_s = FIRST_S + n * HOUR_S
        cooks = (start_s + habit_s(start_s)) // HOUR_S % 24 == 18
        varies = 60 + n * n % 7 * 5 + n // 24 * 17 % 11 * 4
        energy_uwh = varies * (15_000_000 if cooks else 1_500_000)
        if (forecast := predict(learned, 1, rules)) and start_s >= change_s:
            errors_wh.append(abs(forecast.energy_uwh - energy_uwh) / 1e6)
        learned = update(learned, made(energy_uwh, start_s), rules)
    assert used_method(learned) == "auto"
    return sum(errors_wh) / len(errors_wh)


@pytest.mark.parametrize(("before_s", "after_s"), [(3_600, 7_200), (7_200, 3_600)])
def test_habits_follow_the_local_clock_over_both_nights_and_the_sun_does_not(
    before_s: int, after_s: int
) -> None:
    change_s = FIRST_S + 35 * DAY_S

    def offset_s(time_s: int) -> int:
        return before_s if time_s < change_s else after_s

    def fixed_s(_: int) -> int:
        return before_s

    local = Rules(HOUR_S, "load", "kitchen", offset_s)
    never_changed = error_after(change_s, fixed_s, replace(local, utc_offset_s=fixed_s))
    followed = error_after(change_s, offset_s, local)
    not_followed = error_after(change_s, offset_s, replace(local, utc_offset_s=fixed_s))
    assert followed < 4 * never_changed
    assert not_followed > 2 * followed

    slots = days_of(PV, 37)
    changing, still = replace(local, kind="pv"), replace(local, kind="pv", utc_offset_s=fixed_s)
    ours = predict(learned_of(slots[:-10], changing), 2, changing)
    theirs = predict(learned_of(slots[:-10], still), 2, still)
    assert ours is not None
    assert theirs is not None
    assert ours.energy_uwh == pytest.approx(theirs.energy_uwh, rel=0.1)


# --- packed ---------------------------------------------------------------------------------------


def test_at_quarters_of_an_hour_it_packs_into_20_kb() -> None:
    home = shipped()["usa-pv-7kw"].days(0, 3)
    assert len(pack(learned_of(list(home.slots()), home.rules))) <= 20_000


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (replace(LOAD, slot_s=900), "its slots are of 3600 s, and now they are of 900 s"),
        (replace(LOAD, identity="grid + car"), "it is of grid, and now the asset is grid + car"),
        (replace(LOAD, kind="pv"), "it is of a load, and now the asset is a pv"),
    ],
)
def test_a_state_of_something_else_is_refused(rules: Rules, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("+", r"\+")):
        unpack(pack(learned_of(days_of(LOAD, 1), LOAD)), rules)


def test_another_version_is_refused() -> None:
    data = bytearray(pack(begin(LOAD)))
    data[4] += 1
    with pytest.raises(ValueError, match=f"version {VERSION + 1}, and this is version {VERSION}"):
        unpack(bytes(data), LOAD)


def test_what_is_cut_short_or_damaged_is_refused_at_every_place() -> None:
    data = pack(learned_of(days_of(LOAD, 1), LOAD))
    drawn = random.Random(1)
    for _ in range(200):
        with pytest.raises(ValueError, match=r"cut short|damaged|no state"):
            unpack(data[: drawn.randrange(len(data))], LOAD)
        damaged = bytearray(data)
        damaged[drawn.randrange(12, len(data))] ^= 1 << drawn.randrange(8)
        with pytest.raises(ValueError, match="damaged"):
            unpack(bytes(damaged), LOAD)


def test_another_horizon_or_quantile_is_refused() -> None:
    learned = learned_of(days_of(LOAD, 1), LOAD)
    for horizon in (0, 3, -1):
        with pytest.raises(ValueError, match="1 or 2 slots ahead"):
            predict(learned, horizon, LOAD)
    for quantile in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            predict(learned, 2, LOAD, quantile)
