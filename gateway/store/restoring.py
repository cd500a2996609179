"""Puts a copy of the buffer in the buffer's place, while no daemon has it open.

The copy is copied beside the buffer, and judged there: neither it nor what is there now is changed
before it is known to be sound. What is there now is set aside, with its log, which SQLite would
play back into the restored file.

What destinations accepted since the copy was made is not in it. The marks beside the buffer that is
set aside say how far they had come, and so does that buffer, where it can be read. Where there is
none (a new card), the destinations are asked; what they cannot tell counts as accepted, if it has
ended by now.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from gateway.store.accepted_marks import AcceptedMarks, Series
from gateway.store.behind import assume_pending, note_accepted
from gateway.store.buffer import Buffer, Limits
from gateway.store.carried_files import take_out
from gateway.store.errors import StoreError, remedy
from gateway.store.file import FILES, connect_as_it_is, lock_folder
from gateway.store.file_lock import FileLock
from gateway.store.migration import newest_version
from gateway.store.opening import open_for_reading
from gateway.store.row_checks import TABLES
from gateway.store.rows import subject_from

DAEMON_USER = "meter-gateway"
"""As the unit in systemd/ has it."""

_SUFFIXES = (*FILES[1:], "-journal", ".salvaging", ".salvaged", FILES[0])
"""The logs first: SQLite would play them back into whatever file they lie beside."""


Known = Mapping[Series, Set[int]]
"""Of each series that something is owed of in a copy, the slots that are known to be accepted."""
Asks = Callable[[Known], "Mapping[Series, int] | None"]
"""Asks the destinations how far they have come: the newest slot of each series that may be held.
None: they do not tell.
"""

ASKED_S = 90 * 86_400
"""So far back the copy is asked what was accepted."""
_WITH_DESTINATIONS = 3
"""Since this version an item says to whom it is owed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    size_bytes: int
    counts: dict[str, int]
    """Rows, by table."""
    is_older: bool
    """Whether it is of an older version: the daemon upgrades it."""
    newest_slot_s: int | None
    """The newest slot that a measurement is owed of in it; None also where it is older."""
    aside: Path | None
    """Where the buffer is now that was there; None where there was none."""
    assumed_before_s: int | None
    """Slots that start before then count as accepted; None where it is known for each asset."""
    marked_s: int | None
    """The newest slot that is known to be accepted."""
    is_told: bool
    """Whether the destinations told how far they had come."""
    assumed: int
    """Items that waited in the copy, and count as accepted."""


