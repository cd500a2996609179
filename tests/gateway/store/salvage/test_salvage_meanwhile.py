"""A file that is damaged while it is open, and a salvage that is cut short."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.rows import Closing
from gateway.store.salvage import salvage
from tests.gateway.store.rig import SMALL
from tests.gateway.store.salvage.rig import (
    ASSETS,
    NOW_S,
    PAGE,
    SLOTS,
    Content,
    content,
    fill,
    noise,
    owed,
    sample,
    slot,
    state_after,
)

# What its tests share takes long to make: one process makes it.
pytestmark = pytest.mark.xdist_group("salvage")


@pytest.fixture
def running(path: Path) -> Iterator[tuple[Buffer, Content]]:
    before = fill(path)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    yield store, before
    store.close_file()


def closes_one_more(store: Buffer) -> None:
    store.add(sample(SLOTS * 90))
    store.close(
        Closing(
            "grid",
            store.last_number,
            state_after(SLOTS),
            (slot(SLOTS),),
            (owed(SLOTS, ASSETS[0], "pending"),),
            (),
        )
    )


def told(store: Buffer) -> list[str]:
    return [line for line in store.latest_events(1000) if " damaged: " in line]


@pytest.mark.parametrize("suffixes", [["", "-wal", "-shm"], [""], ["-wal"], ["-shm"]])
def test_nothing_is_lost_when_it_is_deleted_while_it_is_open(
    running: tuple[Buffer, Content], path: Path, suffixes: list[str]
) -> None:
    store, before = running
    closes_one_more(store)
    store.flush()
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink()
    store.add(sample(SLOTS * 90 + 1))
    store.flush()
    opened = open_for_reading(path)
    for each in (store, opened):
        after = content(each)
        assert after.slots == {*before.slots, slot(SLOTS)}
        assert after.owed == {*before.owed, owed(SLOTS, ASSETS[0], "pending")}
        assert len(after.samples) == len(before.samples) + 2
    opened.close_file()
    store.add(sample(SLOTS * 90 + 2))
    store.flush()
    [line] = told(store)
    assert "was deleted or replaced while it was open" in line


def test_a_folder_in_its_place_is_set_aside_while_it_is_open(
    running: tuple[Buffer, Content], path: Path
) -> None:
    store, before = running
    path.unlink()
    path.mkdir()
    (path / "something").touch()
    store.add(sample(SLOTS * 90))
    store.flush()
    assert content(store).slots == before.slots
    assert [each.name for each in path.parent.glob("*.damaged-*/*")] == ["something"]


@pytest.mark.parametrize("part", ["all of it", "the last half is cut off"])
def test_a_file_that_is_damaged_while_it_is_open_is_salvaged_and_writing_goes_on(
    running: tuple[Buffer, Content], path: Path, part: str
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    if part == "all of it":
        path.write_bytes(Random(1).randbytes(size))
    else:
        os.truncate(path, size // 2)
    store.database.connection.execute(
        "PRAGMA shrink_memory"
    )  # what is in memory is never read again
    closes_one_more(store)
    failures = 0
    for _ in range(5):
        try:
            store.check_some(10**6)
            store.flush()
        except StoreError as error:
            assert "damaged" in str(error)
            failures += 1
    assert failures <= 2, "it goes on"
    after = content(store)
    assert after.slots <= {*before.slots, slot(SLOTS)}
    assert slot(SLOTS) in after.slots, "what waited is not lost"
    assert owed(SLOTS, ASSETS[0], "pending") in after.owed
    assert len(told(store)) == 1
    assert store.counters()["grid"][1] == state_after(SLOTS)


def test_damage_that_no_question_meets_is_found_in_passing(
    running: tuple[Buffer, Content], path: Path
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    leaf = [at for at in range(PAGE, len(data), PAGE) if data[at] == 0x0A][5]
    with path.open("r+b") as file:
        file.seek(leaf)
        file.write(bytes(PAGE))
    store.database.connection.execute("PRAGMA shrink_memory")
    found = None
    for _ in range(200):
        try:
            if store.check_some(500):
                break
        except StoreError as error:
            found = str(error)
    assert found and "goes on" in found
    assert content(store).slots <= before.slots


def refuse(path: Path) -> None:
    raise OSError(5, "Input/output error", path)


def test_damage_that_cannot_be_mended_now_is_an_error_and_tried_again(
    running: tuple[Buffer, Content], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, path.stat().st_size // 2)
    closes_one_more(store)
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_sync", refuse)
        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be set aside"):
                store.check_some(10**6)
                store.flush()
    assert not list(path.parent.glob("*.damaged-*"))
    with pytest.raises(StoreError, match="goes on"):
        store.check_some(10**6)
    store.flush()
    assert slot(SLOTS) in content(store).slots


def test_a_salvage_that_was_cut_short_is_done_again(
    path: Path, whole: tuple[bytes, Content]
) -> None:
    path.write_bytes(whole[0])
    path.with_name("buffer.sqlite.salvaging").write_bytes(b"half")
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert content(store) == replace(whole[1], counters=store.counters())
    store.flush()
    assert "its salvage was cut short" in told(store)[0]
    store.close_file()


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_complete_salvage_only_has_to_be_put_in_its_place(
    path: Path, whole: tuple[bytes, Content], done: int
) -> None:
    """The power fails after so many of the renames. The log of the old file must never be played
    back into the new one.
    """
    path.with_name("buffer.sqlite.salvaged").write_bytes(whole[0])
    path.write_bytes(Random(3).randbytes(5000))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(Random(4).randbytes(5000))
    for suffix in ("-wal", "-shm", "")[:done]:
        path.with_name(path.name + suffix).rename(
            path.with_name(f"buffer.sqlite.damaged-5{suffix}")
        )
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert content(store) == whole[1]
    store.close_file()


def test_a_complete_one_that_cannot_be_put_in_its_place_is_not_written_past(
    running: tuple[Buffer, Content], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = running
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(16)
        file.write(bytes(84))
    store.database.connection.execute("PRAGMA shrink_memory")
    with monkeypatch.context() as patch:
        patch.setattr(salvage, "put_in_place", lambda path, _: refuse(path))
        for _ in range(3):
            closes_one_more(store)
            with pytest.raises(StoreError, match="cannot be set aside"):
                store.check_some(10**6)
                store.flush()
    store.flush()
    after = content(store)
    assert after.slots == {*before.slots, slot(SLOTS)}
    assert len(after.samples) == len(before.samples) + 3


def test_only_the_newest_damaged_files_are_kept(path: Path) -> None:
    open_buffer(path, SMALL, now_s=NOW_S).close_file()
    for n in range(6):
        path.write_bytes(Random(n).randbytes(2000))
        store = open_buffer(path, SMALL, now_s=NOW_S + n)
        store.close_file()
        os.utime(path.with_name(f"buffer.sqlite.damaged-{NOW_S + n}"), (n, n))
    left = sorted(each.name for each in path.parent.glob("*.damaged-*"))
    assert left == [f"buffer.sqlite.damaged-{NOW_S + n}" for n in (3, 4, 5)]


def test_what_counts_is_saved_where_there_is_no_time_for_samples(
    path: Path, whole: tuple[bytes, Content], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(whole[0])
    noise(data, 16, 16)
    path.write_bytes(data)
    monkeypatch.setattr(salvage, "SAMPLES_S", -1.0)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    after = content(store)
    assert (after.slots, after.owed, after.samples) == (whole[1].slots, whole[1].owed, {})
    assert after.counters == whole[1].counters
    assert store.add(sample(10**6)) == after.counters["grid"][0] + 1
    store.close_file()
