"""Opens the store: the daemon's, a command's beside it, and a damaged one, of which what can be
read goes on in a new file.

A file is looked through when it is opened: all of it up to `CHECK_WHOLE_BYTES`, for at most
`CHECK_S` beyond that after an end that was not clean.
"""

import fcntl
import logging
import os
import sqlite3
import time
from pathlib import Path

from gateway.energy.slot import Event
from gateway.store.buffer import Buffer, Limits
from gateway.store.errors import Damaged, StoreError, is_damage, is_full, remedy
from gateway.store.file import MOST_VERSIONS, connect, connect_as_it_is, lock_folder
from gateway.store.file_lock import FileLock
from gateway.store.integrity import CHECKED_AT_ONCE
from gateway.store.migration import is_unfinished, newest_version
from gateway.store.reserve import Reserve
from gateway.store.row_checks import TABLES
from gateway.store.salvage.carve import page_size_of

log = logging.getLogger(__name__)

CHECK_WHOLE_BYTES = 64 << 20
"""A file of this size is read in some seconds, also from an SD card."""

CHECK_S = 20.0


def open_buffer(
    path: Path, limits: Limits | None = None, *, now_s: float, says: str = ""
) -> Buffer:
    """Open the store, making or upgrading it. A file that is not a database, or a damaged one, is
    set aside under a name that says so and a new one is begun; the buffer's first event tells.
    `says` is what its daemon is to another one that wants the file.

    Raises InUse where another daemon has it, StoreError where it cannot be opened.
    """
    lock = FileLock(path, says)
    lock.take()
    try:
        return _opened_or_begun(path, limits, now_s, lock)
    except BaseException:
        lock.close()
        raise


def _opened_or_begun(path: Path, limits: Limits | None, now_s: float, lock: FileLock) -> Buffer:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path.parent}: cannot be made: {error.strerror}; check owner and mode of the "
            "folder above"
        ) from error
    limits = limits or Limits()
    salvaged = False
    try:
        if path.with_name(path.name + ".salvaged").exists():
            from gateway.store.salvage import salvage

            salvage.put_in_place(path, now_s)
        try:
            buffer = _begun(path, limits)
        except (Damaged, sqlite3.DatabaseError) as error:
            if (
                isinstance(error, sqlite3.DatabaseError)
                and is_full(error)
                and Reserve(path).give_up()
            ):
                buffer = _begun(path, limits)
            elif isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
                raise
            else:
                salvaged = True
                buffer = _begun_anew(
                    path, limits, now_s, error.why if isinstance(error, Damaged) else str(error)
                )
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be opened: {error.strerror}; check owner and mode of the file and "
            "its folder"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}; {remedy(error)}") from error
    try:
        buffer.own(now_s, lock, salvaged=salvaged)
    except StoreError:
        buffer.abandon()
        raise
    return buffer


def repair(path: Path, *, now_s: float) -> str:
    """Set a file aside, damaged or not, and begin a new one with all that can be read of it, while
    no daemon has it open. Says what came of it. Raises StoreError.
    """
    from gateway.store.salvage import salvage

    lock = lock_folder(path, fcntl.LOCK_EX)
    try:
        saved = salvage.renew(path, now_s=now_s)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{path}: cannot be repaired: {error}; nothing has been changed"
        ) from error
    finally:
        os.close(lock)
    return f"{path}: {saved}. It was set aside as {saved.aside.name if saved.aside else 'nothing'}"


def open_for_reading(path: Path) -> Buffer:
    """The store as a command reads it beside the running daemon; nothing is written. Raises
    StoreError with what to do.
    """
    _refuse_to_lose_log(path)
    if not path.exists():
        raise StoreError(
            f"{path}: there is no buffer yet; start the daemon, or give --config the folder that "
            "names it"
        )
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path}: cannot be read; run this as root or as a member of its group")
    try:
        return _opened(connect_as_it_is(path, "mode=ro"), path, Limits())
    except sqlite3.Error as error:
        if path.with_name(path.name + "-wal").exists() or not isinstance(
            error, sqlite3.OperationalError
        ):
            raise StoreError(f"{path}: cannot be read: {error}; {remedy(error)}") from error
    # Without a log the file is at rest. SQLite would make an empty one, which who may only read
    # here cannot.
    try:
        return _opened(connect_as_it_is(path, "immutable=1"), path, Limits())
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be read: {error}; {remedy(error)}") from error


