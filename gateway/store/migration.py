"""Brings a file to the newest schema: one script after the other, each in one transaction.

What takes long is done after its script in portions, each a transaction of its own: after a kill at
any moment the next opening goes on where the last one stopped. Until it is done, `is_unfinished`
says so, and nobody else may use the file.
"""

import logging
import os
import sqlite3
from collections.abc import Collection
from functools import cache
from pathlib import Path
from uuid import UUID

from gateway.outbox.item import EXCHANGE
from gateway.store.errors import DiskFull
from gateway.store.row_checks import TABLES

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
BEFORE_003 = "outbox_before_003"
"""What is left to move of the outbox as version 2 had it."""

PORTION_ROWS = 5_000
"""Rows of the outbox that are moved in one transaction: the log gets some 1.5 MB by it."""
BYTES_PER_ROW = 60
"""By so much the file may grow for a row of the outbox: an asset slot, and its part of the indexes.
The row itself goes where others have been moved from: 400 days of ten assets grew by 2 bytes a row,
and by 39 where all of it was still owed.
"""
CACHE = -8192
"""kB, for SQLite's PRAGMA: a portion fits in, or its pages would be written several times."""
LOG_BYTES = 12 << 20
"""The write-ahead log, and what it grows by while it is rewritten."""

_COLUMNS_BEFORE_003 = (
    "slot_s, {subject}, kind, revision, length_s, energy_uwh, raw_uwh, quality, opens_s, closes_s, "
    "state, reason, attempts, decided_s, confirmed_s, held_uwh, disagreements"
)

FILL_ASSET_SLOTS = """INSERT INTO asset_slots
    (start_s, asset, length_s, energy_uwh, quality, revision)
    SELECT slot_s, {asset}, length_s,
        CASE WHEN quality IN ('measured', 'estimated') THEN coalesce(raw_uwh, energy_uwh) END,
        quality, revision
    FROM {outbox} AS owed
    WHERE kind = 'measurement' AND {where} AND NOT EXISTS (SELECT 1 FROM {outbox} AS newer
        WHERE newer.slot_s = owed.slot_s AND newer.{subject} = owed.{subject}
        AND newer.kind = owed.kind AND newer.revision > owed.revision {also})
    ON CONFLICT DO NOTHING"""
"""Of the newest revision of each measurement that is owed."""


@cache
def newest_version() -> int:
    """Of the schema. It does not change while we run."""
    return len(_scripts())


