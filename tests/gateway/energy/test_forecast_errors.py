"""How far forecasts were off, judged from slots alone."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.energy.forecast import Rules, begin, predict, score, update
from gateway.energy.forecast_errors import NEEDED_S, beside, scores
from gateway.energy.slot import AssetSlot

ASSET = UUID(int=7)
DAY_S = 86_400
SLOT_S = 900
START_S = 20_000 * DAY_S


def slot(number: int, energy_uwh: int | None, forecast_uwh: int | None = None) -> AssetSlot:
    quality = "missing" if energy_uwh is None else "measured"
    band = (
        (None, None) if forecast_uwh is None else (forecast_uwh * 8 // 10, forecast_uwh * 12 // 10)
    )
    return AssetSlot(
        ASSET,
        START_S + number * SLOT_S,
        SLOT_S,
        energy_uwh,
        None,
        quality,
        forecast_uwh=forecast_uwh,
        forecast_low_uwh=band[0],
        forecast_high_uwh=band[1],
        forecast_by="" if forecast_uwh is None else "auto",
    )


def naive_of(slots: Sequence[AssetSlot], number: int) -> tuple[int | None, ...]:
    return tuple(list(beside(slots))[number].naive_uwh.values())


def test_the_last_slot_is_the_one_that_was_known_two_slots_before() -> None:
    slots = [slot(n, 100 * n) for n in range(6)]
    assert naive_of(slots, 0) == naive_of(slots, 1) == (None, None, None)
    assert naive_of(slots, 2) == (0, 0, 0)
    assert naive_of(slots, 5) == (300, 300, 300)


def test_where_that_one_is_missing_the_newest_before_it_is_taken() -> None:
    slots = [slot(0, 100), slot(1, 200), slot(2, None), slot(3, 400), slot(4, 500)]
    assert naive_of(slots, 4)[0] == 200


def test_yesterday_and_last_week_are_of_the_same_time() -> None:
    slots = [slot(n, n) for n in range(8 * 96)]
    assert naive_of(slots, 7 * 96 + 5) == (7 * 96 + 3, 6 * 96 + 5, 5)


def test_what_is_less_than_nothing_is_delivered_as_nothing() -> None:
    [each] = beside([slot(0, -500, 200)])
    assert (each.energy_uwh, each.error_uwh, each.is_inside) == (0, 200, False)


def test_errors_band_and_sums_are_of_slots_of_which_all_is_known() -> None:
    slots = [
        *(slot(0, 100), slot(1, 100)),  # nothing was expected
        slot(2, 110, 100),  # in the band; 10 too little
        slot(3, 50, 100),  # below it; 50 too much
        slot(4, None, 100),  # not known
        slot(5, 0, 0),  # dark: no band
    ]
    [found] = scores(beside(slots), [START_S])
    assert found.slots == 3
    assert found.mae_uwh == pytest.approx(60 / 3)
    assert found.inside == pytest.approx(1 / 2)
    assert found.bias == pytest.approx(200 / 160 - 1)
    assert found.naive_mae_uwh["last_slot"] == pytest.approx((10 + 50 + 50) / 3)
    assert found.best_naive in found.naive_mae_uwh


def test_a_period_begins_with_the_slot_that_starts_then() -> None:
    slots = [slot(n, 100, 100 + n) for n in range(10)]
    all_of_them, last = scores(beside(slots), [START_S, START_S + 9 * SLOT_S])
    assert (all_of_them.slots, last.slots) == (8, 1)
    assert last.mae_uwh == 9


def test_where_nothing_can_be_judged_nothing_is_claimed() -> None:
    [found] = scores(beside([slot(0, 100), slot(1, None, 50)]), [START_S])
    assert found.slots == 0
    assert found.mae_uwh is found.inside is found.bias is found.best_naive is None


def test_what_is_kept_while_reading_is_a_week_and_no_more() -> None:
    """Of a gap of weeks nothing older is taken for last week's."""
    late = (NEEDED_S + 5 * DAY_S) // SLOT_S
    slots = [slot(0, 100), slot(1, 200), slot(late, 300), slot(late + 672, 400)]
    assert naive_of(slots, 2) == (200, 200, 200)
    assert naive_of(slots, 3) == (300, 300, 300)


def test_slots_and_what_was_learned_are_judged_alike() -> None:
    """The daemon's account, kept as sums of days, is that of the slots it leaves behind."""
    rules = Rules(SLOT_S, "load", "a", lambda _: 0)
    learned, said = begin(rules), {}
    slots = []
    for number in range(10 * 96):
        energy_uwh = 1_000_000 * (30 + number % 96) + 777_777 * (number * 7919 % 13)
        new = AssetSlot(ASSET, START_S + number * SLOT_S, SLOT_S, energy_uwh, None, "measured")
        if found := said.pop(number, None):
            new = replace(
                new,
                forecast_uwh=found.energy_uwh,
                forecast_low_uwh=found.low_uwh,
                forecast_high_uwh=found.high_uwh,
                forecast_by="auto",
            )
        slots.append(new)
        learned = update(learned, new, rules)
        if forecast := predict(learned, 2, rules):
            said[number + 2] = forecast
    learned = update(learned, slot(10 * 96, 1_000_000), rules)  # the last day is over
    [by_slots] = scores(beside(slots), [START_S + 3 * DAY_S])
    by_days = score(learned, 7)
    assert by_slots.slots == by_days.slots == 7 * 96
    assert by_slots.mae_uwh == pytest.approx(by_days.mae_uwh, rel=1e-4)
    assert by_slots.bias == pytest.approx(by_days.bias, abs=1e-4)
    assert by_slots.inside == pytest.approx(by_days.inside, abs=0.01)
    for name, uwh in by_slots.naive_mae_uwh.items():
        assert uwh == pytest.approx(by_days.naive_mae_uwh[name], rel=1e-4)
