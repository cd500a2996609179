"""The buffer: samples, slots and outbox in one SQLite file. With `salvage.py` the only place that
knows SQL.

What is added waits in memory for at most `flush_s` and is then written in one transaction; a closed
slot, what is owed for it and the fold's state are written at once, together with every sample that
waits. WAL with full sync: what is committed survives a power cut.

Card wear is set by commits, not by rows: hence one packed row per sample, no index on samples, and
rare checkpoints.

The file is looked through in small steps while it is in use (and when it is opened: `opening.py`).
A damaged one is set aside, and what can be read of it goes on in a new one (`salvage.py`). So it is
with a file that is deleted or replaced while it is open.

Limits: what waits while the disk refuses is bounded in `waiting.py`. Where the file would grow
beyond `max_bytes`, or the disk is full, samples are thinned to the first and the last of each slot,
oldest first; then the oldest go. On a full disk the reserve (`reserve.py`) is given up to slots and
what is owed, which are only ever removed by age, and never while they are owed.
"""

import contextlib
import fcntl
import logging
import math
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from drivers.sample import Sample
from gateway.energy.slot import Event, MeterState, Slot, Unallocated
from gateway.outbox.item import Item, Subject
from gateway.outbox.owed import Backlog, Confirmations, Held, Owed, State
from gateway.store.errors import (
    FREE_SPACE,
    Damaged,
    DiskFull,
    StoreError,
    is_damage,
    is_full,
    is_read_only,
    remedy,
)
from gateway.store.file import Connection, connect, lock_folder
from gateway.store.pending_writes import WaitingClosings, bounded, thinned
from gateway.store.reserve import Reserve
from gateway.store.row_checks import SOUND
from gateway.store.rows import (
    OWED_LIST,
    SLOT_COLUMNS,
    SLOT_LIST,
    Closing,
    Left,
    key_of,
    lean,
    owed_of,
    owed_row,
    packing_of,
    slot_of,
    slot_row,
)
from gateway.timing.undated_boots import Place, Stretch

log = logging.getLogger(__name__)

MAX_EVENTS = 10_000
MAX_COUNTED = 10_000
"""Where nobody can say what the exchange holds, counting all that is not confirmed would take ever
longer.
"""
CHECKED_AT_ONCE = 5_000
"""Rows, some 10 ms; a file of 2 GB is read through in two days."""
REMOVED_AT_ONCE = 5_000
"""Samples that one transaction removes or thins: what it writes to the log is some 1 MB."""
TRIED_ANYWAY = 200
REFUSED_BYTES = 256 << 10
"""Where more slots than `TRIED_ANYWAY` wait, the disk must have so much more room than when it last
refused before they are tried again.
"""
REMOVALS = 40
"""Such transactions in one pruning."""
DATED_AT_ONCE = 10_000
"""Samples that get their UTC in one transaction: what it writes stays small, and so does the time
in which nothing else is done.
"""
_PLACED, _LOOSE = 1, 2  # what a boot's `placed` says
_THIS_ITEM = "slot_s = ? AND asset = ? AND kind = ? AND revision = ?"
_UNCONFIRMED = """state = 'accepted' AND kind = 'measurement' AND closes_s IS NULL
    AND energy_uwh IS NOT NULL AND confirmed_s IS NULL
    AND disagreements < 2"""
_REPLACED = """EXISTS (SELECT 1 FROM outbox AS newer
    WHERE newer.slot_s = outbox.slot_s AND newer.asset = outbox.asset
    AND newer.kind = outbox.kind AND newer.revision > outbox.revision
    AND newer.state IN ('pending', 'accepted'))"""
"""A newer number of the same slot is there: the older one must not be sent after it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept. Seconds and bytes."""

    keep_samples_s: float = 30 * 86400
    keep_slots_s: float = 400 * 86400
    max_bytes: int = 2 * 10**9
    slot_s: int = 900
    """Of the market: thinned samples keep what lies at its boundaries."""


