"""Files that travel in a copy of the buffer: the configuration of the box that it was made of. They
lie in a table of their own, which a buffer in use has not.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.store.errors import StoreError, remedy, said
from gateway.store.file import connect_as_it_is

_TABLE = "carried_files"


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A file of a folder."""

    name: str
    """Its path in that folder."""
    data: bytes
    is_secret: bool
    """Whether nobody but its owner may read it."""


def put_in(copy: Path, files: Iterable[CarriedFile]) -> None:
    """Add files to a copy that was just made. Raises StoreError."""
    try:
        with contextlib.closing(connect_as_it_is(copy, "mode=rw")) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                f"CREATE TABLE {_TABLE} (name TEXT PRIMARY KEY, data BLOB NOT NULL, "
                "is_secret INTEGER NOT NULL) WITHOUT ROWID"
            )
            rows = [(each.name, each.data, each.is_secret) for each in files]
            db.executemany(f"INSERT INTO {_TABLE} VALUES (?, ?, ?)", rows)  # noqa: S608
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{copy}: cannot be written: {said(error)}; {remedy(error)}") from error


def carried_in(copy: Path) -> list[CarriedFile]:
    """The files that a copy has in it; none where it is of the buffer alone. Raises StoreError."""
    try:
        with contextlib.closing(connect_as_it_is(copy, "mode=ro")) as db:
            if not _has_files(db):
                return []
            rows = db.execute(f"SELECT name, data, is_secret FROM {_TABLE}").fetchall()  # noqa: S608
    except sqlite3.Error as error:
        raise StoreError(
            f"{copy}: cannot be read: {said(error)}; name a copy that meter-gateway backup wrote"
        ) from error
    return [CarriedFile(str(name), bytes(data), bool(is_secret)) for name, data, is_secret in rows]


def take_out(db: sqlite3.Connection) -> None:
    """Remove them, leaving no trace of the secrets among them: a buffer is shown to more people
    than a login. Raises sqlite3.Error.
    """
    if _has_files(db):
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"DROP TABLE {_TABLE}")


def _has_files(db: sqlite3.Connection) -> bool:
    found = db.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (_TABLE,)
    ).fetchone()
    return found is not None
