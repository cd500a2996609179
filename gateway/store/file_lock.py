"""That one daemon works on a buffer: a lock on the very file, whatever path or link leads to it.

The kernel frees it when its process ends, however that ends. It needs no right to write, so that it
holds on a read-only disk, too. SQLite's own locks are of another kind (fcntl) and are not touched.
But closing any descriptor of a file frees those of this process: a lock is given up only after its
connection is closed, and a file that is locked already is not opened once more.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
from pathlib import Path

from drivers.claim import Claim, Holder, announced, holder_of, locker_of
from gateway.store.errors import InUse, Locked, remedy
from gateway.store.file import FILES

log = logging.getLogger(__name__)


class FileLock:
    """The lock on one buffer; `says` is what its daemon is to others that want it."""

    def __init__(self, path: Path, says: str = "") -> None:
        self._path = path
        self._says = says
        self._number: int | None = None
        self._announced = Claim()

    def take(self) -> None:
        """Lock the file that lies under the path now, if there is one. Raises InUse where another
        daemon has it.
        """
        while not self._is_taken():
            try:
                # What is no file, opening says better; a FIFO must not hold us up.
                number = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return
            self._lock(number)

    def _is_taken(self) -> bool:
        if self._number is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._number), self._path.stat())
        except OSError:
            return True  # it is gone: there is nothing else to lock

    def _lock(self, number: int) -> None:
        status = os.fstat(number)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(number)
            holder = holder_of(_name(status)) or locker_of([status]) or Holder()
            raise InUse(
                f"{self._path}: {holder.says or 'another daemon'} works on this "
                f"buffer{holder.process}; a buffer has one daemon: stop that one, or give this one "
                "a buffer of its own (buffer: path in gateway.yaml)"
            ) from error
        except OSError:
            # A file system without locks must not keep the daemon from its work.
            log.warning("%s: cannot be locked; see that only one daemon works on it", self._path)

        self.close()
        self._number = number
        self._announced = announced(_name(status), self._says)

    def close(self) -> None:
        """Give the file to others. Its connection must be closed. May be called twice."""
        self._announced.close()
        if self._number is not None:
            os.close(self._number)
            self._number = None

    def __del__(self) -> None:
        """As a connection of SQLite's, it is not kept by what nobody has any more."""
        self.close()


def locked(path: Path, what: str, error: sqlite3.Error) -> Locked:
    """What to say of a buffer that another program's lock keeps from us."""
    return Locked(f"{path}: {what}: locked by {_locker(path)}; {remedy(error)}")


def _locker(path: Path) -> Holder:
    """Which other program has a lock of SQLite's on a buffer, for writing."""
    found = []
    for suffix in FILES:
        with contextlib.suppress(OSError):
            found.append(path.with_name(path.name + suffix).stat())
    return locker_of(found, ("POSIX", "OFDLCK")) or Holder()


def _name(status: os.stat_result) -> str:
    return f"buffer {status.st_dev} {status.st_ino}"
