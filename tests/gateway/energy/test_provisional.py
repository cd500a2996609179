"""Slots that end while the register is silent are closed by power, and revised when it tells."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.slot import MeterRules, Slot
from tests.gateway.energy.samples import BEGIN_S, fold, hourly, meter, sample, steady


def provisional(samples: Sequence[Sample], rules: MeterRules) -> list[tuple[int, Slot]]:
    """Which slots were provisional, and at which second."""
    state, found = None, []
    for each in samples:
        step = advance(state, each, rules)
        state = step.state
        found += [((each.utc_ms or 0) // 1000 - BEGIN_S, slot) for slot in step.provisional]
    return found


def test_a_direction_whose_register_is_missing_closes_no_slot_until_it_comes() -> None:
    rules = meter()
    samples = steady(3600, range(0, 910, 10), 1000)
    silent = [sample(t, None, 3600, export_wh=5) for t in range(910, 2700, 10)]
    state, slots, _ = fold([*samples, *silent], rules)
    assert [slot.start_s - BEGIN_S for slot in slots if slot.direction == "import"] == [0]
    _, slots, _ = fold([sample(2700, 3700, 3600)], rules, state)
    mine = [slot for slot in slots if slot.direction == "import"]
    assert [(slot.quality, slot.revision) for slot in mine] == [("estimated", 1), ("estimated", 0)]
    assert [slot.energy_uwh for slot in mine] == pytest.approx([900 * WH] * 2, abs=WH)


def test_a_slot_whose_register_is_late_is_provisional_and_revised_when_it_comes() -> None:
    powers_w = [400, 4000, 0, 1200]
    found = provisional(hourly(powers_w), meter())
    assert [(at_s, slot.start_s - BEGIN_S) for at_s, slot in found] == [
        (990, 0),
        (1890, 900),
        (2790, 1800),
    ]
    assert [slot.energy_uwh for _, slot in found] == pytest.approx(
        [100 * WH, 1000 * WH, 0], abs=10 * WH
    )
    assert {
        (slot.quality, slot.method, slot.revision, slot.coverage_permille) for _, slot in found
    } == {("estimated", "power", 0, 1000)}


def test_nothing_is_provisional_where_power_is_not_known_nor_for_longer_than_the_longest_gap() -> (
    None
):
    without_power = [
        replace(each, values={k: v for k, v in each.values.items() if k != "power_w"})
        for each in hourly([400] * 4)
    ]
    assert provisional(without_power, meter()) == []
    late = [slot.start_s - BEGIN_S for _, slot in provisional(hourly([400] * 16, hours=5), meter())]
    assert late == list(range(0, 7200, 900))


def test_nothing_is_closed_by_power_across_a_time_that_nobody_read() -> None:
    rules = meter()
    state = None
    for each in [*steady(400, range(0, 880, 10)), sample(2000, None, 400), sample(2010, None, 400)]:
        step = advance(state, each, rules)
        state = step.state
        assert not step.provisional


def test_a_register_that_pauses_and_then_jumps_is_booked_to_the_slots_in_which_power_flowed() -> (
    None
):
    def shown(t: int) -> float:
        return 1000.0 + (t if t < 1000 else 1000 if t < 5000 else t) * 2000 / 3600

    samples = [sample(t, float(int(shown(t))), 2000) for t in range(0, 6310, 10)]
    state, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == pytest.approx([500 * WH] * 7, abs=10 * WH)
    assert [slot.quality for slot in slots] == ["measured", *["estimated"] * 5, "measured"]
    assert [slot.revision for slot in slots] == [0, 1, 1, 1, 1, 0, 0]
    assert not events
    assert len(provisional(samples, meter())) == 4
    assert state is not None


def test_provisional_slots_of_a_meter_that_never_comes_back_stay_as_they_were_delivered() -> None:
    rules = meter()
    samples = hourly([400] * 4, hours=2)[:250]
    another = [sample(2500 + 10 * n, 5, 400, serial="B") for n in range(3)]
    provisional, slots, kinds, state = [], [], [], None
    for each in [*samples, *another]:
        step = advance(state, each, rules)
        state = step.state
        provisional += [slot for slot in step.provisional if slot.direction == "import"]
        slots += [slot for slot in step.slots if slot.serial_number == "A"]
        kinds += [event.kind for event in step.events]
    assert kinds == ["swap"]
    mine = [(slot.start_s - BEGIN_S, slot.quality, slot.method, slot.revision) for slot in slots]
    assert mine == [(0, "estimated", "counter", 1), (900, "estimated", "counter", 1)]
    assert [slot.energy_uwh for slot in slots] == [slot.energy_uwh for slot in provisional]


def test_what_power_closed_before_a_long_gap_is_carved_out_of_what_it_leaves_unallocated() -> None:
    rules = meter()
    state, slots, left = None, [], []
    shown = [
        sample(0, 1000, 400),
        *(sample(t, None, 400) for t in range(10, 1100, 10)),
        sample(30_000, 5000, 400),
        sample(30_010, 5001, 400),
    ]
    for each in shown:
        step = advance(state, each, rules)
        state = step.state
        slots += step.slots
        left += step.unallocated
    assert [slot.quality for slot in slots[:2]] == ["estimated", "missing"]
    energy_uwh = slots[0].energy_uwh
    assert energy_uwh == pytest.approx(100 * WH, abs=WH / 1000)
    gap, rest = left
    assert (gap.kind, rest.kind) == ("gap", "start")
    assert gap.energy_uwh == 4000 * WH - energy_uwh
    assert 0 < rest.energy_uwh < WH


def test_the_state_stays_small_however_long_a_register_is_silent() -> None:
    rules = meter(slot_ms=60_000, max_gap_ms=60_000)
    state, _, _ = fold([sample(0, 1000, 100)], rules)
    largest = 0
    for n in range(1, 6000):
        state = advance(state, sample(10 * n, None, 100), rules).state
        largest = max(largest, len(msgspec.json.encode(state)))
    assert largest < 10_000
    _, slots, _ = fold([sample(60_000, 1000 + 100 / 6, 100)], rules, state)
    assert len(slots) == 1000
    assert sum(slot.energy_uwh or 0 for slot in slots) == pytest.approx(16 * WH, abs=2 * WH)
