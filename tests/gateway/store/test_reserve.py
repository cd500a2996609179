"""A disk that is really full: slots and what is owed go on in the reserve, samples give way, and
everything goes on afterwards.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gateway.store.reserve import RESERVE_BYTES, Reserve

HEAD = """
import os, sys
from pathlib import Path
from uuid import UUID
from drivers.sample import Sample
from gateway.store.buffer import Limits
from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.rows import Closing
from gateway.store.errors import StoreError
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.energy.slot import MeterState, Slot

folder = Path(sys.argv[1])
path = folder / "buffer.sqlite"
NOW_S = 1_800_000_000

def a_slot_passes(store, n, samples=90):
    for k in range(samples):
        at_ms = (NOW_S + n * 900 + k * 10) * 1000
        store.add(Sample("grid", "A", "boot", at_ms, at_ms, {"energy_import_wh": float(n),
            "power_w": 1.0, "voltage_l1_v": 230.0}))
    start_s = NOW_S + n * 900
    end = (7 * n, 7 * n + 7, 0, 0, "kernel")
    slots = tuple(Slot(f"meter{k}", "A", "import", start_s, 900, 7, "measured", "counter", 1000,
        90, 10_000, *end) for k in range(10))
    items = [Item("exchange", UUID(int=k), start_s, "measurement", 0, 7) for k in range(10)]
    owed = tuple(Owed(item, 900, "measured", start_s + 900.0, None) for item in items)
    store.close(Closing("grid", store.last_number, MeterState("A", start_s * 1000, 900_000, {}),
        slots, owed, ()))
    store.flush()

def somebody_fills_the_disk(name="other"):
    with (folder / name).open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    free = os.statvfs(folder)
    assert free.f_bavail * free.f_frsize < 4096

