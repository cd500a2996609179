"""Slots say what is known of them: measured, estimated, partial or missing."""

import msgspec
import pytest
from msgspec.structs import replace

from gateway.energy.booking import MAX_MISSING
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.slot import MeterState
from tests.gateway.energy.samples import BEGIN_S, fold, meter, sample, steady
from tests.gateway.energy.written import written

# --- gaps -----------------------------------------------------------------------------------------


def test_a_gap_up_to_three_intervals_is_measured_and_a_longer_one_estimated() -> None:
    for gap_s, quality in ((30, "measured"), (31, "estimated")):
        times = [*range(0, 310, 10), *range(300 + gap_s, 910 + gap_s, 10)]
        _, slots, _ = fold(steady(360, times), meter())
        assert slots[0].quality == quality
        assert slots[0].largest_gap_ms == gap_s * 1000
        assert slots[0].method == ("counter" if quality == "measured" else "register")
        assert slots[0].coverage_permille == (1000 if quality == "measured" else 965)


def test_a_gap_over_several_slots_is_spread_over_them_and_stated() -> None:
    rules = meter()
    _, slots, events = fold(steady(3600, [*range(0, 910, 10), *range(5400, 6310, 10)]), rules)
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 7
    assert [slot.quality for slot in slots] == ["measured", *["estimated"] * 5, "measured"]
    assert [slot.coverage_permille for slot in slots] == [1000, 0, 0, 0, 0, 0, 1000]
    assert not events


def test_after_a_gap_too_long_slots_are_missing_and_the_energy_is_stated_as_unallocated() -> None:
    rules = meter()
    times = [*range(0, 1210, 10), *range(9900, 10810, 10)]
    _, slots, events = fold(samples := steady(3600, times), rules)
    assert [(slot.start_s - BEGIN_S) // 900 for slot in slots] == list(range(12))
    assert [slot.quality for slot in slots] == ["measured", "partial", *["missing"] * 9, "measured"]
    assert slots[1].energy_uwh == 300 * WH
    assert {slot.energy_uwh for slot in slots[2:11]} == {None}
    assert [event.kind for event in events] == ["gap"]
    # How far into its step the register was when it was read again, its next step says.
    gap, rest = written(samples, rules).stated
    assert (gap.kind, rest.kind) == ("gap", "start")
    assert (gap.energy_uwh, events[0].energy_uwh) == (8700 * WH - WH // 2,) * 2
    assert gap.energy_uwh + rest.energy_uwh == 8700 * WH
    assert (rest.from_ms, rest.to_ms) == (gap.from_ms, gap.to_ms)


def test_a_slot_of_which_nothing_was_metered_is_missing_and_not_zero() -> None:
    times = [*range(0, 910, 10), *range(9900, 10810, 10)]
    _, slots, _ = fold(steady(3600, times), meter())
    assert [slot.quality for slot in slots[:3]] == ["measured", "missing", "missing"]
    assert slots[1].energy_uwh is None


def test_a_silence_of_years_does_not_write_down_every_slot() -> None:
    rules = meter()
    _, slots, events = fold([sample(0, 1000), sample(10 * 365 * 86400, 2000)], rules)
    assert len(slots) == MAX_MISSING + 1
    assert events[0].energy_uwh == 1000 * WH


def test_the_first_slot_is_partial_when_metering_begins_inside_it() -> None:
    _, slots, _ = fold(steady(3600, range(450, 1810, 10)), meter())
    assert [(slot.quality, slot.coverage_permille) for slot in slots] == [
        ("partial", 500),
        ("measured", 1000),
    ]
    assert slots[0].energy_uwh == 450 * WH


def test_a_register_that_did_not_move_in_a_long_gap_means_slots_of_nothing_not_missing_ones() -> (
    None
):
    """An inverter that sleeps at night answers nobody, and makes nothing."""
    _, slots, events = fold([sample(0, 5000.0, 0.0), sample(12 * 3600, 5000.0, 0.0)], meter())
    assert [slot.energy_uwh for slot in slots] == [0] * 48
    assert {slot.quality for slot in slots} == {"estimated"}
    assert not events


# --- readings that are not believed ---------------------------------------------------------------


def test_a_meter_that_shows_nonsense_for_ever_delivers_no_zeros() -> None:
    rules = meter()
    good = steady(3600, range(0, 910, 10), 1000)
    nonsense = [
        sample(t, 10_000_000 + (t * 7919) % 1000 * 10_000, 3600) for t in range(910, 5000, 10)
    ]
    _, slots, _ = fold([*good, *nonsense], rules)
    assert [slot.start_s - BEGIN_S for slot in slots] == [0]


@pytest.mark.parametrize("bogus", [1e13, -1e30, 1e218, float("inf"), float("nan")])
def test_a_register_that_is_no_number_of_a_meter_is_as_if_it_were_not_there(bogus: float) -> None:
    samples = steady(3600, range(0, 1810, 10))
    for n in range(40, 50):
        samples[n] = replace(samples[n], values={**samples[n].values, "energy_import_wh": bogus})
    state, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 2
    assert not events
    assert msgspec.json.decode(msgspec.json.encode(state), type=MeterState) == state


@pytest.mark.parametrize("bogus", [0.0, 99_000_000.0, 1000.0 + 2**21])
def test_a_bogus_reading_on_the_boundary_shifts_no_energy_into_another_slot(bogus: float) -> None:
    samples = steady(3600, range(0, 1810, 10))
    samples[90] = replace(samples[90], values={**samples[90].values, "energy_import_wh": bogus})
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality) for slot in slots] == [(900 * WH, "measured")] * 2
    assert [event.kind for event in events] == ["glitch"]


def test_a_rollover_on_the_boundary_books_the_right_energy_to_both_slots() -> None:
    samples = [sample(t, (99_999_100 + t) % 100_000_000, 3600) for t in range(0, 1810, 10)]
    _, slots, events = fold(samples, meter())
    assert [slot.energy_uwh for slot in slots] == [900 * WH] * 2
    assert [event.kind for event in events] == ["rollover"]


def test_a_slot_in_which_the_register_was_reset_is_estimated() -> None:
    samples = [sample(t, (1000 if t < 500 else -500) + t, 3600) for t in range(0, 1810, 10)]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["reset"]
    assert [slot.quality for slot in slots] == ["estimated", "measured"]


def test_a_slot_before_a_reset_at_its_end_is_not_called_measured() -> None:
    after = [sample(t, (t - 900) / 9, 400) for t in range(900, 2000, 10)]
    _, slots, events = fold([*steady(400, range(0, 900, 10)), *after], meter())
    assert [event.kind for event in events] == ["reset"]
    assert [slot.quality for slot in slots] == ["estimated", "estimated"]


def test_a_register_that_is_believed_to_stand_still_against_power_leaves_no_measured_slot() -> None:
    samples = [sample(t, 1000.0 + min(t, 5000) / 2, 1800) for t in range(0, 5000 + 4 * 3600, 10)]
    _, slots, _ = fold(samples, meter())
    assert {slot.quality for slot in slots if slot.start_s >= BEGIN_S + 5400} == {"estimated"}


def test_where_slots_change_length_after_the_first_reading_what_the_first_step_says_is_stated() -> (
    None
):
    books = written([], meter(10))
    for n in range(200):
        rules = meter(10, slot_ms=900_000 if n == 0 else 300_000)
        books.write(advance(books.state, sample(10 * n, 1000 + n * 5 // 20 * 10, 900), rules))
    books.check_chain("import")
    assert [left.kind for left in books.stated if left.direction == "import"][:1] == ["start"]
