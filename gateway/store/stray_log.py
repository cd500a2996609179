"""Whether a write-ahead log belongs to the file it lies beside. After a kill it does; where a copy
was put in the file's place it does not, and SQLite would play it back into the copy.

A log begins where the file had everything of the log before, and the file changes only by what of
the log is written back into it. So the file's first page is either one of those in the log, or as
it was when the log began; then the log's first transaction follows from it: it writes every page by
which the file grows, and the *file change counter*, which goes up once in each life of a daemon, is
the same or one more. A copy that `meter-gateway backup` made has no log at all, and says so in its
header.

What cannot be told is taken to belong: nothing that was committed is dropped.

Source: "Database File Format", sqlite.org/fileformat2.html: sections 1.3.3 (file format versions),
1.3.6 (file change counter), 1.3.7 (size), 1.3.17 (version-valid-for), 4 (write-ahead log).
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.store.file import bytes_of
from gateway.store.salvage.carve import log_frames, page_size_of

MOST_ASIDE = 3
"""Logs that are kept; the oldest goes then."""

_MOMENT_S = 1.0
_HEADER_BYTES = 100
_COUNTER, _PAGES, _COUNTER_AGAIN = 24, 28, 92
"""Where in the header the file change counter is, the number of pages, and for which counter that
number is valid.
"""
_ROLLBACK = 1
"""The file format of a database without a write-ahead log."""


def is_stray(header: bytes, log: bytes) -> bool:
    """Whether a log was written for another file than the one with this header."""
    page_bytes = page_size_of(header)
    if page_bytes is None or not log:
        return False
    if header[18] == _ROLLBACK and header[19] == _ROLLBACK:
        return True

    if _number(header, _COUNTER) != _number(header, _COUNTER_AGAIN):
        return False  # torn by a power cut: it says nothing

    frames = list(log_frames(log, page_bytes))
    firsts = [log[begin : begin + _HEADER_BYTES] for page, begin, _ in frames if page == 1]
    if not frames or header in firsts:
        return False
    return not _follows(header, firsts, frames)


def _follows(
    header: bytes, firsts: Sequence[bytes], frames: Sequence[tuple[int, int, int]]
) -> bool:
    """Whether the log's first transaction may have come after a file of this header. `firsts` are
    the first pages in the log.
    """
    end = next(n for n, (_, _, commits) in enumerate(frames, 1) if commits)
    written = {page for page, _, _ in frames[:end]}
    pages_before, pages_after = _number(header, _PAGES), frames[end - 1][2]
    if not written.issuperset(range(pages_before + 1, pages_after + 1)):
        return False
    if pages_after < pages_before or (pages_after > pages_before and 1 not in written):
        return False

    counter = _number(header, _COUNTER)
    counters = [_number(first, _COUNTER) for first in firsts]
    return not counters or counter in (counters[0] - 1, *counters)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def set_aside_stray_log(path: Path, now_s: float) -> str:
    """Where the log beside a file is not its own, give it another name. Returns what there is to
    say of that, or nothing. Raises OSError.
    """
    log_path = path.with_name(path.name + "-wal")
    try:
        log = bytes_of(log_path)
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return ""
    return set_aside_log(path, now_s) if is_stray(header, log) else ""


def set_aside_log(path: Path, now_s: float) -> str:
    """Give the log beside a file another name. Returns what there is to say of that. Raises
    OSError.
    """
    log_path = path.with_name(path.name + "-wal")
    aside = path.with_name(f"{path.name}.stray-{int(now_s)}-wal")
    log_path.rename(aside)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    _sync(path.parent)

    old = sorted(
        path.parent.glob(f"{path.name}.stray-*-wal"), key=lambda each: each.lstat().st_mtime
    )
    for each in old[:-MOST_ASIDE]:
        with contextlib.suppress(OSError):
            each.unlink()
    return (
        f"{log_path.name} was left by another file than the one that is there now (a copy was put "
        f"in its place), and would have undone parts of it; it was set aside as {aside.name}"
    )


def was_put_in_place(path: Path) -> bool:
    """Whether a file seems to have been put beside its log later, though the log would follow from
    it: it is newer, and nothing of the log was written back into it.
    """
    log_path = path.with_name(path.name + "-wal")
    try:
        if path.stat().st_mtime <= log_path.stat().st_mtime + _MOMENT_S:
            return False
        log = bytes_of(log_path)
        with path.open("rb") as file:
            page_bytes = page_size_of(file.read(_HEADER_BYTES))
            if page_bytes is None:
                return False
            frames = list(log_frames(log, page_bytes))
            for page, begin, _ in frames:
                file.seek((page - 1) * page_bytes)
                if file.read(page_bytes) == log[begin : begin + page_bytes]:
                    return False
    except OSError:
        return False
    return bool(frames)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
