"""Unallocated energy into slots: every µWh, into slots that lack it, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.allocation import (
    CannotAllocate,
    allocate,
    as_before,
    by_table,
    lacking,
    linear,
    table,
)
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.slot import Quality, Slot, Unallocated

BEGIN_S = 1_800_000_000
SLOT_S = 900


def slot(
    n: int, quality: Quality, energy_uwh: int | None, begin_uwh: int = 0, revision: int = 0
) -> Slot:
    return Slot(
        device="grid",
        serial_number="A",
        direction="import",
        start_s=BEGIN_S + n * SLOT_S,
        length_s=SLOT_S,
        energy_uwh=energy_uwh,
        quality=quality,
        method="counter",
        coverage_permille=0,
        samples=0,
        largest_gap_ms=0,
        begin_uwh=begin_uwh,
        end_uwh=begin_uwh + (energy_uwh or 0),
        begin_register_uwh=0,
        end_register_uwh=0,
        clock="kernel",
        revision=revision,
    )


def gap(begin_s: float, end_s: float, begin_uwh: int, energy_uwh: int) -> Unallocated:
    ends_ms = round((BEGIN_S + begin_s) * 1000), round((BEGIN_S + end_s) * 1000)
    return Unallocated("grid", "A", "import", "gap", *ends_ms, begin_uwh, begin_uwh + energy_uwh)


SLOTS = [
    slot(0, "measured", 50 * WH),
    slot(1, "partial", 100 * WH, 50 * WH),
    slot(2, "missing", None, 150 * WH),
    slot(3, "missing", None, 150 * WH, revision=2),
    slot(4, "partial", 30 * WH, 1150 * WH),
    slot(5, "measured", 60 * WH, 1180 * WH),
]
GAP = gap(1200, 4050, 150 * WH, 1000 * WH)


@given(
    st.one_of(st.just(1000 * WH), st.integers(0, 10**13)),
    st.lists(st.floats(0, 1e6), min_size=4, max_size=4),
)
def test_the_shares_are_the_whole_energy_whatever_the_profile(
    energy_uwh: int, weights: list[float]
) -> None:
    record = gap(1200, 4050, 150 * WH, energy_uwh)
    shares = by_table(
        lacking(record, SLOTS),
        {BEGIN_S + n * SLOT_S: weight for n, weight in enumerate(weights, 1)},
    )
    if sum(share.part * share.weight for share in shares) <= 0:
        with pytest.raises(CannotAllocate, match="nothing passed"):
            allocate(record, shares, lambda _: True)
        return
    allocated = allocate(record, shares, lambda _: True)
    before = {s.start_s: s for s in SLOTS}
    gains = [(s.energy_uwh or 0) - (before[s.start_s].energy_uwh or 0) for s in allocated]
    assert sum(gains) == energy_uwh
    assert all(gain >= 0 for gain in gains)
    for each in allocated:
        assert each.end_uwh - each.begin_uwh == each.energy_uwh
        assert each.revision == before[each.start_s].revision + 1
        assert each.quality == "estimated"
    # The counter goes on from slot to slot, and on into the ones beside them.
    assert allocated[0].begin_uwh == 50 * WH
    assert [a.end_uwh for a in allocated[:-2]] == [b.begin_uwh for b in allocated[1:-1]]
    assert allocated[-1].end_uwh == SLOTS[4].end_uwh
    if energy_uwh == 1000 * WH:
        assert allocated[-2].end_uwh == allocated[-1].begin_uwh


def test_a_linear_profile_gives_each_slot_what_lies_of_it_in_the_gap() -> None:
    allocated = allocate(
        gap(1200, 4050, 0, 2850 * WH),
        linear(lacking(GAP, SLOTS)),
        lambda each: each.start_s != BEGIN_S + 4 * SLOT_S,
    )
    assert [s.energy_uwh for s in allocated] == [700 * WH, 900 * WH, 900 * WH, 480 * WH]
    assert [s.quality for s in allocated] == ["estimated", "estimated", "estimated", "partial"]


def test_a_profile_of_the_day_before_gives_in_proportion_to_what_passed_then() -> None:
    then = {BEGIN_S + n * SLOT_S - 86_400: n * WH for n in range(1, 5)}
    shares = as_before(lacking(GAP, SLOTS), 1, then.get)
    assert [share.weight for share in shares] == [1 * WH, 2 * WH, 3 * WH, 4 * WH]
    with pytest.raises(CannotAllocate, match="no known energy the day before"):
        as_before(lacking(GAP, SLOTS), 1, {}.get)


def test_slots_that_lack_nothing_are_never_given_more() -> None:
    with pytest.raises(CannotAllocate, match="lacks nothing"):
        lacking(gap(800, 4050, 0, WH), SLOTS)
    with pytest.raises(CannotAllocate, match="lacks nothing"):
        lacking(gap(100, 130, 0, WH), SLOTS)


def test_a_gap_whose_slots_are_not_there_is_refused() -> None:
    with pytest.raises(CannotAllocate, match="not in the buffer"):
        lacking(gap(1200, 9000, 0, WH), [s for s in SLOTS if s.quality != "measured"])
    with pytest.raises(CannotAllocate, match="not in the buffer"):
        lacking(GAP, [s for s in SLOTS if s.start_s != BEGIN_S + 2 * SLOT_S])
    with pytest.raises(CannotAllocate, match="not in the buffer"):
        lacking(Unallocated("grid", "B", "import", "gap", GAP.from_ms, GAP.to_ms, 0, 1), SLOTS)


def test_where_the_clock_was_set_back_there_is_no_time_to_place_anything_in() -> None:
    with pytest.raises(CannotAllocate, match="set back"):
        lacking(gap(4050, 1200, 0, WH), SLOTS)


def test_a_table_has_a_time_and_a_number_in_each_line() -> None:
    assert table(
        [
            "INTERVAL,ENERGY(kWh)",
            "2027-01-15T08:00,0.5",
            "",
            "2027-01-15T08:15Z, 2",
            "2027-01-15T09:30+01:00,0",
        ]
    ) == {
        BEGIN_S: 0.5,
        BEGIN_S + 900: 2.0,
        BEGIN_S + 1800: 0.0,
    }
    for lines in (
        ["2027-01-15T08:00,1", "yesterday,1"],
        ["h,h", "2027-01-15T08:00,-1"],
        ["h,h", "2027-01-15T08:00,nan"],
        ["h", "x"],
    ):
        with pytest.raises(CannotAllocate, match="line 2"):
            table(lines)
    with pytest.raises(CannotAllocate, match="no line"):
        table(["a header"])
