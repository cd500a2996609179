"""The SQLite file of the store: how it is opened and locked."""

import errno
import fcntl
import logging
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

from gateway.store.errors import StoreError
from gateway.store.migration import migrate

log = logging.getLogger(__name__)

MOST_VERSIONS = 10_000
"""A header that says more than this is damaged, and not newer."""

MOST_IN_MEMORY = 32 << 20
"""Bytes of a file that is put together in memory."""


WAIT_S = 5.0
"""So long a command, and the daemon's start, wait for another program's lock."""

FILES = ("", "-wal", "-shm")
"""What the names of a buffer's files have after its own: SQLite's log, and the index of that."""

RUNNING_WAIT_S = 0.05
"""So long the running daemon waits for one at most: meters, deliveries and the page wait with it.
What could not be written waits in memory. A person's command holds a lock for less.
"""


class Connection(sqlite3.Connection):
    """Of a file that may be damaged: what SQLite quotes of its schema may be no text, and sqlite3
    cannot say it.
    """

    is_in_memory = False
    """Whether there is no file behind it: what the file's further fate does not touch."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.execute`."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            raise _no_text(error) from error

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """As `sqlite3.Connection.executemany`."""
        try:
            return super().executemany(sql, parameters)
        except UnicodeDecodeError as error:
            raise _no_text(error) from error


def _no_text(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(error.object.decode("utf-8", "replace")[:200])


def open_file(path: Path) -> int:
    """A descriptor to read a file. Raises OSError, also where it is no file: a FIFO would hold us
    for ever, and a device has no end.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    raise OSError(errno.EINVAL, "it is not a file", str(path))


def bytes_of(path: Path) -> bytes:
    """All that is in a file. Raises OSError, as `open_file`."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read()


def lock_folder(path: Path, how: int) -> int:
    """Daemons and a repair must not meet: each locks the folder, which no damage to the file
    touches. Raises StoreError.
    """
    try:
        number = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(
            f"{path.parent}: cannot be opened: {error.strerror}; run this as root (with sudo), or "
            "check owner and mode of the folder"
        ) from error
    try:
        fcntl.flock(number, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(number)
        if how == fcntl.LOCK_EX:
            raise StoreError(
                f"{path}: the daemon has it open; stop it first: systemctl stop meter-gateway"
            ) from error
        raise StoreError(
            f"{path}: is being repaired; the daemon can start when that is done"
        ) from error
    except OSError:
        # A file system without locks must not keep the daemon from its work; a person can see to it
        # that only one is at work.
        log.warning(
            "%s: cannot be locked; do not repair the buffer while the daemon runs", path.parent
        )
    return number


def connect(path: Path, *, whole: bool = False, wait_s: float = WAIT_S) -> sqlite3.Connection:
    """As the daemon works with it: made, or upgraded, where need be. `wait_s`: for another
    program's lock.

    Raises sqlite3.DatabaseError where the file is not a usable database; `whole`: having read all
    of it. Raises DiskFull where there is no room for an upgrade.
    """
    is_new = not path.exists()
    db = sqlite3.connect(path, isolation_level=None, timeout=wait_s, factory=Connection)
    try:
        if is_new:
            path.chmod(0o640)
        # A commit writes every page it touches as a whole, and most touch a few rows in several
        # tables: small pages halve what is written.
        db.execute("PRAGMA page_size = 512")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA cache_size = -256")
        # Every checkpoint writes each changed page once more: rare ones write far less. 4 MB of log
        # is the price.
        db.execute("PRAGMA wal_autocheckpoint = 8000")
        if whole and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def connect_as_it_is(path: Path, how: str) -> sqlite3.Connection:
    """Beside whoever else has it open, changing nothing by that. `how` is the URI's query
    (sqlite.org/uri.html). Raises sqlite3.Error, also where it is no file: a FIFO would hold us.
    """
    if path.exists() and not path.is_file():
        raise sqlite3.OperationalError("it is not a file")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        isolation_level=None,
        timeout=WAIT_S,
        factory=Connection,
    )


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A file that cannot be written here, or beside whoever writes it; nothing is changed.

    At rest it has no log, and SQLite would make an empty one, which who may only read here cannot:
    then it is told that nobody else writes. A log whose index is missing cannot be read here
    either: of a small file that has one the newest pages are put together in memory. Raises
    sqlite3.Error.
    """
    log_path = path.with_name(path.name + "-wal")
    db = connect_as_it_is(path, "mode=ro")
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except sqlite3.OperationalError:
        db.close()
        if log_path.exists() and log_path.stat().st_size > 0:
            if (image := _image(path, log_path)) is None:
                raise
            return image
    except BaseException:
        db.close()
        raise
    return connect_as_it_is(path, "immutable=1")


def _image(path: Path, log_path: Path) -> sqlite3.Connection | None:
    """A file and its log in memory, read-only; None where that cannot be."""
    from gateway.store.salvage import carve  # memory that is rarely needed

    try:
        if path.stat().st_size > MOST_IN_MEMORY:
            return None
        image, log = bytearray(bytes_of(path)), bytes_of(log_path)
    except OSError:
        return None
    page_bytes = carve.page_size_of(bytes(image[:100]))
    if page_bytes is None:
        return None

    pages = carve.log_pages(log, page_bytes)
    image.extend(bytes(max(max(pages, default=0) * page_bytes - len(image), 0)))
    for page, begin in pages.items():
        at = (page - 1) * page_bytes
        image[at : at + page_bytes] = log[begin : begin + page_bytes]
    image[18:20] = b"\1\1"  # what is in memory has no log

    db = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    db.is_in_memory = True
    db.deserialize(bytes(image))
    db.execute("PRAGMA query_only = ON")
    return db


def connect_nowhere(path: Path) -> sqlite3.Connection:
    """An empty one that cannot be written, where there is no file and none can be made yet."""
    db = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    db.is_in_memory = True
    migrate(db, path)
    db.execute("PRAGMA query_only = ON")
    return db


def new_file(path: Path) -> sqlite3.Connection:
    """An empty one, in a transaction; fast, because whoever fills it syncs it as a whole. Raises
    sqlite3.Error.
    """
    db = sqlite3.connect(path, isolation_level=None, factory=Connection)
    try:
        path.chmod(0o640)
        for pragma in (
            "page_size = 512",
            "journal_mode = OFF",
            "synchronous = OFF",
            "cache_size = -4096",
        ):
            db.execute(f"PRAGMA {pragma}")
        migrate(db, path)
        db.execute("BEGIN")
    except BaseException:
        db.close()
        raise
    return db
