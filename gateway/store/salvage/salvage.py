"""Saves what can be read of a damaged buffer into a new one. With `buffer.py` the only place that
knows SQL.

First the tables are walked by their keys, around what cannot be read; where the way is blocked, the
file is read page by page (`carve.py`). What is owed and the folds' states come first, then slots,
events, and samples from the newest on. Every row is looked at before it is taken: damage inside a
page can leave rows that are none.

The new file takes its place only when it is complete and synced, so that a power cut at any moment
leaves one or the other:

    buffer.sqlite.salvaging  is being written, and says that buffer.sqlite is damaged
    buffer.sqlite.salvaged   is complete, and only has to be put in its place

Limits: the samples may take `SAMPLES_S` (`SAMPLES_RUNNING_S`), everything else `TABLES_S`; samples
stop where the disk would be left with less than `SPARE_BYTES`, and where there is no room for the
rest nothing is done; `MAX_ASIDE` damaged files are kept, the oldest goes then.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.outbox.item import EXCHANGE
from gateway.store.file import FILES, connect_as_it_is, new_file
from gateway.store.migration import FILL_ASSET_SLOTS
from gateway.store.packing import Packing
from gateway.store.salvage.folds import mend_states
from gateway.store.salvage.job import Job
from gateway.store.salvage.pages import Pages, read_pages
from gateway.store.salvage.shapes import Shape, shapes_of
from gateway.store.salvage.walk import walk

log = logging.getLogger(__name__)

TABLES_S = 120.0
"""systemd waits 300 s for the start."""
SAMPLES_S = 30.0
SAMPLES_RUNNING_S = 10.0
"""While the daemon runs: it reads no meter meanwhile, and systemd waits 60 s for a sign of life.
Where that is not enough it is started anew, finds what was begun, and takes the time it needs.
"""
SPARE_BYTES = 32 << 20
MAX_ASIDE = 3

_FEW = 200


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it."""

    aside: Path | None
    """Where the damaged file is now; None where there was none."""
    rows: Mapping[str, int]
    """Rows saved, per table."""
    blocked: tuple[str, ...]
    """Tables of which something could not be read, or was not read in time."""
    rebuilt: tuple[str, ...]
    """Meters whose fold goes on from its last slot: its own state was lost, or older than that."""

    @property
    def whereabouts(self) -> str:
        """What became of the damaged file."""
        return f"it was set aside as {self.aside.name}" if self.aside else "it was gone"

    def __str__(self) -> str:
        found = ", ".join(
            f"{count} {table}"
            for table, count in self.rows.items()
            if count and table not in ("boots", "layouts")
        )
        if not self.rows:
            return "what could be read of it is in the new one"
        if not found:
            return "nothing could be read of it"
        text = f"salvaged: {found}"
        if self.blocked:
            text += f"; not all could be read of: {', '.join(self.blocked)}"
        if self.rebuilt:
            text += f"; the counters of {', '.join(self.rebuilt)} go on from their last slots"
        return text


def renew(
    path: Path,
    source: sqlite3.Connection | None = None,
    held: sqlite3.Connection | None = None,
    *,
    now_s: float,
) -> Salvaged:
    """Put a new file in the place of a damaged one, with all that can be read of it.

    `source` is a connection through which it can still be read (the file may have been deleted
    under it). `held` is one to it that is open; both are closed before the new file takes its
    place. Raises OSError or sqlite3.Error: try again then.
    """
    if _beside(path, ".salvaged").exists():
        return Salvaged(put_in_place(path, now_s), {}, (), ())
    work = _beside(path, ".salvaging")
    for suffix in (*FILES, "-journal"):
        _beside(work, suffix).unlink(missing_ok=True)
    opened = _for_reading(path) if source is None else None
    source = source or opened
    try:
        report = _save_into(work, path, source, now_s, SAMPLES_RUNNING_S if held else SAMPLES_S)
        _sync(work)
    except BaseException:
        if opened is not None:
            opened.close()
        # Not the file: it says at the next start that there is something to salvage. What it took
        # is given back.
        with contextlib.suppress(OSError):
            os.truncate(work, 0)
        raise
    work.rename(_beside(path, ".salvaged"))
    # From here on nothing may be written to the old one any more: it would be lost.
    for each in (source, held):
        if each is not None:
            each.close()
    return replace(report, aside=put_in_place(path, now_s))


def put_in_place(path: Path, now_s: float) -> Path | None:
    """Set the damaged file aside, and put the complete new one in its place; goes on where a power
    cut ended it. Returns the old one's new name. Raises OSError.
    """
    aside = _beside(path, f".damaged-{int(now_s)}")
    number = 2
    while os.path.lexists(aside):
        aside = _beside(path, f".damaged-{int(now_s)}-{number}")
        number += 1
    there = os.path.lexists(path)  # a link to nowhere is there, too
    # The log first: SQLite would play it back into whatever file it lies beside.
    for suffix in (*FILES[1:], FILES[0]):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(aside, suffix))
    _beside(path, ".salvaged").rename(path)
    _sync(path.parent)
    _forget_oldest(path)
    return aside if there else None


