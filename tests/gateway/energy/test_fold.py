"""Samples → slots: directions, beginnings, swapped meters, and the state that is stored."""

import msgspec
import pytest
from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import MeterState
from gateway.store.rows import lean
from tests.gateway.energy.samples import BEGIN_S, fold, meter, sample, steady

# --- directions -----------------------------------------------------------------------------------


def test_both_directions_are_counted_side_by_side() -> None:
    times = range(0, 910, 10)
    samples = [sample(t, 1000 + t / 10, export_wh=500 + t / 20) for t in times]
    _, slots, _ = fold(samples, meter())
    assert {slot.direction: slot.energy_uwh for slot in slots} == {
        "import": 90 * WH,
        "export": 45 * WH,
    }


def test_net_power_drives_the_direction_it_flows_in() -> None:
    samples = [sample(t, 1000, -3600, export_wh=500) for t in (0, 10)]
    state, _, _ = fold(samples, meter(100))
    assert state is not None
    assert state.directions["import"].counter.gain.power_uwh == 0
    assert state.directions["export"].counter.gain.power_uwh == 10 * WH


def test_an_inverted_meter_counts_its_export_as_import() -> None:
    rules = replace(meter(), invert=True)
    samples = [sample(t, 1000, -3600, export_wh=500 + t) for t in range(0, 910, 10)]
    _, slots, _ = fold(samples, rules)
    assert {slot.direction: slot.energy_uwh for slot in slots} == {"import": 900 * WH, "export": 0}


# --- the beginning --------------------------------------------------------------------------------


def test_a_series_does_not_begin_with_a_single_wrong_reading() -> None:
    for wrong_wh in (0.0, 4e6, 5.5e6):
        samples = [
            sample(0, wrong_wh),
            *(sample(at_s, 5e6 + at_s / 10) for at_s in range(10, 1000, 10)),
        ]
        _, slots, events = fold(samples, meter())
        assert [event.kind for event in events if "import" in event.text] == ["glitch"]
        assert [slot.energy_uwh for slot in slots if slot.direction == "import"] == [89 * WH]


def test_a_series_goes_on_as_it_began_once_readings_agree() -> None:
    samples = [
        *(sample(at_s, 5e6 + at_s / 10) for at_s in (0, 10, 20)),
        sample(30, 0.0),
        sample(40, 5e6 + 4),
        sample(900, 5e6 + 90),
    ]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events if "import" in event.text] == ["glitch"]
    assert [slot.energy_uwh for slot in slots if slot.direction == "import"] == [90 * WH]


# --- another meter --------------------------------------------------------------------------------


def test_a_swapped_meter_begins_a_new_series_and_books_nothing_across() -> None:
    old = steady(3600, range(0, 1210, 10), 5000)
    new = [sample(t, 10 + t - 1500, 3600, serial="B") for t in range(1500, 2710, 10)]
    _, slots, events = fold([*old, *new], meter())
    assert [
        (slot.serial_number, slot.start_s - BEGIN_S, slot.quality, slot.energy_uwh)
        for slot in slots
    ] == [
        ("A", 0, "measured", 900 * WH),
        ("A", 900, "partial", 300 * WH),
        ("B", 900, "partial", 280 * WH),
        ("B", 1800, "measured", 900 * WH),
    ]
    assert [event.kind for event in events] == ["swap"]


def test_slots_between_one_meter_and_the_next_are_missing() -> None:
    new = [sample(t, 10 + t, 3600, serial="B") for t in range(3000, 3910, 10)]
    _, slots, _ = fold([*steady(3600, range(0, 1210, 10)), *new], meter())
    assert [(slot.serial_number, slot.start_s - BEGIN_S, slot.quality) for slot in slots] == [
        ("A", 0, "measured"),
        ("A", 900, "partial"),
        ("A", 1800, "missing"),
        ("B", 2700, "partial"),
    ]


def test_a_meter_that_comes_back_goes_on_with_its_series() -> None:
    """As where a neighbour's meter was heard for a minute."""
    samples = steady(3600, range(0, 2710, 10))
    for n in range(120, 126):
        samples[n] = replace(
            samples[n], serial_number="B", values={"energy_import_wh": 77.0, "power_w": 3600.0}
        )
    state, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["swap", "swap"]
    assert "is back after B" in events[1].text
    mine = [
        (slot.start_s - BEGIN_S, slot.quality, slot.revision)
        for slot in slots
        if slot.serial_number == "A"
    ]
    assert mine == [
        (0, "measured", 0),
        (900, "partial", 0),
        (900, "estimated", 1),
        (1800, "measured", 0),
    ]
    final = {slot.start_s: slot.energy_uwh for slot in slots if slot.serial_number == "A"}
    assert sum(energy_uwh or 0 for energy_uwh in final.values()) == pytest.approx(2700 * WH, abs=WH)
    assert state is not None
    assert state.previous is not None
    state, _, _ = fold(steady(3600, range(2720, 10_800, 600), 3720), meter(), state)
    assert state is not None
    assert state.previous is None


