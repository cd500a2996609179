"""What is kept of an asset goes with it when gateway.yaml has another UUID."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from gateway.energy.slot import MeterState
from gateway.outbox.item import Item
from gateway.outbox.kept_assets import KeptAsset
from gateway.outbox.owed import Owed, State
from gateway.store.buffer import Buffer
from gateway.store.moved_assets import follow_assets
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing

SLOT = 900
NOW_S = 1_774_746_000.0
FIRST_S = int(NOW_S) - 10 * SLOT
U1, U2, U3 = (UUID(int=n) for n in (1, 2, 3))


def assets(**uuids: UUID) -> dict[str, KeptAsset]:
    return {name: KeptAsset(uuid, "load", f"{name}.import") for name, uuid in uuids.items()}


def owe(buffer: Buffer, asset: UUID, uwh: int, state: State = "pending", first: int = 0) -> None:
    owed = tuple(
        Owed(
            Item("exchange", asset, FIRST_S + n * SLOT, "measurement", 0, uwh + n),
            SLOT,
            "measured",
            opens_s=0.0,
            closes_s=None,
            state=state,
            attempts=int(state == "accepted"),
        )
        for n in range(first, first + 3)
    )
    number = buffer.last_number + 1
    buffer.close(Closing("grid", number, MeterState(None, 0, 0, {}), (), owed, ()))
    buffer.flush()


def energies(buffer: Buffer, asset: UUID) -> list[int]:
    return [owed.item.energy_uwh for owed in buffer.owed() if owed.item.subject == asset]


@pytest.fixture
def buffer(tmp_path: Path):
    opened = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    yield opened
    opened.close_file()


def test_what_waits_goes_to_the_new_uuid_and_it_is_told(buffer: Buffer) -> None:
    follow_assets(buffer, assets(load=U1, pv=U2), NOW_S)
    owe(buffer, U1, 100)
    owe(buffer, U2, 200)
    follow_assets(buffer, assets(load=U3, pv=U2), NOW_S)
    assert (energies(buffer, U1), energies(buffer, U3)) == ([], [100, 101, 102])
    assert energies(buffer, U2) == [200, 201, 202]
    due = buffer.outbox("exchange").due(NOW_S, since_s=None, limit=10)
    assert {owed.item.subject for owed in due} == {U2, U3}
    buffer.flush()
    [event] = buffer.latest_events()
    assert f"gateway.yaml has load under {U3}, and had {U1} before" in event
    assert "(3 numbers)" in event

    follow_assets(buffer, assets(load=U3, pv=U2), NOW_S)
    buffer.flush()
    assert len(buffer.latest_events()) == 1, "once"


def test_two_that_are_swapped_keep_their_own_numbers(buffer: Buffer) -> None:
    follow_assets(buffer, assets(load=U1, pv=U2), NOW_S)
    owe(buffer, U1, 100)
    owe(buffer, U2, 200)
    follow_assets(buffer, assets(load=U2, pv=U1), NOW_S)
    assert energies(buffer, U2) == [100, 101, 102], "of the load"
    assert energies(buffer, U1) == [200, 201, 202]


def test_slots_that_both_have_stay_where_they_are(buffer: Buffer) -> None:
    follow_assets(buffer, assets(load=U1), NOW_S)
    owe(buffer, U1, 100)
    owe(buffer, U2, 200, first=2)
    follow_assets(buffer, assets(load=U2), NOW_S)
    assert energies(buffer, U2) == [100, 101, 202, 203, 204]
    assert energies(buffer, U1) == [102], "and none is lost"


def test_what_was_accepted_counts_as_that_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    buffer = open_buffer(path, now_s=NOW_S)
    follow_assets(buffer, assets(load=U1), NOW_S)
    owe(buffer, U1, 100, "accepted")
    buffer.close_file()
    for uuid in (U2, U2):
        buffer = open_buffer(path, now_s=NOW_S)
        follow_assets(buffer, assets(load=uuid), NOW_S)
        buffer.flush()
        told = buffer.latest_events()
        buffer.close_file()
        assert not [text for text in told if "behind" in text]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM outbox WHERE subject = ?", (U2.bytes,)).fetchone()
    marks = path.with_name("buffer.sqlite.accepted").read_text()
    assert (str(U1) in marks, str(U2) in marks) == (False, True)
