"""The table of a grid operator's fees."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from gateway.store.buffer import Buffer
from gateway.store.grid_fee_rows import GridFee, SlotStatistics
from gateway.store.opening import open_buffer

HOUSE = UUID("aaaaaaaa-0000-4000-8000-000000000003")
GRID = UUID("aaaaaaaa-0000-4000-8000-000000000001")
FEE = GridFee(
    slot_s=1800,
    market=HOUSE,
    name="House 1",
    state="sent",
    fee_type="constant",
    fee=3_250_000,
    wanted=4_000_000,
    model="aziiz",
    why="the mean of 4 slots",
    inputs={"mean_kwh": 30.5},
    memory={"step": 2},
    sent=1,
    sent_s=1000.5,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buffer]:
    opened = open_buffer(tmp_path / "buffer.sqlite", now_s=10_000.0)
    yield opened
    opened.abandon()


def test_a_fee_reads_back_as_it_was_written(store: Buffer) -> None:
    fees = store.tables.grid_fees
    fees.write([FEE, replace(FEE, market=GRID, name="Grid", fee=None, wanted=None)])
    assert list(fees.between(0, 9000)) == [
        replace(FEE, market=GRID, name="Grid", fee=None, wanted=None),
        FEE,
    ]
    assert list(fees.between(1801, 9000)) == []


def test_what_the_exchange_told_of_the_slot_stays_where_the_decision_is_written_again(
    store: Buffer,
) -> None:
    fees = store.tables.grid_fees
    told = SlotStatistics(0.075, 0.0, 0.075, 0.24375, 33.25)
    fees.observe(1800, [(HOUSE, "House 1", told)], "constant")
    assert next(fees.between(0, 9000)).state == "observed"
    fees.write([FEE])
    fees.note_in_force(1800, [(HOUSE, 3_250_000)])
    fees.write([replace(FEE, state="taken", answered_s=1010.0)])
    [found] = fees.between(0, 9000)
    assert (found.state, found.in_force, found.revenue_cents) == ("taken", 3_250_000, 0.24375)


def test_the_newest_slot_is_one_for_which_something_was_decided(store: Buffer) -> None:
    fees = store.tables.grid_fees
    assert fees.newest_s(9000) is None
    fees.write([FEE])
    fees.observe(2700, [(HOUSE, "House 1", SlotStatistics())], "constant")
    assert fees.newest_s(9000) == 1800
    assert fees.newest_s(1800) is None


def test_old_fees_are_removed_with_the_slots(store: Buffer) -> None:
    store.tables.grid_fees.write([FEE, replace(FEE, slot_s=90 * 10**6)])
    store.prune(80 * 10**6)
    assert [each.slot_s for each in store.tables.grid_fees.between(0, 10**9)] == [90 * 10**6]


def test_they_are_among_what_is_saved_of_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    store = open_buffer(path, now_s=10_000.0)
    store.tables.grid_fees.write([FEE])
    store.close_file()
    data = bytearray(path.read_bytes())
    data[:100] = b"x" * 100
    path.write_bytes(data)
    again = open_buffer(path, now_s=10_000.0)
    assert list(again.tables.grid_fees.between(0, 9000)) == [FEE]
    again.abandon()
