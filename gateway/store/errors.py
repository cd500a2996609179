"""What a disk and a file can do to the store, by type, and what a person can do about it. Pure but
for sqlite3's own errors.

The one place where SQLite's words are made ours: `explained` says what is wrong and what to do.
"""

import errno
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from gateway.store.mounts import mount_of, own_mounts, resolved


class StoreError(Exception):
    """The store cannot be used. The text says which file, why and what to do."""


class DiskFull(StoreError):
    """There is no room on the disk."""


class Reopened(StoreError):
    """It could not be used as it was open; it can now, and what was asked is worth another try."""


class OldView(StoreError):
    """The disk can be written again, and this process cannot: only another one can."""


class Foreign(StoreError):
    """The file was never ours; nothing has been changed."""


class InUse(StoreError):
    """Another daemon works on this buffer."""


class Locked(StoreError):
    """Another program holds a lock of SQLite's on the file."""


class Misfit(StoreError):
    """What is to be written does not fit what is in the file, or the file is not as we made it. The
    disk is not at fault, and trying again does not help.
    """


class Damaged(StoreError):
    """The file is damaged; `why` is what was found."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


class Gone(StoreError):
    """The file is not under its name any more, and cannot be made anew."""


FREE_SPACE = "free space on this disk; slots and what is owed are kept, writing goes on then"
RIGHTS = "check that it is a file and not a folder, and the owner and mode of it and of its folder"
LOCKED = "close the program that holds it (a database browser, a backup); it is tried again"
CARD = "check the disk with dmesg"
READ_ONLY_DISK = (
    "its disk is read-only",
    "see with dmesg whether the card is worn, and mount it so that it can be written",
)
READ_ONLY_FOR_US = (
    "its disk is read-only for this process alone",
    "where systemd started it, add ReadWritePaths= with its folder (systemctl edit meter-gateway); "
    "in a container, mount it so that it can be written; then start it again",
)

_SAID: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", FREE_SPACE),
    sqlite3.SQLITE_IOERR_SHMSIZE: ("the disk is full", FREE_SPACE),
    sqlite3.SQLITE_READONLY_DIRECTORY: (
        "its folder is read-only",
        "check the owner and mode of the folder, and the card with dmesg",
    ),
    sqlite3.SQLITE_READONLY_DBMOVED: (
        "it was moved or replaced while it was open",
        "put it back, or start the daemon again",
    ),
    sqlite3.SQLITE_READONLY: (
        "the file or its disk is read-only",
        "check its owner, and the card with dmesg",
    ),
    sqlite3.SQLITE_CANTOPEN: ("neither can it be opened nor a file be made beside it", RIGHTS),
    sqlite3.SQLITE_PERM: ("this user may not use it", RIGHTS),
    sqlite3.SQLITE_AUTH: ("this user may not use it", RIGHTS),
    sqlite3.SQLITE_NOTADB: (
        "file is not a database",
        "check that the configuration names the right file",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "its pages contradict each other",
        "it is damaged: stop the daemon, and run: meter-gateway buffer repair",
    ),
    sqlite3.SQLITE_BUSY: ("it is locked", LOCKED),
    sqlite3.SQLITE_LOCKED: ("it is locked", LOCKED),
    sqlite3.SQLITE_NOMEM: ("memory is used up", "look with free -h what needs it"),
    sqlite3.SQLITE_IOERR_NOMEM: ("memory is used up", "look with free -h what needs it"),
    sqlite3.SQLITE_IOERR: ("the disk neither reads nor writes it (I/O error)", CARD),
    sqlite3.SQLITE_CONSTRAINT: (
        "a row is there already, or lacks something",
        "the disk is not at fault: has another program written to the file?",
    ),
    sqlite3.SQLITE_INTERRUPT: ("it was interrupted", "try again"),
    sqlite3.SQLITE_TOOBIG: ("a row is too large", "run: meter-gateway buffer check"),
}
"""By SQLite's code (sqlite.org/rescode.html): what is wrong, and what to do. Of a code that is not
here the first eight bits count.
"""
_MISFITS = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_INTERNAL,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_RANGE,
)
_LOST = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)
_REFUSED = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
)
_CLOSED = "Cannot operate on a closed database"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault. Of what is none, Python makes an error of a class of its
    own.
    """
    if type(error) is sqlite3.DatabaseError or _code(error) in _LOST:
        return True
    # "closed database": a new file is complete, and could not be put in the place of the damaged
    # one yet.
    return str(error).startswith(
        (
            "unsupported file format",
            "Could not decode to UTF-8",
            _CLOSED,
        )
    )


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the file, or its disk, cannot be written."""
    return (_code(error) or 0) & 0xFF == sqlite3.SQLITE_READONLY


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another program holds a lock on it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def is_misfit(error: sqlite3.Error) -> bool:
    """Whether neither the disk nor the file nor another program is at fault."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _MISFITS


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk has no room."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def is_refusal(error: OSError | sqlite3.Error) -> bool:
    """Whether the disk will not have something written, or a folder not have a file: a fault of the
    place, which may go away, and not of what is in the file.
    """
    if isinstance(error, OSError):
        return error.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EIO,
        )
    return (_code(error) or 0) & 0xFF in _REFUSED and not is_damage(error)