"""


def on_a_small_disk(tmp_path: Path, code: str, size: str = "40m") -> None:
    """Run it with a file system of its own, which only needs a namespace, and no rights."""
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run(
        [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if not unshare or not tried or tried.returncode:
        pytest.skip(
            "no file system can be mounted here (unshare -rm): not tested on a disk that is "
            "really full"
        )
    script = f'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = [
        unshare,
        "-rm",
        "sh",
        "-c",
        script,
        "sh",
        str(tmp_path),
        sys.executable,
        HEAD + textwrap.dedent(code),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_slots_go_on_while_others_fill_the_disk_and_all_goes_on_when_it_has_room_again(
    tmp_path: Path,
) -> None:
    code = """
        store = open_buffer(path, now_s=NOW_S)
        for n in range(50):
            a_slot_passes(store, n)
        assert (folder / "buffer.sqlite.reserve").exists()
        somebody_fills_the_disk()
        for n in range(50, 300):  # two and a half days of ten meters
            a_slot_passes(store, n)
        assert not (folder / "buffer.sqlite.reserve").exists()
        reader = open_for_reading(path)
        assert [s.start_s for s in reader.slots() if s.device == "meter0"] == [NOW_S + n * 900 for
            n in range(300)]
        assert len(list(reader.owed())) == 3000 == store.outbox("exchange").backlog().count
        reader.close_file()
        items = [o.item for o in store.owed()]
        for at in range(0, 3000, 100):  # a verdict is written too
            store.outbox("exchange").record(items[at:at + 100], "accepted", "", NOW_S)
        kept = {n for n, _ in store.samples()}
        assert len(kept) < 0.5 * 300 * 90, "samples gave way"
        assert store.disk_is_full and "the disk is full" in " ".join(store.latest_events(100))

        (folder / "other").unlink()
        a_slot_passes(store, 300)
        assert (folder / "buffer.sqlite.reserve").exists() and not store.disk_is_full
        before = store.last_number
        a_slot_passes(store, 301)
        kept = [n for n, _ in store.samples() if n > before]
        assert len(kept) == 90, "samples are kept as they are taken again"
        assert "the disk has room again" in " ".join(store.latest_events(100))
        store.close_file()
        store = open_buffer(path, now_s=NOW_S)
        assert store.slot_count == 3020
        assert store.database.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        store.close_file()
    """
    on_a_small_disk(tmp_path, code)


def test_even_where_others_take_the_reserve_nothing_is_lost_but_samples(tmp_path: Path) -> None:
    code = """
        store = open_buffer(path, now_s=NOW_S)
        for n in range(20):
            a_slot_passes(store, n)
        somebody_fills_the_disk()
        refused = 0
        for n in range(20, 500):  # five days
            try:
                a_slot_passes(store, n, samples=9)
            except StoreError as error:
                assert "free space on this disk" in str(error)
                refused += 1
            if not (folder / "buffer.sqlite.reserve").exists() and not (folder / "more").exists():
                somebody_fills_the_disk("more")
        assert refused > 100
        assert store.waiting < 20_000
        for name in ("other", "more"):
            (folder / name).unlink()
        a_slot_passes(store, 500)
        assert [s.start_s for s in store.slots() if s.device == "meter3"] == [NOW_S + n * 900 for n
            in range(501)]
        assert store.outbox("exchange").backlog().count == 5010
        store.close_file()
    """
    on_a_small_disk(tmp_path, code)


def test_it_starts_on_a_full_disk(tmp_path: Path) -> None:
    code = """
        store = open_buffer(path, now_s=NOW_S)
        a_slot_passes(store, 0)
        store.close_file()
        somebody_fills_the_disk()
        store = open_buffer(path, now_s=NOW_S)
        a_slot_passes(store, 1)
        assert store.slot_count == 20
        store.close_file()
        (folder / "buffer.sqlite.reserve").unlink(missing_ok=True)
        somebody_fills_the_disk("more")
        another = open_buffer(folder / "another.sqlite", now_s=NOW_S)
        refusal = str(another.database.access.refusal)
        assert "free space on this disk" in refusal, refusal
        assert "waits in memory" in refusal, "there is no room for another"
    """
    on_a_small_disk(tmp_path, code)


def test_a_damaged_file_on_a_full_disk_is_salvaged_when_there_is_room(tmp_path: Path) -> None:
    code = """
        store = open_buffer(path, now_s=NOW_S)
        for n in range(100):
            a_slot_passes(store, n)
        store.close_file()
        with path.open("r+b") as file:
            file.write(bytes(100))
        damaged = path.read_bytes()
        somebody_fills_the_disk()
        (folder / "buffer.sqlite.reserve").unlink()
        somebody_fills_the_disk("more")
        for _ in range(3):
            try:
                open_buffer(path, now_s=NOW_S)
            except StoreError as error:
                assert "cannot be set aside" in str(error), error
            else:
                raise AssertionError("there is no room for it")
        assert path.read_bytes() == damaged
        (folder / "other").unlink()
        store = open_buffer(path, now_s=NOW_S)
        assert (store.slot_count, store.outbox("exchange").backlog().count) == (1000, 1000)
        store.close_file()
    """
    on_a_small_disk(tmp_path, code)


def test_the_reserve_is_taken_once_given_up_once_and_taken_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "buffer.sqlite")
    assert not reserve.held
    assert reserve.take() and reserve.take() and reserve.held
    file = tmp_path / "buffer.sqlite.reserve"
    assert file.stat().st_blocks * 512 >= RESERVE_BYTES, "its room is really taken"
    assert reserve.give_up()
    assert not reserve.give_up() and not file.exists()
    assert reserve.take()
    os.truncate(file, 5)
    assert not reserve.held
    assert reserve.take() and file.stat().st_size == RESERVE_BYTES


def test_where_it_cannot_be_made_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "buffer.sqlite.reserve").mkdir()
    reserve = Reserve(tmp_path / "buffer.sqlite")
    assert not reserve.take()
    assert not reserve.held
