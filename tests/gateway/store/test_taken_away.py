"""The files of the store are taken away, cut off or written over while the daemon has them open, or
before it is started again.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer, open_for_deciding, open_for_reading, repair
from tests.gateway.store.rig import NOW_S, SMALL, closing, owed, sample, slot

SLOTS = 40


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def make_folder_anew(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()


def empty_file(path: Path) -> None:
    os.truncate(path, 0)


def empty_log(path: Path) -> None:
    os.truncate(log_of(path), 0)


def cut_log_off(path: Path) -> None:
    os.truncate(log_of(path), log_of(path).stat().st_size // 2)


def rename_file(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def move_another_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(5000))
    other.rename(path)


def write_over(path: Path) -> None:
    path.write_bytes(os.urandom(1 << 18))


def put_a_pipe_in_its_place(path: Path) -> None:
    """Whoever opens it is held until somebody writes."""
    path.unlink()
    os.mkfifo(path)


def put_a_folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_a_link_to_nowhere_in_its_place(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def put_a_pipe_in_the_place_of_the_log(path: Path) -> None:
    log_of(path).unlink()
    os.mkfifo(log_of(path))


ATTACKS = [
    put_a_pipe_in_its_place,
    put_a_folder_in_its_place,
    put_a_link_to_nowhere_in_its_place,
    put_a_pipe_in_the_place_of_the_log,
    remove_folder,
    make_folder_anew,
    empty_file,
    empty_log,
    cut_log_off,
    rename_file,
    move_another_over,
    write_over,
]


def filled(path: Path) -> Buffer:
    """As many slots, each committed by itself, and every second one accepted."""
    store = open_buffer(path, SMALL, now_s=NOW_S)
    for n in range(SLOTS):
        add(store, n)
        if n % 2:
            item = owed(n * 900).item
            store.outbox("exchange").record([item], "accepted", "", n * 900 + 950.0)
    return store


def add(store: Buffer, n: int) -> None:
    store.add(sample(n * 90))
    store.close(closing(slot(n * 900), owed(n * 900)))
    store.flush()


def as_after_a_kill(path: Path) -> Path:
    """The files as they are on the disk, where nobody has them open."""
    left = path.parent.with_name("left") / path.name
    # What was set aside is nobody's concern, and may be no file at all.
    shutil.copytree(path.parent, left.parent, ignore=shutil.ignore_patterns("*.damaged-*"))
    left.with_name(left.name + "-shm").unlink(missing_ok=True)
    return left


def a_log_without_its_file(folder: Path, *, is_empty: bool) -> Path:
    """Where the file was, which is gone, or empty."""
    path = folder / "state" / "buffer.sqlite"
    store = filled(path)
    left = as_after_a_kill(path)
    store.close_file()
    if is_empty:
        os.truncate(left, 0)
    else:
        left.unlink()
    return left


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("is_in_file", [False, True], ids=["in the log", "in the file"])
def test_what_was_committed_is_found_under_its_name_after_the_next_commit_and_a_kill(
    tmp_path: Path, attack: Callable[[Path], None], is_in_file: bool
) -> None:
    path = tmp_path / "state" / "buffer.sqlite"
    store = filled(path)
    if is_in_file:
        store.database.connection.execute("PRAGMA wal_checkpoint")
        add(store, SLOTS)
    before = {each.start_s for each in store.slots()}

    attack(path)
    add(store, SLOTS + 1)

    left = open_buffer(as_after_a_kill(path), SMALL, now_s=NOW_S)
    after = {each.start_s for each in left.slots()}
    assert after == {*before, (SLOTS + 1) * 900}
    assert {each.item.slot_s for each in left.owed()} == after
    told = [line for line in left.latest_events() if "while it was open" in line]
    # What the log holds beyond its end is not needed any more.
    assert len(told) == (0 if is_in_file and attack is cut_log_off else 1)
    left.close_file()
    store.close_file()


def test_a_folder_that_cannot_be_made_anew_stops_writing_until_it_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "above" / "state" / "buffer.sqlite"
    store = filled(path)
    shutil.rmtree(path.parent.parent)
    path.parent.parent.touch()  # a file where the folder was
    for _ in range(2):
        with pytest.raises(StoreError, match="nothing is delivered until"):
            add(store, SLOTS)
    with pytest.raises(StoreError):
        _ = store.outbox("exchange").changed_elsewhere  # asked before anything is sent

    path.parent.parent.unlink()
    store.flush()
    assert not store.outbox("exchange").changed_elsewhere
    assert store.slot_count == SLOTS + 1
    opened = open_for_reading(path)
    assert opened.slot_count == SLOTS + 1
    opened.close_file()
    store.close_file()


@pytest.mark.parametrize("is_empty", [False, True], ids=["gone", "empty"])
def test_a_log_without_its_file_is_salvaged(tmp_path: Path, is_empty: bool) -> None:
    left = a_log_without_its_file(tmp_path, is_empty=is_empty)
    store = open_buffer(left, SMALL, now_s=NOW_S)
    assert {each.start_s for each in store.slots()} == {n * 900 for n in range(SLOTS)}
    states = {each.item.slot_s // 900: each.state for each in store.owed()}
    assert states == {n: "accepted" if n % 2 else "pending" for n in range(SLOTS)}
    store.flush()
    assert "its log is there" in store.latest_events()[0]
    store.close_file()


@pytest.mark.parametrize("is_empty", [False, True], ids=["gone", "empty"])
def test_a_command_that_looks_does_not_make_sqlite_delete_a_log_without_its_file(
    tmp_path: Path, is_empty: bool
) -> None:
    left = a_log_without_its_file(tmp_path, is_empty=is_empty)
    for look in (open_for_reading, open_for_deciding):
        with pytest.raises(StoreError, match="its log is there; start the daemon"):
            look(left)
    assert "salvaged" in repair(left, now_s=NOW_S)
    opened = open_for_reading(left)
    assert opened.slot_count == SLOTS
    opened.close_file()


def test_a_person_s_command_that_moves_the_log_into_the_file_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "state" / "buffer.sqlite"
    store = filled(path)
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    add(store, SLOTS)
    assert store.slot_count == SLOTS + 1
    assert store.latest_events() == []
    store.close_file()