def _code(error: sqlite3.Error) -> int | None:
    """SQLite's extended code; None of an error that is Python's, or ours."""
    return getattr(error, "sqlite_errorcode", None)


def said(error: OSError | sqlite3.Error) -> str:
    """What is wrong, in our words, without what to do."""
    return _told(error)[0]


def remedy(error: OSError | sqlite3.Error) -> str:
    """What a person can do about it."""
    return _told(error)[1]


def explained(path: Path, what: str, error: OSError | sqlite3.Error) -> StoreError:
    """`what` could not be done with a file ("cannot be read"): why, and what to do."""
    kind = _kind(error)
    why, advice = _told(error)
    if is_refusal(error) and kind is StoreError and is_on_read_only_disk(path):
        mount = mount_of(resolved(path), own_mounts())
        why, advice = READ_ONLY_FOR_US if mount and mount.is_shut_for_us else READ_ONLY_DISK
    return kind(f"{path}: {what}: {why}; {advice}")


def _kind(error: OSError | sqlite3.Error) -> type[StoreError]:
    if isinstance(error, OSError):
        return StoreError
    if is_locked(error):
        return Locked
    return DiskFull if is_full(error) else Misfit if is_misfit(error) else StoreError


def is_on_read_only_disk(path: Path) -> bool:
    """Whether nothing at all can be written where a file is, or is to be."""
    for folder in path.parents:
        try:
            return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
        except OSError:
            continue
    return False


def _told(error: OSError | sqlite3.Error) -> tuple[str, str]:
    text = str(error)
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full", FREE_SPACE
        if error.errno == errno.EIO:
            return _SAID[sqlite3.SQLITE_IOERR]
        return error.strerror or text, "check owner and mode of the file and its folder"

    code = _code(error)
    if code is not None:
        found = _SAID.get(code) or _SAID.get(code & 0xFF)
        if found is not None:
            return found
        if text.startswith("no such"):
            return f"it has {text}", (
                "it is not a buffer, or of another version: check that the configuration names the "
                "right file"
            )
    if text.startswith(_CLOSED):
        return "it is closed, while a new one takes its place", "wait a minute"
    if text.startswith("Could not decode"):
        return "a text in it is none", _SAID[sqlite3.SQLITE_CORRUPT][1]
    if "fail validation" in text or "malformed" in text:
        return text, _SAID[sqlite3.SQLITE_CORRUPT][1]
    if code is None:
        return text, CARD  # in our own words
    if is_misfit(error):
        return f"SQLite says: {text}", _SAID[sqlite3.SQLITE_CONSTRAINT][1]
    return f"SQLite says: {text}", CARD
