"""The buffer: samples, slots and outbox in one SQLite file. With `salvage/` the only place that
knows SQL, table by table: `samples.py`, `slot_table.py`, `outbox_table.py` and their like.

What is added waits in memory for at most `flush_s` and is then written in one transaction; a closed
slot, what is owed for it and the fold's state are written at once, together with every sample that
waits. WAL with full sync: what is committed survives a power cut.

Card wear is set by commits, not by rows: hence one packed row per sample, no index on samples, and
rare checkpoints.

The file is looked through in small steps while it is in use (and when it is opened: `opening.py`).
What is done about a damaged one: `database.py`.

Limits: what waits while the disk refuses is bounded in `pending_writes.py`. Where the file would
grow beyond `max_bytes`, or the disk is full, samples are thinned to the first and the last of each
slot, oldest first; then the oldest go. On a full disk the reserve (`reserve.py`) is given up to
slots and what is owed, which are only ever removed by age, and never while they are owed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from drivers.sample import Sample
from gateway.energy.slot import AssetSlot, Event, MeterState, Slot
from gateway.outbox.item import EXCHANGE, Item, Kind, Subject
from gateway.outbox.owed import Owed
from gateway.store.database import Database
from gateway.store.destination_outbox import DestinationOutbox
from gateway.store.file_lock import FileLock
from gateway.store.forecast_state_table import ForecastState
from gateway.store.integrity import CHECKED_AT_ONCE, copy_to
from gateway.store.reserve import RESERVE_BYTES, Reserve
from gateway.store.rows import Closing, UnallocatedRecord
from gateway.store.tables import Tables
from gateway.store.writer import Writer
from gateway.timing.undated_boots import Dating, Stretch

REMOVALS = 40
"""Transactions in one pruning."""
ALWAYS_S = 1 << 40
"""Later than any slot, Unix time."""


class Limits(msgspec.Struct, frozen=True):
    """How much is kept. Seconds and bytes."""

    keep_samples_s: float = 30 * 86400
    keep_slots_s: float = 400 * 86400
    max_bytes: int = 2 * 10**9
    slot_s: int = 900
    """Of the market: thinned samples keep what lies at its boundaries."""
    reserve_bytes: int = RESERVE_BYTES
    """Kept free on the disk for slots and what is owed."""


class Buffer:
    """One open store. One writer: the daemon. Opened with `open_buffer`.

    Each method that asks or writes may raise StoreError.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.database = Database(connection, path)
        self.tables = Tables(self.database, limits.slot_s)
        self._writer = Writer(self.database, self.tables, limits.slot_s)

    def own(self, now_s: float, lock: FileLock, *, salvaged: bool = False) -> None:
        """From now on this is the daemon's; `salvaged`: it was damaged. Raises StoreError, InUse
        where another daemon has it.
        """
        reserve = Reserve(self.path, self.limits.reserve_bytes)
        self._writer.own(now_s, reserve, lock, salvaged=salvaged)

    # --- writing ----------------------------------------------------------------------------------

    def add(self, sample: Sample) -> int:
        """Keep a sample; it is on disk after the next flush. Returns its number."""
        return self._writer.add(sample)

    def note(self, event: Event) -> None:
        """Keep something that a person should know; written with the next flush."""
        self.database.note(event)

    def close(self, closing: Closing) -> None:
        """Keep what a sample closed; written with the next flush."""
        self._writer.close(closing)

    def keep(self, state: ForecastState) -> None:
        """Keep what was learned of an asset; written with the next flush that writes anything."""
        self._writer.keep(state)

    @property
    def waiting(self) -> int:
        """Samples that are not on disk yet."""
        return self._writer.sample_count

    @property
    def unwritten(self) -> str:
        """What is only in memory, for people; empty where everything is on disk."""
        return self._writer.unwritten

    @property
    def last_number(self) -> int:
        """The number of the newest sample that was added."""
        return self.tables.samples.last_number

    @property
    def disk_is_full(self) -> bool:
        """Whether samples are thinned before they are written, because the disk is full."""
        return self._writer.disk_is_full

    def flush(self) -> bool:
        """Write all that waits, in one transaction; returns whether there was something."""
        return self._writer.flush()

    def rescue(self) -> None:
        """What waits does not fit what is in the file: write what can be written of it."""
        self._writer.rescue()

    def prune(self, now_s: float | None) -> None:
        """Remove what is older than the limits allow; where the file is too large, thin the oldest
        samples, and then remove them.

        The newest hour of samples always stays: the fold runs over it after a restart. Nothing is
        too old where nobody knows what time it is (None), or as long as the fold has not seen it.
        """
        self.flush()
        samples = self.tables.samples
        oldest = 0
        if now_s is not None:
            _remove_old(self.database, self.tables, int(now_s - self.limits.keep_slots_s))
            oldest = samples.last_before(int((now_s - self.limits.keep_samples_s) * 1000))
        newest = (
            samples.last_before_hour()
            if now_s is None
            else samples.last_before(int((now_s - 3600) * 1000))
        )

        for _ in range(REMOVALS):
            if samples.remove(oldest):
                continue
            if self.size_bytes <= self.limits.max_bytes:
                break
            if not (samples.thin(newest) or samples.remove(newest)):
                break

    # --- samples and the fold ---------------------------------------------------------------------

    def samples(
        self, after: int = 0, since_ms: int | None = None, until_ms: int | None = None
    ) -> Iterator[tuple[int, Sample]]:
        """Samples on disk in the order they were taken, numbered, after a number or within a
        time.
        """
        return self.tables.samples.read(after, since_ms, until_ms)

    def devices(self) -> set[str]:
        """The devices that samples were ever kept of."""
        return self.tables.samples.devices()

    def quantities(self) -> set[str]:
        """Every quantity that some sample may hold."""
        return self.tables.samples.quantities()

    def counters(self) -> dict[str, tuple[int, MeterState]]:
        """For every device: the number of the sample, and the fold's state as of it."""
        return self.tables.counters.read()

    def newest_offset_ms(self, boot_id: str) -> int | None:
        """UTC − boot time by which the newest sample on disk was dated, if it was and is of this
        boot.
        """
        return self.tables.undated.newest_offset_ms(boot_id)

    def undated(self) -> list[Stretch]:
        """What has no UTC yet, boot by boot in the order of the samples. Writes what waits."""
        self.flush()
        return self.tables.undated.stretches()

    def undatable_boots(self) -> set[str]:
        """The boots whose samples were dated with too much room to say anything about
        slots.
        """
        return self.tables.undated.undatable_boots()

    def date_samples(self, dating: Dating) -> bool:
        """Give UTC to some samples of a boot that have none. Returns whether there are more."""
        self.flush()
        return self.tables.undated.date(dating)

    # --- slots ------------------------------------------------------------------------------------

    def slots_at(self, start_s: int) -> list[Slot]:
        """All meters' slots that start then, each in its newest revision, also those that still
        wait to be written.
        """
        waiting = (
            slot
            for closing in self._writer.closings.at(start_s)
            for slot in closing.slots
            if slot.start_s == start_s
        )
        found: dict[tuple[str, str, str | None], Slot] = {}
        for slot in (*self.tables.slots.at(start_s), *waiting):
            key = slot.device, slot.direction, slot.serial_number
            if key not in found or slot.revision > found[key].revision:
                found[key] = slot
        return list(found.values())

    def slots(self, since_s: int = 0, until_s: int = ALWAYS_S) -> Iterator[Slot]:
        """All meters' slots of a time, in its order."""
        return self.tables.slots.between(since_s, until_s)

    def asset_slot(self, asset: UUID, start_s: int) -> AssetSlot | None:
        """The newest revision of an asset's slot, also where it still waits to be written."""
        waiting = (
            slot
            for closing in self._writer.closings.at(start_s)
            for slot in closing.asset_slots
            if (slot.asset, slot.start_s) == (asset, start_s)
        )
        written = self.tables.asset_slots.at(asset, start_s)
        found = (*((written,) if written else ()), *waiting)
        return max(found, key=lambda slot: slot.revision, default=None)

    def asset_slots(self, since_s: int = 0, until_s: int = ALWAYS_S) -> Iterator[AssetSlot]:
        """All assets' slots of a time, in its order."""
        return self.tables.asset_slots.between(since_s, until_s)

    def unallocated(self, number: int | None = None) -> Iterator[UnallocatedRecord]:
        """What is on record as unallocated, oldest first, or the one of that number."""
        return self.tables.unallocated.records(number)

    def unallocated_total(self) -> tuple[int, int]:
        """How many records nobody has allocated, and their energy in µWh."""
        return self.tables.unallocated.total()

    def allocate(
        self,
        record: UnallocatedRecord,
        slots: Sequence[Slot],
        owed: Sequence[Owed],
        by: str | None,
        now_s: float,
        asset_slots: Sequence[AssetSlot] = (),
    ) -> bool:
        """Put unallocated energy into slots that are there, or out of them again where `by` is
        None, in one transaction: `slots` are their next revisions, `asset_slots` and `owed` what
        follows for assets and destinations. Returns False, and does nothing, where somebody else
        has done so or written one of the slots meanwhile.
        """
        tables = self.tables
        with self.database.transaction():
            if not (tables.unallocated.is_as_read(record) and tables.slots.are_next(slots)):
                return False
            tables.unallocated.mark(record, by, now_s)
            tables.slots.write(slots)
            tables.asset_slots.write(asset_slots)
            tables.changes.note(slots, asset_slots)
            tables.outbox.write(owed)
        return True

    # --- the outbox -------------------------------------------------------------------------------

    def outbox(self, destination: str) -> DestinationOutbox:
        """What one destination is owed, as its delivery asks for it and writes it down."""
        return self.tables.outbox.of(destination)

    def owed(
        self, since_s: int = 0, until_s: int = ALWAYS_S, *, destination: str | None = None
    ) -> Iterator[Owed]:
        """Everything owed for slots of a time, to one destination or to all, in its order, whatever
        became of it.
        """
        return self.tables.outbox.owed(since_s, until_s, destination)

    def newest_owed(
        self,
        subject: Subject,
        slot_s: int,
        destination: str = EXCHANGE,
        kind: Kind = "measurement",
    ) -> Owed | None:
        """The newest revision of what a destination is owed, also where it waits to be written."""
        this = destination, subject, slot_s, kind
        waiting = (
            owed
            for closing in self._writer.closings.at(slot_s)
            for owed in closing.owed
            if (owed.item.destination, owed.item.subject, owed.item.slot_s, owed.item.kind) == this
        )
        found = (*waiting, *self.tables.outbox.revisions(destination, subject, slot_s, kind))
        return max(found, key=lambda owed: owed.item.revision, default=None)

    def not_begun(self, now_s: float, slot_s: int) -> list[Item]:
        """What waits for slots that have not begun: of a clock that was ahead."""
        return self.tables.outbox.not_begun(now_s, slot_s)

    def retry(self, items: Sequence[Item]) -> int:
        """Rejected, missed, disputed and assumed items are owed again. Returns how many."""
        return self.tables.outbox.retry(items)

    def give_up(self, items: Sequence[Item], reason: str, now_s: float) -> int:
        """Pending and sent items are missed, for that reason. Returns how many."""
        return self.tables.outbox.give_up(items, reason, now_s)

    # --- the store itself -------------------------------------------------------------------------

    def latest_events(self, limit: int = 20) -> list[str]:
        """The newest events, newest first, as lines for people."""
        return self.tables.events.latest(limit)

    @property
    def sample_count(self) -> int:
        """Samples on disk."""
        return self.tables.samples.count

    @property
    def slot_count(self) -> int:
        """Slots on disk."""
        return self.tables.slots.count

    @property
    def size_bytes(self) -> int:
        """Size of the store without what has been freed in it, with its write-ahead log."""
        return self.database.size_bytes

    def check_some(self, rows: int = CHECKED_AT_ONCE) -> bool:
        """Look at some rows, once a day at all. Returns whether all have been looked at."""
        return self.tables.integrity.check_some(rows)

    def damage(self) -> list[str]:
        """Reads the whole file, and looks at every row; says what is wrong."""
        return self.tables.integrity.damage()

    def copy_to(self, path: Path) -> str:
        """Write all that is committed now into an empty file, and read it back; says what is in
        it.
        """
        return copy_to(self.database, path)

    def close_file(self) -> bool:
        """Write what waits, and close the file; returns whether there was something to write."""
        try:
            return self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is. Whoever asks it something later gets an error, and nothing is
        set aside for that.
        """
        self.database.close()


def _remove_old(database: Database, tables: Tables, oldest_s: int) -> None:
    """Remove slots, and what was owed for them, that began before a time."""
    with database.transaction():
        tables.outbox.remove_before(oldest_s)
        tables.unallocated.remove_before(oldest_s)
        tables.grid_fees.remove_before(oldest_s)

        # What a destination is still owed keeps its slots, and all that are newer.
        kept_s = tables.outbox.oldest_slot_s()
        before_s = oldest_s if kept_s is None else min(oldest_s, kept_s)
        tables.slots.remove_before(before_s)
        tables.asset_slots.remove_before(before_s)
