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
from collections.abc import Callable
from pathlib import Path

from gateway.energy.slot import Event
from gateway.store.buffer import Buffer, Limits
from gateway.store.database import Access
from gateway.store.errors import (
    READ_ONLY_DISK,
    Damaged,
    StoreError,
    explained,
    is_damage,
    is_full,
    is_locked,
    is_on_read_only_disk,
    is_refusal,
    remedy,
    said,
)
from gateway.store.file import (
    MOST_VERSIONS,
    connect,
    connect_as_it_is,
    connect_nowhere,
    connect_to_read,
    lock_folder,
)
from gateway.store.file_lock import FileLock, locked
from gateway.store.integrity import CHECKED_AT_ONCE
from gateway.store.migration import is_unfinished, newest_version
from gateway.store.mounts import mount_of, own_mounts, resolved
from gateway.store.ownership import (
    refuse_foreign,
    refuse_foreign_tables,
    refuse_what_is_no_file,
)
from gateway.store.reserve import Reserve
from gateway.store.row_checks import TABLES
from gateway.store.salvage.carve import page_size_of
from gateway.store.stray_log import set_aside_log, set_aside_stray_log, was_put_in_place

log = logging.getLogger(__name__)

WAITS_IN_MEMORY = (
    "Meters are read on; what they say waits in memory, and is stored once it can be written"
)
CHECK_WHOLE_BYTES = 64 << 20
"""A file of this size is read in some seconds, also from an SD card."""

CHECK_S = 20.0


def open_buffer(
    path: Path, limits: Limits | None = None, *, now_s: float, says: str = ""
) -> Buffer:
    """Open the store, making or upgrading it. A damaged file of ours is set aside under a name that
    says so and a new one is begun; the buffer's first event tells. Where the disk refuses, what is
    there is only read, and what is added waits: `Access.refusal` says why. `says` is what its
    daemon is to another one that wants the file.

    Raises InUse where another daemon has it, Foreign where the file was never ours, StoreError
    where it cannot be opened.
    """
    lock = FileLock(path, says)
    lock.take()
    try:
        return _opened_or_read(path, limits, now_s, lock)
    except BaseException:
        lock.close()
        raise


def _opened_or_read(path: Path, limits: Limits | None, now_s: float, lock: FileLock) -> Buffer:
    limits = limits or Limits()
    salvaged = False
    try:
        buffer, salvaged = _opened_or_mended(path, limits, now_s)
    except (OSError, sqlite3.Error) as error:
        buffer = _read_on(path, limits, error)
    try:
        buffer.own(now_s, lock, salvaged=salvaged)
    except StoreError:
        buffer.abandon()
        raise
    return buffer


def _opened_or_mended(path: Path, limits: Limits, now_s: float) -> tuple[Buffer, bool]:
    """The buffer, and whether some of it had to be salvaged. Raises OSError, sqlite3.Error or
    StoreError.
    """
    _make_folder(path.parent)
    if path.with_name(path.name + ".salvaged").exists():
        from gateway.store.salvage import salvage

        salvage.put_in_place(path, now_s)

    told: list[str] = []
    why = ""
    try:
        # Before anything else looks: a log without its file is not another one's.
        _refuse_to_lose_log(path)
        refuse_foreign(path)
        told.append(set_aside_stray_log(path, now_s) or _told_of_replay(path))
        buffer = _begun_with_or_without(path, limits, now_s, told)
    except Damaged as error:
        why = error.why
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        why = said(error)

    if why:
        buffer = _begun_anew(path, limits, now_s, why)
    for text in filter(None, told):
        log.error("%s: %s", path.parent, text)
        buffer.note(Event(int(now_s * 1000), "", "stray log", text))
    return buffer, bool(why)


def _begun_with_or_without(path: Path, limits: Limits, now_s: float, told: list[str]) -> Buffer:
    """The buffer; where need be without what is in its way: the reserve on a full disk, or a log
    that is another one's, of which is `told` then. Raises OSError, sqlite3.Error or StoreError.
    """
    try:
        return _begun(path, limits)
    except sqlite3.DatabaseError as error:
        if is_damage(error) and _is_sound_without_log(path):
            told[:] = [set_aside_log(path, now_s)]
        elif not (is_full(error) and Reserve(path).give_up()):
            raise
    return _begun(path, limits)