class Buffer:
    """One open store. One writer: the daemon. Opened with `open_buffer`."""

    def __init__(self, db: sqlite3.Connection, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self._samples: list[tuple[int, Sample]] = []
        self._closings = WaitingClosings()
        self._events: list[Event] = []
        self._layouts: dict[tuple[str, str | None, tuple[str, ...]], tuple[int, struct.Struct]] = {}
        self._boots: dict[str, int] = {}
        self._data_version: int | None = None
        self._windows: tuple[float, float] | None = None
        """From when until when no window of a pending item opens or closes: after weeks offline
        there are many to look through. None: not known, since the outbox has changed.
        """
        self._next_id = 1
        self._now_s = 0.0
        """The newest time that samples told."""
        self._reserve: Reserve | None = None
        """Of the daemon, which owns the file; a command has none."""
        self._shut = False
        """It could not be opened again yet, after a read-only disk."""
        self._opening = False
        self._lock: int | None = None
        self._full = False
        self._refused_bytes = 0
        """What was free on the disk when it last refused."""
        self._thinned: int | None = None
        """Samples up to this number have been thinned."""
        self._checking = 0, -1
        """The table that is looked through, and the key from which on."""
        self._checked_s = -math.inf
        """When all had been looked through, by `_now_s`."""
        self._places: dict[str, tuple[int, int] | None] = {}
        self._said = ""
        self._use(db)

    def _use(self, db: sqlite3.Connection) -> None:
        """Begin with a file. Raises StoreError."""
        self._db = db
        self._layouts.clear()
        self._boots.clear()
        self._data_version = None
        self._windows = None
        self._thinned = None
        self._checking = 0, -1
        self._checked_s = -math.inf
        # Numbers never go back, not even when every sample has been pruned: the fold goes on after
        # the number it stopped at.
        self._next_id = max(
            self._next_id,
            self._one("SELECT coalesce(max(id), 0) FROM samples") + 1,
            self._one("SELECT coalesce(max(sample_id), 0) FROM counters") + 1,
        )
        # Two questions, because SQLite answers only a single min or max without reading the whole
        # table.
        first = self._one("SELECT coalesce(min(id), 1) FROM samples")
        self._sample_count: int = self._one("SELECT coalesce(max(id), 0) FROM samples") - first + 1
        self._slot_count: int = self._one("SELECT count(*) FROM slots")
        self._places = self._where()

    def own(self, now_s: float) -> None:
        """From now on this is the daemon's: it mends what is damaged, and keeps a reserve. Raises
        StoreError where it is being repaired.
        """
        self._now_s = now_s
        self._lock = lock_folder(self.path, fcntl.LOCK_SH)
        self._reserve = Reserve(self.path)
        self._full = not self._reserve.take()

    # --- writing ----------------------------------------------------------------------------------

    def add(self, sample: Sample) -> int:
        """Keep a sample; it is on disk after the next flush. Returns its number."""
        number = self._next_id
        self._next_id += 1
        self._samples.append((number, sample))
        self._samples = bounded(self._samples, self.limits.slot_s)
        if sample.utc_ms is not None:
            self._now_s = max(self._now_s, sample.utc_ms / 1000)
        return number

    def note(self, event: Event) -> None:
        """Keep something that a person should know; written with the next flush."""
        self._events.append(event)
        del self._events[:-1000]

    def close(self, closing: Closing) -> None:
        """Keep what a sample closed; written with the next flush."""
        for event in self._closings.add(closing):
            self.note(event)

    @property
    def waiting(self) -> int:
        """Samples that are not on disk yet."""
        return len(self._samples)

    def flush(self) -> bool:
        """Write all that waits, in one transaction; returns whether there was something. Raises
        StoreError where the disk refuses; nothing is forgotten then but samples, which are thinned
        where it is full.
        """
        if not self._samples and not self._closings and not self._events:
            return False
        if self._reserve:
            self._stay_in_place()
        if self._full:
            self._samples = thinned(self._samples, self.limits.slot_s)
            if (
                len(self._closings) > TRIED_ANYWAY
                and self._reserve
                and self._reserve.free_bytes <= self._refused_bytes + REFUSED_BYTES
            ):
                raise DiskFull(f"{self.path}: cannot write: the disk is still full; {FREE_SPACE}")
        try:
            self._write_all()
        except DiskFull:
            if self._reserve is None:
                raise
            newest = self._make_room()
            try:
                self._remove_samples(newest)
                self._write_all()
            except DiskFull:
                self._refused_bytes = self._reserve.free_bytes
                raise
        if self._full and self._reserve and self._reserve.take():
            self._full = False
            self._tell("room", "the disk has room again; samples are kept as they are taken")
        return True

    def _make_room(self) -> int:
        """The disk is full: give up the reserve, and thin samples. Returns the number of the newest
        one that can be done without.
        """
        assert self._reserve is not None
        self._reserve.give_up()
        if not self._full:
            self._full = True
            self._tell(
                "full",
                "the disk is full; samples are thinned to those at slot boundaries, slots go on "
                "in the reserve",
            )
        self._samples = thinned(self._samples, self.limits.slot_s)
        newest = self._last_before(int((self._now_s - 3600) * 1000))
        with contextlib.suppress(DiskFull):
            self._thin_samples(newest)
        return newest

    def _tell(self, kind: str, text: str) -> None:
        log.warning("%s: %s", self.path, text)
        self.note(Event(int(self._now_s * 1000), "", kind, text))

    def _write_all(self) -> None:
        events = [*self._events, *(event for closing in self._closings for event in closing.events)]
        slot_count = 0
        with self._transaction():
            self._write_samples()
            self._write_unallocated(self._closings.lost)
            for closing in self._closings:
                slot_count += self._write_closing(closing)
            self._write_events(events)
        self._sample_count += len(self._samples)
        self._slot_count += slot_count
        self._samples.clear()
        self._closings.clear()
        self._events.clear()

    def _write_samples(self) -> None:
        rows = []
        for number, sample in self._samples:
            layout, packing = self._layout(sample)
            data = packing.pack(*sample.values.values())
            rows.append(
                (
                    number,
                    layout,
                    self._boot(sample.boot_id),
                    sample.boottime_ms,
                    sample.utc_ms,
                    data,
                )
            )
        self._db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _layout(self, sample: Sample) -> tuple[int, struct.Struct]:
        key = (sample.device, sample.serial_number, tuple(sample.values))
        if key not in self._layouts:
            text = ",".join(key[2])
            where = (sample.device, sample.serial_number, text)
            row = self._db.execute(
                "SELECT id FROM layouts WHERE device = ? AND serial_number IS ? AND quantities = ?",
                where,
            ).fetchone()
            number: Any = (
                row[0]
                if row
                else self._db.execute("INSERT INTO layouts VALUES (NULL, ?, ?, ?)", where).lastrowid
            )
            self._layouts[key] = number, packing_of(",".join(key[2]))
        return self._layouts[key]

    def _boot(self, boot_id: str) -> int:
        if boot_id not in self._boots:
            self._db.execute("INSERT OR IGNORE INTO boots (boot_id) VALUES (?)", (boot_id,))
            self._boots[boot_id] = self._one("SELECT id FROM boots WHERE boot_id = ?", boot_id)
        return self._boots[boot_id]

    @property
    def last_number(self) -> int:
        """The number of the newest sample that was added."""
        return self._next_id - 1

    def _write_closing(self, closing: Closing) -> int:
        """Returns how many slots are new."""
        state = msgspec.json.encode(lean(closing.state))
        self._db.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sample_id = "
            "excluded.sample_id, state = excluded.state",
            (closing.device, closing.sample_id, state),
        )
        count = self._write_slots(closing.slots)
        self._write_owed(closing.owed)
        self._write_unallocated(closing.unallocated)
        return count

    def _write_slots(self, slots: Sequence[Slot]) -> int:
        """A slot is booked once: what is there already stays, unless this is a later revision of
        it. Returns how many are new.
        """
        columns = ", ".join("?" * len(SLOT_COLUMNS))
        insert = f"INSERT INTO slots ({SLOT_LIST}) VALUES ({columns}) ON CONFLICT DO NOTHING"  # noqa: S608 — our own column names
        revise = f"""UPDATE slots SET ({SLOT_LIST}) = ({columns})
            WHERE start_s = ? AND device = ? AND direction = ? AND serial_number = ? AND revision <
                ?"""  # noqa: S608
        count = 0
        for slot in slots:
            row = slot_row(slot)
            if self._db.execute(insert, row).rowcount:
                count += 1
            elif slot.revision:
                where = (
                    slot.start_s,
                    slot.device,
                    slot.direction,
                    slot.serial_number or "",
                    slot.revision,
                )
                self._db.execute(revise, (*row, *where))
        return count

    def _write_owed(self, owed: Sequence[Owed]) -> None:
        if owed:
            self._windows = None
        marks = ", ".join("?" * (OWED_LIST.count(",") + 1))
        self._db.executemany(
            f"INSERT INTO outbox ({OWED_LIST}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608
            [owed_row(each) for each in owed],
        )

    def _write_unallocated(self, unallocated: Sequence[Unallocated]) -> None:
        for each in unallocated:
            series = (each.device, each.serial_number or "", each.direction, each.kind)
            # Slot after slot that has no place (a clock that was ahead, memory that was full) is
            # one record and not a hundred.
            joined = self._db.execute(
                """UPDATE unallocated SET to_ms = ?, end_uwh = ?
                   WHERE id = (SELECT max(id) FROM unallocated
                       WHERE device = ? AND serial_number = ? AND direction = ? AND kind = ?)
                   AND kind IN ('clash', 'lost') AND placed_s IS NULL AND to_ms = ? AND end_uwh =
                       ?""",
                (each.to_ms, each.end_uwh, *series, each.from_ms, each.begin_uwh),
            ).rowcount
            if not joined:
                row = (*series, each.from_ms, each.to_ms, each.begin_uwh, each.end_uwh)
                self._db.execute(
                    """INSERT INTO unallocated
                       (device, serial_number, direction, kind, from_ms, to_ms, begin_uwh, end_uwh)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                    row,
                )

    def _write_events(self, events: list[Event]) -> None:
        if events:
            rows = [
                (e.at_ms / 1000, e.device, e.kind, e.energy_uwh or None, e.text) for e in events
            ]
            self._db.executemany("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?)", rows)
            self._db.execute(
                "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (MAX_EVENTS,)
            )

    def newest_offset_ms(self, boot_id: str) -> int | None:
        """UTC − boot time by which the newest sample on disk was dated, if it was and is of this
        boot. Raises StoreError.
        """
        rows = self._rows(
            """SELECT utc_ms - boottime_ms FROM samples JOIN boots ON boots.id = boot
               WHERE samples.id = (SELECT max(id) FROM samples) AND boot_id = ? AND NOT placed AND
                   utc_ms IS NOT NULL""",
            boot_id,
        )
        return next((offset_ms for (offset_ms,) in rows), None)

    def undated(self) -> list[Stretch]:
        """What has no UTC yet, boot by boot in the order of the samples. Writes what waits. Raises
        StoreError.
        """
        self.flush()
        found: list[Stretch] = []
        boot = 0
        # One search in the index of the undated per boot, however many samples there are.
        while boot := self._one(
            "SELECT coalesce(min(boot), 0) FROM samples WHERE utc_ms IS NULL AND boot > ?", boot
        ):
            found.append(self._undated(boot))
        return found

    def _undated(self, boot: int) -> Stretch:
        [(boot_id,)] = self._rows("SELECT boot_id FROM boots WHERE id = ?", boot)
        of_boot = "FROM samples WHERE utc_ms IS NULL AND boot = ?"
        [(first, last, count)] = self._rows(f"SELECT min(id), max(id), count(*) {of_boot}", boot)
        length_ms: int = self._one("SELECT boottime_ms FROM samples WHERE id = ?", last)
        before = next(
            self._rows(
                "SELECT boot, utc_ms, boottime_ms FROM samples WHERE id < ? ORDER BY id DESC "
                "LIMIT 1",
                first,
            ),
            None,
        )
        after = next(
            self._rows(
                "SELECT boot, utc_ms, boottime_ms FROM samples WHERE id > ? ORDER BY id LIMIT 1",
                last,
            ),
            None,
        )
        inside = None
        if count <= last - first:  # some are missing, or are dated
            sql = (
                "SELECT boot, utc_ms, boottime_ms FROM samples WHERE id > ? AND id < ? AND "
                "utc_ms IS NOT NULL LIMIT 1"
            )
            inside = next(self._rows(sql, first, last), None)
        dated = [row for row in (before, inside, after) if row is not None and row[1] is not None]
        return Stretch(
            boot_id=boot_id,
            length_ms=length_ms,
            offset_ms=next(
                (utc_ms - boottime_ms for of, utc_ms, boottime_ms in dated if of == boot), None
            ),
            before_ms=before[1] if before else None,
            next_boot_ms=after[1] - after[2] if after and after[1] is not None else None,
        )

    def loose_boots(self) -> set[str]:
        """The boots whose samples have a place, and too much room for it to say anything about
        slots.
        """
        return {
            boot_id
            for (boot_id,) in self._rows("SELECT boot_id FROM boots WHERE placed = ?", _LOOSE)
        }

    def date_samples(self, place: Place) -> bool:
        """Give UTC to at most `DATED_AT_ONCE` samples of a boot that have none. Returns whether
        there are more. Raises StoreError.
        """
        self.flush()
        with self._transaction():
            boot = self._boot(place.boot_id)
            if place.placed:
                self._db.execute(
                    "UPDATE boots SET placed = ? WHERE id = ?",
                    (_LOOSE if place.loose else _PLACED, boot),
                )
            count = self._db.execute(
                """UPDATE samples SET utc_ms = max(boottime_ms + ?, ?)
                   WHERE id IN (SELECT id FROM samples WHERE utc_ms IS NULL AND boot = ? ORDER BY
                       id LIMIT ?)""",
                (place.offset_ms, place.floor_ms, boot, DATED_AT_ONCE),
            ).rowcount
        return count == DATED_AT_ONCE

    def prune(self, now_s: float | None) -> None:
        """Remove what is older than the limits allow; where the file is too large, thin the oldest
        samples, and then remove them. Raises StoreError.

        The newest hour of samples always stays: the fold runs over it after a restart. Nothing is
        too old where nobody knows what time it is (None), or as long as the fold has not seen it.
        """
        self.flush()
        oldest = 0
        if now_s is not None:
            self._remove_old(int(now_s - self.limits.keep_slots_s))
            oldest = self._last_before(int((now_s - self.limits.keep_samples_s) * 1000))
        newest = (
            self._last_before_hour()
            if now_s is None
            else self._last_before(int((now_s - 3600) * 1000))
        )
        for _ in range(REMOVALS):
            if self._remove_samples(oldest):
                continue
            if self.size_bytes <= self.limits.max_bytes or not (
                self._thin_samples(newest) or self._remove_samples(newest)
            ):
                break

    def _remove_old(self, oldest_s: int) -> None:
        """Remove slots, and what was owed for them, that began before a time."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM outbox WHERE slot_s < ? AND state <> 'pending'", (oldest_s,)
            )
            self._db.execute(
                "DELETE FROM unallocated WHERE max(from_ms, to_ms) < ?", (oldest_s * 1000,)
            )
            self._slot_count -= self._db.execute(
                "DELETE FROM slots WHERE start_s < ? AND start_s < (SELECT coalesce(min(slot_s), "
                "?) FROM outbox)",
                (oldest_s,) * 2,
            ).rowcount

    def _remove_samples(self, upto: int) -> bool:
        """Remove some of the oldest samples; returns whether there were some."""
        first: int = self._one("SELECT coalesce(min(id), 0) FROM samples")
        with self._transaction():
            removed = self._db.execute(
                "DELETE FROM samples WHERE id <= ?", (min(upto, first + REMOVED_AT_ONCE - 1),)
            ).rowcount
        self._sample_count -= removed
        return removed > 0

    def _thin_samples(self, upto: int) -> bool:
        """Thin some of the oldest samples that are not thinned yet; returns whether there are fewer
        now.
        """
        if self._thinned is None:
            self._thinned = self._last_thinned()
        while self._thinned < upto:
            low, high = self._thinned, min(self._thinned + REMOVED_AT_ONCE, upto)
            slot = (
                "layouts.device, boot, utc_ms IS NULL, coalesce(utc_ms, boottime_ms) / "
                f"{1000 * self.limits.slot_s}"
            )
            ends = (
                "FROM samples JOIN layouts ON layouts.id = layout WHERE samples.id > ? AND "
                f"samples.id <= ? GROUP BY {slot}"
            )
            with self._transaction():
                removed = self._db.execute(
                    f"""DELETE FROM samples WHERE id > ? AND id <= ?
                        AND id NOT IN (SELECT min(samples.id) {ends} UNION ALL SELECT
                            max(samples.id) {ends})""",  # noqa: S608
                    (low, high) * 3,
                ).rowcount
            self._thinned = high
            self._sample_count -= removed
            if removed:
                return True
        return False

    def _last_thinned(self) -> int:
        """Where the thinned samples end, by halves: numbers are missing among them, and none among
        the others.
        """
        low: int = self._one("SELECT coalesce(min(id), 1) FROM samples") - 1
        high: int = self._one("SELECT coalesce(max(id), 0) FROM samples")
        span = 1000
        while high - low > span:
            middle = (low + high) // 2
            count: int = self._one(
                "SELECT count(*) FROM samples WHERE id > ? AND id <= ?", middle, middle + span
            )
            if count < span // 2:
                low = middle
            else:
                high = middle
        return low

    def _last_before(self, utc_ms: int) -> int:
        """The number of the last sample taken before a time. Samples are in the order of time, so
        this is a search by halves.
        """
        low: int = self._one("SELECT coalesce(min(id), 1) FROM samples") - 1
        high: int = self._one("SELECT coalesce(max(id), 0) FROM samples")
        while low < high:
            middle = (low + high + 1) // 2
            row = self._dated_from(middle)
            if row is not None and row[1] < utc_ms:
                low = min(row[0], high)
            else:
                high = middle - 1
        return low

    def _dated_from(self, number: int) -> tuple[int, int] | None:
        """The first sample from a number on that has a UTC, and that: one that has none says
        nothing. The rest of a boot that has none is stepped over as a whole, by the index of the
        undated: it may be millions of samples.
        """
        near = (
            "SELECT id, utc_ms FROM samples WHERE id >= ? AND id < ? AND utc_ms IS NOT NULL "
            "ORDER BY id LIMIT 1"
        )
        while boot := next(
            self._rows("SELECT boot FROM samples WHERE id >= ? ORDER BY id LIMIT 1", number), None
        ):
            if row := next(self._rows(near, number, number + 1000), None):
                return int(row[0]), int(row[1])
            last = self._one(
                "SELECT coalesce(max(id), 0) FROM samples WHERE utc_ms IS NULL AND boot = ?",
                boot[0],
            )
            number = max(number + 1000, last + 1)
        return None

    def _last_before_hour(self) -> int:
        """The number of the last sample before the newest hour of this boot, by halves; all of
        earlier boots are before it.
        """
        newest = next(
            self._rows("SELECT id, boot, boottime_ms FROM samples ORDER BY id DESC LIMIT 1"), None
        )
        if newest is None:
            return 0
        high, boot, boottime_ms = newest
        low: int = self._one("SELECT min(id) FROM samples") - 1
        while low < high:
            middle = (low + high + 1) // 2
            [(number, of, at_ms)] = self._rows(
                "SELECT id, boot, boottime_ms FROM samples WHERE id >= ? ORDER BY id LIMIT 1",
                middle,
            )
            if of != boot or at_ms < boottime_ms - 3_600_000:
                low = min(number, high)
            else:
                high = middle - 1
        return low

    # --- the fold ---------------------------------------------------------------------------------

    def counters(self) -> dict[str, tuple[int, MeterState]]:
        """For every device: the number of the sample, and the fold's state as of it."""
        rows = self._rows("SELECT device, sample_id, state FROM counters")
        return {
            device: (sample_id, msgspec.json.decode(state, type=MeterState))
            for device, sample_id, state in rows
        }

    def devices(self) -> set[str]:
        """The devices that samples were ever kept of."""
        return {device for (device,) in self._rows("SELECT DISTINCT device FROM layouts")}

    def samples(
        self, after: int = 0, since_ms: int | None = None, until_ms: int | None = None
    ) -> Iterator[tuple[int, Sample]]:
        """Samples on disk in the order they were taken, numbered, after a number or within a
        time.
        """
        if since_ms is not None:
            after = max(after, self._last_before(since_ms))
        layouts: dict[int, tuple[str, str | None, tuple[str, ...], struct.Struct]] = {}
        for number, device, serial_number, quantities in self._rows(
            "SELECT id, device, serial_number, quantities FROM layouts"
        ):
            names = tuple(quantities.split(",")) if quantities else ()
            layouts[number] = device, serial_number, names, packing_of(quantities)
        boots = {
            number: (boot_id, bool(placed))
            for number, boot_id, placed in self._rows("SELECT id, boot_id, placed FROM boots")
        }
        for number, layout, boot, boottime_ms, utc_ms, data in self._rows(
            "SELECT * FROM samples WHERE id > ? ORDER BY id", after
        ):
            if until_ms is not None and utc_ms is not None and utc_ms >= until_ms:
                return
            device, serial_number, names, packing = layouts[layout]
            values = dict(zip(names, packing.unpack(data), strict=True))
            boot_id, placed = boots[boot]
            yield (
                number,
                Sample(device, serial_number, boot_id, boottime_ms, utc_ms, values, placed),
            )

    def quantities(self) -> set[str]:
        """Every quantity that some sample may hold."""
        rows = self._rows("SELECT quantities FROM layouts")
        return {name for (names,) in rows for name in names.split(",") if name}

    def slots_at(self, start_s: int) -> list[Slot]:
        """All meters' slots that start then, each in its newest revision, also those that still
        wait to be written.
        """
        rows = self._rows(f"SELECT {SLOT_LIST} FROM slots WHERE start_s = ?", start_s)  # noqa: S608
        waiting = (
            slot
            for closing in self._closings.at(start_s)
            for slot in closing.slots
            if slot.start_s == start_s
        )
        found: dict[tuple[str, str, str | None], Slot] = {}
        for slot in (*map(slot_of, rows), *waiting):
            key = slot.device, slot.direction, slot.serial_number
            if key not in found or slot.revision > found[key].revision:
                found[key] = slot
        return list(found.values())

    def slots(self, since_s: int = 0, until_s: int = 1 << 40) -> Iterator[Slot]:
        """All meters' slots of a time, in its order."""
        rows = self._rows(
            f"SELECT {SLOT_LIST} FROM slots"  # noqa: S608 — our own column names
            " WHERE start_s >= ? AND start_s < ? ORDER BY start_s",
            since_s,
            until_s,
        )
        return map(slot_of, rows)

    # --- unallocated energy -----------------------------------------------------------------------

    def unallocated(self, number: int | None = None) -> Iterator[Left]:
        """What is on record as unallocated, oldest first, or the one of that number."""
        sql = """SELECT device, serial_number, direction, kind, from_ms, to_ms, begin_uwh, end_uwh,
            id, placed_s, placed_by
            FROM unallocated WHERE id = coalesce(?, id) ORDER BY id"""
        for device, serial_number, *what, found, placed_s, placed_by in self._rows(sql, number):
            yield Left(
                found, Unallocated(device, serial_number or None, *what), placed_s, placed_by
            )

    def unallocated_total(self) -> tuple[int, int]:
        """How many records nobody has placed, and their energy in µWh."""
        [(count, energy_uwh)] = self._rows(
            "SELECT count(*), coalesce(sum(end_uwh - begin_uwh), 0) FROM unallocated WHERE "
            "placed_s IS NULL"
        )
        return count, energy_uwh

    def place(
        self, left: Left, slots: Sequence[Slot], owed: Sequence[Owed], by: str, now_s: float
    ) -> bool:
        """Put unallocated energy into slots that are there, in one transaction: `slots` are their
        next revisions, `owed` what is owed for them. Returns False, and does nothing, where
        somebody else has placed it or written one of the slots meanwhile. Raises StoreError.
        """
        with self._transaction():
            if not self._is_still(left, slots):
                return False
            sql = "UPDATE unallocated SET placed_s = ?, placed_by = ? WHERE id = ?"
            self._db.execute(sql, (now_s, by, left.number))
            self._write_slots(slots)
            self._write_owed(owed)
        return True

    def _is_still(self, left: Left, slots: Sequence[Slot]) -> bool:
        """Whether a record and the slots before these revisions are as they were read."""
        sql = "SELECT 1 FROM unallocated WHERE id = ? AND placed_s IS NULL AND end_uwh = ?"
        if self._db.execute(sql, (left.number, left.what.end_uwh)).fetchone() is None:
            return False
        sql = (
            "SELECT revision FROM slots WHERE start_s = ? AND device = ? AND direction = ? AND "
            "serial_number = ?"
        )
        keys = (
            (slot.revision, (slot.start_s, slot.device, slot.direction, slot.serial_number or ""))
            for slot in slots
        )
        return all(
            self._db.execute(sql, where).fetchone() == (revision - 1,) for revision, where in keys
        )

    # --- the outbox -------------------------------------------------------------------------------

    def due(self, now_s: float, *, since_s: int | None, limit: int) -> list[Owed]:
        """Pending items whose window is open, oldest slot first, of each slot the newest revision
        only; with `since_s` only slots that start then or later.
        """
        rows = self._rows(
            f"""SELECT {OWED_LIST} FROM outbox WHERE state = 'pending' AND slot_s >= ? AND opens_s
                <= ?
                AND (closes_s IS NULL OR closes_s > ?) AND NOT {_REPLACED} ORDER BY slot_s LIMIT
                    ?""",  # noqa: S608
            *(0 if since_s is None else since_s, now_s, now_s, limit),
        )
        return [owed_of(row) for row in rows]

    def next_change_s(self, now_s: float) -> float | None:
        """When the next window of a pending item opens or closes, Unix time."""
        if self._unchanged_at(now_s):
            assert self._windows is not None
            return None if math.isinf(self._windows[1]) else self._windows[1]
        at: float | None = self._one(
            """SELECT min(t) FROM (
                SELECT min(opens_s) AS t FROM outbox WHERE state = 'pending' AND opens_s > ?
                UNION ALL SELECT min(closes_s) FROM outbox WHERE state = 'pending' AND closes_s >
                    ?)""",
            now_s,
            now_s,
        )
        return at

    def _unchanged_at(self, now_s: float) -> bool:
        """Whether it is known that no window of a pending item has opened or closed."""
        return self._windows is not None and self._windows[0] <= now_s < self._windows[1]

    def record(self, items: Sequence[Item], state: State, reason: str, now_s: float) -> None:
        """Write down what became of items; `pending` means: try again later. Raises StoreError.

        Older revisions of what is accepted are not owed any more. What a person gave up meanwhile
        stays given up, unless the exchange took it.
        """
        decided_s = None if state == "pending" else now_s
        still = "AND state = 'pending'" if state == "pending" else ""
        with self._transaction():
            self._db.executemany(
                "UPDATE outbox SET state = ?, reason = ?, decided_s = ?, attempts = attempts + 1 "  # noqa: S608
                f"WHERE {_THIS_ITEM} {still}",
                [(state, reason, decided_s, *key_of(item)) for item in items],
            )
            if state == "accepted":
                self._db.executemany(
                    """UPDATE outbox SET state = 'missed', decided_s = ?,
                           reason = 'replaced by revision ' || ? || ' of this slot'
                       WHERE slot_s = ? AND asset = ? AND kind = ? AND revision < ? AND state =
                           'pending'""",
                    [(now_s, item.revision, *key_of(item)) for item in items if item.revision],
                )

    @property
    def changed_elsewhere(self) -> bool:
        """Whether another process (a person's command) has written since this was asked last.
        Raises StoreError.
        """
        before, self._data_version = self._data_version, self._one("PRAGMA data_version")
        changed = before not in (None, self._data_version)
        if changed:
            self._windows = None
        return changed

    # --- what the exchange holds ------------------------------------------------------------------

    def unconfirmed(self, accepted_before_s: float, *, since_s: int, limit: int) -> list[Item]:
        """Dated measurements that were accepted before then and not confirmed yet, newest slot
        first, of each slot the newest revision; only slots that start at `since_s` or later.
        """
        rows = self._rows(
            f"""SELECT {OWED_LIST} FROM outbox WHERE {_UNCONFIRMED} AND slot_s >= ? AND decided_s <
                ? AND NOT {_REPLACED}
                ORDER BY slot_s DESC LIMIT ?""",  # noqa: S608
            *(since_s, accepted_before_s, limit),
        )
        return [owed_of(row).item for row in rows]

    def confirmations(self, since_s: int) -> Confirmations:
        """How many accepted measurements, of slots from `since_s` on, are still to be asked for (at
        most `MAX_COUNTED`), and how many are held otherwise.
        """
        counted = (
            "SELECT count(*) FROM "  # noqa: S608
            f"(SELECT 1 FROM outbox WHERE {_UNCONFIRMED} AND slot_s >= ? LIMIT ?)"
        )
        unconfirmed: int = self._one(counted, since_s, MAX_COUNTED)
        return Confirmations(
            unconfirmed,
            self._one(
                "SELECT count(*) FROM outbox WHERE disagreements = 2 AND slot_s >= ?", since_s
            ),
        )

    def record_held(self, found: Sequence[Held], now_s: float) -> list[Item]:
        """Write down what the exchange holds. What it holds otherwise is owed once more, and the
        second time left as it is. Returns what is owed again. Raises StoreError.
        """
        again: list[Item] = []
        self._windows = None
        with self._transaction():
            for held in found:
                key = key_of(held.item)
                if held.agrees:
                    self._db.execute(
                        f"""UPDATE outbox SET confirmed_s = ?, held_uwh = NULL, disagreements =
                            min(disagreements, 1)
                            WHERE state = 'accepted' AND {_THIS_ITEM}""",  # noqa: S608
                        (now_s, *key),
                    )
                    continue
                said = "nothing" if held.energy_uwh is None else f"{held.energy_uwh / 10**6:g} Wh"
                first = self._db.execute(
                    f"""UPDATE outbox SET state = 'pending', decided_s = NULL, disagreements = 1,
                        held_uwh = ?, reason = ?
                        WHERE state = 'accepted' AND disagreements = 0 AND {_THIS_ITEM} AND NOT
                            {_REPLACED}""",  # noqa: S608
                    (
                        held.energy_uwh,
                        f"was accepted, but the exchange holds {said}; it is sent once more",
                        *key,
                    ),
                ).rowcount
                if first:
                    again.append(held.item)
                    continue
                self._db.execute(
                    f"""UPDATE outbox SET disagreements = 2, held_uwh = ?, reason = ?
                        WHERE state = 'accepted' AND disagreements = 1 AND {_THIS_ITEM}""",  # noqa: S608
                    (
                        held.energy_uwh,
                        f"was accepted twice, and the exchange holds {said}; ask its operator",
                        *key,
                    ),
                )
        return again

    # --- what a person decides --------------------------------------------------------------------

    def retry(self, items: Sequence[Item]) -> int:
        """Rejected and missed items are owed again, and accepted ones that the exchange holds
        otherwise in spite of a second delivery. Returns how many. Raises StoreError.
        """
        # What is disputed gets one more delivery, and is disputed again where that does not help.
        what = (
            "state = 'pending', decided_s = NULL, reason = '', disagreements = "
            "min(disagreements, 1)"
        )
        where = "(state IN ('rejected', 'missed') OR (state = 'accepted' AND disagreements = 2))"
        return self._decide(items, what, f"{where} AND NOT {_REPLACED}")

    def give_up(self, items: Sequence[Item], reason: str, now_s: float) -> int:
        """Pending items are missed, for that reason. Returns how many. Raises StoreError."""
        return self._decide(
            items, "state = 'missed', decided_s = ?, reason = ?", "state = 'pending'", now_s, reason
        )

    def _decide(self, items: Sequence[Item], what: str, where: str, *values: object) -> int:
        sql = f"UPDATE outbox SET {what} WHERE {where} AND {_THIS_ITEM}"  # noqa: S608
        self._windows = None
        with self._transaction():
            return sum(self._db.execute(sql, (*values, *key_of(item))).rowcount for item in items)

    # --- what is owed, to look at -----------------------------------------------------------------

    def expire(self, now_s: float, cause: str = "") -> list[Item]:
        """Pending items whose window has closed become missed; `cause` is the reason of those that
        were never tried. Raises StoreError.
        """
        where = "state = 'pending' AND closes_s <= ?"
        if self._unchanged_at(now_s):
            return []
        if not self._one(f"SELECT EXISTS (SELECT 1 FROM outbox WHERE {where})", now_s):  # noqa: S608
            until_s = self.next_change_s(now_s)
            self._windows = now_s, math.inf if until_s is None else until_s
            return []
        found = [
            owed_of(row).item
            for row in self._rows(f"SELECT {OWED_LIST} FROM outbox WHERE {where}", now_s)  # noqa: S608
        ]
        with self._transaction():
            self._db.execute(
                f"""UPDATE outbox SET state = 'missed', decided_s = ?,
                    reason = 'not delivered before its window closed'
                        || CASE coalesce(nullif(reason, ''), ?) WHEN '' THEN ''
                           ELSE ' (' || coalesce(nullif(reason, ''), ?) || ')' END
                    WHERE {where}""",  # noqa: S608
                (now_s, cause, cause, now_s),
            )
        return found

    def owed(self, since_s: int = 0, until_s: int = 1 << 40) -> Iterator[Owed]:
        """Everything owed for slots of a time, in its order, whatever became of it."""
        rows = self._rows(
            f"SELECT {OWED_LIST} FROM outbox "  # noqa: S608
            "WHERE slot_s >= ? AND slot_s < ? ORDER BY slot_s, asset, kind, revision",
            *(since_s, until_s),
        )
        return map(owed_of, rows)

    def newest_owed(self, asset: Subject, slot_s: int) -> Owed | None:
        """The newest revision of what is owed for an asset's measured slot, also where it still
        waits to be written.
        """
        waiting = (owed for closing in self._closings.at(slot_s) for owed in closing.owed)
        found = [
            o
            for o in waiting
            if (o.item.subject, o.item.slot_s, o.item.kind) == (asset, slot_s, "measurement")
        ]
        sql = (
            f"SELECT {OWED_LIST} FROM outbox "  # noqa: S608
            "WHERE slot_s = ? AND asset = ? AND kind = 'measurement'"
        )
        found += map(owed_of, self._rows(sql, slot_s, str(asset)))
        return max(found, key=lambda owed: owed.item.revision, default=None)

    def backlog(self) -> Backlog:
        """What is still owed."""
        [(count, oldest, closes)] = self._rows(
            "SELECT count(*), min(slot_s), min(closes_s) FROM outbox WHERE state = 'pending'"
        )
        return Backlog(count, oldest, closes)

    def measurement_uwh(self, asset: UUID, slot_s: int) -> int | None:
        """The energy of an asset's slot as it was last measured, if it was."""
        rows = self._rows(
            """SELECT energy_uwh FROM outbox WHERE slot_s = ? AND asset = ? AND kind = 'measurement'
               AND energy_uwh IS NOT NULL ORDER BY revision DESC LIMIT 1""",
            *(slot_s, str(asset)),
        )
        return next((energy_uwh for (energy_uwh,) in rows), None)

    # --- the store itself -------------------------------------------------------------------------

    def latest_events(self, limit: int = 20) -> list[str]:
        """The newest events, newest first, as lines for people."""
        rows = self._rows(
            "SELECT strftime('%Y-%m-%d %H:%M:%SZ', at_s, 'unixepoch'), device, kind, text FROM "
            "events ORDER BY id DESC LIMIT ?",
            limit,
        )
        return [f"{at} {device} {kind}: {text}" for at, device, kind, text in rows]

    @property
    def sample_count(self) -> int:
        """Samples on disk."""
        return self._sample_count

    @property
    def slot_count(self) -> int:
        """Slots on disk."""
        return self._slot_count

    @property
    def size_bytes(self) -> int:
        """Size of the store without what has been freed in it, with its write-ahead log."""
        pages: int = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        wal = self.path.with_name(self.path.name + "-wal")
        size: int = self._one("PRAGMA page_size")
        return pages * size + (wal.stat().st_size if wal.exists() else 0)

    def check_some(self, rows: int = CHECKED_AT_ONCE) -> bool:
        """Look at some rows, going on where the last call ended, once a day. Returns whether all
        have been looked at. Raises StoreError where one is damaged; what can be read of the file is
        in a new one then.
        """
        if self._now_s < self._checked_s + 86_400:
            return True
        number, low = self._checking
        table = (*(name for name in SOUND if name != "samples"), "samples")[number]
        key = {"slots": "start_s", "outbox": "slot_s"}.get(table, "rowid")
        found = self._rows(
            f"""SELECT max(k), count(*), coalesce(sum(sound), 0) FROM
                (SELECT {key} AS k, ({SOUND[table]}) IS TRUE AS sound FROM {table} WHERE {key} >= ?
                    ORDER BY {key} LIMIT ?)""",  # noqa: S608
            *(low, rows),
        )
        [(last, count, sound)] = found
        if count != sound:
            raise self._failed(
                sqlite3.DatabaseError(f"{count - sound} rows of {table} make no sense"),
                "cannot be read",
            )
        if count == rows:
            # Several rows may have the last key; of a file so large the others are left to
            # tomorrow.
            self._checking = number, max(last, low + 1)
            return False
        self._checking = (number + 1) % len(SOUND), -1
        if number + 1 == len(SOUND):
            self._checked_s = self._now_s
        return number + 1 == len(SOUND)

    def _where(self) -> dict[str, tuple[int, int] | None]:
        """Which files these are."""
        places: dict[str, tuple[int, int] | None] = {}
        for suffix in ("", "-wal", "-shm"):
            try:
                found = self.path.with_name(self.path.name + suffix).stat()
                places[suffix] = found.st_dev, found.st_ino
            except OSError:
                places[suffix] = None
        return places

    def _stay_in_place(self) -> None:
        """Somebody may have deleted or replaced the file. We still have it open, and all that is in
        it.
        """
        places = self._where()
        changed = [
            suffix
            for suffix, place in self._places.items()
            if place is not None and place != places[suffix]
        ]
        if changed:
            what = ", ".join(self.path.name + suffix for suffix in changed)
            text = str(
                self._renew(f"{what} was deleted or replaced while it was open", source=self._db)
            )
            if text != self._said:
                log.error("%s", text)
                self._said = text

    def _renew(self, why: str, *, source: sqlite3.Connection | None = None) -> StoreError:
        """Go on with a new file and all that can be read of the old one. Returns what there is to
        say of it.
        """
        if self._reserve is None:
            return Damaged(
                f"{self.path}: is damaged ({why}); stop the daemon, and run: meter-gateway "
                "buffer repair",
                why,
            )
        from gateway.store.salvage import salvage  # memory that is rarely needed

        try:
            saved = salvage.renew(self.path, source, self._db, now_s=self._now_s)
            self._use(connect(self.path))
        except (OSError, sqlite3.Error) as error:
            return StoreError(
                f"{self.path}: is damaged ({why}), and cannot be set aside: {error}; check the "
                "disk with dmesg"
            )
        text = f"{self.path.name} was damaged ({why}); "
        text += (
            f"it was set aside as {saved.aside.name}; {saved}"
            if saved.aside
            else f"it was gone; {saved}"
        )
        self.note(Event(int(self._now_s * 1000), "", "damaged", text))
        return StoreError(f"{self.path.parent}: {text}; goes on")

    def _failed(self, error: sqlite3.Error, what: str) -> StoreError:
        """What a failure means; where the file is damaged, we have gone on with another one."""
        if (self._shut or is_read_only(error)) and self._reserve is not None:
            if not self._opening:
                self._open_again()
        elif is_damage(error):
            return self._renew(str(error))
        kind = DiskFull if is_full(error) else StoreError
        return kind(f"{self.path}: {what}: {error}; {remedy(error)}")

    def _open_again(self) -> None:
        """What was opened while the disk was read-only can never write: open it anew, for the next
        try.
        """
        # First the old one: in one process SQLite shares what it has of a log between all that have
        # it open.
        self._db.close()
        self._shut = self._opening = True
        try:
            self._use(connect(self.path))
            self._shut = False
        except (OSError, sqlite3.Error, StoreError) as error:
            log.debug("%s: cannot be opened again yet: %s", self.path, error)
        finally:
            self._opening = False

    def close_file(self) -> None:
        """Write what waits, and close the file."""
        try:
            self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is. Whoever asks it something later gets an error, and nothing is
        set aside for that.
        """
        self._reserve = None
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- for people -------------------------------------------------------------------------------

    def copy_to(self, path: Path) -> str:
        """Write all that is committed now into an empty file, and read it back; says what is in it.
        Raises StoreError.
        """
        copy = sqlite3.connect(path, isolation_level=None, factory=Connection)
        try:
            # In one step, which sees the buffer as it is at one moment, however much is written to
            # it meanwhile.
            self._db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            if (found := copy.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            counts = [
                copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
                for table in ("samples", "slots", "outbox")
            ]
        except sqlite3.DatabaseError as error:
            what = (
                "it is damaged; see meter-gateway buffer check"
                if is_damage(error)
                else remedy(error)
            )
            raise StoreError(f"{self.path} cannot be copied to {path}: {error}; {what}") from error
        finally:
            copy.close()
        with path.open("rb") as file:
            os.fsync(file.fileno())
        samples, slots, owed = counts
        return (
            f"{path.stat().st_size / 1e6:.1f} MB, sound: {samples} samples, {slots} slots, "
            f"{owed} items of the outbox"
        )

    def damage(self) -> list[str]:
        """Reads the whole file, and looks at every row; says what is wrong. Raises StoreError where
        it cannot be read at all.
        """
        try:
            found = [
                text for (text,) in self._db.execute("PRAGMA integrity_check(10)") if text != "ok"
            ]
            for table, sound in SOUND.items():
                wrong = self._db.execute(
                    f"SELECT count(*) FROM {table} WHERE ({sound}) IS NOT TRUE"  # noqa: S608
                ).fetchone()[0]
                if wrong:
                    found.append(f"{wrong} rows of {table} make no sense")
        except sqlite3.Error as error:
            if not is_damage(error):
                raise StoreError(
                    f"{self.path}: cannot be read: {error}; {remedy(error)}"
                ) from error
            found = [str(error)]
        return found

    def _rows(self, sql: str, *parameters: object) -> Iterator[Any]:
        """What a query finds. Raises StoreError where the disk cannot be read."""
        try:
            for row in self._db.execute(sql, parameters):  # noqa: UP028 — `yield from` would close a cursor of a closed file
                yield row
        except sqlite3.Error as error:
            raise self._failed(error, "cannot be read") from error

    def _one(self, sql: str, *parameters: object) -> Any:
        [(value,)] = self._rows(sql, *parameters)
        return value

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise self._failed(error, "cannot write") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # Numbers given to layouts and boots inside the transaction are gone with it.
        self._layouts.clear()
        self._boots.clear()
        # Where even this fails, SQLite rolls back by itself.
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
