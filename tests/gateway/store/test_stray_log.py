"""A log that another file has left does not undo a copy that was put in its place; one that belongs
to the file is never dropped.
"""

import os
import shutil
from pathlib import Path

import pytest

from gateway.store.opening import open_buffer, open_for_reading
from gateway.store.stray_log import is_stray
from tests.gateway.store.rig import NOW_S, SMALL, child

WRITE = """
    import os
    store = open_buffer(Path(sys.argv[1]), SMALL, now_s=0)
    first, last, per_flush, ends = map(int, sys.argv[2:6])
    for n in range(first, last):
        store.add(Sample("grid", "A", "boot", n, n, {"energy_import_wh": float(n)}))
        if n % per_flush == 0:
            store.flush()
            if n % 97 == 0:
                store.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    store.flush()
    if ends:
        store.close_file()
    os._exit(0)
"""


def write(path: Path, first: int, last: int, *, per_flush: int = 7, ends: bool = False) -> None:
    done = child(WRITE, path, first, last, per_flush, int(ends))
    assert done.returncode == 0, done.stderr


def taken(path: Path) -> list[int]:
    store = open_buffer(path, SMALL, now_s=NOW_S)
    try:
        return [each.boottime_ms for _, each in store.samples()]
    finally:
        store.close_file()


def events(path: Path) -> str:
    store = open_for_reading(path)
    try:
        return " ".join(store.latest_events())
    finally:
        store.close_file()


def asides(path: Path) -> list[Path]:
    return list(path.parent.glob("buffer.sqlite.stray-*-wal"))


def test_a_backup_that_was_put_in_place_beside_an_old_log_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    write(path, 0, 100)
    store = open_for_reading(path)
    (tmp_path / "copy").touch()
    store.copy_to(tmp_path / "copy")
    store.close_file()
    write(path, 100, 200)
    log = path.with_name("buffer.sqlite-wal").read_bytes()
    assert log
    shutil.copy(tmp_path / "copy", path)

    assert taken(path) == list(range(100))
    assert [each.read_bytes() for each in asides(path)] == [log], "it is kept"
    assert "stray log: buffer.sqlite-wal was left by another file" in events(path)


@pytest.mark.parametrize("ends", [100, 1500])
def test_so_does_a_file_of_an_earlier_day(tmp_path: Path, ends: int) -> None:
    path = tmp_path / "buffer.sqlite"
    write(path, 0, ends, ends=True)
    shutil.copy(path, tmp_path / "copy")
    write(path, ends, 2000, ends=True)
    write(path, 2000, 2100)
    (tmp_path / "copy").replace(path)

    assert taken(path) == list(range(ends))
    assert len(asides(path)) == 1
    assert list(tmp_path.glob("*damaged*")) == []


def test_where_a_log_goes_on_from_the_copy_it_is_played_back_and_that_is_said(
    tmp_path: Path,
) -> None:
    """The same bytes lie there after a kill: nobody can tell, and nothing committed is dropped."""
    path = tmp_path / "buffer.sqlite"
    write(path, 0, 100, ends=True)
    shutil.copy(path, tmp_path / "copy")
    write(path, 100, 120, per_flush=1000)
    shutil.copy(tmp_path / "copy", path)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))

    assert taken(path) == list(range(120))
    assert "is newer than buffer.sqlite-wal" in events(path)
    assert asides(path) == []


def test_a_log_that_belongs_to_the_file_is_never_a_stray_one(tmp_path: Path) -> None:
    """Killed at any moment, between checkpoints, in any of its lives."""
    path = tmp_path / "buffer.sqlite"
    n = 0
    for life, samples in enumerate((1, 3, 60, 300, 97, 1)):
        for killed_after in range(4):
            write(path, n, n + samples, per_flush=1 + killed_after)
            n += samples
            log = path.with_name("buffer.sqlite-wal").read_bytes()
            assert not is_stray(path.read_bytes()[:100], log), (life, killed_after)
            if killed_after == 3:
                assert taken(path) == list(range(n))
    assert asides(path) == []
    assert "stray" not in events(path)
