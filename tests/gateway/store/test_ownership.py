"""A file that was never ours is refused, and nothing of it is changed; one of ours is salvaged."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gateway.store.errors import Foreign, StoreError
from gateway.store.opening import open_buffer, open_for_deciding, open_for_reading, repair
from tests.gateway.store.rig import NOW_S, SMALL, filled

CONFIGURATION = b"site: home-12\nassets: []\n# energy_import_wh boottime_ms INTEGER\n"


def home_assistant(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE events (event_id INTEGER PRIMARY KEY, event_type TEXT, time_fired TEXT);"
        "CREATE TABLE states (state_id INTEGER PRIMARY KEY, state TEXT);"
        "INSERT INTO events VALUES (1, 'state_changed', '2026-11-28');"
    )
    db.close()


def damaged_elsewhere(path: Path) -> None:
    """Another program's database, with a page of noise."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    db.executemany(
        "INSERT INTO photos VALUES (?, 'photo', ?)", [(n, bytes(3000)) for n in range(100)]
    )
    db.commit()
    db.close()
    data = bytearray(path.read_bytes())
    data[100:4096] = Random(1).randbytes(3996)
    path.write_bytes(data)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "Home Assistant's": home_assistant,
    "a damaged one of another program": damaged_elsewhere,
    "a configuration file": lambda path: path.write_bytes(CONFIGURATION),
    "a login": lambda path: path.write_bytes(b"username: me\npassword: secret\n"),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + Random(2).randbytes(90_000)),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_was_never_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    path = tmp_path / "theirs"
    make(path)
    content, mode = path.read_bytes(), path.stat().st_mode
    for attempt in (
        lambda: open_buffer(path, SMALL, now_s=NOW_S),
        lambda: repair(path, now_s=NOW_S),
    ):
        with pytest.raises(
            Foreign, match=r"theirs: is .*nothing has been changed. Let buffer.path"
        ):
            attempt()
    for look in (open_for_reading, open_for_deciding):
        with pytest.raises(StoreError, match=r"buffer.path|names |buffer repair"):
            look(path)
    assert (path.read_bytes(), path.stat().st_mode) == (content, mode)
    assert [each.name for each in tmp_path.iterdir()] == ["theirs"]


def test_a_dump_of_a_buffer_is_no_buffer(tmp_path: Path) -> None:
    filled(tmp_path / "buffer.sqlite")
    db = sqlite3.connect(tmp_path / "buffer.sqlite")
    (tmp_path / "dump.sql").write_text("\n".join(db.iterdump()))
    db.close()
    with pytest.raises(Foreign):
        open_buffer(tmp_path / "dump.sql", SMALL, now_s=NOW_S)


@pytest.mark.parametrize("begin", [16, 512, 8192])
def test_a_buffer_whose_head_is_noise_is_known_by_what_is_left(tmp_path: Path, begin: int) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    path.with_name("buffer.sqlite.reserve").unlink()
    data = bytearray(path.read_bytes())
    data[:begin] = Random(3).randbytes(begin)
    path.write_bytes(data)
    store = open_buffer(path, SMALL, now_s=NOW_S)
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").read_bytes() == data
    assert store.slot_count > 190
    store.close_file()


def test_only_samples_are_left_and_they_are_ours(tmp_path: Path) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    path.with_name("buffer.sqlite.reserve").unlink()
    data = path.read_bytes()
    third = len(data) // 3 // 512 * 512
    path.write_bytes(Random(4).randbytes(third) + data[third : 2 * third] + bytes(third))
    open_buffer(path, SMALL, now_s=NOW_S).close_file()
    assert (tmp_path / f"buffer.sqlite.damaged-{NOW_S}").exists()


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO would hold whoever opens it until somebody writes."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError, match="fifo: cannot be opened: it is not a file"):
        open_buffer(tmp_path / "fifo", SMALL, now_s=NOW_S)


@pytest.mark.parametrize("name", ["buffer.sqlite", "buffer.sqlite-wal"])
def test_nor_does_one_hold_us_beside_what_a_kill_has_left(tmp_path: Path, name: str) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    path.with_name("buffer.sqlite-wal").write_bytes(bytes(5000))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    for look in (lambda each: open_buffer(each, SMALL, now_s=NOW_S), open_for_reading):
        with pytest.raises(StoreError, match=rf"{name}: cannot be .*: it is not a file"):
            look(path)
