"""One SQLite file of the store while it is open: questions, transactions, and what is done when the
disk refuses or the file is damaged. Knows nothing of what the tables mean.

A damaged file is set aside, and what can be read of it goes on in a new one (`salvage/`). So it is
with a file that is deleted, replaced, emptied or written over while it is open: that is found out
before each transaction. Where no new one can be made, nothing is written any more: what is said to
be on disk must be found there.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gateway.energy.slot import Event
from gateway.store.errors import (
    Damaged,
    Gone,
    OldView,
    Reopened,
    StoreError,
    explained,
    is_damage,
    is_locked,
    is_read_only,
    remedy,
    said,
)
from gateway.store.file import (
    RUNNING_WAIT_S,
    Connection,
    connect,
    connect_nowhere,
    connect_to_read,
    lock_folder,
)
from gateway.store.file_lock import FileLock, locked
from gateway.store.mounts import mount_of, own_mounts, resolved
from gateway.store.ownership import refuse_foreign
from gateway.store.reserve import Reserve
from gateway.store.watch import Watch

log = logging.getLogger(__name__)

MAX_WAITING_EVENTS = 1000


class Table(Protocol):
    """One that remembers something of what is in the file."""

    def begin(self) -> None:
        """Another file is in use: look at it anew. Raises StoreError."""

    def forget(self) -> None:
        """A transaction was rolled back: what was remembered inside it is not so."""


class Access(msgspec.Struct):
    """How far the disk lets the file be used."""

    shut: bool = False
    """It cannot be written, and has to be opened again for that."""
    is_new: bool = False
    """There was no file to begin with, and none could be made yet."""
    refusal: StoreError | None = None
    """Why it could only be opened for reading, if so."""
    was_read_only: bool = False
    """The disk itself was read-only then, for whomever."""
    found_books: bool = False
    """Where there was no file at first, one with books in it has turned up: the folds have to go on
    from those.
    """
    begun_anew: bool = False
    """What the folds closed without them has gone."""

    def take_begun_anew(self) -> bool:
        """Whether that has happened since this was asked last."""
        happened, self.begun_anew = self.begun_anew, False
        return happened


class Database:
    """The open file. Whoever owns it (the daemon) also mends it; others only say what is wrong."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.connection = connection
        self.reserve: Reserve | None = None
        """The owner's; a command has none."""
        self.now_s = 0.0
        """The newest time that samples told, Unix time."""
        self.waiting_events: list[Event] = []
        """What a person should know, until it is written."""
        self._tables: list[Table] = []
        self._folder_lock: int | None = None
        self._file_lock: FileLock | None = None
        self.access = Access()
        self._opening = False
        self.lost_rows = False
        """Whether not all could be read of the file before this one."""
        self._watch = Watch(path)
        """The owner's."""

    def attach(self, table: Table) -> None:
        """From now on a table is told of new files and of roll-backs. Raises StoreError."""
        self._tables.append(table)
        table.begin()

    def own(self, now_s: float, reserve: Reserve, lock: FileLock) -> None:
        """From now on this is the daemon's. Raises StoreError where it is being repaired, InUse
        where another daemon has it.
        """
        self.now_s = now_s
        self._file_lock = lock
        lock.take()
        if not self.access.is_new:
            self._folder_lock = lock_folder(self.path, fcntl.LOCK_SH)
        self.connection.execute(f"PRAGMA busy_timeout = {int(RUNNING_WAIT_S * 1000)}")
        self.reserve = reserve
        self._watch.note()

    def note(self, event: Event) -> None:
        """Keep something that a person should know; written with the next flush."""
        self.waiting_events.append(event)
        del self.waiting_events[:-MAX_WAITING_EVENTS]

    def warn(self, kind: str, text: str) -> None:
        """Log something, and keep it as an event of now."""
        log.warning("%s: %s", self.path, text)
        self.note(Event(int(self.now_s * 1000), "", kind, text))

    # --- questions and transactions ---------------------------------------------------------------

    def rows(self, sql: str, *parameters: object) -> Iterator[Any]:
        """What a query finds. Raises StoreError where the disk cannot be read."""
        try:
            for row in self.connection.execute(sql, parameters):  # noqa: UP028 — `yield from` would close a cursor of a closed file
                yield row
        except sqlite3.Error as error:
            raise self.failed(error, "cannot be read") from error

    def one(self, sql: str, *parameters: object) -> Any:
        """The only value of the only row. Raises StoreError."""
        [(value,)] = self.rows(sql, *parameters)
        return value

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing. Raises StoreError."""
        self.look_after_files()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
            self._watch.note_commit()
        except sqlite3.Error as error:
            self._roll_back()
            raise self.failed(error, "cannot write") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        for table in self._tables:
            table.forget()

        # Where even this fails, SQLite rolls back by itself.
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    @property
    def is_in_memory(self) -> bool:
        """Whether there is no file behind it."""
        return isinstance(self.connection, Connection) and self.connection.is_in_memory

    @property
    def size_bytes(self) -> int:
        """Size of the file without what has been freed in it, with its write-ahead log."""
        pages: int = self.one("PRAGMA page_count") - self.one("PRAGMA freelist_count")
        page_bytes: int = self.one("PRAGMA page_size")

        log_file = self.path.with_name(self.path.name + "-wal")
        log_bytes = log_file.stat().st_size if log_file.exists() else 0
        return pages * page_bytes + log_bytes

    # --- what goes wrong --------------------------------------------------------------------------

    def failed(self, error: sqlite3.Error, what: str) -> StoreError:
        """What a failure means; where the file is damaged, we have gone on with another one."""
        if (self.access.shut or is_read_only(error)) and self.reserve is not None:
            if not self._opening:
                return self._open_again() or Reopened(f"{self.path}: was opened again; try again")
        elif is_damage(error):
            return self._renew(said(error))

        if is_locked(error):
            return locked(self.path, what, error)
        return explained(self.path, what, error)

    def _open_again(self) -> StoreError | None:
        """What was opened while the disk was read-only can never write: open it anew, for the next
        try. Returns why it cannot be written yet, if so; what is there can be read meanwhile.
        """
        # First the old one: in one process SQLite shares what it has of a log between all that have
        # it open. A copy in memory shares nothing, and stays as long as it is one of what lies
        # there: to put it together takes seconds where the log is long.
        old = self.connection
        copy = old if self.is_in_memory and self._watch.is_as_noted else None
        if copy is None:
            old.close()
        self.access.shut = self._opening = True
        try:
            self._use(self._connected())
            self.access.shut = False
            old.close()
            return None
        except (OSError, sqlite3.Error) as error:
            refusal = self._old_view() or explained(self.path, "cannot be written", error)
        except StoreError as error:
            refusal = error
        finally:
            self._opening = False

        if self.connection is not old:
            self.connection.close()  # it could be opened, and not used
        self.connection = copy or old
        if copy is None:
            self._watch.note()
            with contextlib.suppress(sqlite3.Error):
                self.connection = (
                    connect_nowhere(self.path) if self.access.is_new else connect_to_read(self.path)
                )
        return refusal

    def _old_view(self) -> StoreError | None:
        """Where the disk has been mounted anew, and this process still sees it as it was."""
        mount = mount_of(resolved(self.path), own_mounts())
        if not self.access.was_read_only or mount is None or not mount.is_shut_for_us:
            return None
        return OldView(
            f"{self.path}: its disk can be written again, but not by this process, which began "
            "when it was read-only"
        )

    def _connected(self) -> sqlite3.Connection:
        """The file, made where there was none. Raises OSError, sqlite3.Error or StoreError."""
        if not self.access.is_new:
            connection = connect(self.path, wait_s=RUNNING_WAIT_S)
            try:
                _try_to_write(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._folder_lock is None:
            self._folder_lock = lock_folder(self.path, fcntl.LOCK_SH)
        refuse_foreign(self.path)
        connection = connect(self.path, wait_s=RUNNING_WAIT_S)
        try:
            tables = ("samples", "slots", "counters")
            self.access.found_books = any(
                connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]  # noqa: S608
                for table in tables
            )
        except BaseException:
            connection.close()
            raise
        self.access.is_new = False
        return connection

    def _use(self, connection: sqlite3.Connection) -> None:
        """Go on with another file. Raises StoreError."""
        self.connection = connection
        if self._file_lock is not None:
            self._file_lock.take()
        self._lock_folder_again()
        for table in self._tables:
            table.begin()
        self._watch.note()

    def _lock_folder_again(self) -> None:
        """The folder may be another one than we had locked. Raises StoreError."""
        if self._folder_lock is None:
            return
        had, found = os.fstat(self._folder_lock), self.path.parent.stat()
        if (had.st_dev, had.st_ino) != (found.st_dev, found.st_ino):
            lock = lock_folder(self.path, fcntl.LOCK_SH)
            os.close(self._folder_lock)
            self._folder_lock = lock

    def _renew(self, why: str, *, source: sqlite3.Connection | None = None) -> StoreError:
        """Go on with a new file and all that can be read of the old one. Returns what there is to
        say of it.
        """
        if self.reserve is None:
            return Damaged(
                f"{self.path}: is damaged ({why}); stop the daemon, and run: meter-gateway "
                "buffer repair",
                why,
            )
        try:
            return Reopened(f"{self.path.parent}: {self._renewed(why, source)}; goes on")
        except StoreError as error:
            return error

    def _renewed(self, why: str, source: sqlite3.Connection | None) -> str:
        """Go on with a new file. Returns what came of it, and keeps that as an event. Raises
        StoreError where there can be no new one yet.
        """
        from gateway.store.salvage import salvage  # memory that is rarely needed

        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            saved = salvage.renew(self.path, source, self.connection, now_s=self.now_s)
            self.lost_rows = bool(saved.blocked)
            self._use(connect(self.path, wait_s=RUNNING_WAIT_S))
        except (OSError, sqlite3.Error) as error:
            raise Gone(
                f"{self.path}: is damaged ({why}), and cannot be set aside: {said(error)}; nothing "
                f"is delivered until it can; {remedy(error)}"
            ) from error

        text = f"{self.path.name} was damaged ({why}); {saved.whereabouts}; {saved}"
        self.note(Event(int(self.now_s * 1000), "", "damaged", text))
        return text

    # --- the files under their names --------------------------------------------------------------

    def look_after_files(self) -> None:
        """Somebody may have deleted, replaced or damaged the files of the owner. We still have them
        open, and much of what is in them: that goes on in new ones. Raises StoreError where that
        cannot be; nothing must be written or sent then.
        """
        if self.reserve is None or self.access.shut or self.access.is_new:
            return
        why = self._watch.gone() or self._damage()
        if why:
            log.error("%s: %s; goes on", self.path.parent, self._renewed(why, self.connection))
            self.reserve.take()

    def _damage(self) -> str:
        """What somebody has done to the files; empty where nothing is wrong. Raises StoreError."""
        if not self._watch.written_by_others():
            return ""
        try:
            why = self._watch.damage()
        except sqlite3.Error as error:
            raise self.failed(error, "cannot be read") from error
        if not why:
            self._watch.note_commit()  # it was a person's command, or a backup program
        return why

    def close(self) -> None:
        """Close the file as it is. Whoever asks it something later gets an error, and nothing is
        set aside for that.
        """
        self.reserve = None
        self.connection.close()
        if self._folder_lock is not None:
            os.close(self._folder_lock)
            self._folder_lock = None
        if self._file_lock is not None:
            self._file_lock.close()


def _try_to_write(connection: sqlite3.Connection) -> None:
    """What is on a read-only disk can be opened, and a transaction begun. Raises sqlite3.Error."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA user_version = {version}")
    finally:
        connection.execute("ROLLBACK")
