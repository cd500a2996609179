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
before is kept in a log of sectors. A sync clears that log and does not trouble the real disk.

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
import errno
import functools
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

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

SECTOR_BYTES = 512

SURVIVING = (0.0, 0.1, 0.5, 0.9, 1.0)
"""The share of unsynced changes that survive a power cut; one of these is drawn at each."""

_OPENED_WITH_FOLDER_SYNC = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL


class _Record:
    """What is not synced yet of one file."""

    __slots__ = ("inode", "lost", "path", "sectors", "size", "sizes")

    def __init__(self, path: str, inode: int, size: int) -> None:
        self.path = path
        self.inode = inode
        self.size = size
        self.sizes: list[int] = []
        """The sizes it had since its last sync, before this one."""
        self.sectors: dict[int, list[bytes]] = {}
        """The contents its sectors had since then, before this one. What lies beyond the end of the
        file is missing in them.
        """
        self.lost: dict[int, list[bytes]] = {}
        """The same of sectors that a failed sync did not save: the kernel takes them for clean, so
        no later sync will.
        """

    @property
    def is_unsynced(self) -> bool:
        return bool(self.sectors or self.lost or self.sizes)

    def in_place(self) -> bool:
        """Whether its name still means this file: Python may have renamed it."""
        path = Path(self.path)
        return path.exists() and path.stat().st_ino == self.inode

    def synced(self) -> None:
        self.sectors.clear()
        self.sizes.clear()

    def not_synced(self) -> None:
        for sector, contents in self.sectors.items():
            self.lost[sector] = self.lost.get(sector, []) + contents
        self.sectors.clear()

    def changed(self, first: int, before: bytes, count: int) -> None:
        """Keep what was in `count` sectors from the first one on, as much of it as there was."""
        sectors, lost = self.sectors, self.lost
        for n in range(count):
            content = before[n * SECTOR_BYTES : (n + 1) * SECTOR_BYTES]
            if first + n in sectors:
                sectors[first + n].append(content)
            else:
                sectors[first + n] = [*lost.pop(first + n, ()), content]

    def resized(self, size: int) -> None:
        if size != self.size:
            self.sizes.append(self.size)
            self.size = size

    def rewind(self, fd: int, rng: Random, survive: float) -> None:
        """Put back what a power cut leaves of it. `fd` is a copy of the file as it was last
        written.
        """
        unsynced = {**self.lost, **self.sectors}
        now = os.fstat(fd).st_size
        size = rng.choice(self.sizes) if self.sizes and rng.random() >= survive else now
        noise = rng.random() < 0.25
        for sector in sorted(unsynced):
            contents = [*unsynced[sector], os.pread(fd, SECTOR_BYTES, sector * SECTOR_BYTES)]
            n = len(contents) - 1 if rng.random() < survive else rng.randrange(len(contents) - 1)
            content = contents[n]
            if n < len(contents) - 1 and rng.random() < 0.125:
                content = _torn(content, contents[n + 1], rng)
            # What was cut off is there again where the cutting off was lost.
            for earlier in reversed(contents[:n]):
                content += earlier[len(content) :]
            room = min(SECTOR_BYTES, size - sector * SECTOR_BYTES)
            if room > 0:
                missing = max(room - len(content), 0)
                content += rng.randbytes(missing) if noise else bytes(missing)
                os.pwrite(fd, content[:room], sector * SECTOR_BYTES)
        os.ftruncate(fd, size)
        self.synced()
        self.lost.clear()