def restore(
    copy: Path,
    path: Path,
    *,
    accepted_before_s: int | None,
    now_s: float,
    boot_id: str,
    slot_s: int,
    asks: Asks,
) -> Restored:
    """Put a copy in the place of the buffer at `path`, now and in this boot. Slots that start
    before `accepted_before_s` count as accepted; None: as far as the marks say, or else as `asks`
    does. Raises StoreError; nothing has been changed then.
    """
    real = path.resolve()
    with _locked(path), _beside(copy, real) as (work, counts, version):
        marks, told = _marks(path), None
        # A buffer that was restored where nobody knew knows no more before it delivered again.
        least_s = marks.assumed_before_s - slot_s
        knows = path.exists() and min(marks.accepted.values(), default=-1) >= max(least_s, 0)
        if accepted_before_s is not None:
            marks.assumed_before_s = accepted_before_s
        elif knows and _know_all_of(marks, work, version):
            marks.assumed_before_s = 0
            marks.assume(marks.accepted)
        elif (told := _told(asks, work, version, now_s)) is not None:
            marks.assume_told(told)
        else:
            marks.assumed_before_s = int(now_s) // slot_s * slot_s
        marks.to_apply, marks.restored_in = True, boot_id

        assumed, newest_s = 0, None
        if version == newest_version():
            assumed, newest_s = _apply(work, marks, now_s)
        aside = _put_in_place(work, real, marks)
        size_bytes = path.stat().st_size

    return Restored(
        *(size_bytes, counts, version < newest_version(), newest_s, aside),
        *(marks.assumed_before_s or None, max(marks.accepted.values(), default=None)),
        *(told is not None, assumed),
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The folder and the file, which no daemon may have open. Raises StoreError."""
    _make_folder(path.parent)
    folder = lock_folder(path, fcntl.LOCK_EX)
    file = FileLock(path, "meter-gateway restore")
    try:
        file.take()
        yield
    finally:
        file.close()
        os.close(folder)


def _make_folder(folder: Path) -> None:
    """On a new card there is none yet: it belongs to the daemon. Raises StoreError."""
    if folder.exists():
        return
    try:
        folder.mkdir(mode=0o750, parents=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be made: {error.strerror}; check owner and mode of the folder "
            "above, or run this as root"
        ) from error
    with contextlib.suppress(LookupError, PermissionError):
        shutil.chown(folder, DAEMON_USER, DAEMON_USER)


# --- the copy -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _beside(copy: Path, path: Path) -> Iterator[tuple[Path, dict[str, int], int]]:
    """The copy in the buffer's folder, how many rows it has, and its version. Raises StoreError
    where it is none of ours.
    """
    work = path.with_name(path.name + ".restoring")
    try:
        if not copy.is_file():
            raise StoreError(f"{copy}: is no file; name a copy that meter-gateway backup wrote")
        if path.exists() and copy.samefile(path):
            raise StoreError(f"{copy}: is the buffer itself; name a copy of it")
        _remove(work)
        for suffix in ("", "-wal"):
            source = copy.with_name(copy.name + suffix)
            if source.is_file():
                shutil.copyfile(source, work.with_name(work.name + suffix))
        yield work, *_judged(work, copy)
    except OSError as error:
        raise StoreError(
            f"{copy}: cannot be put in the place of {path}: {error.strerror} "
            f"({error.filename}); run this as root, and see that the disk has room for it"
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"{copy}: cannot be restored: {error}; {remedy(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            _remove(work)


def _remove(work: Path) -> None:
    for suffix in (*FILES, "-journal"):
        work.with_name(work.name + suffix).unlink(missing_ok=True)


def _judged(work: Path, copy: Path) -> tuple[dict[str, int], int]:
    """Raises StoreError, sqlite3.Error."""
    not_ours = f"{copy}: is no buffer of ours; name a copy that meter-gateway backup wrote"
    db = connect_as_it_is(work, "mode=rw")
    try:
        try:
            db.execute("PRAGMA journal_mode = DELETE")  # plays the log into the file
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            take_out(db)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise StoreError(f"{not_ours} ({error})") from error
            raise StoreError(_damaged(copy, str(error))) from error
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if not version or not {*TABLES} <= names:
            raise StoreError(not_ours)
        if version > newest_version():
            raise StoreError(
                f"{copy}: was written by a newer version (schema {version}); install that one"
            )

        found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        counts = {
            table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("samples", "slots", "outbox")
        }
    finally:
        db.close()
    damage = [] if found == "ok" else [found]
    if not damage and version == newest_version():
        buffer = _opened(work)
        damage = buffer.damage()
        buffer.abandon()
    if damage:
        raise StoreError(_damaged(copy, damage[0]))
    return counts, version


def _damaged(copy: Path, why: str) -> str:
    return (
        f"{copy}: is damaged ({why}); restore another copy. To use what can be read of this one, "
        "put it in the place of the buffer, and run: meter-gateway buffer repair"
    )


def _opened(work: Path) -> Buffer:
    return Buffer(connect_as_it_is(work, "mode=rw"), work, Limits())


# --- what counts as accepted ----------------------------------------------------------------------


def _marks(path: Path) -> AcceptedMarks:
    """Of the file beside the buffer, and of the buffer that is there. What was assumed of one
    series of another buffer is not taken over.
    """
    marks = AcceptedMarks.beside(path)
    marks.assumed.clear()
    with contextlib.suppress(StoreError, sqlite3.Error):
        present = open_for_reading(path)
        try:
            note_accepted(present.database, marks)
        finally:
            present.abandon()
    return marks


def _know_all_of(marks: AcceptedMarks, work: Path, version: int) -> bool:
    """Whether the marks are of the gateway that the copy is of: they know of all that was accepted
    in it.
    """
    if version != newest_version():
        return True
    copied = AcceptedMarks(work)
    buffer = _opened(work)
    try:
        note_accepted(buffer.database, copied)
    finally:
        buffer.abandon()
    return all(marks.accepted.get(series, -1) >= s for series, s in copied.accepted.items())


def _told(asks: Asks, work: Path, version: int, now_s: float) -> Mapping[Series, int] | None:
    """What the destinations tell. Raises sqlite3.Error."""
    if version < _WITH_DESTINATIONS:
        return None
    known: dict[Series, set[int]] = {}
    with contextlib.closing(connect_as_it_is(work, "mode=ro")) as db:
        for destination, subject, slot_s, is_accepted in db.execute(
            """SELECT destination, subject, slot_s, state = 'accepted' AND attempts > 0
               FROM outbox WHERE kind = 'measurement' AND slot_s >= ?""",
            (int(now_s) - ASKED_S,),
        ):
            slots = known.setdefault((destination, str(subject_from(subject))), set())
            if is_accepted:
                slots.add(slot_s)
    return asks(known)


def _apply(work: Path, marks: AcceptedMarks, now_s: float) -> tuple[int, int | None]:
    """Raises sqlite3.Error."""
    db = connect_as_it_is(work, "mode=rw")
    try:
        db.execute("BEGIN IMMEDIATE")
        count = assume_pending(db, marks, now_s)
        db.execute("COMMIT")
        newest_s: int | None = db.execute(
            "SELECT max(slot_s) FROM outbox WHERE kind = 'measurement'"
        ).fetchone()[0]
    finally:
        db.close()
    return count, newest_s


# --- its place ------------------------------------------------------------------------------------


def _put_in_place(work: Path, path: Path, marks: AcceptedMarks) -> Path | None:
    """Returns where the buffer is now that was there. Raises OSError."""
    owner = (path if path.exists() else path.parent).stat()
    work.chmod(0o640)
    with contextlib.suppress(PermissionError):
        os.chown(work, owner.st_uid, owner.st_gid)
    _sync(work)

    aside = path.with_name(f"{path.name}.replaced-{int(time.time())}")
    there = False
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
            there = True
    work.rename(path)
    marks.write(owner)
    _sync(path.parent)
    return aside if there else None


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