def _forget_oldest(path: Path) -> None:
    aside = [
        each
        for each in path.parent.glob(f"{path.name}.damaged-*")
        if not each.name.endswith(FILES[1:])
    ]
    for old in sorted(aside, key=lambda each: each.lstat().st_mtime)[:-MAX_ASIDE]:
        for suffix in FILES:
            with contextlib.suppress(OSError):
                _beside(old, suffix).unlink()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _for_reading(path: Path) -> sqlite3.Connection | None:
    """The damaged file, where SQLite still takes it for a database."""
    if not (path.is_file() and path.stat().st_size):
        # It would take an empty one for a new one, and delete the log beside it.
        return None
    for how in ("mode=ro", "immutable=1"):
        try:
            db = connect_as_it_is(path, how)
        except sqlite3.Error:
            continue
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            continue
        # Noise in a text must not hide the rows beside it.
        db.text_factory = lambda text: text.decode(errors="replace")
        return db
    return None


def _save_into(
    work: Path, path: Path, source: sqlite3.Connection | None, now_s: float, samples_s: float
) -> Salvaged:
    """Raises OSError or sqlite3.Error."""
    target = new_file(work)
    try:
        # Repaired by root, it is still the daemon's.
        with contextlib.suppress(OSError):
            owner = path.stat()
            os.chown(work, owner.st_uid, owner.st_gid)
        report = _save(path, source, target, now_s, samples_s)
        target.execute("COMMIT")
    finally:
        target.close()
    return report


def _save(
    path: Path,
    source: sqlite3.Connection | None,
    target: sqlite3.Connection,
    now_s: float,
    samples_s: float,
) -> Salvaged:
    shapes = shapes_of(target)
    pages = Pages.of(path)
    try:
        _save_tables(Job(path, target, time.monotonic() + TABLES_S), shapes, pages, source)
        _fill_asset_slots(target, shapes)
        job = Job(path, target, time.monotonic() + samples_s, spare_bytes=SPARE_BYTES)
        _save_samples(job, shapes, pages, source, now_s)
    finally:
        if pages:
            pages.close()

    counts: dict[str, int] = {}
    for shape in shapes:
        counts[shape.name] = counts.get(shape.name, 0) + shape.found.count
    blocked = dict.fromkeys(shape.name for shape in shapes if shape.found.blocked)
    return Salvaged(None, counts, tuple(blocked), mend_states(target))


def _save_tables(
    job: Job, shapes: Sequence[Shape], pages: Pages | None, source: sqlite3.Connection | None
) -> None:
    """All but samples."""
    [samples] = [shape for shape in shapes if shape.name == "samples"]
    others = [shape for shape in shapes if shape is not samples]
    for shape in others:
        walk(job, shape, source)
    if pages and any(shape.found.blocked for shape in others):
        read_pages(job, pages, others, samples)


def _save_samples(
    job: Job,
    shapes: Sequence[Shape],
    pages: Pages | None,
    source: sqlite3.Connection | None,
    now_s: float,
) -> None:
    """After all else: what they are packed like, and when they can have been taken, must be
    known.
    """
    [samples] = [shape for shape in shapes if shape.name == "samples"]
    job.packed = {
        number: Packing(quantities.split(",") if quantities else ())
        for number, quantities in job.target.execute("SELECT id, quantities FROM layouts")
    }
    [(end_s,)] = job.target.execute("SELECT max(start_s + length_s) FROM slots")
    if end_s is not None:
        job.newest_ms = (max(end_s, now_s) + 2 * 86_400) * 1000
    job.boots = {number for (number,) in job.target.execute("SELECT id FROM boots")}

    walk(job, samples, source)
    # A few samples are those of a page that cannot be read: to look for them takes long, and there
    # is nothing to find.
    if pages and samples.found.lost_keys > _FEW:
        read_pages(job, pages, [samples], samples)


def _fill_asset_slots(target: sqlite3.Connection, shapes: Sequence[Shape]) -> None:
    """Where the old file is of a version without them, or some were lost: what the exchange is owed
    says the same.
    """
    [asset_slots] = [shape for shape in shapes if shape.name == "asset_slots"]
    asset_slots.found.count += target.execute(
        FILL_ASSET_SLOTS.format(
            outbox="outbox",
            subject="subject",
            asset="subject",
            where=f"destination = '{EXCHANGE}' AND typeof(subject) = 'blob'",
            also="AND newer.destination = owed.destination",
        )
    ).rowcount