def test_a_meter_that_comes_back_after_the_longest_gap_begins_a_new_series() -> None:
    samples = [
        sample(t, 1000 + t / 10, serial="B" if 600 <= t < 9000 else "A") for t in range(0, 9600, 60)
    ]
    _, slots, events = fold(samples, meter())
    assert [event.kind for event in events] == ["swap", "swap"]
    assert "a new series begins with A" in events[1].text
    assert all(slot.revision == 0 for slot in slots)


def test_one_or_two_samples_of_a_strange_serial_number_move_nothing() -> None:
    samples = steady(3600, range(0, 1810, 10))
    for n in (30, 50, 51, 90, 91):
        samples[n] = replace(samples[n], serial_number="8")
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality, slot.serial_number) for slot in slots] == [
        (900 * WH, "measured", "A")
    ] * 2
    assert not events


def test_a_serial_number_that_is_told_later_or_not_each_time_is_the_same_series() -> None:
    samples = [
        replace(each, serial_number=None if n % 4 else "A")
        for n, each in enumerate(steady(3600, range(0, 1810, 10)), 1)
    ]
    _, slots, events = fold(samples, meter())
    assert [(slot.energy_uwh, slot.quality, slot.serial_number) for slot in slots] == [
        (900 * WH, "measured", "A")
    ] * 2
    assert not events


# --- slots of another length ----------------------------------------------------------------------


def test_slots_of_another_length_go_on_where_the_others_end() -> None:
    state, slots, _ = fold(steady(3600, range(0, 1210, 10)), meter())
    _, later, events = fold(
        steady(3600, range(1210, 2110, 10), 2210), meter(slot_ms=300_000), state
    )
    assert [event.kind for event in events] == ["slots"]
    assert (later[0].start_s - BEGIN_S, later[0].length_s, later[0].quality) == (
        900,
        900,
        "partial",
    )
    assert [(slot.start_s - BEGIN_S, slot.length_s, slot.quality) for slot in later[1:]] == [
        (1200, 300, "measured"),
        (1500, 300, "measured"),
        (1800, 300, "measured"),
    ]
    assert sum(slot.energy_uwh or 0 for slot in [*slots, *later]) == pytest.approx(
        2100 * WH, abs=WH
    )
    assert len(slots) == 1


# --- the state that is stored ---------------------------------------------------------------------
STATE_OF_THE_FIRST_VERSION = b"""
{"serial_number":"A","at_ms":1800000310000,"slot_ms":900000,"directions":{"import":{"counter":
{"at_ms":1800000310000,"counter_uwh":1310000000,"register_uwh":1310000000,"offset_uwh":0,"power_w":3600.0,
"suspects":null},"slot":
{"start_ms":1800000000000,"from_ms":1800000000000,"begin_uwh":1000000000,"begin_register_uwh":1000000000,"samples":32,
"largest_gap_ms":10000,"uncovered_ms":0,"register_only":false}},"export":
{"counter":{"at_ms":1800000300000,"counter_uwh":5000000,
"register_uwh":5000000,"offset_uwh":0,"power_w":0.0,
"suspects":{"first_raw_uwh":0,"last_raw_uwh":0,"last_ms":1800000310000,"count":1}},
"slot":{"start_ms":1800000000000,"from_ms":1800000000000,"begin_uwh":5000000,"begin_register_uwh":5000000,"samples":31,
"largest_gap_ms":10000,"uncovered_ms":0,"register_only":false}}},"stranger":null,"strangers":0}"""


def test_a_state_that_the_first_version_stored_goes_on_where_it_was() -> None:
    rules = meter()
    state = msgspec.json.decode(STATE_OF_THE_FIRST_VERSION, type=MeterState)
    _, slots, events = fold(
        [
            replace(s, values={**s.values, "energy_export_wh": 5})
            for s in steady(3600, range(0, 910, 10))
        ],
        rules,
        state,
    )
    assert [(slot.direction, slot.energy_uwh, slot.quality, slot.samples) for slot in slots] == [
        ("import", 900 * WH, "measured", 91 - 1),
        ("export", 0, "measured", 91 - 2),
    ]
    assert [event.kind for event in events] == ["glitch"]