def is_unfinished(tables: Collection[str]) -> bool:
    """Whether a file with these tables is in the middle of a migration."""
    return BEFORE_003 in tables


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """To the newest schema. Raises sqlite3.DatabaseError; DiskFull where there is not enough room
    to begin, and has changed nothing then.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    tables = _tables(db)
    if version == 0 and tables:
        if tables & {*TABLES}:
            raise sqlite3.DatabaseError("its header has lost the version")
        raise sqlite3.OperationalError(
            f"is another program's database (it has a table {min(tables)}): not a database of ours"
        )

    if version == 0:
        _make(db)
        return

    if version < 3:
        _check_room(db, path)
    if is_unfinished(tables):
        _move_outbox(db, path)  # an earlier opening was cut short
    for number, script in enumerate(_scripts()[version:], version + 1):
        db.executescript(
            f"BEGIN IMMEDIATE; {script.read_text()} PRAGMA user_version = {number}; COMMIT;"
        )
        if is_unfinished(_tables(db)):
            _move_outbox(db, path)


def _scripts() -> list[Path]:
    return sorted(MIGRATIONS.glob("*.sql"))


def _make(db: sqlite3.Connection) -> None:
    """A new file, in one transaction: there is nothing to move."""
    scripts = " ".join(script.read_text() for script in _scripts())
    db.executescript(
        f"BEGIN IMMEDIATE; {scripts} DROP TABLE {BEFORE_003}; "
        f"PRAGMA user_version = {newest_version()}; COMMIT;"
    )


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master")}


def _check_room(db: sqlite3.Connection, path: Path) -> None:
    """Raises DiskFull where the disk and what is free in the file would not do for the new rows."""
    rows: int = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
    needed = rows * BYTES_PER_ROW + LOG_BYTES

    disk = os.statvfs(path.parent)
    free_pages: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    page_bytes: int = db.execute("PRAGMA page_size").fetchone()[0]
    there = disk.f_bavail * disk.f_frsize + free_pages * page_bytes
    if there < needed:
        raise DiskFull(
            f"{path}: to be upgraded it needs {needed / 1e6:.0f} MB of room on its disk, and there "
            f"are {there / 1e6:.0f} MB; nothing has been changed. Free space on this disk and "
            "start the daemon again, or install the version before, which goes on with the file "
            "as it is"
        )


def uuid_bytes(text: object) -> bytes | None:
    """The 16 bytes of a UUID; None where the text is none, which no row of ours has."""
    try:
        return UUID(text).bytes if isinstance(text, str) else None
    except ValueError:
        return None


def _move_outbox(db: sqlite3.Connection, path: Path) -> None:
    """The rows of the outbox as version 2 had it, portion by portion, the oldest first."""
    moved = 0
    db.create_function("uuid_bytes", 1, uuid_bytes, deterministic=True)
    cache: int = db.execute("PRAGMA cache_size").fetchone()[0]
    db.execute(f"PRAGMA cache_size = {CACHE}")
    # What is freed need not be overwritten with zeros: Debian's SQLite does that unless it is told
    # not to, and it would double what is written.
    overwrites: int = db.execute("PRAGMA secure_delete").fetchone()[0]
    db.execute("PRAGMA secure_delete = OFF")
    try:
        while rows := _move_portion(db):
            moved += rows
            if moved % (40 * PORTION_ROWS) < rows:
                log.info("%s: is being upgraded; %d items of the outbox moved", path, moved)
        db.executescript(f"BEGIN IMMEDIATE; DROP TABLE IF EXISTS {BEFORE_003}; COMMIT;")
        db.execute(f"PRAGMA cache_size = {cache}")
        db.execute(f"PRAGMA secure_delete = {overwrites}")
        db.execute("PRAGMA shrink_memory")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.IntegrityError):
            # No row of ours is refused by the new table.
            raise sqlite3.DatabaseError(f"rows of outbox fail validation: {error}") from error
        raise


def _move_portion(db: sqlite3.Connection) -> int:
    """Returns how many rows there were."""
    db.execute("BEGIN IMMEDIATE")
    found = db.execute(
        f"SELECT slot_s FROM {BEFORE_003} ORDER BY slot_s LIMIT 1 OFFSET ?",  # noqa: S608
        (PORTION_ROWS,),
    ).fetchone()
    # A slot is moved as a whole: its newest revision is looked for among all.
    first = db.execute(f"SELECT min(slot_s) FROM {BEFORE_003}").fetchone()[0]  # noqa: S608
    where, until = ("true", ()) if found is None else ("slot_s < ?", (max(found[0], first + 1),))
    fill = FILL_ASSET_SLOTS.format(
        outbox=BEFORE_003, subject="asset", asset="uuid_bytes(asset)", where=where, also=""
    )

    db.execute(fill, until)
    db.execute(
        f"""INSERT INTO outbox (destination, {_COLUMNS_BEFORE_003.format(subject="subject")})
            SELECT '{EXCHANGE}', {_COLUMNS_BEFORE_003.format(subject="uuid_bytes(asset)")}
            FROM {BEFORE_003} WHERE {where} ORDER BY slot_s, asset, kind, revision""",  # noqa: S608
        until,
    )
    moved = db.execute(f"DELETE FROM {BEFORE_003} WHERE {where}", until).rowcount  # noqa: S608
    db.execute("COMMIT")
    return moved
