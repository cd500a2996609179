"""The books of a box that loses its time again and again: boots with and without a clock that is
right, over a real buffer file.
"""

import shutil
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.energy.counter import CONFIRMATIONS
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import Slot
from gateway.store import undated_samples
from tests.draws import draws
from tests.gateway.ledger.box import HOUR_S, INTERVAL_S, NOON_S, SLOT_S, Box, true_uwh


def test_a_boot_that_never_knew_the_time_is_placed_between_its_neighbours_and_marked(
    box: Box,
) -> None:
    box.boot()
    box.synchronise()
    box.run(HOUR_S)
    box.stop()
    box.true_s += 600
    box.boot()
    box.run(HOUR_S)
    box.stop()
    box.true_s += 1200
    box.boot()
    box.run(300)
    assert all(slot.start_s < NOON_S + HOUR_S for slot in box.slots()), (
        "nothing closes before the clock is right"
    )
    box.synchronise()
    box.run(HOUR_S)
    placed = [sample for sample in box.samples() if sample.placed]
    assert {sample.boot_id for sample in placed} == {"boot-2"}
    # Of 30 minutes of pauses half is taken to be before it: it is off by five minutes.
    assert {
        sample.utc_ms - box.truth[sample.boot_id, sample.boottime_ms]
        for sample in placed
        if sample.utc_ms
    } == {300_000}
    slots = box.slots()
    assert [(s.start_s - NOON_S) // SLOT_S for s in slots] == list(range(len(slots))), (
        "every slot has energy, one after the other"
    )
    marks = {(s.start_s - NOON_S) // SLOT_S: (s.clock, s.quality) for s in slots}
    assert [marks[n] for n in range(1, 4)] == [("kernel", "measured")] * 3
    assert {marks[n] for n in range(4, 10)} == {("placed", "estimated")}
    assert [marks[n] for n in range(11, 14)] == [("kernel", "measured")] * 3
    assert sum(s.energy_uwh or 0 for s in slots) == pytest.approx(
        true_uwh(slots[-1].start_s + SLOT_S) - true_uwh(NOON_S + INTERVAL_S), abs=2 * WH
    )
    [told] = [line for line in box.buffer.latest_events(100) if " placed: " in line]
    assert "boot-2" in told
    assert "30 min more than they take" in told


def test_no_slot_is_made_of_a_boot_that_can_have_been_anywhere_in_a_day(box: Box) -> None:
    box.boot()
    box.synchronise()
    box.run(HOUR_S)
    box.stop()
    box.true_s += 9 * HOUR_S
    box.boot()
    box.run(HOUR_S)
    box.stop()
    box.true_s += 11 * HOUR_S
    box.boot()
    box.synchronise()
    box.run(HOUR_S)
    assert {sample.boot_id for sample in box.samples() if sample.placed} == {"boot-2"}, (
        "on record it has a place"
    )
    slots = box.slots()
    assert {slot.clock for slot in slots} == {"kernel"}
    assert sum(slot.quality == "missing" for slot in slots) >= 21 * 4 - 1
    [gap] = [left.what for left in box.buffer.unallocated() if left.what.direction == "import"]
    assert gap.energy_uwh == pytest.approx(
        true_uwh(NOON_S + 22 * HOUR_S) - true_uwh(NOON_S + HOUR_S), rel=0.01
    )
    [told] = [line for line in box.buffer.latest_events(500) if " placed: " in line]
    assert "max_gap" in told


def test_without_anything_known_before_it_a_boot_is_placed_just_before_the_next(box: Box) -> None:
    box.boot()
    box.run(HOUR_S)
    box.stop()
    box.boot()
    box.synchronise()
    box.run(HOUR_S)
    assert [s.clock for s in box.slots()][:4] == ["placed"] * 4
    assert [s.clock for s in box.slots()][5:] == ["kernel"] * (len(box.slots()) - 5)


def test_a_kill_while_a_boot_is_dated_leaves_the_rest_to_be_dated_alike(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undated_samples, "DATED_AT_ONCE", 7)
    box.boot()
    box.synchronise()
    box.run(600)
    box.stop()
    for _ in range(2):
        box.true_s += 1000
        box.boot()
        box.run(1200)
        box.stop()
    box.true_s += 1000
    box.boot()
    box.run(1200)
    box.buffer.flush()
    box.synchronise()
    kills = 0
    while box.ledger.catch_up():
        box.kill()
        box.start(replay=False)
        kills += 1
        assert kills < 1000
        for _ in range(15):
            box.ledger.catch_up()
    box.run(600)
    samples = box.samples()
    assert kills >= 4
    assert {
        len({s.utc_ms - s.boottime_ms for s in samples if s.boot_id == f"boot-{n}" and s.utc_ms})
        for n in range(1, 5)
    } == {1}
    assert {s.boot_id for s in samples if s.placed} == {"boot-2", "boot-3"}
    assert all((a.utc_ms or 0) < (b.utc_ms or 0) for a, b in pairwise(samples))


def test_a_boot_that_was_killed_before_all_of_it_was_dated_is_dated_by_the_rest(box: Box) -> None:
    box.boot()
    box.run(600)
    box.synchronise()
    box.catches_up = False
    box.run(600)
    box.buffer.flush()
    box.kill()
    box.catches_up = True
    box.true_s += 5000
    box.boot()
    box.synchronise()
    box.run(10)
    assert all(
        s.utc_ms == box.truth[s.boot_id, s.boottime_ms] and not s.placed for s in box.samples()
    )


def test_the_clock_stays_right_over_a_restart_of_the_daemon_where_ntp_is_gone(box: Box) -> None:
    box.boot()
    box.synchronise()
    box.run(600)
    box.stop()
    box.synchronised = False
    box.start()
    box.run(600)
    assert all(s.utc_ms == box.truth[s.boot_id, s.boottime_ms] for s in box.samples())
    assert [s.quality for s in box.slots()] == ["partial"] or [s.quality for s in box.slots()] == [
        "measured"
    ]


def test_samples_taken_while_older_ones_are_still_run_again_come_after_them(box: Box) -> None:
    box.boot()
    box.run(3 * HOUR_S)
    box.catches_up = False
    box.synchronise()
    for _ in range(3):
        box.run(INTERVAL_S)
        assert not box.ledger.caught_up
        assert box.ledger.catch_up()
    while box.ledger.catch_up():
        pass
    assert box.ledger.caught_up
    box.run(HOUR_S)
    assert box.ledger.caught_up
    slots = box.slots()
    assert [(s.start_s - NOON_S) // SLOT_S for s in slots] == list(range(16))
    assert {s.quality for s in slots[1:]} == {"measured"}


def test_a_meters_clock_that_is_far_off_is_told_once_and_dates_nothing(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.ledger")
    box.boot()
    box.synchronise()
    box.run(HOUR_S)
    for off_s in (7200, 50, 7200, 0, -90):
        box.meter_off_s = off_s
        box.run(600)
    box.buffer.flush()
    told = [
        line.partition(" meter clock: ")[2]
        for line in box.buffer.latest_events(100)
        if " meter clock: " in line
    ]
    assert [line[:45] for line in told] == [
        "the meter's own clock is 90 s behind ours; re",
        "the meter's own clock is 2.0 h ahead of ours;",
    ]
    assert "timedatectl" in told[0]
    assert [record.message for record in caplog.records if "right again" in record.message] == [
        "grid: the meter's own clock is right again"
    ]
    samples = box.samples()
    assert all(sample.utc_ms == box.truth[sample.boot_id, sample.boottime_ms] for sample in samples)
    assert {sample.meter_clock_offset_s for sample in samples} == {0.5, 7200, 50, 0, -90}, (
        "kept with each sample, to the second and finer"
    )
    assert {slot.quality for slot in box.slots()[1:]} == {"measured"}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam", "America/St_Johns", "Pacific/Chatham"])
@pytest.mark.parametrize(
    "night_s", [1_806_195_600, 1_824_944_400]
)  # 2027-03-28 and 2027-10-31, 01:00 UTC: Europe changes its clocks
def test_the_nights_in_which_clocks_are_changed_are_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, night_s: int
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        box = Box(tmp_path)
        box.true_s = night_s - 2.0 * HOUR_S
        box.boot()
        box.synchronise()
        box.run(4 * HOUR_S)
        slots = box.slots()
        box.buffer.close_file()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [slot.start_s for slot in slots] == [
        night_s - 2 * HOUR_S + n * SLOT_S for n in range(16)
    ]
    assert {slot.quality for slot in slots[1:]} == {"measured"}
    assert all(
        slot.energy_uwh
        == pytest.approx(true_uwh(slot.start_s + SLOT_S) - true_uwh(slot.start_s), abs=2 * WH)
        for slot in slots[1:]
    )


def test_what_was_taken_before_the_clock_was_right_is_dated_and_folded_in_little_memory(
    box: Box,
) -> None:
    box.boot()
    box.run(12 * HOUR_S)
    box.buffer.flush()
    box.catches_up = False
    box.synchronise()
    tracemalloc.start()
    try:
        while box.ledger.catch_up():
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    slots = box.slots()
    assert len(slots) == 48
    assert {slot.quality for slot in slots[1:]} == {"measured"}
    assert all(
        slot.energy_uwh
        == pytest.approx(true_uwh(slot.start_s + SLOT_S) - true_uwh(slot.start_s), abs=2 * WH)
        for slot in slots[1:]
    )
    assert peak_bytes < 2e6, "a portion of 4320 samples"


LIFE = st.lists(
    st.tuples(
        st.sampled_from([0, 20, 300, 2000, 9000]),  # pause before the boot, s
        st.integers(1, 150),  # samples before the clock may become right
        st.integers(0, 120),  # samples after
        st.booleans(),  # whether it becomes right
        st.sampled_from([0, 0, -86_400, 3600, 30]),  # the clock is set by hand then, s
        st.sampled_from(["stop", "kill", "flush and kill"]),
    ),
    min_size=1,
    max_size=7,
)


def check_dates(box: Box, samples: list[Sample], slots: list[Slot]) -> None:
    """Every sample has the time at which it was taken, or says that it was only placed; and so do
    slots.
    """
    assert all(sample.utc_ms is not None for sample in samples)
    assert all((a.utc_ms or 0) <= (b.utc_ms or 0) for a, b in pairwise(samples)), "in order"
    for sample in samples:
        if not sample.placed:
            assert sample.utc_ms == pytest.approx(
                box.truth[sample.boot_id, sample.boottime_ms], abs=1
            )
    for slot in slots:
        if slot.quality == "measured":
            assert slot.clock == "kernel"
            ends_s = slot.start_s, slot.start_s + SLOT_S
            expected_uwh = true_uwh(ends_s[1]) - true_uwh(ends_s[0])
            unseen_uwh = sum(unseen_between_uwh(samples, end_s) for end_s in ends_s)
            assert slot.energy_uwh == pytest.approx(expected_uwh, abs=2 * WH + unseen_uwh)
    loose = box.buffer.undatable_boots()
    booked = [sample for sample in samples if sample.placed and sample.boot_id not in loose]
    placed = [sample.utc_ms // 1000 // SLOT_S * SLOT_S for sample in booked if sample.utc_ms]
    assert all(
        slot.clock == "placed" and slot.quality != "measured"
        for slot in slots
        if slot.start_s in placed
    ), "they say so"


def unseen_between_uwh(samples: list[Sample], end_s: int) -> float:
    """By how much a straight line between the readings around a slot's end differs from what
    flowed: nothing, but where the load changed at that very time and nobody looked.
    """
    times_s = [sample.utc_ms / 1000 for sample in samples if sample.utc_ms and not sample.placed]
    before_s = max((at_s for at_s in times_s if at_s <= end_s), default=float(end_s))
    after_s = min((at_s for at_s in times_s if at_s >= end_s), default=float(end_s))
    if after_s == before_s:
        return 0.0
    share = (end_s - before_s) / (after_s - before_s)
    line_uwh = true_uwh(before_s) + share * (true_uwh(after_s) - true_uwh(before_s))
    return abs(true_uwh(end_s) - line_uwh)


def believed(box: Box, samples: list[Sample], slots: list[Slot]) -> list[Sample]:
    """The samples from the one on that metering begins with. Placed ones before it may lie too near
    to it for what passed meanwhile: then they are said to be wrong.
    """
    state = box.ledger.state_of("grid")
    assert state is not None
    begun_uwh = min(slot.begin_register_uwh for slot in [*slots, state.directions["import"].slot])
    found = [each for each in samples if round(each.values["energy_import_wh"]) * WH >= begun_uwh]
    left_out = samples[: len(samples) - len(found)]
    assert len(left_out) < CONFIRMATIONS
    assert all(sample.placed for sample in left_out)
    return found


def check_sum(box: Box, samples: list[Sample], slots: list[Slot]) -> None:
    """Σ slots + unallocated + what is open = change of the counter, exactly."""
    state = box.ledger.state_of("grid")
    assert state is not None
    each = state.directions["import"]
    left = [one.what for one in box.buffer.unallocated() if one.what.direction == "import"]
    left_uwh = sum(one.energy_uwh for one in left)
    is_open = each.slot if each.passed is None else each.passed.slot
    booked_uwh = (
        sum(slot.energy_uwh or 0 for slot in slots)
        + left_uwh
        + each.counter.counter_uwh
        - is_open.begin_uwh
    )
    # In the register's step, as far as its first one said.
    first_uwh = min(slot.begin_uwh for slot in [*slots, is_open])
    # A jump inside of the first slot moves that one's beginning up.
    first_uwh -= sum(one.energy_uwh for one in left if one.end_uwh <= first_uwh)
    shown_uwh = round(samples[0].values["energy_import_wh"]) * WH
    assert shown_uwh <= first_uwh <= shown_uwh + WH
    assert booked_uwh == each.counter.counter_uwh - first_uwh


@settings(draws(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=LIFE)
@example(
    life=[
        (2000, 2, 66, True, 0, "stop"),
        (20, 42, 46, True, 0, "stop"),
        (20, 1, 2, True, 0, "stop"),
    ]
)
@example(life=[(0, 1, 0, False, 0, "stop"), (0, 1, 40, False, 0, "kill")])
def test_whatever_becomes_of_the_clock_no_sample_is_dated_wrongly_unless_it_says_so(
    example_folder: Callable[[], Path], life: list[tuple[int, int, int, bool, int, str]]
) -> None:
    folder = example_folder()
    box = Box(folder, look_back="5min")
    for pause_s, before, after, right, set_s, end in [*life, (100, 5, 200, True, 0, "")]:
        box.true_s += pause_s
        box.boot()
        box.run(before * INTERVAL_S)
        if right:
            box.synchronise()
            box.run(after // 2 * INTERVAL_S)
            if set_s:
                box.wall_off_s, box.synchronised = float(set_s), False
        box.run(after // 2 * INTERVAL_S)
        if end == "stop":
            box.stop()
        elif end:
            if "flush" in end:
                box.buffer.flush()
            box.kill()
    samples = box.samples()
    slots = box.slots()
    try:
        counted = believed(box, samples, slots)
        check_dates(box, counted, slots)
        check_sum(box, counted, slots)
        for _ in range(2):
            box.ledger.replay()
        assert (box.samples(), box.slots()) == (samples, slots), "run again, it is the same"
        box.buffer.database.connection.execute("DELETE FROM counters")
        box.buffer.database.connection.execute("DELETE FROM slots")
        box.ledger.replay()
        assert box.slots() == slots, "also from the samples alone"
    finally:
        box.kill()
        shutil.rmtree(folder)