def open_for_deciding(path: Path) -> Buffer:
    """The store as a person's command writes to it beside the running daemon: one short
    transaction, for which each waits a few seconds for the other. Nothing is upgraded. Raises
    StoreError with what to do.
    """
    _refuse_to_lose_log(path)
    if not path.exists():
        raise StoreError(
            f"{path}: there is no buffer yet; start the daemon, or give --config the folder that "
            "names it"
        )
    if not os.access(path, os.W_OK):
        raise StoreError(
            f"{path}: cannot be written; run this as root, or as the user of the daemon "
            "(meter-gateway)"
        )
    try:
        db = connect_as_it_is(path, "mode=rw")
        try:
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return _opened(db, path, Limits())
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be written: {error}; {remedy(error)}") from error


def _begun(path: Path, limits: Limits) -> Buffer:
    """Raises OSError, sqlite3.Error or StoreError."""
    if path.with_name(path.name + ".salvaging").exists():
        raise Damaged(f"{path}: is damaged", "its salvage was cut short")
    log_file = path.with_name(path.name + "-wal")
    size = path.stat().st_size if path.is_file() else 0
    if size:
        with path.open("rb") as file:
            if page_size_of(file.read(100)) is None:
                # SQLite would say so too, and throw the log away, of which something can still be
                # read.
                raise sqlite3.DatabaseError("file is not a database")
    unclean = log_file.is_file() and log_file.stat().st_size > 0
    _refuse_to_lose_log(path)
    buffer = _opened(connect(path, whole=size <= CHECK_WHOLE_BYTES), path, limits)
    try:
        # The real clock: this bounds how long a real disk keeps us waiting.
        until_s = time.monotonic() + CHECK_S
        while size <= CHECK_WHOLE_BYTES or (unclean and time.monotonic() < until_s):
            if buffer.check_some(20 * CHECKED_AT_ONCE):
                break
    except BaseException:
        buffer.abandon()
        raise
    return buffer


def _refuse_to_lose_log(path: Path) -> None:
    """Raises Damaged where the log lies there, in which the newest slots are, and its file is gone
    or empty: SQLite would delete the log, even of what is opened for reading.
    """
    log_file = path.with_name(path.name + "-wal")
    has_log = log_file.is_file() and log_file.stat().st_size > 0
    is_there = path.is_dir() or (path.exists() and path.stat().st_size > 0)
    if has_log and not is_there:
        raise Damaged(
            f"{path}: is gone or empty, and its log is there; start the daemon, or run: "
            "meter-gateway buffer repair; either salvages what is in the log",
            "it is gone or empty, and its log is there",
        )


def _begun_anew(path: Path, limits: Limits, now_s: float, why: str) -> Buffer:
    """Raises OSError, sqlite3.Error or StoreError."""
    from gateway.store.salvage import salvage

    try:
        saved = salvage.renew(path, now_s=now_s)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{path}: is damaged ({why}) and cannot be set aside: {error}; check the disk with "
            "dmesg"
        ) from error
    buffer = _opened(connect(path), path, limits)
    text = (
        f"{path.name} was damaged ({why}); it was set aside as "
        f"{saved.aside.name if saved.aside else 'nothing'}; {saved}"
    )
    log.error("%s: %s", path.parent, text)
    buffer.note(Event(int(now_s * 1000), "", "damaged", text))
    return buffer


def _opened(db: sqlite3.Connection, path: Path, limits: Limits) -> Buffer:
    """Raises sqlite3.Error or StoreError; the connection is closed then."""
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if not 0 <= version <= MOST_VERSIONS or (
            names & {*TABLES} and not (version and {*TABLES} <= names)
        ):
            raise sqlite3.DatabaseError(f"of schema {version}, with {len(names)} tables")
        if version != newest_version():
            if version > newest_version():
                raise StoreError(
                    f"{path}: was written by a newer version (schema {version}); install that one"
                )
            raise StoreError(
                f"{path}: was written by an older version (schema {version}); start the daemon "
                "once, it upgrades the file"
            )
        if is_unfinished(names):
            raise StoreError(
                f"{path}: its upgrade is not finished; wait for the daemon, or start it: it goes "
                "on with it"
            )
        return Buffer(db, path, limits)
    except BaseException:
        db.close()
        raise
