"""The buffer: what is committed stays, whatever happens to the process, the disk and the file."""

import contextlib
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import Sample
from gateway.energy.counter import Counter
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import (
    DirectionState,
    Event,
    MeterRules,
    MeterState,
    OpenSlot,
    Slot,
    Unallocated,
)
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Backlog, Held, Owed
from gateway.store import buffer as buffers
from gateway.store.buffer import Buffer, Limits
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.pending_writes import MAX_SAMPLES
from gateway.store.rows import Closing
from gateway.timing.undated_boots import Place
from tests.simulation.disk import Disk

NOW_S = 1_800_000_000
DAY_S = 86_400
ASSETS = [UUID(int=n) for n in range(1, 11)]
EMPTY = MeterState("A", 0, 900_000, {})
IMPORTS = """
import sys
from pathlib import Path
from drivers.sample import Sample
from gateway.store.buffer import *
from gateway.store.opening import *
from gateway.store.rows import Closing
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buffer]:
    opened = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    yield opened
    opened.close_file()


def sample(
    n: int, *, device: str = "grid", utc: bool = True, boot: str = "boot", **values: float
) -> Sample:
    return Sample(
        device,
        "A",
        boot,
        n * 10_000,
        (NOW_S + n * 10) * 1000 if utc else None,
        values or {"energy_import_wh": float(n)},
    )


def slot(start_s: int, device: str = "grid", **changes: Any) -> Slot:
    plain = Slot(
        device,
        "A",
        "import",
        start_s,
        900,
        5,
        "measured",
        "counter",
        1000,
        90,
        10_000,
        0,
        5,
        0,
        0,
        "kernel",
    )
    return replace(plain, **changes)


def owed(
    slot_s: int,
    asset: int = 0,
    *,
    kind: Kind = "measurement",
    opens_s: float = 0,
    closes_s: float | None = None,
    **changes: Any,
) -> Owed:
    plain = Owed(
        Item("exchange", ASSETS[asset], slot_s, kind, 0, 7_000_000),
        900,
        "measured",
        opens_s,
        closes_s,
    )
    return replace(plain, **changes)


def closing(*rows: Slot | Owed | Event, device: str = "grid", number: int = 1) -> Closing:
    return Closing(
        device,
        number,
        EMPTY,
        tuple(row for row in rows if isinstance(row, Slot)),
        tuple(row for row in rows if isinstance(row, Owed)),
        tuple(row for row in rows if isinstance(row, Event)),
    )


def keep(store: Buffer, *rows: Slot | Owed | Event) -> None:
    store.close(closing(*rows))
    store.flush()


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A Python of its own that uses the buffer; its output as text."""
    text = IMPORTS + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- samples --------------------------------------------------------------------------------------

VALUES = st.dictionaries(
    st.sampled_from(
        ["energy_import_wh", "energy_export_wh", "power_w", "power_import_w", "gas_m3", "heat_gj"]
    ),
    st.floats(-1e15, 1e15),
    max_size=6,
)


@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_what_slots_are_made_of_comes_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, float]]
) -> None:
    store = open_buffer(tmp_path_factory.mktemp("store") / "buffer.sqlite", now_s=NOW_S)
    taken = [Sample("grid", None, "boot", n, n, each) for n, each in enumerate(values)]
    for each in taken:
        store.add(each)
    store.flush()
    assert [each for _, each in store.samples()] == taken
    store.close_file()


def test_what_fluctuates_anyway_is_kept_as_a_32_bit_float(store: Buffer) -> None:
    store.add(sample(1, voltage_l1_v=230.12345678))
    store.flush()
    ((_, back),) = store.samples()
    assert back.values["voltage_l1_v"] == pytest.approx(230.12345678, rel=1e-7)
    assert back.values["voltage_l1_v"] != 230.12345678


def test_samples_wait_in_memory_until_the_flush_and_are_numbered_in_their_order(
    store: Buffer,
) -> None:
    assert [store.add(sample(n)) for n in range(3)] == [1, 2, 3]
    assert (store.waiting, store.sample_count, list(store.samples())) == (3, 0, [])
    store.flush()
    assert (store.waiting, store.sample_count) == (0, 3)
    assert [number for number, _ in store.samples(after=1)] == [2, 3]


def test_samples_of_a_time_are_found(store: Buffer) -> None:
    for n in range(100):
        store.add(sample(n, utc=n % 7 > 0))
    store.flush()
    found = [
        each.boottime_ms // 10_000
        for _, each in store.samples(since_ms=(NOW_S + 300) * 1000, until_ms=(NOW_S + 400) * 1000)
        if each.utc_ms
    ]
    assert found == [n for n in range(30, 40) if n % 7]


