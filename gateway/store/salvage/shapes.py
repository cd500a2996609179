"""What the rows of each table look like in a file, also in one of an earlier version."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.outbox.item import EXCHANGE
from gateway.store.migration import BEFORE_003, uuid_bytes

_FIRST = (
    "boots",
    "layouts",
    "counters",
    "outbox",
    "slots",
    "asset_slots",
    "forecast_states",
    "unallocated",
    "grid_fees",
    "events",
)
_NOT_SAVED = ("changes", "fleet_store")
"""What a fleet's collector has not stored. Some of it may be lost, and nobody would know what: the
new file is another one to the fleet, and all that is in it is sent again.
"""
_LATER = ("forecast_states", "fleet_delivers")
"""Tables that files of earlier versions do not have."""
_SUBJECT = "a UUID or a text"
_PYTHON: Mapping[str, Any] = {
    "INTEGER": int,
    "REAL": (int, float),
    "TEXT": str,
    "BLOB": bytes,
    _SUBJECT: (str, bytes),
}


@dataclass(slots=True)
class Found:
    """How far the salvage of a table has come."""

    blocked: bool = False
    """Something could not be read."""
    lost_keys: float = 0
    """How many keys that was; infinite where nobody knows."""
    count: int = 0
    """Rows saved."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table of the new file, and what its rows look like in the old one."""

    name: str
    columns: tuple[str, ...]
    """Of the new file, in the order of the old one's records."""
    types: tuple[str, ...]
    needed: tuple[bool, ...]
    row_id: int | None
    """The column that is the row id, and empty in the record."""
    key: str
    """Whole numbers by which it can be gone through."""
    in_index: bool
    """WITHOUT ROWID."""
    fewest: int
    """Columns that the oldest version wrote."""
    literals: Mapping[str, str]
    """In SQL: what columns are where the old file does not say."""
    prefix: str = ""
    """The column before the key in the primary key."""
    old_names: Mapping[str, str] = field(default_factory=dict)
    """Columns that had another name in the old file."""
    needed_literals: tuple[str, ...] = ()
    """Columns that have to be written though the old file does not have them."""
    found: Found = field(default_factory=Found)

    def is_row(self, values: Sequence[object]) -> bool:
        """Whether a record can be one of this table's."""
        if not self.fewest <= len(values) <= len(self.columns):
            return False
        for i, value in enumerate(values):
            if value is None:
                if self.needed[i] and i != self.row_id:
                    return False
            elif i == self.row_id or not isinstance(value, _PYTHON.get(self.types[i], object)):
                return False
        return True

    def converted(self, columns: Sequence[str], rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        """Rows of the old file as they are in the new one."""
        if "subject" not in self.old_names or "subject" not in columns:
            return rows
        at = columns.index("subject")
        return [(*row[:at], uuid_bytes(row[at]), *row[at + 1 :]) for row in rows]

    def old_name(self, column: str) -> str:
        """What a column is called in the old file."""
        return self.old_names.get(column, column)


def shapes_of(db: sqlite3.Connection) -> list[Shape]:
    """All tables of a new file, in the order in which they are saved."""
    found = []
    for name, sql in db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ):
        if name in _NOT_SAVED:
            continue
        shape = _shape(db, name, sql)
        found.append(shape)
        if name == "outbox":
            found.append(_outbox_before_003(shape))
    order = (
        *_FIRST,
        *(shape.name for shape in found if shape.name not in (*_FIRST, "samples")),
        "samples",
    )
    return sorted(found, key=lambda shape: order.index(shape.name))


def _shape(db: sqlite3.Connection, name: str, sql: str) -> Shape:
    info = db.execute(f"PRAGMA table_info({name})").fetchall()
    keys = sorted((key, i) for i, (*_, key) in enumerate(info) if key)
    in_index = re.search(r"\)\s*WITHOUT\s+ROWID", sql, re.IGNORECASE) is not None
    if in_index:
        info = [*(info[i] for _, i in keys), *(row for row in info if not row[5])]
    row_id = (
        keys[0][1] if not in_index and len(keys) == 1 and info[keys[0][1]][2] == "INTEGER" else None
    )
    without_default = [
        i
        for i, (*_, not_null, default, key) in enumerate(info)
        if (not_null or key) and default is None
    ]
    columns = tuple(row[1] for row in info)
    prefix = columns[0] if in_index and info[0][2] == "TEXT" else ""
    key = (columns[1] if prefix else columns[0]) if in_index else "rowid"
    return Shape(
        name=name,
        columns=columns,
        types=tuple(_SUBJECT if row[1] == "subject" else row[2] for row in info),
        needed=tuple(bool(not_null) or bool(key) for *_, not_null, _, key in info),
        row_id=row_id,
        key=key,
        in_index=in_index,
        fewest=without_default[-1] + 1,
        literals={row[1]: "NULL" if row[4] is None else row[4] for row in info},
        prefix=prefix,
    )


def _outbox_before_003(outbox: Shape) -> Shape:
    """As versions 1 and 2 had it: WITHOUT ROWID, no destination, and the subject was an asset."""
    last = outbox.columns.index("disagreements") + 1
    return replace(
        outbox,
        columns=outbox.columns[1:last],
        types=tuple("TEXT" if each == _SUBJECT else each for each in outbox.types[1:last]),
        needed=outbox.needed[1:last],
        fewest=outbox.fewest - 1,
        literals={**outbox.literals, "destination": f"'{EXCHANGE}'"},
        key="slot_s",
        in_index=True,
        old_names={"subject": "asset"},
        needed_literals=("destination",),
        found=Found(),
    )


def old_table(shape: Shape, source: sqlite3.Connection) -> str | None:
    """The table of the old file that has rows of this shape; None where that is of a version that
    has none. Raises sqlite3.Error.
    """
    names = {name for (name,) in source.execute("SELECT name FROM sqlite_master")}
    columns = {row[1] for row in source.execute("PRAGMA table_info(outbox)")}
    is_before_003 = "asset" in columns
    if shape.old_names:
        return BEFORE_003 if BEFORE_003 in names else "outbox" if is_before_003 else None
    if is_before_003 and shape.name in ("outbox", "asset_slots", "grid_fees"):
        return None
    if shape.name in _LATER and shape.name not in names:
        return None
    return shape.name
