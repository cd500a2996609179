"""Slots, unallocated energy and the states of folds, as they are kept."""

from typing import Any

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.counter import Counter
from gateway.energy.fold import advance
from gateway.energy.register import Rules
from gateway.energy.slot import (
    DirectionState,
    MeterRules,
    MeterState,
    OpenSlot,
    TakenBack,
    Unallocated,
)
from gateway.store.buffer import Buffer
from gateway.store.rows import Closing
from tests.gateway.store.rig import EMPTY, closing, keep, owed, slot


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
    assert len(store.database.connection.execute("SELECT state FROM counters").fetchone()[0]) < 250


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


def test_a_slot_without_a_place_whose_end_is_found_elsewhere_is_no_second_one(
    store: Buffer,
) -> None:
    again = left_over(9, 11, "clash", to_ms=12_000)
    after = left_over(11, 20, "clash", from_ms=12_000)
    for clash in (left_over(5, 9, "clash"), left_over(9, 12, "clash"), again, after):
        store.close(replace(closing(), unallocated=(clash,)))
    store.flush()
    assert [left.what for left in store.unallocated()] == [left_over(5, 20, "clash")]


def test_what_the_first_step_says_of_a_gap_is_added_to_it_until_a_slot_is_closed(
    store: Buffer,
) -> None:
    gap = left_over(5, 9)
    rest = replace(gap, kind="start", begin_uwh=9, end_uwh=12, is_rest=True)
    later = replace(rest, begin_uwh=12, end_uwh=22, is_rest=False)
    store.close(replace(closing(), unallocated=(gap, rest, later)))
    store.flush()
    assert [left.what for left in store.unallocated()] == [replace(gap, end_uwh=12), later]
    assert store.unallocated_total() == (1, 7)

    taken_back = TakenBack("grid", "A", "import", 30_000, from_uwh=9)
    store.close(replace(closing(), taken_back=(taken_back,)))
    store.flush()
    one, other = store.unallocated()
    assert (one.what, one.placed_s, other.is_withdrawn) == (gap, None, True)


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
    assert not store.allocate(left, [new[0], replace(new[1], revision=3)], [], "linear", 7.0)
    assert store.slots_at(900)[0].quality == "missing"
    assert store.unallocated_total() == (1, 4)
    assert store.allocate(left, new, [owed(900)], "linear", 7.0)
    assert list(store.slots()) == new
    assert [o.item.slot_s for o in store.owed()] == [900]
    assert store.unallocated_total() == (0, 0)
    assert [(each.placed_s, each.placed_by) for each in store.unallocated(left.number)] == [
        (7.0, "linear")
    ]
    assert not store.allocate(left, new, [], "linear", 8.0)


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