class _Deleted:
    """A file as it was when it was deleted."""

    def __init__(self, path: Path, record: _Record | None) -> None:
        self.content = path.read_bytes()
        self.mode = path.stat().st_mode
        self.record = record


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
        self.capacity_bytes: int | None = None
        """How much the files of the folder may hold together; None is more than anybody needs."""
        self._stop_at: int | None = None
        self._then: Callable[[], None] = _nothing
        self._records: dict[str, _Record] = {}
        self._entries: dict[str, list[_Deleted | None]] = {}
        """What the folder held under a name since it was synced, before what it holds now."""
        self._abandoned: dict[str, _Record] = {}
        """Files that abandoned connections have open."""
        self._buffer = ctypes.create_string_buffer(64 * 1024)

    def __enter__(self) -> Self:
        self._shim.watch(self)
        self._asked = os.statvfs, os.posix_fallocate
        os.statvfs, os.posix_fallocate = self._statvfs, self._fallocate
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises what went wrong inside the simulated disk, unless something else was raised."""
        self._shim.leave(self)
        os.statvfs, os.posix_fallocate = self._asked
        if error is None:
            self._raise_what_went_wrong()

    # --- what the simulation does to it -----------------------------------------------------------

    @property
    def full(self) -> bool:
        """Files cannot grow beyond what the folder holds now; what is deleted in it, by anybody,
        makes room again.
        """
        return self.capacity_bytes is not None

    @full.setter
    def full(self, full: bool) -> None:
        self.capacity_bytes = self._used_bytes() if full else None

    @property
    def free_bytes(self) -> int | None:
        """What the folder has room for; None where that is more than anybody needs."""
        return (
            None
            if self.capacity_bytes is None
            else max(self.capacity_bytes - self._used_bytes(), 0)
        )

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
        self._stop_at, self._then = writes, then

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
        survive = rng.choice(SURVIVING)
        for path, record in self._records.items():
            if record.is_unsynced and record.in_place():
                self._abandoned[path] = record
        self._move_on(lambda record: functools.partial(record.rewind, rng=rng, survive=survive))
        for path in sorted(self._entries):
            if rng.random() >= survive:
                self._put_back(path, rng.choice(self._entries[path]), rng, survive)
        self._entries.clear()
        self._records.clear()
        for memory in Path(self.folder).rglob("*-shm"):
            memory.unlink()

    def revive(self) -> None:
        """Go on: files can be opened again."""
        self._raise_what_went_wrong()
        # Only now: whoever is still dying sees the files it has open under their names.
        self._move_on(lambda _: None)
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
        record = self._records.get(opening.path)
        if record is not None and not is_new and record.inode != status.st_ino:
            self._sync_folder(opening.path)  # Python has put another file there
        if record is None or is_new or record.inode != status.st_ino:
            record = self._records[opening.path] = _Record(
                opening.path, status.st_ino, status.st_size
            )
        record.size = status.st_size
        if is_new:
            self._entries.setdefault(opening.path, []).append(None)
        opening.file.record = record
        return code

    def write(self, file: OpenFile, data: int, amount: int, offset: int) -> int:
        """SQLite writes."""
        if self._off:
            return sqlite3.SQLITE_IOERR_WRITE
        self.writes += 1
        code = sqlite3.SQLITE_IOERR_WRITE
        if not self.failing and not self.read_only:
            record: _Record = file.record
            end = offset + amount
            if (
                end > record.size
                and self.capacity_bytes is not None
                and self._used_bytes() + end - record.size > self.capacity_bytes
            ):
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
            record: _Record = file.record
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
        record: _Record = file.record
        if self.failing or (self.read_only and record.sectors):
            record.not_synced()
            return sqlite3.SQLITE_IOERR_FSYNC
        if self.lying:
            return sqlite3.SQLITE_OK
        record.synced()
        if file.flags & SQLITE_OPEN_CREATE and file.flags & _OPENED_WITH_FOLDER_SYNC:
            file.flags &= ~SQLITE_OPEN_CREATE
            self._sync_folder(file.path)
        return sqlite3.SQLITE_OK

    def delete(self, path: str, pass_on: Callable[[], int], *, sync_folder: bool) -> int:
        """SQLite deletes a file."""
        if self._off:
            return sqlite3.SQLITE_IOERR_DELETE
        self.writes += 1
        if self._stops() or self.failing or self.read_only:
            return sqlite3.SQLITE_IOERR_DELETE
        former = _Deleted(Path(path), self._records.get(path)) if Path(path).exists() else None
        code = pass_on()
        if former is not None and code == sqlite3.SQLITE_OK:
            self._entries.setdefault(path, []).append(former)
            self._records.pop(path, None)
        if sync_folder:
            self._sync_folder(path)
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
            if self.capacity_bytes is not None and self._used_bytes() + grows > self.capacity_bytes:
                return sqlite3.SQLITE_IOERR_SHMSIZE
        return pass_on()

    # --- inside -----------------------------------------------------------------------------------

    def _stops(self) -> bool:
        if self.writes != self._stop_at:
            return False
        self._off = True
        self._stop_at = None
        self._then()
        return True

    def _keep(self, file: OpenFile, record: _Record, begin: int, end: int) -> None:
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

    def _sync_folder(self, path: str) -> None:
        folder = Path(path).parent
        self._entries = {
            path: before for path, before in self._entries.items() if Path(path).parent != folder
        }

    def _used_bytes(self) -> int:
        return sum(path.stat().st_size for path in Path(self.folder).rglob("*") if path.is_file())

    def _statvfs(self, path: int | str | bytes | os.PathLike[Any]) -> os.statvfs_result:
        """As `os.statvfs`, and a full disk says so."""
        found = self._asked[0](path)
        if self.capacity_bytes is None or not self._holds(path):
            return found
        blocks = max(self.capacity_bytes - self._used_bytes(), 0) // found.f_frsize
        return os.statvfs_result((*found[:3], blocks, blocks, *found[5:], found.f_fsid))

    def _fallocate(self, fd: int, offset: int, length: int) -> None:
        """As `os.posix_fallocate`, and a full disk has no room."""
        grows = offset + length - os.fstat(fd).st_size
        if (
            grows > 0
            and self.capacity_bytes is not None
            and self._holds(fd)
            and self._used_bytes() + grows > self.capacity_bytes
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._asked[1](fd, offset, length)

    def _holds(self, path: int | str | bytes | os.PathLike[Any]) -> bool:
        real = os.path.realpath(
            f"/proc/self/fd/{path}" if isinstance(path, int) else os.fsdecode(path)
        )
        return real == self.folder or real.startswith(self.folder + os.sep)

    def _abandon(self) -> None:
        """End all connections."""
        self._off = True
        self._stop_at = None
        for file in self._shim.files.values():
            if file.watcher is self and not file.dead:
                file.abandon()
                if file.record.in_place():
                    self._abandoned[file.path] = file.record

    def _move_on(self, change: Callable[[_Record], Callable[[int], None] | None]) -> None:
        """Put copies in the place of the files that abandoned connections have open."""
        for path in sorted(self._abandoned):
            record = self._abandoned.pop(path)
            if record.in_place():
                record.inode = _replace(Path(path), change(record))
            # The first to open a database makes its log's index anew, and the old one is still
            # mapped into memory.
            if (memory := Path(f"{path}-shm")).exists():
                _replace(memory)

    def _put_back(self, path: str, former: _Deleted | None, rng: Random, survive: float) -> None:
        """Let a name mean what it meant before its folder was last changed."""
        Path(path).unlink(missing_ok=True)
        if former is not None:
            with Path(path).open("w+b") as file:
                file.write(former.content)
                file.flush()
                os.fchmod(file.fileno(), former.mode)
                if former.record is not None:
                    former.record.rewind(file.fileno(), rng, survive)

    def _raise_what_went_wrong(self) -> None:
        errors, self._shim.errors[:] = [*self._shim.errors], []
        if errors:
            raise errors[0]


def _nothing() -> None:
    """Nobody wants to know."""


def _replace(path: Path, change: Callable[[int], None] | None = None) -> int:
    """Put a copy, changed by who is given its descriptor, in a file's place: who has the file open
    does not see it. Returns its inode.
    """
    copy = Path(f"{path}.copy")
    shutil.copyfile(path, copy)
    copy.chmod(path.stat().st_mode)
    if change is not None:
        with copy.open("r+b") as file:
            change(file.fileno())
    # On its own name rather than over the old one, which file systems take for a wish to have it
    # synced.
    path.unlink()
    copy.rename(path)
    return path.stat().st_ino


def _torn(before: bytes, after: bytes, rng: Random) -> bytes:
    """A sector on its way from one content to the next, begun at either end."""
    before, after = before.ljust(len(after), b"\0"), after + before[len(after) :]
    cut = rng.randrange(len(after) + 1)
    return after[:cut] + before[cut:] if rng.random() < 0.5 else before[:cut] + after[cut:]