def test_numbers_never_go_back_even_when_every_sample_has_been_pruned(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    for n in range(5):
        store.add(sample(n))
    store.close(closing(number=5))
    store.prune(NOW_S + 365 * DAY_S)
    assert (store.sample_count, list(store.samples())) == (0, [])
    store.close_file()
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    assert store.sample_count == 0
    assert store.add(sample(6)) == 6
    store.close_file()


def test_undated_samples_of_this_boot_get_their_time_and_those_of_another_do_not(
    store: Buffer,
) -> None:
    store.add(sample(1, utc=False, boot="before"))
    store.add(sample(2, utc=False))
    store.add(sample(3))
    store.date_samples(Place("boot", 5_000_000))
    assert [each.utc_ms for _, each in store.samples()] == [None, 5_020_000, (NOW_S + 30) * 1000]


# --- slots and states -----------------------------------------------------------------------------


def test_a_slot_comes_back_as_it_was_also_before_it_is_written(store: Buffer) -> None:
    rows = [
        slot(900),
        slot(900, "pv", serial_number=None, energy_uwh=None, quality="missing"),
        slot(1800),
    ]
    store.close(closing(*rows))
    assert store.slots_at(900) == rows[:2]
    store.flush()
    assert store.slots_at(900) == rows[:2]
    assert list(store.slots(since_s=901)) == [rows[2]]
    assert store.slot_count == 3


def test_a_slot_that_is_booked_again_stays_as_it_was(store: Buffer) -> None:
    keep(store, slot(900))
    keep(store, slot(900))
    assert (store.slot_count, store.latest_events()) == (1, [])


def test_a_state_reads_back_as_it_was_without_what_is_so_by_default(store: Buffer) -> None:
    one = Rules(10**6, None, False, 17_250.0)
    rules = MeterRules("grid", {"import": one, "export": one}, 900_000, 30_000, 7_200_000)
    state: MeterState | None = None
    for n in range(200):
        values = (
            {"power_w": 360.5}
            if n % 20 > 3
            else {"energy_import_wh": float(n), "energy_export_wh": 7.0, "power_w": -5.0}
        )
        state = advance(
            state,
            Sample("grid", "A" if n < 150 else "B", "boot", n * 30_000, n * 30_000, values),
            rules,
        ).state
        store.close(Closing("grid", n, state, (), (), ()))
        store.flush()
        assert store.counters() == {"grid": (n, state)}
    quiet = MeterState(
        "A", 5, 900_000, {"import": DirectionState(Counter(5, 6, 6, 0, None), OpenSlot(0, 5, 6, 6))}
    )
    store.close(Closing("grid", 200, quiet, (), (), ()))
    store.flush()
    assert store.counters() == {"grid": (200, quiet)}
    assert len(store._db.execute("SELECT state FROM counters").fetchone()[0]) < 250


def test_a_slot_is_written_anew_by_a_later_revision_only(store: Buffer) -> None:
    keep(store, slot(900))
    keep(store, slot(900, energy_uwh=6, revision=1), slot(900, "pv"))
    assert list(store.slots()) == [slot(900, energy_uwh=6, revision=1), slot(900, "pv")]
    keep(store, slot(900, energy_uwh=9))
    keep(store, slot(900, energy_uwh=9, revision=1))
    assert store.slots_at(900) == [slot(900, energy_uwh=6, revision=1), slot(900, "pv")]
    store.close(closing(slot(900, energy_uwh=7, revision=2)))
    assert store.slots_at(900) == [slot(900, energy_uwh=7, revision=2), slot(900, "pv")]
    assert store.slot_count == 2


def left_over(begin_uwh: int, end_uwh: int, kind: str = "gap", **changes: Any) -> Unallocated:
    plain = Unallocated(
        "grid", "A", "import", kind, begin_uwh * 1000, end_uwh * 1000, begin_uwh, end_uwh
    )
    return replace(plain, **changes)


def test_unallocated_energy_is_kept_on_record(store: Buffer) -> None:
    rows = (
        left_over(5, 9),
        left_over(9, 12),
        left_over(3, 3, serial_number=None, direction="export"),
    )
    store.close(replace(closing(), unallocated=rows))
    store.flush()
    assert [(left.number, left.what, left.placed_s) for left in store.unallocated()] == [
        (n, row, None) for n, row in enumerate(rows, 1)
    ]
    assert store.unallocated_total() == (3, 7)


def test_slot_after_slot_without_a_place_is_one_record(store: Buffer) -> None:
    for begin_uwh, end_uwh in ((5, 9), (9, 12), (12, 20), (25, 30)):
        store.close(
            replace(
                closing(),
                unallocated=(
                    left_over(begin_uwh, end_uwh, "clash"),
                    left_over(0, 1, "clash", direction="export"),
                ),
            )
        )
    store.flush()
    mine = [left.what for left in store.unallocated() if left.what.direction == "import"]
    assert mine == [left_over(5, 20, "clash"), left_over(25, 30, "clash")]


def test_energy_is_placed_once_and_only_into_slots_that_nobody_has_changed(store: Buffer) -> None:
    keep(
        store,
        slot(900, energy_uwh=None, quality="missing"),
        slot(1800, energy_uwh=None, quality="missing", revision=3),
    )
    store.close(replace(closing(), unallocated=(left_over(5, 9),)))
    store.flush()
    (left,) = store.unallocated()
    new = [slot(900, energy_uwh=1, revision=1), slot(1800, energy_uwh=3, revision=4)]
    assert not store.place(left, [new[0], replace(new[1], revision=3)], [], "linear", 7.0)
    assert store.slots_at(900)[0].quality == "missing"
    assert store.unallocated_total() == (1, 4)
    assert store.place(left, new, [owed(900)], "linear", 7.0)
    assert list(store.slots()) == new
    assert [o.item.slot_s for o in store.owed()] == [900]
    assert store.unallocated_total() == (0, 0)
    assert [(each.placed_s, each.placed_by) for each in store.unallocated(left.number)] == [
        (7.0, "linear")
    ]
    assert not store.place(left, new, [], "linear", 8.0)


def test_two_meters_without_a_serial_number_do_not_share_a_slot_nor_have_one_twice(
    store: Buffer,
) -> None:
    keep(store, slot(900, serial_number=None), slot(900, "pv", serial_number=None))
    keep(store, slot(900, serial_number=None))
    assert store.slot_count == 2


def test_the_folds_state_is_kept_with_the_number_of_its_sample(store: Buffer) -> None:
    store.close(closing(number=41))
    store.close(closing(number=42))
    store.flush()
    assert store.counters() == {"grid": (42, EMPTY)}


# --- the outbox -----------------------------------------------------------------------------------


def test_what_is_due_comes_oldest_first_in_its_window(store: Buffer) -> None:
    keep(
        store,
        owed(2700, opens_s=3600, closes_s=4500),
        owed(900, opens_s=1800, closes_s=2700),
        owed(1800, opens_s=2700, closes_s=None),
        owed(1800, 1, opens_s=2700, state="accepted"),
    )

    def due(now_s, since_s=None, limit=10):
        return [o.item.slot_s for o in store.due(now_s, since_s=since_s, limit=limit)]

    assert due(1799.9) == []
    assert due(1800) == [900]
    assert due(2699.9) == [900]
    assert due(2700) == [1800]
    assert due(4000) == [1800, 2700]
    assert due(4000, limit=1) == [1800]
    assert due(4000, since_s=1801) == [2700]
    assert due(4500) == [1800]


def test_the_next_change_is_the_next_opening_or_closing_of_what_is_pending(store: Buffer) -> None:
    assert store.next_change_s(0) is None
    keep(
        store,
        owed(900, opens_s=1800, closes_s=2700),
        owed(1800, opens_s=2000, closes_s=None),
        owed(0, opens_s=100, state="missed"),
    )
    assert [store.next_change_s(now_s) for now_s in (0, 1800, 2000, 2700)] == [
        1800,
        2000,
        2700,
        None,
    ]


def test_a_verdict_is_written_down_with_its_time_and_reason(store: Buffer) -> None:
    keep(store, owed(900), owed(1800), owed(2700))
    items = [o.item for o in store.owed()]
    store.record(items[:1], "accepted", "", 5000)
    store.record(items[1:2], "rejected", "unknown asset", 5001)
    store.record(items[2:], "pending", "timeout", 5002)
    store.record(items[2:], "pending", "HTTP 503", 5003)
    assert [(o.state, o.reason, o.attempts, o.decided_s) for o in store.owed()] == [
        ("accepted", "", 1, 5000),
        ("rejected", "unknown asset", 1, 5001),
        ("pending", "HTTP 503", 2, None),
    ]
    assert store.backlog() == Backlog(1, 2700, None)


def test_what_was_not_delivered_in_its_window_is_missed_with_the_last_reason(store: Buffer) -> None:
    keep(
        store,
        owed(900, closes_s=2700),
        owed(900, 1, closes_s=2700),
        owed(1800, closes_s=3600),
        owed(2700),
    )
    store.record([owed(900, 1).item], "pending", "timeout", 2000)
    assert store.expire(2699) == []
    assert store.expire(2700) == [owed(900).item, owed(900, 1).item]
    assert store.expire(2700) == []
    missed = [o for o in store.owed() if o.state == "missed"]
    assert [o.reason for o in missed] == [
        "not delivered before its window closed",
        "not delivered before its window closed (timeout)",
    ]
    assert {o.decided_s for o in missed} == {2700}
    assert store.backlog() == Backlog(2, 1800, 3600)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("owe"), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 40))),
            st.tuples(st.just("expire"), st.integers(0, 45), st.none()),
            st.tuples(st.just("next"), st.integers(0, 45), st.none()),
            st.tuples(st.just("retry"), st.just(0), st.none()),
            st.tuples(st.just("record"), st.integers(0, 2), st.none()),
        ),
        max_size=20,
    )
)
def test_that_no_window_has_opened_or_closed_is_remembered_and_never_wrongly(
    steps: list[tuple[str, int, int | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        quick, plain = (
            open_buffer(Path(folder) / name / "buffer.sqlite", now_s=0)
            for name in ("quick", "plain")
        )
        for n, (what, number, closes) in enumerate(steps):
            plain._windows = None
            answers: list[Any] = []
            for store in (quick, plain):
                items = [each.item for each in store.owed()]
                if what == "owe":
                    keep(store, owed(900 * n, opens_s=number, closes_s=closes))
                elif what == "retry":
                    store.retry(items)
                elif what == "record" and items:
                    store.record(items[-1:], ("accepted", "rejected", "pending")[number], "", 0)
                if what == "next":
                    at_s = store.next_change_s(number)
                    answers.append(math.inf if at_s is None else at_s)
                else:
                    answers.append(store.expire(number) if what == "expire" else list(store.owed()))
            # What is not pending any more is remembered for a while: one look too many, and never
            # one too few.
            assert answers[0] <= answers[1] if what == "next" else answers[0] == answers[1]
        quick.close_file()
        plain.close_file()


def test_an_item_is_owed_once_and_keeps_its_verdict(store: Buffer) -> None:
    keep(store, owed(900))
    store.record([owed(900).item], "accepted", "", 5000)
    keep(store, owed(900))
    assert [o.state for o in store.owed()] == ["accepted"]
    assert store.due(10**10, since_s=None, limit=10) == []


def test_a_slot_that_was_not_wholly_metered_is_kept_as_missed_without_energy(store: Buffer) -> None:
    keep(
        store,
        owed(
            900, state="missed", quality="partial", reason="grid was metered for 50 % of the slot"
        ),
    )
    (back,) = store.owed()
    assert (back.state, back.quality, back.reason) == (
        "missed",
        "partial",
        "grid was metered for 50 % of the slot",
    )
    assert store.measurement_uwh(ASSETS[0], 900) is None
    assert store._db.execute("SELECT energy_uwh FROM outbox").fetchall() == [(None,)]


def test_a_measurement_is_found_whatever_became_of_it(store: Buffer) -> None:
    keep(store, owed(900, state="rejected"), owed(900, 1, kind="forecast"))
    assert store.measurement_uwh(ASSETS[0], 900) == 7_000_000
    assert store.measurement_uwh(ASSETS[1], 900) is None
    assert store.measurement_uwh(ASSETS[0], 1800) is None


# --- what is removed ------------------------------------------------------------------------------


def test_samples_go_after_30_days_and_slots_after_400_but_nothing_that_is_owed(
    store: Buffer,
) -> None:
    old_s, new_s = NOW_S - 401 * DAY_S, NOW_S - 399 * DAY_S
    for n in (-31 * 8640, -29 * 8640, 0):
        store.add(sample(n))
    keep(
        store,
        slot(new_s),
        owed(old_s, state="accepted"),
        owed(old_s, 1),
        owed(new_s, state="accepted"),
    )
    keep(store, slot(old_s), slot(old_s - 900))
    store.prune(NOW_S)
    assert [each.boottime_ms // 10_000 for _, each in store.samples()] == [-29 * 8640, 0]
    assert [(o.item.slot_s, o.state) for o in store.owed()] == [
        (old_s, "pending"),
        (new_s, "accepted"),
    ]
    assert [each.start_s for each in store.slots()] == [old_s, new_s]
    store.record([owed(old_s, 1).item], "accepted", "", NOW_S)
    store.prune(NOW_S)
    assert [each.start_s for each in store.slots()] == [new_s]
    assert (store.slot_count, store.sample_count) == (1, 2)


def test_a_file_that_is_too_large_gives_up_its_oldest_samples_and_nothing_else(
    tmp_path: Path,
) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", Limits(max_bytes=400_000), now_s=NOW_S)
    for n in range(6000):
        store.add(
            sample(
                n,
                **{f"power_l{p}_w": 1.0 for p in (1, 2, 3)},
                energy_import_wh=1.0,
                energy_export_wh=2.0,
            )
        )
    keep(store, slot(NOW_S), owed(NOW_S), owed(NOW_S + 900, state="accepted"))
    now_s = NOW_S + 60_000
    for _ in range(60):
        store.prune(now_s)
    left = [each.boottime_ms // 10_000 for _, each in store.samples()]
    assert store.sample_count == len(left) < 6000
    assert left == list(range(left[0], 6000))
    assert left[0] <= 6000 - 360, "the newest hour stays"
    assert (store.slot_count, len(list(store.owed()))) == (1, 2)
    store.close_file()


def test_samples_are_thinned_to_slot_boundaries_before_any_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "REMOVALS", 1)
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    count = 12_000  # 33 hours
    for n in range(count):
        for device in ("grid", "pv"):
            store.add(sample(n, device=device, energy_import_wh=float(n), power_w=1.0))
        if n % 100 == 99:
            store.flush()
    now_s = NOW_S + count * 10
    ends = {n for n in range(count) if n % 90 in (0, 89)}

    def prunes_once(store: Buffer) -> dict[str, list[int]]:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.limits = Limits(max_bytes=store.size_bytes - 1)
        store.prune(now_s)
        left: dict[str, list[int]] = {"grid": [], "pv": []}
        for _, each in store.samples():
            left[each.device].append(each.boottime_ms // 10_000)
        return left

    before = store.sample_count
    left = prunes_once(store)
    thinned = left["grid"].index(next(n for n in left["grid"] if n not in ends))
    assert 10 < thinned < 100, "the oldest are thinned first"
    assert left["grid"] == left["pv"]
    assert store.sample_count == 2 * len(left["grid"]) < before
    store.close_file()
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=now_s)
    for _ in range(4):
        after = prunes_once(store)
        assert len(after["grid"]) < len(left["grid"]), "it goes on where it was"
        assert ends <= {*after["grid"]}
        left = after
    beyond = {*left["grid"][:-360]} - ends
    assert len(beyond) < 12, "those at the ends of a portion"
    assert left["grid"][-360:] == list(range(count - 360, count)), "the newest hour stays"
    left = prunes_once(store)
    assert min(left["grid"]) > 0, "then the oldest go"
    store.close_file()


def test_what_is_too_old_goes_in_portions(store: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a month without power nothing may stand still for long."""
    monkeypatch.setattr(buffers, "REMOVED_AT_ONCE", 100)
    monkeypatch.setattr(buffers, "REMOVALS", 3)
    for n in range(1000):
        store.add(sample(n))
    store.prune(NOW_S + 60 * DAY_S)
    assert store.sample_count == 700
    for _ in range(4):
        store.prune(NOW_S + 60 * DAY_S)
    assert list(store.samples()) == []


def test_while_the_disk_refuses_samples_are_thinned_and_slots_are_not(store: Buffer) -> None:
    store._db.execute("PRAGMA query_only = ON")
    for n in range(MAX_SAMPLES + 2):
        store.add(sample(n))
    for n in range(50):
        store.close(closing(slot(n * 900), owed(n * 900)))
    with pytest.raises(StoreError, match="read-only"):
        store.flush()
    assert store.waiting <= MAX_SAMPLES
    store._db.execute("PRAGMA query_only = OFF")
    store.flush()
    numbers = [number for number, _ in store.samples()]
    assert numbers[-1] == MAX_SAMPLES + 2
    assert numbers == sorted(set(numbers))
    assert (store.slot_count, store.backlog().count) == (50, 50)


def test_events_are_bounded(store: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "MAX_EVENTS", 20)
    for n in range(100):
        store.note(Event(n * 1000, "grid", "glitch", f"number {n}"))
        store.flush()
    assert len(store.latest_events(1000)) == 20
    assert store.latest_events(1) == ["1970-01-01 00:01:39Z grid glitch: number 99"]


# --- the process dies, the disk fills -------------------------------------------------------------


def test_what_was_committed_survives_sigkill_and_what_waited_does_not(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        import os, signal
        store = open_buffer(Path(sys.argv[1]), now_s=0)
        for n in range(1000):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            if n == 899:
                store.flush()
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    result = child(code, path)
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, "ready\n"), result.stderr
    store = open_buffer(path, now_s=NOW_S)
    assert [each.boottime_ms for _, each in store.samples()] == list(range(900))
    assert store.latest_events() == []
    store.close_file()


def test_sigkill_in_the_middle_of_commits_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        from gateway.energy.slot import MeterState, Slot
        store = open_buffer(Path(sys.argv[1]), now_s=0)
        print("ready", flush=True)
        for n in range(1, 10**9):
            number = store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            slot = Slot("grid", "A", "import", n * 900, 900, 5, "measured", "counter", 1000, 90, 1,
                0, 5, 0, 0, "kernel")
            store.close(Closing("grid", number, MeterState("A", n, 900_000, {}), (slot,), (), ()))
            store.flush()
            print(n, flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTS + textwrap.dedent(code), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = 0
        while said < 50:
            line = process.stdout.readline().strip()
            assert line, "the child has ended"
            said = int(line) if line.isdigit() else 0
        process.kill()
        said = max([said, *(int(line) for line in process.stdout.read().split() if line.isdigit())])
    store = open_buffer(path, now_s=NOW_S)
    ((number, state),) = store.counters().values()
    assert number >= said, "what was said to be committed is there"
    assert state.at_ms == number == store.slot_count == store.sample_count
    store.close_file()


def test_a_full_disk_loses_nothing_but_samples_between_slot_boundaries_and_it_goes_on_afterwards(
    store: Buffer,
) -> None:
    store.add(sample(0))
    keep(store, slot(900), owed(900))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    for n in range(1, 20_001):
        store.add(sample(n, **{f"voltage_l{p}_v": 230.0 for p in (1, 2, 3)}))
    store.close(closing(slot(1800), owed(1800), Event(0, "grid", "glitch", "seen")))
    for _ in range(3):
        with pytest.raises(
            StoreError, match="free space on this disk; slots and what is owed are kept"
        ):
            store.flush()
    assert (store.slot_count, store.backlog().count) == (1, 1), "the transaction was undone"
    store._db.execute("PRAGMA max_page_count = 1073741823")
    store.flush()
    ends = [n for n in range(1, 20_001) if n % 90 in (0, 89) or n in (1, 20_000)]
    assert [each.boottime_ms // 10_000 for _, each in store.samples()] == ends, (
        "the one that was there went for the slots"
    )
    assert (store.waiting, store.slot_count, store.backlog().count) == (0, 2, 2)
    assert [line.split(": ")[0][20:] for line in store.latest_events()] == [
        " grid glitch",
        "  full",
    ]


def test_a_file_that_may_not_grow_loses_nothing_and_goes_on_when_it_may(tmp_path: Path) -> None:
    """The operating system refuses (RLIMIT_FSIZE), as a full card does."""
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = open_buffer(Path(sys.argv[1]), now_s=0)
        store.add(Sample("grid", "A", "boot", 0, 0, {"energy_import_wh": 0.0}))
        store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
        for n in range(1, 5001):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n),
                "voltage_l1_v": 1.0}))
        for _ in range(3):
            try:
                store.flush()
                print("written?")
            except StoreError as error:
                print(error)
        assert store.waiting == 5000
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        store.flush()
        assert [each.boottime_ms for _, each in store.samples()] == list(range(5001))
        store.close_file()
    """
    result = child(code, tmp_path / "buffer.sqlite")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("cannot write") == 3


# --- files that are not what they should be -------------------------------------------------------

NOT_DATABASES = {
    "text": b"this is a text and not a database\n" * 100,
    "a few bytes": b"abc",
    "noise": bytes(range(256)) * 100,
    "noise behind a right header": b"SQLite format 3\0" + bytes(range(256)) * 100,
}


@pytest.mark.parametrize("content", NOT_DATABASES.values(), ids=NOT_DATABASES.keys())
def test_what_is_not_a_database_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "buffer.sqlite"
    path.write_bytes(content)
    store = open_buffer(path, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").read_bytes() == content
    store.add(sample(1))
    store.flush()
    (line,) = store.latest_events()
    assert re.search(
        r"damaged: buffer.sqlite was damaged \(.+\); it was set aside as "
        rf"buffer.sqlite.damaged-{NOW_S}",
        line,
    )
    store.close_file()


def filled(path: Path) -> None:
    store = open_buffer(path, now_s=NOW_S)
    for n in range(3000):
        store.add(sample(n))
    keep(store, *(slot(n * 900) for n in range(200)), *(owed(n * 900) for n in range(200)))
    store.close_file()


@pytest.mark.parametrize("keep_bytes", [4096, 9000, 60_000])
def test_a_truncated_file_is_set_aside(tmp_path: Path, keep_bytes: int) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    content = path.read_bytes()
    assert len(content) > 2 * keep_bytes
    path.write_bytes(content[:keep_bytes])
    store = open_buffer(path, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").stat().st_size == keep_bytes
    assert {number for number, _ in store.samples()} < set(range(1, 3001))
    store.close_file()


def test_a_file_with_a_page_of_noise_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    content = bytearray(path.read_bytes())
    at = len(content) // 2 // 4096 * 4096
    content[at : at + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)
    store = open_buffer(path, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").exists()
    store.close_file()


def test_an_empty_file_becomes_a_buffer(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    path.touch()
    store = open_buffer(path, now_s=NOW_S)
    store.add(sample(1))
    store.close_file()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "buffer.sqlite",
        "buffer.sqlite.reserve",
    ]


def test_a_torn_log_gives_back_what_was_committed_before(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    code = """
        import os
        store = open_buffer(Path(sys.argv[1]), now_s=0)
        for n in range(2):
            store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
            store.flush()
        os._exit(0)
    """
    assert child(code, path).returncode == 0
    log = path.with_name("buffer.sqlite-wal")
    log.write_bytes(log.read_bytes()[:-100])
    store = open_buffer(path, now_s=NOW_S)
    assert [each.boottime_ms for _, each in store.samples()] == [0]
    store.close_file()


def test_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"cannot be opened: .*check that it is a file and not a folder"
    ):
        open_buffer(tmp_path, now_s=NOW_S)
    with pytest.raises(
        StoreError, match=r"cannot be read: .*check that it is a file and not a folder"
    ):
        open_for_reading(tmp_path)


def test_a_parent_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"cannot be made: .*check owner and mode of the folder above"
    ):
        open_buffer(tmp_path / "file/buffer.sqlite", now_s=NOW_S)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_somebody_without_rights_is_told_what_to_do_and_may_read_what_is_readable(
    tmp_path: Path,
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    filled(tmp_path / "buffer.sqlite")
    code = """
        import os
        import urllib.parse  # while the interpreter's own folder can still be read
        path = Path(sys.argv[1])
        os.setgid(65534); os.setuid(65534)
        for attempt in (lambda: open_buffer(path.with_name("new.sqlite"), now_s=0), lambda:
            open_for_reading(path)):
            try:
                print(attempt().sample_count)
            except StoreError as error:
                print(error)
    """
    lines = child(code, tmp_path / "buffer.sqlite").stdout.splitlines()
    assert (
        "check that it is a file and not a folder, and the owner and mode of it and of its folder"
        in lines[0]
    )
    assert lines[1].endswith("run this as root or as a member of its group")
    (tmp_path / "buffer.sqlite").chmod(0o644)
    lines = child(code, tmp_path / "buffer.sqlite").stdout.splitlines()
    assert lines[1] == "3000", "at rest, by somebody who may not write beside it"


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for attempt in (lambda: open_buffer(path, now_s=NOW_S), lambda: open_for_reading(path)):
        with pytest.raises(
            StoreError,
            match=r"buffer.sqlite: was written by a newer version \(schema 99\); install that one",
        ):
            attempt()
    assert [each.name for each in tmp_path.glob("*damaged*")] == []


def test_a_file_without_our_tables_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(StoreError, match="older version"):
        open_for_reading(tmp_path / "empty")
    with pytest.raises(StoreError, match="there is no buffer yet"):
        open_for_reading(tmp_path / "absent")
    (tmp_path / "text").write_bytes(NOT_DATABASES["text"])
    with pytest.raises(StoreError, match="check that the configuration names the right file"):
        open_for_reading(tmp_path / "text")


# --- readers --------------------------------------------------------------------------------------


def test_a_reader_sees_what_is_committed_while_the_writer_is_at_work(store: Buffer) -> None:
    keep(store, slot(900))
    store._db.execute("BEGIN IMMEDIATE")
    store._db.execute("UPDATE slots SET energy_uwh = 0")
    reader = open_for_reading(store.path)
    assert list(reader.slots()) == [slot(900)]
    store._db.execute("ROLLBACK")
    rows = reader.slots()
    next(rows)
    keep(store, slot(1800))
    assert [each.start_s for each in reader.slots()] == [900, 1800]
    with pytest.raises(StoreError, match="read-only"):
        reader.date_samples(Place("boot", 0))
    reader.close_file()


def test_a_second_writer_does_not_harm_the_first(store: Buffer) -> None:
    other = open_buffer(store.path, now_s=NOW_S)
    keep(store, slot(900))
    keep(other, slot(1800))
    assert [each.start_s for each in store.slots()] == [900, 1800]
    other.close_file()


# --- what it costs --------------------------------------------------------------------------------


def asked(store: Buffer, question: Any) -> list[str]:
    """How SQLite answers each query of one call."""
    queries: list[str] = []
    store._db.set_trace_callback(queries.append)
    question()
    store._db.set_trace_callback(None)
    plans = []
    for query in dict.fromkeys(queries):
        if query.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
            plans += [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert plans
    return plans


HOT = {
    "slots_at": lambda store: store.slots_at(900),
    "due": lambda store: store.due(10**10, since_s=None, limit=10),
    "due since": lambda store: store.due(10**10, since_s=900, limit=10),
    "next_change_s": lambda store: store.next_change_s(0),
    "backlog": lambda store: store.backlog(),
    "expire nothing": lambda store: store.expire(1),
    "expire": lambda store: store.expire(10**10),
    "record": lambda store: store.record([owed(900).item], "accepted", "", 1),
    "unconfirmed": lambda store: store.unconfirmed(10**10, since_s=0, limit=10),
    "confirmations": lambda store: store.confirmations(0),
    "record_held": lambda store: store.record_held([Held(owed(900).item, None)], 1),
    "measurement_uwh": lambda store: store.measurement_uwh(ASSETS[0], 900),
    "newest_owed": lambda store: store.newest_owed(ASSETS[0], 900),
    "unallocated_total": lambda store: store.unallocated_total(),
    "samples": lambda store: list(store.samples(2990)),
    "undated": lambda store: store.undated(),
    "date_samples": lambda store: store.date_samples(Place("boot", 0)),
    "newest_offset_ms": lambda store: store.newest_offset_ms("boot"),
    "prune": lambda store: store.prune(NOW_S),
    "owed": lambda store: list(store.owed(since_s=900)),
    "latest_events": lambda store: store.latest_events(),
    "opening": lambda store: Buffer.__init__(store, store._db, store.path, store.limits),
}


@pytest.mark.parametrize("question", HOT)
def test_no_question_of_the_daemon_grows_with_the_age_of_the_file(
    tmp_path: Path, question: str
) -> None:
    filled(tmp_path / "buffer.sqlite")
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    keep(store, owed(900, 3, closes_s=1.5))
    # There is an unallocated record for each gap of hours. What is unconfirmed is as old as the
    # exchange's memory at most, and only while it cannot be asked.
    few = "layouts|boots|counters|CONSTANT ROW|events$|unallocated$"
    small = rf"SCAN ({few}|outbox USING (COVERING )?INDEX outbox_(pending|unconfirmed|disputed))"
    # min() or max() of the key: one step to the end of the tree
    ends = r"SEARCH (samples|counters|events|outbox)$"
    steps = (
        r"(CORRELATED )?SCALAR SUBQUERY .*|COMPOUND QUERY|LEFT-MOST SUBQUERY|(SCAN|SEARCH) "
        r"\(subquery-\d+\)|UNION ALL|CO-ROUTINE .*"
    )
    parts = r"LIST SUBQUERY .*"
    allowed = rf"^({small}.*|{ends}|{parts}|SEARCH \w+ USING .*|{steps})"
    plans = asked(store, lambda: HOT[question](store))
    if question == "opening":  # slots are counted once
        plans = [plan for plan in plans if plan != "SCAN slots"]
    assert [plan for plan in plans if not re.match(allowed, plan)] == []
    store.close_file()


def test_a_minute_of_ten_meters_is_one_commit(tmp_path: Path) -> None:
    """Counted in the log: every commit syncs it once, and every page of 4 kB in it is a page
    written.
    """
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    names = [
        "energy_import_wh",
        "energy_export_wh",
        "power_w",
        *(f"voltage_l{p}_v" for p in (1, 2, 3)),
        *(f"current_l{p}_a" for p in (1, 2, 3)),
        "frequency_hz",
    ]
    log = tmp_path / "buffer.sqlite-wal"
    before = log.stat().st_size
    minutes = 60
    for minute in range(minutes):
        for n in range(6):
            for device in range(10):
                store.add(
                    sample(minute * 6 + n, device=f"meter{device}", **dict.fromkeys(names, n * 1.1))
                )
        store.flush()
    written = log.stat().st_size - before
    assert written / (minutes * 60) < 350, "bytes per sample, in the log"
    store.close_file()


def test_of_samples_that_nobody_can_date_the_oldest_go_and_the_newest_hour_stays(
    tmp_path: Path,
) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", Limits(max_bytes=200_000), now_s=NOW_S)
    for n in range(9000):
        store.add(sample(n % 3000, utc=False, boot=f"boot-{n // 3000}"))
    for _ in range(20):
        store.prune(None)
    kept = [each for _, each in store.samples()]
    newest = [each.boottime_ms for each in kept if each.boot_id == "boot-2"]
    assert newest[-361:] == [n * 10_000 for n in range(2639, 3000)]
    assert len(kept) < 3000
    assert store.sample_count == len(kept)
    store.close_file()


def test_the_search_for_a_time_steps_over_boots_that_have_none(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    for boot in ("a", "none", "none-2", "b", "none-3"):
        for n in range(100):
            store.add(sample(n + 1000 * (boot == "b"), utc=not boot.startswith("none"), boot=boot))
    store.flush()
    assert store._last_before(NOW_S * 1000 + 500_001) == 51
    assert store._last_before(NOW_S * 1000 + 10**7 + 1) == 301
    assert store._last_before(NOW_S * 1000 + 10**9) == 400
    store.close_file()


def test_what_was_opened_on_a_read_only_disk_writes_when_the_disk_is_back(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    with Disk(tmp_path) as disk:
        first = open_buffer(path, now_s=NOW_S)
        keep(first, slot(900))
        disk.kill()
        first.abandon()
        disk.revive()
        disk.read_only = True
        second = open_buffer(path, now_s=NOW_S)
        second.add(sample(1))
        for _ in range(3):
            with pytest.raises(StoreError, match="read-only"):
                second.flush()
        assert [each.start_s for each in second.slots()] == [900]
        disk.read_only = False
        with contextlib.suppress(StoreError):
            second.flush()  # finds out that it was opened for reading
        second.flush()
        assert second.waiting == 0
        assert len(list(second.samples())) == 1
        second.close_file()
    assert sorted(each.name for each in tmp_path.iterdir() if "damaged" in each.name) == []


def test_a_question_after_the_end_sets_no_good_file_aside(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    keep(store, slot(900))
    store.close_file()
    with pytest.raises(StoreError):
        store.backlog()
    assert [each.name for each in tmp_path.iterdir() if "damaged" in each.name] == []
