"""The buffer beside others that have it open."""

from pathlib import Path

import pytest

from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_deciding, open_for_reading
from gateway.timing.undated_boots import Dating
from tests.gateway.store.rig import NOW_S, SMALL, keep, slot


def test_a_reader_sees_what_is_committed_while_the_writer_is_at_work(store: Buffer) -> None:
    keep(store, slot(900))
    store.database.connection.execute("BEGIN IMMEDIATE")
    store.database.connection.execute("UPDATE slots SET energy_uwh = 0")
    reader = open_for_reading(store.path)
    assert list(reader.slots()) == [slot(900)]
    store.database.connection.execute("ROLLBACK")
    rows = reader.slots()
    next(rows)
    keep(store, slot(1800))
    assert [each.start_s for each in reader.slots()] == [900, 1800]
    with pytest.raises(StoreError, match="read-only"):
        reader.date_samples(Dating("boot", 0))
    reader.close_file()


def test_a_person_who_decides_does_not_harm_the_daemon(store: Buffer) -> None:
    other = open_for_deciding(store.path)
    keep(store, slot(900))
    keep(other, slot(1800))
    assert [each.start_s for each in store.slots()] == [900, 1800]
    other.close_file()


def test_a_question_after_the_end_sets_no_good_file_aside(tmp_path: Path) -> None:
    store = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    keep(store, slot(900))
    store.close_file()
    with pytest.raises(StoreError):
        store.outbox("exchange").backlog()
    assert [each.name for each in tmp_path.iterdir() if "damaged" in each.name] == []
