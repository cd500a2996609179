"""What it costs to bring a large buffer of the schema before to this one: time, bytes, and room on
the disk.
"""

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from gateway.energy.slot import DIRECTIONS
from gateway.store import migration
from gateway.store.opening import open_buffer
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import CHECKOUT

TITLE = "the upgrade of a buffer of schema 2: 400 days, ten meters, ten assets"
SLOW = "needs a gigabyte of disk"

DAYS = 400
"""As long as slots are kept."""
SLOT_S = 900
BEGIN_S = 1_765_000_000 // SLOT_S * SLOT_S
END_S = BEGIN_S + DAYS * 86_400
METERS = [f"meter{n}" for n in range(10)]
ASSETS = [str(UUID(int=0x26090DEA_8A2C_4C39_A9AE_0F6B32C9D2A1 + n * 7919)) for n in range(10)]
KINDS = ("measurement", "forecast")
BEFORE = 2
"""The version of the schema that is upgraded."""

OWED = """INSERT INTO outbox VALUES
    (?, ?, ?, 0, 900, ?, NULL, 'measured', ?, ?, 'accepted', '', 1, ?, ?, NULL, 0)"""
SLOT = """INSERT INTO slots VALUES
    (?, ?, ?, ?, 900, ?, 'measured', 'counter', 1000, 90, 10000, ?, ?, ?, ?, 'kernel', 0)"""


def figures() -> Iterator[Figure]:
    """Takes a minute. The disk is the one the checkout is on."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=CHECKOUT) as folder:
        path = Path(folder) / "buffer.sqlite"
        progress(f"upgrade: a buffer of schema {BEFORE} with {DAYS} days")
        items = _filled(path)
        before = path.stat().st_size

        progress("upgrade: to the newest schema")
        written, began_s = _written_bytes(), time.monotonic()
        store = open_buffer(path, now_s=END_S)
        took_s = time.monotonic() - began_s
        written = _written_bytes() - written

        db = store.database.connection
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        grown = path.stat().st_size - before
        kept, asset_slots = (_count(db, table) for table in ("outbox", "asset_slots"))
        store.close_file()

    beside = f"{items} items of the outbox, {before / 1e6:.0f} MB"
    yield Figure("time", took_s, "s", 60, "low", beside)
    yield Figure("written, the log among it", written / 1e6, "MB", 450, "low")
    yield Figure("the file grew by", grown / 1e6, "MB", 20, "low")
    yield Figure("items lost", items - kept, "", 0, "low", f"{asset_slots} slots of assets made")


def _filled(path: Path) -> int:
    """Writes what so many days left. Returns how many items are in the outbox."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 512")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    for script in sorted(migration.MIGRATIONS.glob("*.sql"))[:BEFORE]:
        db.executescript(script.read_text(encoding="utf-8"))
    db.execute(f"PRAGMA user_version = {BEFORE}")

    db.execute("BEGIN")
    for start_s in range(BEGIN_S, END_S, SLOT_S):
        db.executemany(OWED, _owed(start_s))
        db.executemany(SLOT, _slots(start_s))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    items = _count(db, "outbox")
    db.close()
    return items


def _owed(start_s: int) -> Iterator[tuple[object, ...]]:
    """A measurement, accepted and read back, and a forecast of each asset."""
    for asset in ASSETS:
        for kind in KINDS:
            measured = kind == "measurement"
            closes_s = None if measured else float(start_s)
            confirmed_s = start_s + 2000.0 if measured else None
            energy_uwh = 123_456_789 + start_s % 100_000
            opens_s, decided_s = start_s + 901.0, start_s + 905.25
            yield start_s, asset, kind, energy_uwh, opens_s, closes_s, decided_s, confirmed_s


def _slots(start_s: int) -> Iterator[tuple[object, ...]]:
    for n, meter in enumerate(METERS):
        begin_uwh = (start_s - BEGIN_S) * 100_000
        chain = (begin_uwh, begin_uwh + 123_456_789)
        register = (begin_uwh, begin_uwh + 10**8)
        for direction in DIRECTIONS:
            yield start_s, meter, direction, f"1ESY11{n}", 123_456_789, *chain, *register


def _count(db: sqlite3.Connection, table: str) -> int:
    rows: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return rows


def _written_bytes() -> int:
    """By this process so far, to whatever file."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))
