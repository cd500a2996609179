"""By how much the energy of a slot may be off."""

from itertools import accumulate
from math import pi, sin

import msgspec
import pytest
from msgspec.structs import replace

from gateway.energy.slot import DirectionState, MeterState, OpenSlot
from gateway.energy.uncertainty import Surprise, is_too_uncertain, of_counter, of_slot
from tests.gateway.energy.registers import WH, rules, start
from tests.gateway.energy.samples import BEGIN_S, fold, meter, sample


def test_where_metering_begins_its_edges_are_off_by_half_a_step_as_its_first_step_is() -> None:
    counter = start(0, 1000 * WH, None, rules(10))
    assert of_counter(counter, rules(10), 0) == 5 * WH


def test_a_surprise_widens_the_bounds_but_not_past_the_registers_step() -> None:
    counter = msgspec.structs.replace(
        start(0, 1000 * WH, None, rules(10)),
        counter_uwh=1005 * WH,
        low_uwh=1004 * WH,
        high_uwh=1006 * WH,
        beginning=None,
    )
    assert of_counter(counter, rules(10), 0) == WH
    assert of_counter(counter, rules(10), 2 * WH) == 3 * WH
    assert of_counter(counter, rules(10), 100 * WH) == 5 * WH


@pytest.mark.parametrize(("begin_uwh", "end_uwh"), [(None, 5), (5, None)])
def test_nothing_is_said_where_an_edge_says_nothing(
    begin_uwh: int | None, end_uwh: int | None
) -> None:
    assert of_slot(begin_uwh, end_uwh) is None


def test_what_is_late_at_both_ends_counts_by_its_difference_only() -> None:
    assert of_slot(300, 400) == of_slot(300, 400, late_uwh=0) == 700
    assert of_slot(300, 400, late_uwh=-1200) == of_slot(300, 400, late_uwh=1200) == 1820


def test_what_power_says_of_all_of_a_slot_counts_where_it_is_surer_than_the_ends() -> None:
    assert of_slot(300, 400, passed_uwh=650) == 650
    assert of_slot(300, 400, passed_uwh=750) == 700


