"""What the close of a slot costs with a year in the buffer, beside a day: time, and bytes in the
log.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from drivers.sample import Sample
from gateway.energy.counter import Counter
from gateway.energy.slot import DIRECTIONS, AssetSlot, DirectionState, MeterState, OpenSlot, Slot
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer, Limits
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.benchmarks.figure import Figure, progress

TITLE = "the close of a slot, ten meters and ten assets, with a year in the buffer and with a day"

SLOT_S = 900
END_S = 1_800_000_000
"""When what is in the buffers ends."""
METERS = [f"meter{n}" for n in range(10)]
ASSETS = [UUID(int=n) for n in range(1, 11)]
SAMPLES_DAYS = 30
"""As long as samples are kept by default."""
YEAR_DAYS = 365
ROUNDS = 300
WARM_UP = 30


def figures() -> Iterator[Figure]:
    """Takes a minute or two. In memory where there is room: what is compared is work, and not the
    disk's mood.
    """
    with tempfile.TemporaryDirectory(dir=_roomy()) as scratch:
        day = _filled(Path(scratch) / "day.sqlite", 1)
        year = _filled(Path(scratch) / "year.sqlite", YEAR_DAYS)
        progress("year: closing slots, by turns")
        stores = (year, day)
        times: list[list[float]] = [[], []]
        for n in range(ROUNDS):
            for store, took_s in zip(stores, times, strict=True):
                began_s = time.perf_counter()
                _close_slot(store, END_S + n * SLOT_S)
                took_s.append(time.perf_counter() - began_s)
        written = [_log_bytes(store, END_S + ROUNDS * SLOT_S) for store in stores]
        slots, size = year.slot_count, year.size_bytes
        year_s, day_s = (statistics.median(took_s[WARM_UP:]) for took_s in times)
        for store in stores:
            store.close_file()
    beside = (
        f"{year_s * 1e3:.2f} ms with {slots} slots and {size / 1e6:.0f} MB; "
        f"{day_s * 1e3:.2f} ms with a day"
    )
    yield Figure(
        "the close of a slot with a year in the buffer, beside a day: time",
        year_s / day_s,
        "times",
        1.2,
        "low",
        beside,
    )
    beside = (
        f"{written[0] / 1e3:.1f} kB and {written[1] / 1e3:.1f} kB, verdicts and a minute of "
        "samples included"
    )
    yield Figure(
        "the same: bytes written to the log", written[0] / written[1], "times", 1.2, "low", beside
    )


def _roomy() -> str | None:
    """A file system in memory with a gigabyte free, or None: the usual place."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return None
    free = os.statvfs(shm)
    return str(shm) if free.f_bavail * free.f_frsize > 1 << 30 else None


def _filled(path: Path, days: int) -> Buffer:
    """What so many days leave, written at one go."""
    progress(f"year: a buffer with {days} day(s)")
    store = open_buffer(path, Limits(max_bytes=1 << 40), now_s=END_S)
    for meter in METERS:
        store.add(_sample(meter, END_S - days * 86400))
    store.flush()
    db = store.database.connection
    db.execute("PRAGMA synchronous = OFF")
    (data,) = db.execute("SELECT data FROM samples LIMIT 1").fetchone()
    begin_s = END_S - min(days, SAMPLES_DAYS) * 86400
    db.execute("BEGIN")
    # Numbers as if nothing had ever been removed before them.
    rows = (
        (at_s * 1000, at_s * 1000, k + 1, data)
        for at_s in range(begin_s, END_S, 10)
        for k in range(len(METERS))
    )
    db.executemany(
        "INSERT INTO samples (boottime_ms, utc_ms, layout, boot, data) VALUES (?, ?, ?, 1, ?)", rows
    )
    db.execute("COMMIT")
    store.close_file()
    store = open_buffer(path, Limits(max_bytes=1 << 40), now_s=END_S)
    store.database.connection.execute("PRAGMA synchronous = OFF")
    for first_s in range(END_S - days * 86400, END_S, 86400):
        for start_s in range(first_s, first_s + 86400, SLOT_S):
            for closing in _closings(store, start_s, "accepted"):
                store.close(closing)
        store.flush()
    store.database.connection.execute("PRAGMA synchronous = FULL")
    return store


def _sample(meter: str, at_s: int) -> Sample:
    values = {
        "energy_import_wh": 1.0,
        "energy_export_wh": 2.0,
        "power_w": 3.0,
        "voltage_l1_v": 230.0,
        "current_l1_a": 1.0,
    }
    return Sample(meter, meter, "boot", at_s * 1000, at_s * 1000, values)


def _closings(store: Buffer, start_s: int, state: str) -> Iterator[Closing]:
    """A slot of all meters, and what is owed for it with the last one."""
    end_ms = (start_s + SLOT_S) * 1000
    for n, meter in enumerate(METERS):
        begin_uwh = start_s * 1000
        chain = (begin_uwh, begin_uwh + SLOT_S * 1000)
        slots = tuple(
            Slot(
                meter,
                meter,
                direction,
                start_s,
                SLOT_S,
                SLOT_S * 1000,
                "measured",
                "counter",
                1000,
                90,
                10_000,
                *chain,
                *chain,
                "kernel",
            )
            for direction in DIRECTIONS
        )
        directions = {
            d: DirectionState(Counter(end_ms, 1, 1, 0, 1.0), OpenSlot(end_ms, end_ms, 1, 1))
            for d in DIRECTIONS
        }
        owed: tuple[Owed, ...] = ()
        asset_slots: tuple[AssetSlot, ...] = ()
        if n == len(METERS) - 1:
            items = [Item("exchange", asset, start_s, "measurement", 0, 123) for asset in ASSETS]
            owed = tuple(
                Owed(item, SLOT_S, "measured", start_s + 901.0, None, state) for item in items
            )  # type: ignore[arg-type]
            asset_slots = tuple(
                AssetSlot(asset, start_s, SLOT_S, 123, 7, "measured") for asset in ASSETS
            )
        yield Closing(
            meter,
            store.last_number,
            MeterState(meter, end_ms, SLOT_S * 1000, directions),
            slots,
            owed,
            (),
            asset_slots=asset_slots,
        )


def _close_slot(store: Buffer, start_s: int) -> None:
    """What the ledger and the uploader do when all meters close a slot, with the samples of a
    minute.
    """
    for k in range(6):
        for meter in METERS:
            store.add(_sample(meter, start_s + SLOT_S - 60 + 10 * k))
    for closing in _closings(store, start_s, "pending"):
        store.slots_at(start_s)
        store.close(closing)
    store.flush()
    now_s = start_s + SLOT_S + 5.0
    due = store.outbox("exchange").due(now_s, since_s=start_s, limit=100)
    store.outbox("exchange").record([owed.item for owed in due], "accepted", "", now_s)
    store.outbox("exchange").next_change_s(now_s)
    store.outbox("exchange").backlog()


def _log_bytes(store: Buffer, from_s: int) -> float:
    """What one close writes, on average of fifty: the log is not written back meanwhile, and grows
    by it.
    """
    store.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.database.connection.execute("PRAGMA wal_autocheckpoint = 0")
    for n in range(50):
        _close_slot(store, from_s + n * SLOT_S)
    return store.path.with_name(store.path.name + "-wal").stat().st_size / 50
