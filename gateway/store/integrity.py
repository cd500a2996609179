"""Looks through the file for rows that cannot be ours, a little at a time or all at once, and
copies it.
"""

import math
import os
import sqlite3
from pathlib import Path

from gateway.store.database import Database
from gateway.store.errors import StoreError, explained, is_damage, remedy, said
from gateway.store.file import Connection
from gateway.store.row_checks import VALID

CHECKED_AT_ONCE = 5_000
"""Rows, some 10 ms; a file of 2 GB is read through in two days."""

_KEYS = {
    "slots": ("start_s",),
    "asset_slots": ("start_s",),
    "outbox": ("destination", "slot_s"),
}
"""By which columns a table without row ids is gone through."""
_Key = tuple[str | int, ...]
_ORDER = (*(name for name in VALID if name != "samples"), "samples")


class IntegrityCheck:
    """Goes through all tables once a day, in small steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = 0
        """The one that is looked through, by its place in `_ORDER`."""
        self._from: _Key | None = None
        """The key from which on; None: from its begin."""
        self._done_s = -math.inf
        """When all had been looked through, by the database's time."""
        database.attach(self)

    def begin(self) -> None:
        """Look at another file."""
        self._table, self._from = 0, None
        self._done_s = -math.inf

    def forget(self) -> None:
        """Nothing is remembered of what a transaction writes."""

    def check_some(self, rows: int = CHECKED_AT_ONCE) -> bool:
        """Look at some rows, going on where the last call ended. Returns whether all have been
        looked at. Raises StoreError where one is damaged; what can be read of the file is in a new
        one then.
        """
        now_s = self._database.now_s
        if now_s < self._done_s + 86_400:
            return True

        table = _ORDER[self._table]
        columns = _KEYS.get(table, ("rowid",))
        start = self._from or ("",) * (len(columns) - 1) + (-1,)
        key = ", ".join(columns)
        where = f"WHERE ({key}) >= ({', '.join('?' * len(columns))}) ORDER BY {key}"
        [(count, valid)] = self._database.rows(
            f"""SELECT count(*), coalesce(sum(valid), 0) FROM
                (SELECT ({VALID[table]}) IS TRUE AS valid FROM {table} {where} LIMIT ?)""",  # noqa: S608
            *(*start, rows),
        )
        if count != valid:
            found = sqlite3.DatabaseError(_invalid(count - valid, table))
            raise self._database.failed(found, "cannot be read")

        if count == rows:
            [last] = self._database.rows(
                f"SELECT {key} FROM {table} {where} LIMIT 1 OFFSET ?",  # noqa: S608
                *(*start, rows - 1),
            )
            # Several rows may have the last key; of a file so large the others are left to
            # tomorrow.
            self._from = last if last > start else (*last[:-1], last[-1] + 1)
            return False

        self._table, self._from = (self._table + 1) % len(_ORDER), None
        if self._table == 0:
            self._done_s = now_s
        return self._table == 0

    def damage(self) -> list[str]:
        """Reads the whole file, and looks at every row; says what is wrong. Raises StoreError where
        it cannot be read at all.
        """
        connection = self._database.connection
        try:
            found = [
                text for (text,) in connection.execute("PRAGMA integrity_check(10)") if text != "ok"
            ]
            for table, valid in VALID.items():
                [count] = connection.execute(
                    f"SELECT count(*) FROM {table} WHERE ({valid}) IS NOT TRUE"  # noqa: S608
                ).fetchone()
                if count:
                    found.append(_invalid(count, table))
        except sqlite3.Error as error:
            if not is_damage(error):
                path = self._database.path
                raise explained(path, "cannot be read", error) from error
            found = [said(error)]
        return found


def _invalid(count: int, table: str) -> str:
    return f"{count} rows of {table} fail validation"


def copy_to(database: Database, path: Path) -> str:
    """Write all that is committed now into an empty file, and read it back; says what is in it.
    Raises StoreError.
    """
    copy = sqlite3.connect(path, isolation_level=None, factory=Connection)
    try:
        # In one step, which sees the file as it is at one moment, however much is written to it
        # meanwhile.
        database.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        if (found := copy.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        samples, slots, owed = (
            copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("samples", "slots", "outbox")
        )
    except sqlite3.DatabaseError as error:
        what = (
            "it is damaged; see meter-gateway buffer check" if is_damage(error) else remedy(error)
        )
        raise StoreError(
            f"{database.path} cannot be copied to {path}: {said(error)}; {what}"
        ) from error
    finally:
        copy.close()

    with path.open("rb") as file:
        os.fsync(file.fileno())
    return (
        f"{path.stat().st_size / 1e6:.1f} MB, undamaged: {samples} samples, {slots} slots, "
        f"{owed} items of the outbox"
    )