def test_a_slot_inside_of_a_coarse_step_is_as_certain_as_its_power() -> None:
    """2 kW that hardly change, and a register that steps every half hour: where in its step a slot
    lies is not known, but what passed is.
    """
    powers_w = [2000.0 + 10 * (n % 3) for n in range(12 * 360)]
    energies_wh = accumulate((power_w / 360 for power_w in powers_w), initial=0.0)
    shown = zip(range(0, 12 * 3600, 10), energies_wh, powers_w, strict=False)
    samples = [sample(t, 5000 + wh // 1000 * 1000, power_w) for t, wh, power_w in shown]
    known = replace(meter(1000), look_back_ms=300_000)
    _, slots, _ = fold(samples, known)
    last = slots[-8:]
    assert all((slot.uncertainty_uwh or 0) < 12 * WH for slot in last)
    assert all(
        abs((slot.energy_uwh or 0) - 502.5 * WH) < (slot.uncertainty_uwh or 0) for slot in last
    )


def test_in_the_night_a_register_that_stands_still_is_surer_with_each_hour() -> None:
    """Panels on 1 Wh, from 7 to 18 o'clock. What may flow unseen would move the register."""
    samples, energy_wh = [], 1000.3
    for n in range(2 * 8640):
        hour = n / 360 % 24
        power_w = round(3000 * max(sin((hour - 7) / 11 * pi), 0)) if 7 <= hour < 18 else 0
        energy_wh += power_w / 360
        samples.append(sample(10 * n, None, -power_w, export_wh=energy_wh // 1))
    _, slots, _ = fold(samples, replace(meter(1), look_back_ms=300_000))
    sold = {slot.start_s: slot for slot in slots if slot.direction == "export"}
    day_s = samples[0].utc_ms // 1000 + 86_400
    evening, night = (sold[day_s + hour * 3600].uncertainty_uwh for hour in (19, 23))
    assert evening is not None and night is not None
    assert night < evening < 0.25 * WH
    assert night < 0.09 * WH


def test_both_limits_must_be_passed_before_a_slot_is_no_longer_measured() -> None:
    assert is_too_uncertain(21 * WH, 400 * WH, 10 * WH)
    assert not is_too_uncertain(21 * WH, 420 * WH, 10 * WH)
    assert not is_too_uncertain(20 * WH, 10 * WH, 10 * WH)
    assert not is_too_uncertain(None, 0, WH)


def test_without_power_a_slot_is_known_to_about_a_step() -> None:
    samples = [sample(t, 1000 + t * 2000 / 3600 // 10 * 10) for t in range(0, 2800, 10)]
    _, slots, _ = fold(samples, meter(10))
    uncertainties = [slot.uncertainty_uwh or 0 for slot in slots]
    assert len(slots) == 3
    assert all(5 * WH < each < 11 * WH for each in uncertainties), uncertainties
    assert [slot.quality for slot in slots] == ["measured"] * 3


def test_power_that_fits_the_register_makes_a_slot_more_certain() -> None:
    samples = [sample(t, 1000 + t * 2000 / 3600 // 10 * 10, 2000) for t in range(0, 2800, 10)]
    _, slots, _ = fold(samples, meter(10))
    last = slots[-1].uncertainty_uwh
    assert last is not None
    assert last < 2 * WH


def test_power_that_does_not_see_a_load_makes_a_slot_less_certain() -> None:
    told = [sample(t, 1000 + t * 2000 / 3600 // 10 * 10, 1500) for t in range(0, 2800, 10)]
    _, slots, _ = fold(told, meter(10))
    last = slots[-1].uncertainty_uwh
    assert last is not None
    assert last > WH


def test_a_slot_whose_edges_lie_in_a_leap_of_power_is_estimated() -> None:
    """A kilowatt-hour of a fine register, and three minutes in which power rose by 10 kW."""
    samples = [
        sample(t, t * 3.6, power_w)
        for t, power_w in ((0, 0), (100, 0), (200, 0), (810, 0), (990, 10_000), (1100, 10_000))
    ]
    rules = replace(meter(1), stale_ms=300_000)
    _, slots, _ = fold(samples, rules)
    assert slots[0].uncertainty_uwh is not None
    assert slots[0].uncertainty_uwh > 100 * WH
    assert slots[0].quality == "estimated"


def test_a_missing_slot_has_no_uncertainty() -> None:
    samples = [sample(t, 10 if t < 1000 else 5000, 0) for t in (0, 10, 10_000, 10_010, 10_020)]
    _, slots, _ = fold(samples, replace(meter(1), max_gap_ms=900_000))
    missing = [slot for slot in slots if slot.quality == "missing"]
    assert missing
    assert {slot.uncertainty_uwh for slot in missing} == {None}


def test_a_slot_that_a_version_before_opened_says_nothing_and_the_next_one_does() -> None:
    state, _, _ = fold([sample(t, 1000, 0) for t in (0, 10, 20)], meter(1))
    assert state is not None
    old = _as_before(state)
    _, slots, _ = fold([sample(t, 1000, 0) for t in range(30, 1900, 10)], meter(1), old)
    assert [slot.uncertainty_uwh is None for slot in slots] == [True, False]


def _as_before(state: MeterState) -> MeterState:
    """The state as a version would have left it that knew of no uncertainty."""
    stored = msgspec.json.decode(msgspec.json.encode(state))
    for each in stored["directions"].values():
        del each["surprise"], each["slot"]["begin_uncertainty_uwh"]
    back = msgspec.json.decode(msgspec.json.encode(stored), type=MeterState)
    one = back.directions["import"]
    assert isinstance(one, DirectionState)
    assert isinstance(one.slot, OpenSlot)
    assert (one.surprise, one.slot.begin_uncertainty_uwh) == (Surprise(), None)
    return back


@pytest.mark.parametrize("look_back_ms", [0, 300_000])
@pytest.mark.parametrize("power_w", [40.0, 400.0, 3000.0])
def test_a_register_that_stands_still_against_power_leaves_what_power_says_uncertain(
    power_w: float, look_back_ms: int
) -> None:
    """Nobody knows which of both is wrong: it counted for an hour, and stands still for six."""
    samples = [
        sample(t, int(60_000 + power_w * min(t, 3600) / 3600), power_w)
        for t in range(0, 7 * 3600, 10)
    ]
    rules = replace(meter(1), look_back_ms=look_back_ms)
    _, slots, _ = fold(samples, rules)
    late = {slot.start_s: slot for slot in slots if slot.start_s >= BEGIN_S + 4500}
    assert len(late) >= 20
    for slot in late.values():
        assert slot.energy_uwh is not None and slot.uncertainty_uwh is not None
        assert slot.quality == "estimated"
        assert slot.energy_uwh + slot.uncertainty_uwh >= 0.9 * power_w / 4 * WH, slot
