"""A simulated disk: the gateway's real `sqlite3` on a real file meets power cuts, kills, and a disk
that is full, read-only or failing.

    with Disk(folder) as disk:
        disk.stop_at(disk.writes + 17, loop.stop)
        …                        # runs until the disk stops at that operation
        disk.cut_power(rng)      # or disk.kill()
        disk.revive()
        …                        # opens its files again, as after a boot

In process, without threads, and the same at every run: what is lost is drawn from the caller's
`Random`. What SQLite writes goes to the real file at once; until it is synced, what was there
before is kept in a log of sectors. A sync clears that log and does not reach the real disk.

**How nasty it is**: as a disk may be, and not more than SQLite expects of one
(https://www.sqlite.org/atomiccommit.html, sections 2 and 3.7 to 3.11;
https://www.sqlite.org/psow.html).

- After a power cut every sector (512 bytes) that was written since the last sync of its file holds
  any of the contents it had since, independent of all others: writes are lost and reordered; the
  one that was under way is torn. Now and then a sector itself is torn between two contents, at any
  byte, from either end. Bytes that nobody wrote keep their values ("powersafe overwrite").
- A file's size is any it had since its sync. What it has grown by without its content having
  arrived holds zeros, or noise.
- A file that was made, or deleted, may not be or be there again, until its folder was synced.
  SQLite does that with the first sync of each journal and log it opens, and where it asks for it on
  deletion.
- After a sync that failed, what it should have saved is at risk until it is written again, though
  later syncs succeed (Linux).
- A kill loses nothing that was written: it lies in the kernel. What was unsynced stays so.
- A write may fail as a whole, not in part. Unless it is told to, a disk does not lie about a sync;
  what it has synced never rots.

Only what SQLite does is seen. Python's own changes (renaming a damaged file, `chmod`) are done at
once, for good. But `os.statvfs` and `os.posix_fallocate` tell of a full disk, too.

**Connections of the abandoned process** are still there after a kill, in Python's memory. They keep
what they had open, which lies under no name any more; the files go on as copies. They get no lock
and can write and delete nothing, so closing them, or their being collected, touches nothing; and
their own locks are in nobody's way.
"""

import ctypes
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from tests.simulation.room import Room
from tests.simulation.sqlite_shim import (
    SQLITE_OPEN_CREATE,
    SQLITE_OPEN_MAIN_JOURNAL,
    SQLITE_OPEN_READONLY,
    SQLITE_OPEN_READWRITE,
    SQLITE_OPEN_SUPER_JOURNAL,
    SQLITE_OPEN_WAL,
    OpenFile,
    Opening,
    the_shim,
)
from tests.simulation.unsynced import SECTOR_BYTES, Deleted, Record, Unsynced

SURVIVING = (0.0, 0.1, 0.5, 0.9, 1.0)
"""The share of unsynced changes that survive a power cut; one of these is drawn at each."""

_OPENED_WITH_FOLDER_SYNC = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL


