"""What waits to be written, the transaction that writes it, and what a full disk makes of it."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from drivers.sample import Sample
from gateway.energy.slot import Event, TakenBack
from gateway.store.database import Database
from gateway.store.errors import FREE_SPACE, DiskFull, Locked, Reopened
from gateway.store.file_lock import FileLock
from gateway.store.forecast_state_table import ForecastState
from gateway.store.pending_writes import RecentClosings, WaitingClosings, bounded, thinned
from gateway.store.reserve import Reserve
from gateway.store.rows import Closing
from gateway.store.tables import Tables
from gateway.timing.utc import utc_seconds

log = logging.getLogger(__name__)

TRIED_ANYWAY = 200
"""Where more slots than this wait, a full disk is tried again only when it has more room."""


class Writer:
    """Samples and closings that wait, until they are on disk."""

    def __init__(self, database: Database, tables: Tables, slot_s: int) -> None:
        self._database = database
        self._tables = tables
        self._slot_s = slot_s
        """Thinned samples keep what lies at its boundaries."""
        self._samples: list[tuple[int, Sample]] = []
        self.closings = WaitingClosings()
        self._recent = RecentClosings()
        self._forecast_states: dict[UUID, ForecastState] = {}
        self._is_other_file = False
        """What was written last may not be in it."""
        self.disk_is_full = False
        """Samples are thinned before they are written, and the reserve has been given up."""
        self._lacks_reserve = False
        """It has been given up, or could not be made yet."""
        self._locked = False
        """Another program's lock has kept the last flush from writing."""

    def begin(self) -> None:
        """Another file is in use."""
        self._is_other_file = len(self._recent) > 0

    def forget(self) -> None:
        """Nothing is remembered of what a transaction writes."""

    def own(self, now_s: float, reserve: Reserve, lock: FileLock, *, salvaged: bool) -> None:
        """From now on this is the daemon's; some of it may have been lost just now. Raises
        StoreError where it is being repaired.
        """
        self._database.attach(self)
        self._database.own(now_s, reserve, lock)
        self._tables.outbox.own(salvaged=salvaged)
        self._lacks_reserve = not reserve.take()
        self.disk_is_full = self._lacks_reserve and reserve.lacks_room

    def add(self, sample: Sample) -> int:
        """Keep a sample; returns its number."""
        number = self._tables.samples.take_number()
        self._samples.append((number, sample))
        self._samples = bounded(self._samples, self._slot_s)
        if sample.utc_ms is not None:
            self._database.now_s = max(self._database.now_s, sample.utc_ms / 1000)
            self._tables.outbox.clock_is_right(sample.utc_ms / 1000, self._slot_s)
        return number

    def close(self, closing: Closing) -> None:
        """Keep what a sample closed."""
        for event in self.closings.add(closing):
            self._database.note(event)

    def keep(self, state: ForecastState) -> None:
        """Keep what was learned of an asset from slots that are written by then, or with it. It can
        be learned again: a full disk has no room for it.
        """
        self._forecast_states[state.asset] = state

    @property
    def sample_count(self) -> int:
        """Samples that wait."""
        return len(self._samples)

    @property
    def unwritten(self) -> str:
        """What is only in memory, for people; empty where everything is on disk."""
        starts = [slot.start_s for closing in self.closings for slot in closing.slots]
        found = [f"{len(self._samples)} samples"] if self._samples else []
        if starts:
            first, last = utc_seconds(min(starts)), utc_seconds(max(starts))
            found.append(f"{len(starts)} slots of meters, from {first} to {last}")
        return " and ".join(found)

    def flush(self) -> bool:
        """Write all that waits, in one transaction; returns whether there was something. Nothing is
        forgotten where the disk refuses but samples, which are thinned where it is full.
        """
        if not self._samples and not self.closings and not self._database.waiting_events:
            return False

        reserve = self._database.reserve
        if self._database.access.found_books:
            self._begin_anew()
        if self.disk_is_full:
            self._samples = thinned(self._samples, self._slot_s)
            if len(self.closings) > TRIED_ANYWAY and reserve and not reserve.is_worth_a_try:
                raise DiskFull(
                    f"{self._database.path}: cannot write: the disk is still full; {FREE_SPACE}"
                )

        waited = len(self._samples)
        try:
            self._write_all_open()
        except Locked as error:
            self._note_lock(error)
            raise
        except DiskFull:
            if reserve is None:
                raise
            self._write_into(reserve)

        if self._locked:
            self._locked = False
            text = f"can be written again; {waited} samples that had waited are on disk"
            self._note("unlocked", text)
        if self._lacks_reserve and reserve and reserve.take():
            self._lacks_reserve = False
            if self.disk_is_full:
                self.disk_is_full = False
                self._database.warn(
                    "room", "the disk has room again; samples are kept as they are taken"
                )
        return True

    def _write_all_open(self) -> None:
        """As `_write_all`, at once also where the file had to be opened again for it."""
        try:
            self._write_all()
        except Reopened:
            if self._database.access.found_books:
                self._begin_anew()
            self._write_all()

    def _begin_anew(self) -> None:
        """A file with books has turned up: the folds have to go on from them, over the samples that
        wait. What they closed without them is nothing.
        """
        self._database.access.found_books = False
        self._database.access.begun_anew = True
        self.closings.clear()
        self._forecast_states.clear()
        take = self._tables.samples.take_number
        self._samples = [(take(), sample) for _, sample in self._samples]

    def rescue(self) -> None:
        """What waits does not fit what is in the file, and the daemon ends: write the samples
        alone, under new numbers. After a restart they are folded anew, and close again what they
        closed. Raises StoreError.
        """
        samples = self._tables.samples
        samples.begin()
        self._samples = [(samples.take_number(), sample) for _, sample in self._samples]
        for closing in self.closings:
            self._database.waiting_events.extend(closing.events)
        self.closings.clear()
        self._forecast_states.clear()

        count = len(self._samples)
        self._write_all()
        log.warning(
            "%s: %d samples that waited are on disk; what they closed is settled again after the "
            "restart",
            self._database.path,
            count,
        )

    def _note_lock(self, error: Locked) -> None:
        """Once per lock; the log says it through the store's health."""
        if not self._locked:
            self._locked = True
            self._note("locked", f"{error}; what is new waits in memory")

    def _note(self, kind: str, text: str) -> None:
        self._database.note(Event(int(self._database.now_s * 1000), "", kind, text))

    def _write_into(self, reserve: Reserve) -> None:
        """The disk is full: give up the reserve and samples, and try once more."""
        newest = self._make_room(reserve)
        try:
            self._tables.samples.remove(newest)
            self._write_all()
        except DiskFull:
            reserve.note_refusal()
            raise

    def _make_room(self, reserve: Reserve) -> int:
        """Give up the reserve, and thin samples. Returns the number of the newest one that can be
        done without.
        """
        reserve.give_up()
        self._lacks_reserve = True
        if not self.disk_is_full:
            self.disk_is_full = True
            self._database.warn(
                "full",
                "the disk is full; samples are thinned to those at slot boundaries, slots go on "
                "in the reserve",
            )
        self._samples = thinned(self._samples, self._slot_s)

        newest = self._tables.samples.last_before(int((self._database.now_s - 3600) * 1000))
        with contextlib.suppress(DiskFull):
            self._tables.samples.thin(newest)
        return newest

    def _write_all(self) -> None:
        tables = self._tables
        new_slots = 0
        written: list[Closing] = []
        last: dict[str, Closing] = {}
        with self._database.transaction():
            # Inside: to begin it may have had something to tell.
            events = [
                *self._database.waiting_events,
                *(event for closing in self.closings for event in closing.events),
            ]
            if self._is_other_file:
                new_slots += self._write_recent()
            tables.samples.write(self._samples)
            self._withdraw(self.closings.taken_back)
            tables.unallocated.write(self.closings.lost)
            for closing in self.closings:
                if closing.keeps_state:
                    last[closing.device] = closing
                new_slots += tables.slots.write(closing.slots)
                tables.asset_slots.write(closing.asset_slots)
                # What only counts as accepted does so when it is written again, too.
                owed = tables.outbox.write(closing.owed)
                written.append(replace(closing, owed=owed))
                tables.changes.note(closing.slots, closing.asset_slots, owed)
                self._withdraw(closing.taken_back)
                tables.unallocated.write(closing.unallocated)
            self._write_states(last)
            tables.events.write(events)
            if not self.disk_is_full:
                tables.forecast_states.write(self._forecast_states.values())

        self._is_other_file = False
        self._recent.add(written)
        tables.samples.count += len(self._samples)
        tables.slots.count += new_slots
        self._samples.clear()
        self.closings.clear()
        self._forecast_states.clear()
        self._database.waiting_events.clear()

    def _write_states(self, last: Mapping[str, Closing]) -> None:
        """Of each meter the last one alone. Each would take the place of the one before, and while
        a disk refuses for hours, packing all of them with each attempt takes more time than all
        else.
        """
        for each in last.values():
            self._tables.counters.write(each.device, each.sample_id, each.state)

    def _withdraw(self, taken_back: Sequence[TakenBack]) -> None:
        for each in taken_back:
            self._tables.unallocated.withdraw(each)

    def _write_recent(self) -> int:
        """What the file that was lost had in its log may not be in this one; what is there already
        stays. Returns how many slots are new.
        """
        tables = self._tables
        new_slots = 0
        last: dict[str, Closing] = {}
        for closing in self._recent:
            if closing.keeps_state:
                last[closing.device] = closing
            new_slots += tables.slots.write(closing.slots)
            tables.asset_slots.write(closing.asset_slots)
            tables.outbox.write(closing.owed, again=True)
            tables.changes.note(closing.slots, closing.asset_slots, closing.owed)
            self._withdraw(closing.taken_back)
            lost = [each for each in closing.unallocated if not tables.unallocated.has(each)]
            tables.unallocated.write(lost)
        self._write_states(last)
        return new_slots
