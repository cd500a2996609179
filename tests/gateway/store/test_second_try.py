"""What is opened without its log, which made it unreadable, may be damaged itself."""

import os
import sqlite3
import struct
from pathlib import Path

import pytest

from gateway.store.opening import open_buffer
from tests.gateway.store.rig import NOW_S, SMALL, filled

_FORMAT = 3_007_000


def summed(data: bytes, start: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """The checksum of a log, by words in big-endian order (sqlite.org/fileformat2.html, 4.2)."""
    a, b = start
    words = struct.unpack(f">{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        a = (a + first + b) & 0xFFFFFFFF
        b = (b + second + a) & 0xFFFFFFFF
    return a, b


def log_of_noise(page_bytes: int, page: int, pages: int) -> bytes:
    """A whole log, with one transaction that makes noise of a page."""
    head = struct.pack(">6I", 0x377F0683, _FORMAT, page_bytes, 0, 1, 2)
    sums = summed(head)
    noise = os.urandom(page_bytes)
    frame = struct.pack(">2I", page, pages)
    frame_sums = summed(frame + noise, sums)
    salts = struct.pack(">2I", 1, 2)
    return (
        head + struct.pack(">2I", *sums) + frame + salts + struct.pack(">2I", *frame_sums) + noise
    )


@pytest.mark.parametrize("is_damaged", [False, True], ids=["sound", "with rows that are none"])
def test_without_its_log_it_is_looked_at_again(tmp_path: Path, is_damaged: bool) -> None:
    path = tmp_path / "buffer.sqlite"
    filled(path)
    db = sqlite3.connect(path)
    if is_damaged:
        db.execute("UPDATE slots SET quality = 'splendid' WHERE start_s % 7 = 0")
        db.commit()
    page_bytes, pages = (
        db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count")
    )
    root: int = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'slots'").fetchone()[0]
    db.close()
    path.with_name("buffer.sqlite-wal").write_bytes(log_of_noise(page_bytes, root, pages))

    store = open_buffer(path, SMALL, now_s=NOW_S)
    store.flush()
    events = " ".join(store.latest_events())
    assert "was left by another file" in events
    assert len(list(tmp_path.glob("buffer.sqlite.stray-*-wal"))) == 1
    asides = list(tmp_path.glob("buffer.sqlite.damaged-*"))
    assert bool(asides) == is_damaged
    assert ("rows of slots fail validation" in events) == is_damaged
    assert store.slot_count > 100
    store.close_file()
