"""A disk that refuses from the start: what is there is read, what is added waits in memory, and is
stored once that is possible. On file systems of their own, which only needs a namespace.
"""

from pathlib import Path

import pytest

from tests.gateway.store.test_reserve import on_a_small_disk

HEAD = """
import subprocess
from gateway.store.errors import Foreign, OldView

def remount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

def refused(store):
    for _ in range(3):
        try:
            store.flush()
        except StoreError as error:
            text = str(error)
        else:
            raise AssertionError("it was written")
    return text

"""


def test_after_a_clean_stop_on_a_read_only_disk(tmp_path: Path) -> None:
    code = """
        store = open_buffer(path, now_s=NOW_S)
        a_slot_passes(store, 0)
        store.close_file()
        assert not (folder / "buffer.sqlite-wal").exists()
        remount("ro")
        store = open_buffer(path, now_s=NOW_S)
        refusal = str(store.database.access.refusal)
        assert "buffer.sqlite: cannot be written: its disk is read-only; see with dmesg" in refusal
        assert "mount it so that it can be written" in refusal
        assert "Meters are read on; what they say waits in memory" in refusal
        try:
            a_slot_passes(store, 1)
        except StoreError:
            pass
        assert "its disk is read-only" in refused(store)
        assert (store.waiting, store.slot_count, store.disk_is_full) == (90, 10, False)
        assert len(list(store.slots())) == 10, "what is there can be read meanwhile"
        assert len(store.slots_at(NOW_S + 900)) == 10, "and what waits"
        remount("rw")
        store.flush()
        assert (store.waiting, store.slot_count, store.sample_count) == (0, 20, 180)
        assert store.outbox("exchange").backlog().count == 20
        store.close_file()
        assert Reserve(path).held
    """
    on_a_small_disk(tmp_path, HEAD + "from gateway.store.reserve import Reserve\n" + dedented(code))


def test_a_view_of_the_mounts_that_is_old_is_told_from_a_disk_that_is_read_only(
    tmp_path: Path,
) -> None:
    """systemd makes such a view for each service: a mount of its own, of the same file system."""
    code = """
        open_buffer(path, now_s=NOW_S).close_file()
        view = folder / "view"
        view.mkdir()
        remount("ro")
        subprocess.run(["mount", "--bind", str(folder), str(view)], check=True)
        store = open_buffer(view / "buffer.sqlite", now_s=NOW_S)
        try:
            a_slot_passes(store, 0)
        except OldView:
            raise AssertionError("nobody can write it yet")
        except StoreError as error:
            assert "its disk is read-only; see with dmesg" in str(error)
        remount("rw")
        try:
            store.flush()
        except OldView as error:
            assert "can be written again, but not by this process" in str(error)
        else:
            raise AssertionError("it should have said so")
        store.abandon()

        store = open_buffer(view / "buffer.sqlite", now_s=NOW_S)
        assert "for this process alone; where systemd started it, add ReadWritePaths=" in str(
            store.database.access.refusal)
        store.add(sample(1))
        try:
            store.flush()
        except OldView:
            raise AssertionError("another process would see the same")
        except StoreError:
            pass
    """
    imported = "from tests.gateway.store.rig import sample\n"
    on_a_small_disk(tmp_path, HEAD + imported + dedented(code))


def test_before_the_first_start_on_a_read_only_disk(tmp_path: Path) -> None:
    code = """
        remount("ro")
        path = folder / "state" / "buffer.sqlite"
        store = open_buffer(path, now_s=NOW_S)
        try:
            a_slot_passes(store, 0)
        except StoreError:
            pass
        assert "its disk is read-only" in refused(store)
        remount("rw")
        store.flush()
        store.close_file()
        store = open_for_reading(path)
        assert (store.slot_count, store.sample_count) == (10, 90)
    """
    on_a_small_disk(tmp_path, HEAD + dedented(code))


def test_before_the_first_start_on_a_full_disk(tmp_path: Path) -> None:
    code = """
        somebody_fills_the_disk()
        store = open_buffer(path, now_s=NOW_S)
        assert "cannot be written: the disk is full; free space" in str(
            store.database.access.refusal)
        try:
            a_slot_passes(store, 0)
        except StoreError:
            pass
        assert "free space on this disk" in refused(store)
        (folder / "other").unlink()
        store.flush()
        store.close_file()
        store = open_for_reading(path)
        assert store.slot_count == 10
    """
    on_a_small_disk(tmp_path, HEAD + dedented(code))


def test_a_file_with_books_that_turns_up_later_is_gone_on_with(tmp_path: Path) -> None:
    """As where the disk is mounted after the daemon's start: what the folds closed without these
    books is not booked; the samples are, and the folds begin again over them.
    """
    code = """
        store = open_buffer(path, now_s=NOW_S)
        a_slot_passes(store, 0)
        store.close_file()
        path.rename(folder / "elsewhere")
        (folder / "buffer.sqlite.reserve").unlink()
        remount("ro")
        store = open_buffer(path, now_s=NOW_S)
        try:
            a_slot_passes(store, 5)
        except StoreError:
            pass
        refused(store)
        take = store.database.access.take_begun_anew
        assert not take()
        remount("rw")
        (folder / "elsewhere").rename(path)
        store.flush()
        assert take() and not take()
        assert (store.slot_count, store.sample_count) == (10, 180)
        numbers = [number for number, _ in store.samples()]
        assert numbers == sorted(set(numbers)) and len(numbers) == 180
        store.close_file()
    """
    on_a_small_disk(tmp_path, HEAD + dedented(code))


@pytest.mark.parametrize("has_index", [True, False])
def test_a_log_of_a_kill_is_read_on_a_read_only_disk(tmp_path: Path, has_index: bool) -> None:
    code = f"""
        if os.fork() == 0:
            store = open_buffer(path, now_s=NOW_S)
            a_slot_passes(store, 0)
            os._exit(0)
        os.wait()
        if not {has_index}:
            (folder / "buffer.sqlite-shm").unlink()
        remount("ro")
        store = open_buffer(path, now_s=NOW_S)
        assert len(list(store.slots())) == 10
        try:
            a_slot_passes(store, 1)
        except StoreError:
            pass
        assert "read-only" in refused(store)
        assert len(list(store.slots())) == 10
        view = store.database.connection
        refused(store)
        assert store.database.is_in_memory is not {has_index}
        assert (store.database.connection is view) is not {has_index}  # not put together anew
        remount("rw")
        store.flush()
        assert store.slot_count == 20
        store.close_file()
    """
    on_a_small_disk(tmp_path, HEAD + dedented(code))


def dedented(code: str) -> str:
    """`on_a_small_disk` cannot do it once something stands before it."""
    from textwrap import dedent

    return dedent(code)
