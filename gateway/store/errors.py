"""What a disk and a file can do to the store, by type, and what a person can do about it. Pure but
for sqlite3's own errors.
"""

import sqlite3


class StoreError(Exception):
    """The store cannot be used. The text says which file, why and what to do."""


class DiskFull(StoreError):
    """There is no room on the disk."""


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
LOCKED = "close the program that holds it (a database browser, a backup); it is tried again"
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


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault. Of what is none, Python makes an error of a class of its
    own.
    """
    if type(error) is sqlite3.DatabaseError or getattr(error, "sqlite_errorcode", None) in _LOST:
        return True
    # "closed database": a new file is complete, and could not be put in the place of the damaged
    # one yet.
    return str(error).startswith(
        (
            "unsupported file format",
            "Could not decode to UTF-8",
            "Cannot operate on a closed database",
        )
    )


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the file, or its disk, cannot be written."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


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
    return getattr(error, "sqlite_errorcode", None) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    )


def remedy(error: sqlite3.Error) -> str:
    """What a person can do about it."""
    text = str(error)
    if "full" in text:
        return FREE_SPACE
    if "malformed" in text or "fail validation" in text:
        return "it is damaged: stop the daemon, and run: meter-gateway buffer repair"
    if "unable to open" in text:
        return (
            "check that it is a file and not a folder, and the owner and mode of it and of "
            "its folder"
        )
    if "not a database" in text:
        return "check that the configuration names the right file"
    if "readonly" in text:
        return "the file or its disk is read-only: check its owner, and the card with dmesg"
    if is_locked(error):
        return LOCKED
    if is_misfit(error):
        return "the disk is not at fault: has another program written to the file?"
    return "check the disk with dmesg"