def _make_folder(folder: Path) -> None:
    """Raises OSError where the disk refuses, StoreError where it cannot be made at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_refusal(error):
            raise
        raise StoreError(
            f"{folder}: cannot be made: {error.strerror}; check owner and mode of the folder above"
        ) from error


def _told_of_replay(path: Path) -> str:
    """What there is to say where SQLite will play a log back into a file that may have been put
    beside it. It may as well be its own, which must not be lost.
    """
    if not was_put_in_place(path):
        return ""
    return (
        f"{path.name} is newer than {path.name}-wal, which goes on from it: that was played back "
        f"into it. If {path.name} is a copy that was put in place, it is as new as before by that: "
        f"stop the daemon, move {path.name} and {path.name}-wal away, and put the copy there again"
    )


def _is_sound_with_log(path: Path) -> bool:
    """Whether a file is, together with its log; False where that cannot be asked yet. Raises
    sqlite3.DatabaseError where it is not.

    Asked of what is open for reading only: who closes one that can be written moves the log into
    it, and with that what is wrong.
    """
    try:
        db = connect_as_it_is(path, "mode=ro")
        try:
            db.execute("PRAGMA cache_size = -256")
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            db.close()
    except sqlite3.Error as error:
        if is_damage(error):
            raise
        return False
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    return True


def _is_sound_without_log(path: Path) -> bool:
    """Whether a file that is damaged with its log is sound without: then the log is of another one.
    A log of its own is complete, and mends what was half written.
    """
    log_path = path.with_name(path.name + "-wal")
    try:
        if not log_path.stat().st_size or path.stat().st_size > CHECK_WHOLE_BYTES:
            return False
        db = connect_as_it_is(path, "immutable=1")
        try:
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables: int = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        finally:
            db.close()
    except (OSError, sqlite3.Error):
        return False
    return bool(found == "ok" and tables)


def _read_on(path: Path, limits: Limits, error: OSError | sqlite3.Error) -> Buffer:
    """The disk refuses: read what is there, and begin with nothing where there is nothing. Raises
    StoreError where the fault is another one.
    """
    if isinstance(error, sqlite3.Error) and is_locked(error):
        raise locked(path, "cannot be opened", error) from error
    if not is_refusal(error):
        raise explained(path, "cannot be opened", error) from error
    refusal = explained(path, "cannot be written", error)
    try:
        connection = _what_is_there(path)
    except _Outdated as outdated:
        raise StoreError(f"{refusal}. {outdated}, which it cannot be now") from error
    except sqlite3.Error as unreadable:
        raise explained(path, "cannot be opened", unreadable) from error

    is_new = connection is None
    buffer = _opened(connection or connect_nowhere(path), path, limits)
    refusal = StoreError(f"{refusal}. {WAITS_IN_MEMORY}")
    mount = mount_of(resolved(path), own_mounts())
    was_read_only = mount is not None and not mount.can_be_written
    buffer.database.access = Access(
        shut=True, is_new=is_new, refusal=refusal, was_read_only=was_read_only
    )
    return buffer


class _Outdated(Exception):
    """A file of an earlier version."""


def _what_is_there(path: Path) -> sqlite3.Connection | None:
    """The file, for reading; None where there is none, or nothing in it. Raises sqlite3.Error or
    _Outdated.
    """
    try:
        if not path.stat().st_size:
            return None
    except OSError:
        return None
    db = connect_to_read(path)
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if not version and not names:
            db.close()
            return None  # it could not be made as a whole
        if version < newest_version() or is_unfinished(names):
            raise _Outdated(f"It is of an earlier version (schema {version}) and must be upgraded")
    except BaseException:
        db.close()
        raise
    return db


def repair(path: Path, *, now_s: float) -> str:
    """Set a file aside, damaged or not, and begin a new one with all that can be read of it, while
    no daemon has it open. Says what came of it. Raises StoreError.
    """
    from gateway.store.salvage import salvage

    lock = lock_folder(path, fcntl.LOCK_EX)
    try:
        refuse_foreign(path)
        saved = salvage.renew(path, now_s=now_s)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{path}: cannot be repaired: {said(error)}; nothing has been changed; {remedy(error)}"
        ) from error
    finally:
        os.close(lock)
    return f"{path}: {saved}; {saved.whereabouts}"


def open_for_reading(path: Path, masked: Callable[[str], str] = str) -> Buffer:
    """The store as a command reads it beside the running daemon; nothing is written. `masked`
    takes secrets out of what is kept of others' words. Raises StoreError with what to do.
    """
    _look_for(path)
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path}: cannot be read; run this as root or as a member of its group")
    refuse_what_is_no_file(path, "cannot be read")
    try:
        buffer = _opened(connect_to_read(path), path, Limits())
    except sqlite3.Error as error:
        raise explained(path, "cannot be read", error) from error
    buffer.tables.outbox.masked = masked
    return buffer


def open_for_deciding(path: Path) -> Buffer:
    """The store as a person's command writes to it beside the running daemon: one short
    transaction, for which each waits a few seconds for the other. Nothing is upgraded. Raises
    StoreError with what to do.
    """
    _look_for(path)
    if not os.access(path, os.W_OK):
        if is_on_read_only_disk(path):
            raise StoreError(f"{path}: cannot be written: {'; '.join(READ_ONLY_DISK)}")
        raise StoreError(
            f"{path}: cannot be written; run this as root, or as the user of the daemon "
            "(meter-gateway)"
        )
    refuse_what_is_no_file(path, "cannot be written")
    try:
        db = connect_as_it_is(path, "mode=rw")
        try:
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return _opened(db, path, Limits())
    except sqlite3.Error as error:
        raise explained(path, "cannot be written", error) from error


def _look_for(path: Path) -> None:
    """Raises StoreError where there is no such file, or where we may not even look."""
    try:
        _refuse_to_lose_log(path)
        is_there = path.exists()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be looked at: {error.strerror}; run this as root (with sudo), or as "
            f"a member of the group of {path.parent}"
        ) from error
    if not is_there:
        raise StoreError(
            f"{path}: there is no buffer yet; start the daemon, or give --config the folder that "
            "names it"
        )


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
    is_small = size <= CHECK_WHOLE_BYTES
    is_checked = unclean and is_small and _is_sound_with_log(path)
    buffer = _opened(connect(path, whole=is_small and not is_checked), path, limits)
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
    # What is no file at all, opening says better.
    is_there = path.exists() and (not path.is_file() or path.stat().st_size > 0)
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
            f"{path}: is damaged ({why}) and cannot be set aside: {said(error)}; {remedy(error)}"
        ) from error
    buffer = _opened(connect(path), path, limits)
    text = f"{path.name} was damaged ({why}); {saved.whereabouts}; {saved}"
    log.error("%s: %s", path.parent, text)
    buffer.note(Event(int(now_s * 1000), "", "damaged", text))
    return buffer


def _opened(db: sqlite3.Connection, path: Path, limits: Limits) -> Buffer:
    """Raises sqlite3.Error or StoreError; the connection is closed then."""
    try:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        refuse_foreign_tables(db, path)
        if not 0 <= version <= MOST_VERSIONS or (
            names & {*TABLES} and not (version and {*TABLES} <= names)
        ):
            raise sqlite3.DatabaseError(f"of schema {version}, with {len(names)} tables")
        if is_unfinished(names):
            raise StoreError(
                f"{path}: its upgrade is not finished; wait for the daemon, or start it: it goes "
                "on with it"
            )
        if version != newest_version():
            if version > newest_version():
                raise StoreError(
                    f"{path}: was written by a newer version (schema {version}); install that one"
                )
            if not names:
                raise StoreError(
                    f"{path}: there is nothing in it yet; start the daemon, or see in its log why "
                    "it cannot write"
                )
            raise StoreError(
                f"{path}: was written by an older version (schema {version}); start the daemon "
                "once, it upgrades the file"
            )
        return Buffer(db, path, limits)
    except BaseException:
        db.close()
        raise