class Disk:
    """The disk that holds a folder. Everything of SQLite's below it that is opened inside the
    context is on this disk.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ShimError where this Python's SQLite cannot be reached, ValueError where there is
        no such folder.
        """
        if not folder.is_dir():
            raise ValueError(f"{folder}: is not a folder; make it first")
        self.folder = os.path.realpath(folder)
        self.writes = 0
        """Writes, truncations, syncs and deletions so far, also those that failed."""
        self.waits = 0
        """How often SQLite has waited for a lock, in steps of some milliseconds."""
        self.read_only = False
        """The system has made it read-only after an error: nothing can be written, and what is
        opened now is opened for reading.
        """
        self.failing = False
        """Every write, truncation, sync and deletion ends with an I/O error."""
        self.lying = False
        """What it says is synced is not. SQLite cannot live with that: a test that still finds
        nothing wrong does not look.
        """
        self._shim = the_shim()
        self._off = False
        self.room = Room(self.folder)
        self._stop: tuple[int, Callable[[], None]] | None = None
        """At which operation, and what is done then."""
        self._unsynced = Unsynced(self.folder)
        self._buffer = ctypes.create_string_buffer(64 * 1024)

    def __enter__(self) -> Self:
        self._shim.watch(self)
        self.room.watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises what went wrong inside the simulated disk, unless something else was raised."""
        self._shim.leave(self)
        self.room.leave()
        if error is None:
            self._raise_what_went_wrong()

    # --- what the simulation does to it -----------------------------------------------------------

    @property
    def full(self) -> bool:
        """As `Room.full`."""
        return self.room.full

    @full.setter
    def full(self, full: bool) -> None:
        self.room.full = full

    @property
    def off(self) -> bool:
        """Whether it has stopped: every operation fails until `revive`."""
        return self._off

    def stop_at(self, writes: int | None, then: Callable[[], None]) -> None:
        """Stop when `writes` reaches this number: that operation is under way and not finished.
        `then` is called, inside SQLite's own call, so it must only take note. None: do not stop.
        Raises ValueError for a number that is past.
        """
        self._raise_what_went_wrong()
        if writes is not None and writes <= self.writes:
            raise ValueError(f"{writes} operations are past: {self.writes} are done")
        self._stop = None if writes is None else (writes, then)

    def kill(self) -> None:
        """End the process that has files open: what it wrote stays, and its connections can do
        nothing any more.
        """
        self._raise_what_went_wrong()
        self._abandon()

    def cut_power(self, rng: Random) -> None:
        """As `kill`, and of what was not synced much is lost."""
        self._raise_what_went_wrong()
        self._abandon()
        self._unsynced.cut_power(rng, rng.choice(SURVIVING))

    def revive(self) -> None:
        """Go on: files can be opened again."""
        self._raise_what_went_wrong()
        # Only now: whoever is still dying sees the files it has open under their names.
        self._unsynced.move_on(lambda _: None)
        self._off = False

    # --- what SQLite does to it -------------------------------------------------------------------

    def open(self, opening: Opening) -> int:
        """SQLite opens a file."""
        if self._off:
            return sqlite3.SQLITE_CANTOPEN
        if self.read_only:
            # As on a real one: what may be written is then opened for reading, if it is there.
            opening.flags = (
                opening.flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY
            )
        is_new = not Path(opening.path).exists()
        code = opening.proceed(shares_readonly=self.read_only)
        if code or opening.file is None:
            return code
        status = Path(opening.path).stat()
        record = self._unsynced.records.get(opening.path)
        if record is not None and not is_new and record.inode != status.st_ino:
            self._unsynced.sync_folder(opening.path)  # Python has put another file there
        if record is None or is_new or record.inode != status.st_ino:
            record = self._unsynced.records[opening.path] = Record(
                opening.path, status.st_ino, status.st_size
            )
        record.size = status.st_size
        if is_new:
            self._unsynced.entries.setdefault(opening.path, []).append(None)
        opening.file.record = record
        return code

    def write(self, file: OpenFile, data: int, amount: int, offset: int) -> int:
        """SQLite writes."""
        if self._off:
            return sqlite3.SQLITE_IOERR_WRITE
        self.writes += 1
        code = sqlite3.SQLITE_IOERR_WRITE
        if not self.failing and not self.read_only:
            record: Record = file.record
            end = offset + amount
            if end > record.size and not self.room.has(end - record.size):
                code = sqlite3.SQLITE_FULL
            else:
                self._keep(file, record, offset, end)
                code = file.write(data, amount, offset)
                if end > record.size:
                    record.resized(end)
        return sqlite3.SQLITE_IOERR_WRITE if self._stops() else code

    def truncate(self, file: OpenFile, size: int) -> int:
        """SQLite cuts a file off."""
        if self._off:
            return sqlite3.SQLITE_IOERR_TRUNCATE
        self.writes += 1
        code = sqlite3.SQLITE_IOERR_TRUNCATE
        if not self.failing and not self.read_only:
            record: Record = file.record
            self._keep(file, record, size, record.size)
            code = file.truncate(size)
            record.resized(size)
        return sqlite3.SQLITE_IOERR_TRUNCATE if self._stops() else code

    def sync(self, file: OpenFile) -> int:
        """SQLite syncs a file, and with the first sync of a journal or log its folder."""
        if self._off:
            return sqlite3.SQLITE_IOERR_FSYNC
        self.writes += 1
        if self._stops():
            return sqlite3.SQLITE_IOERR_FSYNC
        record: Record = file.record
        if self.failing or (self.read_only and record.sectors):
            record.not_synced()
            return sqlite3.SQLITE_IOERR_FSYNC
        if self.lying:
            return sqlite3.SQLITE_OK
        record.synced()
        if file.flags & SQLITE_OPEN_CREATE and file.flags & _OPENED_WITH_FOLDER_SYNC:
            file.flags &= ~SQLITE_OPEN_CREATE
            self._unsynced.sync_folder(file.path)
        return sqlite3.SQLITE_OK

    def delete(self, path: str, pass_on: Callable[[], int], *, sync_folder: bool) -> int:
        """SQLite deletes a file."""
        if self._off:
            return sqlite3.SQLITE_IOERR_DELETE
        self.writes += 1
        if self._stops() or self.failing or self.read_only:
            return sqlite3.SQLITE_IOERR_DELETE
        former = (
            Deleted(Path(path), self._unsynced.records.get(path)) if Path(path).exists() else None
        )
        code = pass_on()
        if former is not None and code == sqlite3.SQLITE_OK:
            self._unsynced.entries.setdefault(path, []).append(former)
            self._unsynced.records.pop(path, None)
        if sync_folder:
            self._unsynced.sync_folder(path)
        return code

    def share(
        self, file: OpenFile, pass_on: Callable[[], int], *, region_bytes: int, extend: bool
    ) -> int:
        """SQLite maps the index of the log, a file of its own beside the database."""
        if self._off:
            return sqlite3.SQLITE_IOERR_SHMMAP
        memory = Path(f"{file.path}-shm")
        grows = region_bytes - (memory.stat().st_size if memory.exists() else 0)
        if extend and grows > 0:
            if self.failing or self.read_only:
                return sqlite3.SQLITE_IOERR_SHMSIZE
            if not self.room.has(grows):
                return sqlite3.SQLITE_IOERR_SHMSIZE
        return pass_on()

    # --- inside -----------------------------------------------------------------------------------

    def _stops(self) -> bool:
        if self._stop is None or self.writes != self._stop[0]:
            return False
        self._off = True
        (_, then), self._stop = self._stop, None
        then()
        return True

    def _keep(self, file: OpenFile, record: Record, begin: int, end: int) -> None:
        """Keep what is in the sectors from one byte to another."""
        first, last = begin // SECTOR_BYTES, (end - 1) // SECTOR_BYTES
        there = min((last + 1) * SECTOR_BYTES, record.size) - first * SECTOR_BYTES
        before = b""
        if there > 0:
            if there > len(self._buffer):
                self._buffer = ctypes.create_string_buffer(2 * there)
            address = ctypes.addressof(self._buffer)
            code = file.read(address, there, first * SECTOR_BYTES)
            if code not in (sqlite3.SQLITE_OK, sqlite3.SQLITE_IOERR_SHORT_READ):
                raise OSError(
                    f"{file.path}: cannot be read by the simulated disk: SQLite's code {code}"
                )
            before = ctypes.string_at(address, there)
        record.changed(first, before, last - first + 1)

    def _abandon(self) -> None:
        """End all connections."""
        self._off = True
        self._stop = None
        for file in self._shim.files.values():
            if file.watcher is self and not file.dead:
                file.abandon()
                if file.record.in_place():
                    self._unsynced.abandoned[file.path] = file.record

    def _raise_what_went_wrong(self) -> None:
        errors, self._shim.errors[:] = [*self._shim.errors], []
        if errors:
            raise errors[0]