def test_files_keep_the_keys_that_they_know() -> None:
    """Whatever the fields are called: an older version reads them, too."""
    samples = [sample(0, 1000, 400), *(sample(t, None, 400) for t in range(10, 1000, 10))]
    state, _, _ = fold([*samples, sample(1000, 5, 400, serial="B")], meter())
    assert state is not None
    stored = msgspec.json.decode(msgspec.json.encode(state))
    assert stored.keys() == {
        "serial_number",
        "at_ms",
        "slot_ms",
        "directions",
        "stranger",
        "strangers",
        "shift_ms",
        "boot_id",
        "boottime_ms",
        "changed_after",
        "missed_from_ms",
        "previous",
    }
    assert (stored["stranger"], stored["strangers"]) == ("B", 1)


def test_files_keep_the_keys_that_they_know_of_a_direction() -> None:
    state, _, _ = fold([sample(0, 1000, 400), *(sample(t, None, 400) for t in (10, 1000))], meter())
    assert state is not None
    mine = msgspec.json.decode(msgspec.json.encode(state))["directions"]["import"]
    assert mine.keys() == {
        "counter",
        "slot",
        "refinement",
        "shift_ms",
        "placed",
        "marks",
        "provisional_ms",
        "source",
        "surprise",
        "passed",
        "former",
    }
    assert mine["marks"][0].keys() == {"at_ms", "power_uwh", "dark_ms"}
    assert mine["counter"]["since"].keys() == {"power_uwh", "swing_uwh", "dark_ms"}
    assert mine["counter"].keys() == {
        "beginning",
        "at_ms",
        "counter_uwh",
        "register_uwh",
        "offset_uwh",
        "power_w",
        "suspects",
        "seen_ms",
        "power_ms",
        "low_uwh",
        "high_uwh",
        "since",
        "still_uwh",
        "pace_w",
        "gain",
        "wavered_ms",
        "jittered_ms",
        "leap_uwh",
        "leap_ms",
        "agreed",
    }
    assert mine["slot"].keys() == {
        "start_ms",
        "from_ms",
        "begin_uwh",
        "begin_register_uwh",
        "samples",
        "largest_gap_ms",
        "uncovered_ms",
        "register_only",
        "doubtful",
        "doubts",
        "placed",
        "revision",
        "begin_uncertainty_uwh",
        "missed_from_ms",
        "begin_late_uwh",
        "contradicted_uwh",
    }


def test_a_state_is_stored_without_what_is_so_by_default_and_reads_back_as_the_same() -> None:
    state, _, _ = fold(steady(3600, range(0, 1210, 10)), meter())
    short = msgspec.json.encode(lean(state))
    assert b"stranger" not in short
    assert msgspec.json.decode(short, type=MeterState) == state
    # Of numbers that are all there for a reason nothing can be left out.
    assert state is not None
    mine = msgspec.structs.replace(state.directions["import"], refinement=None)
    bare = msgspec.structs.replace(state, directions={"import": mine})
    assert len(msgspec.json.encode(lean(bare))) < len(msgspec.json.encode(bare)) * 0.7


@pytest.mark.parametrize("net_w", [float("-inf"), float("inf"), -(2.0**31), float("nan"), 4e9])
def test_a_power_that_no_fuse_carries_says_nothing_of_either_direction(net_w: float) -> None:
    first = sample(0, 1000, 600, export_wh=50)
    state, _, _ = fold([first, sample(10, 1001, net_w, export_wh=50)], meter())
    assert state is not None
    powers = {each.counter.power_w for each in state.directions.values()}
    shown_ms = {each.counter.power_shown_ms for each in state.directions.values()}
    assert (powers, shown_ms) == ({600, 0}, {first.boottime_ms})


def test_a_total_below_zero_is_none() -> None:
    state, _, events = fold([sample(0, 1000), *(sample(10 * n, -5) for n in range(1, 9))], meter())
    assert state is not None
    assert state.directions["import"].counter.suspects is None
    assert not events


def test_a_slot_says_why_it_is_estimated() -> None:
    """3 kW on a register of 10 Wh that moves every 60 s only, and then is not read for a while."""
    moved = [sample(t, 1000 + (t // 60 * 60) * 3000 / 3600 // 10 * 10) for t in range(0, 3610, 10)]
    gap = [sample(t, 4000) for t in range(4000, 5410, 10)]
    _, slots, _ = fold([*moved, *gap], meter(10))
    told = [slot.doubts for slot in slots if slot.direction == "import"]
    assert told[1:3] == ["uncertain", "uncertain"]
    assert "not read" in told[4]
    assert all(bool(slot.doubts) == (slot.quality == "estimated") for slot in slots)
