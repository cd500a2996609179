"""Saves what can be read of a damaged buffer into a new one. With `buffer.py` the only place that
knows SQL.

First the tables are walked by their keys, around what cannot be read; where the way is blocked, the
file is read page by page (`carve.py`). What is owed and the folds' states come first, then slots,
events, and samples from the newest on. Every row is looked at before it is taken: damage inside a
page can leave rows that are none.

The new file takes its place only when it is complete and synced, so that a power cut at any moment
leaves one or the other:

    buffer.sqlite.salvaging  is being written, and says that buffer.sqlite is damaged
    buffer.sqlite.salvaged   is complete, and only has to be put in its place

Limits: the samples may take `SAMPLES_S` (`SAMPLES_RUNNING_S`), everything else `TABLES_S`; samples
stop where the disk would be left with less than `SPARE_BYTES`, and where there is no room for the
rest nothing is done; `MAX_ASIDE` damaged files are kept, the oldest goes then.
"""

import contextlib
import logging
import math
import os
import re
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from gateway.energy.counter import Counter
from gateway.energy.slot import DirectionState, MeterState, OpenSlot, Slot
from gateway.store.file import connect_as_it_is, new_file
from gateway.store.row_checks import VALID
from gateway.store.rows import packing_of
from gateway.store.salvage import carve

log = logging.getLogger(__name__)

SANE = 1e30
"""No quantity of a meter is this large: what claims to be is damage."""

TABLES_S = 120.0
"""systemd waits 300 s for the start."""
SAMPLES_S = 30.0
SAMPLES_RUNNING_S = 10.0
"""While the daemon runs: it reads no meter meanwhile, and systemd waits 60 s for a sign of life.
Where that is not enough it is started anew, finds what was begun, and takes the time it needs.
"""
SPARE_BYTES = 32 << 20
MAX_ASIDE = 3

_PORTION = 4000
_ROUNDS = 50
"""Of 10,000 steps of SQLite's machine, for one portion: it needs some ten."""
_FEW = 200
_MAX_BLOCKED = 5000
"""Spans of one table that could not be read, until it is left to the pages."""
_PAGE_BYTES = 512
"""Of our files, where the header no longer says so."""
_BLOCK_BYTES = 1 << 20
_FIRST = ("boots", "layouts", "counters", "outbox", "slots", "unallocated", "events")
_MOST_KEYS = 1 << 62


_BETTER: Mapping[str, str] = {
    # Freed pages may hold what a row was before.
    "counters": """(device) DO UPDATE SET sample_id = excluded.sample_id, state = excluded.state
        WHERE excluded.sample_id > counters.sample_id""",
    "outbox": """(slot_s, asset, kind, revision) DO UPDATE SET state = excluded.state, reason =
        excluded.reason,
        attempts = excluded.attempts, decided_s = excluded.decided_s
        WHERE (excluded.attempts, excluded.state <> 'pending') > (outbox.attempts, outbox.state <>
            'pending')""",
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of it."""

    aside: Path | None
    """Where the damaged file is now; None where there was none."""
    rows: Mapping[str, int]
    """Rows saved, per table."""
    blocked: tuple[str, ...]
    """Tables of which something could not be read, or was not read in time."""
    rebuilt: tuple[str, ...]
    """Meters whose fold goes on from its last slot: its own state was lost, or older than that."""

    def __str__(self) -> str:
        found = ", ".join(
            f"{count} {table}"
            for table, count in self.rows.items()
            if count and table not in ("boots", "layouts")
        )
        if not self.rows:
            return "what could be read of it is in the new one"
        if not found:
            return "nothing could be read of it"
        text = f"salvaged: {found}"
        if self.blocked:
            text += f"; not all could be read of: {', '.join(self.blocked)}"
        if self.rebuilt:
            text += f"; the counters of {', '.join(self.rebuilt)} go on from their last slots"
        return text


@dataclass(slots=True)
class _Table:
    """A table of the new file, and what its rows look like in the old one."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    needed: tuple[bool, ...]
    row_id: int | None
    """The column that is the row id, and empty in the record."""
    key: str
    in_index: bool
    """WITHOUT ROWID."""
    fewest: int
    """Columns that the oldest version wrote."""
    blocked: bool = False
    """Something could not be read."""
    lost_keys: float = 0
    """How many keys that was; infinite where nobody knows."""
    count: int = 0

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


_PYTHON: Mapping[str, Any] = {"INTEGER": int, "REAL": (int, float), "TEXT": str, "BLOB": bytes}


def _tables(db: sqlite3.Connection) -> list[_Table]:
    """In the order they are saved."""
    found = []
    for name, sql in db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ):
        info = db.execute(f"PRAGMA table_info({name})").fetchall()
        keys = sorted((key, i) for i, (*_, key) in enumerate(info) if key)
        in_index = re.search(r"\)\s*WITHOUT\s+ROWID", sql, re.IGNORECASE) is not None
        if in_index:
            info = [*(info[i] for _, i in keys), *(row for row in info if not row[5])]
        row_id = (
            keys[0][1]
            if not in_index and len(keys) == 1 and info[keys[0][1]][2] == "INTEGER"
            else None
        )
        needed = tuple(bool(not_null) or bool(key) for *_, not_null, _, key in info)
        without_default = [
            i
            for i, (*_, not_null, default, key) in enumerate(info)
            if (not_null or key) and default is None
        ]
        columns = tuple(row[1] for row in info)
        key = columns[0] if in_index else "rowid"
        found.append(
            _Table(
                name,
                columns,
                tuple(row[2] for row in info),
                needed,
                row_id,
                key,
                in_index,
                without_default[-1] + 1,
            )
        )
    order = (
        *_FIRST,
        *(table.name for table in found if table.name not in (*_FIRST, "samples")),
        "samples",
    )
    return sorted(found, key=lambda table: order.index(table.name))


def renew(
    path: Path,
    source: sqlite3.Connection | None = None,
    held: sqlite3.Connection | None = None,
    *,
    now_s: float,
) -> Salvaged:
    """Put a new file in the place of a damaged one, with all that can be read of it.

    `source` is a connection through which it can still be read (the file may have been deleted
    under it). `held` is one to it that is open; both are closed before the new file takes its
    place. Raises OSError or sqlite3.Error: try again then.
    """
    if _beside(path, ".salvaged").exists():
        return Salvaged(put_in_place(path, now_s), {}, (), ())
    work = _beside(path, ".salvaging")
    for suffix in ("", "-journal", "-wal", "-shm"):
        _beside(work, suffix).unlink(missing_ok=True)
    opened = _for_reading(path) if source is None else None
    source = source or opened
    target = new_file(work)
    # Repaired by root, it is still the daemon's.
    with contextlib.suppress(OSError):
        owner = path.stat()
        os.chown(work, owner.st_uid, owner.st_gid)
    try:
        report = _save(path, source, target, now_s, SAMPLES_RUNNING_S if held else SAMPLES_S)
        target.execute("COMMIT")
        target.close()
        _sync(work)
    except BaseException:
        target.close()
        if opened is not None:
            opened.close()
        # Not the file: it says at the next start that there is something to salvage. What it took
        # is given back.
        with contextlib.suppress(OSError):
            os.truncate(work, 0)
        raise
    work.rename(_beside(path, ".salvaged"))
    # From here on nothing may be written to the old one any more: it would be lost.
    for each in (source, held):
        if each is not None:
            each.close()
    return replace(report, aside=put_in_place(path, now_s))


def put_in_place(path: Path, now_s: float) -> Path | None:
    """Set the damaged file aside, and put the complete new one in its place; goes on where a power
    cut ended it. Returns the old one's new name. Raises OSError.
    """
    aside = _beside(path, f".damaged-{int(now_s)}")
    number = 2
    while aside.exists():
        aside = _beside(path, f".damaged-{int(now_s)}-{number}")
        number += 1
    there = path.exists()
    # The log first: SQLite would play it back into whatever file it lies beside.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(aside, suffix))
    _beside(path, ".salvaged").rename(path)
    _sync(path.parent)
    _forget_oldest(path)
    return aside if there else None


def _forget_oldest(path: Path) -> None:
    aside = [
        each
        for each in path.parent.glob(f"{path.name}.damaged-*")
        if not each.name.endswith(("-wal", "-shm"))
    ]
    for old in sorted(aside, key=lambda each: each.stat().st_mtime)[:-MAX_ASIDE]:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                _beside(old, suffix).unlink()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _for_reading(path: Path) -> sqlite3.Connection | None:
    """The damaged file, where SQLite still takes it for a database."""
    for how in ("mode=ro", "immutable=1"):
        try:
            db = connect_as_it_is(path, how)
        except sqlite3.Error:
            continue
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            continue
        # Noise in a text must not hide the rows beside it.
        db.text_factory = lambda text: text.decode(errors="replace")
        return db
    return None


@dataclass(slots=True)
class _Job:
    """One salvage."""

    path: Path
    target: sqlite3.Connection
    deadline_s: float
    packed: dict[object, struct.Struct] = field(default_factory=dict)
    """Bytes of a sample by its layout."""
    boots: set[object] = field(default_factory=set)
    newest_ms: float = math.inf
    """No sample can be newer."""

    spare_bytes: int = 0
    """What the disk must be left with."""

    @property
    def late(self) -> bool:
        """Whether the time is used up, or the disk."""
        # The real clock, also where the daemon runs in another time: this bounds how long a real
        # disk keeps us waiting.
        return (
            time.monotonic() > self.deadline_s
            or shutil.disk_usage(self.path.parent).free < self.spare_bytes
        )

    def put(
        self,
        table: _Table,
        columns: Sequence[str],
        rows: list[Sequence[Any]],
        *,
        judged: bool = False,
    ) -> None:
        """Take over those rows that are sound; `judged`: all of them are, and none comes from a
        page that was given up.
        """
        names = ", ".join(columns)
        values = ", ".join(f"? AS {column}" for column in columns)
        clash = (
            f"ON CONFLICT {_BETTER[table.name]}"
            if table.name in _BETTER
            else "ON CONFLICT DO NOTHING"
        )
        sound = VALID.get(table.name, "true")
        sql = (
            f"INSERT INTO {table.name} ({names}) SELECT * FROM (SELECT {values}) WHERE {sound} "  # noqa: S608
            f"{clash}"
        )
        if table.name == "samples":
            # There are so many of them that each microsecond counts.
            rows = self._possible(columns, rows)
        if judged or table.name == "samples":
            sql = (
                f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES "  # noqa: S608
                f"({', '.join('?' * len(columns))})"
            )
        before = self.target.total_changes
        try:
            self.target.executemany(sql, rows)
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            # What no column can hold was none of ours; those before it are taken already.
            for row in rows:
                with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
                    self.target.execute(sql, row)
        table.count += self.target.total_changes - before

    def _possible(self, columns: Sequence[str], rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        """Of samples those that can be unpacked to numbers, and are not from the future: the fold
        would follow them there.
        """
        layout, boot, boottime, utc, data = (
            columns.index(name) for name in ("layout", "boot", "boottime_ms", "utc_ms", "data")
        )
        possible = [
            row
            for row in rows
            if isinstance(row[data], bytes)
            and (packing := self.packed.get(row[layout])) is not None
            and packing.size == len(row[data])
            and all(abs(value) < SANE for value in packing.unpack(row[data]))
            and (row[utc] is None or (isinstance(row[utc], int) and row[utc] < self.newest_ms))
            and isinstance(row[boot], int)
            and isinstance(row[boottime], int)
        ]
        for number in {row[boot] for row in possible} - self.boots:
            # Which boot it was matters to samples without a date alone; that they are of one is
            # kept.
            self.target.execute(
                "INSERT INTO boots (id, boot_id) VALUES (?, ?)", (number, f"lost-{number}")
            )
            self.boots.add(number)
        return possible


def _save(
    path: Path,
    source: sqlite3.Connection | None,
    target: sqlite3.Connection,
    now_s: float,
    samples_s: float,
) -> Salvaged:
    job = _Job(path, target, time.monotonic() + TABLES_S)
    tables = _tables(target)
    [samples] = [table for table in tables if table.name == "samples"]
    others = [table for table in tables if table is not samples]
    for table in others:
        _walk(job, table, source)
    pages = _Pages.of(path)
    if pages and any(table.blocked for table in others):
        _read_pages(job, pages, others, samples)
    job.packed = {
        number: packing_of(quantities)
        for number, quantities in target.execute("SELECT id, quantities FROM layouts")
    }
    [(end_s,)] = target.execute("SELECT max(start_s + length_s) FROM slots")
    if end_s is not None:
        job.newest_ms = (max(end_s, now_s) + 2 * 86_400) * 1000
    job.boots = {number for (number,) in target.execute("SELECT id FROM boots")}
    job.deadline_s = time.monotonic() + samples_s
    job.spare_bytes = SPARE_BYTES
    _walk(job, samples, source)
    # A few samples are those of a page that cannot be read: to look for them takes long, and there
    # is nothing to find.
    if pages and samples.lost_keys > _FEW:
        _read_pages(job, pages, [samples], samples)
    if pages:
        pages.close()
    rebuilt = _mend_states(target)
    return Salvaged(
        None,
        {table.name: table.count for table in tables},
        tuple(t.name for t in tables if t.blocked),
        rebuilt,
    )


def _walk(job: _Job, table: _Table, source: sqlite3.Connection | None) -> None:
    """Take over a table by its key, the newest rows first, around what cannot be read."""
    columns = _columns_of(table, source)
    if source is None or not columns:
        table.blocked = True
        table.lost_keys = math.inf
        return
    # A column that an earlier version lacks cannot be asked for.
    judged = len(columns) == len(table.columns)
    sound = VALID.get(table.name, "true") if judged else "true"
    names = ", ".join([table.key, *columns, f"({sound}) IS TRUE"])
    sql = (
        f"SELECT {names} FROM {table.name} WHERE {table.key} >= ? AND {table.key} < ? ORDER BY "  # noqa: S608
        f"{table.key} DESC LIMIT {_PORTION}"
    )
    spans = [(-1, _MOST_KEYS)]
    blocked = 0
    while spans:
        if job.late or blocked > _MAX_BLOCKED:
            table.blocked = True
            table.lost_keys = math.inf
            return
        low, high = spans.pop()
        try:
            found = _patiently(source, sql, low, high)
        except sqlite3.Error:
            blocked += 1
            table.blocked = True
            if high - low > 1:
                middle = (low + high) // 2
                spans += [(low, middle), (middle, high)]
            else:
                table.lost_keys += 1
            continue
        before = table.count
        sane = [row[1:-1] for row in reversed(found) if row[-1]]
        table.blocked |= len(sane) < len(found)
        job.put(table, columns, sane, judged=judged)
        if len(found) == _PORTION:
            last = found[-1][0]
            if table.count == before:
                blocked += 500
            if not isinstance(last, int):
                table.blocked = True
                table.lost_keys = math.inf
                continue
            # Several rows may have this key; those that come twice are taken once.
            spans.append((low, last + 1 if last + 1 < high else last))


def _patiently(source: sqlite3.Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds; a tree that damage has bent into a circle must not hold us for ever.
    Raises sqlite3.Error.
    """
    rounds = iter(range(_ROUNDS))
    source.set_progress_handler(lambda: next(rounds, None) is None, 10_000)
    try:
        return source.execute(sql, parameters).fetchall()
    finally:
        source.set_progress_handler(None, 0)


def _columns_of(table: _Table, source: sqlite3.Connection | None) -> list[str]:
    """Those that both files have: the old one may be of an older version."""
    if source is None:
        return []
    try:
        there = {row[1] for row in source.execute(f"PRAGMA table_info({table.name})")}
    except sqlite3.Error:
        return []
    return [column for column in table.columns if column in there]


# --- page by page ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pages:
    """The pages of a file, as its log left them."""

    file: int
    page_bytes: int
    count: int
    log: bytes
    logged: dict[int, int]

    @classmethod
    def of(cls, path: Path) -> "_Pages | None":
        """None where there is no file that can be read."""
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            header = os.pread(file, 100, 0)
            size = os.fstat(file).st_size
        except OSError:
            header, size = b"", 0
        try:
            log_bytes = _beside(path, "-wal").read_bytes()
        except OSError:
            log_bytes = b""
        page_bytes = carve.page_size_of(header) or _PAGE_BYTES
        logged = carve.log_pages(log_bytes, page_bytes)
        return cls(file, page_bytes, max([size // page_bytes, *logged]), log_bytes, logged)

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)

    def page(self, number: int) -> bytes:
        """One page; zeros where it cannot be read."""
        if number in self.logged:
            return self.log[self.logged[number] : self.logged[number] + self.page_bytes]
        try:
            found = (
                os.pread(self.file, self.page_bytes, (number - 1) * self.page_bytes)
                if number > 0
                else b""
            )
        except OSError:
            found = b""
        return found.ljust(self.page_bytes, b"\0")

    def newest_first(self) -> Iterator[bytes]:
        """All pages but the first, which has no rows of ours; the last ones, which were written
        last, first.
        """
        size = self.page_bytes
        per_block = _BLOCK_BYTES // size
        for first in range((self.count - 1) // per_block * per_block, -1, -per_block):
            try:
                block = os.pread(self.file, _BLOCK_BYTES, first * size)
            except OSError:
                block = b""
            for number in range(min(first + per_block, self.count), max(first, 1), -1):
                at = (number - 1 - first) * size
                # Where a block cannot be read, some of its pages can.
                yield (
                    self.page(number)
                    if number in self.logged or at + size > len(block)
                    else block[at : at + size]
                )


def _read_pages(job: _Job, pages: _Pages, wanted: Sequence[_Table], samples: _Table) -> None:
    found: dict[tuple[str, int], list[Sequence[Any]]] = {}
    by_name = {table.name: table for table in wanted}

    def put(name: str, width: int) -> None:
        job.put(by_name[name], by_name[name].columns[:width], found.pop((name, width)))

    for n, page in enumerate(pages.newest_first()):
        if n % 256 == 0 and job.late:
            break
        in_index = page[0] != carve.TABLE_LEAF
        for row_id, values in carve.rows(page, pages.page):
            if samples not in wanted and not in_index and samples.is_row(values):
                break  # most pages are full of samples, and hold nothing else
            table = next(
                (table for table in wanted if table.in_index == in_index and table.is_row(values)),
                None,
            )
            if table is None:
                if not in_index and samples in wanted:
                    break
                continue
            if table.row_id is not None:
                values[table.row_id] = row_id
            rows = found.setdefault((table.name, len(values)), [])
            rows.append(values)
            if len(rows) >= _PORTION:
                put(table.name, len(values))
    for name, width in list(found):
        put(name, width)


# --- the folds ------------------------------------------------------------------------------------


def _mend_states(target: sqlite3.Connection) -> tuple[str, ...]:
    """No fold may be older than the slots it has closed, or it would close them again, otherwise:
    it goes on from their end instead. Returns the meters of which that is true.
    """
    states = dict(target.execute("SELECT device, state FROM counters"))
    rebuilt = []
    for (device,) in target.execute(
        "SELECT device FROM layouts UNION SELECT device FROM slots"
    ).fetchall():
        last = _last_slots(target, device)
        if not last:
            continue
        end_ms = max(slot.start_s + slot.length_s for slot in last) * 1000
        try:
            state = (
                msgspec.json.decode(states[device], type=MeterState) if device in states else None
            )
        except msgspec.DecodeError:
            state = None
        if state and state.at_ms >= end_ms:
            continue
        directions = {}
        for slot in last:
            at_ms = (slot.start_s + slot.length_s) * 1000
            counter = Counter(at_ms, slot.end_uwh, slot.end_register_uwh, 0, None)
            directions[slot.direction] = DirectionState(
                counter, OpenSlot(at_ms, at_ms, slot.end_uwh, slot.end_register_uwh)
            )
        state = MeterState(last[0].serial_number, end_ms, last[0].length_s * 1000, directions)
        # The samples after it are folded again: its number is that of the last one before.
        seen = target.execute(
            """SELECT coalesce(max(samples.id), 0) FROM samples JOIN layouts ON layouts.id = layout
               WHERE device = ? AND utc_ms IS NOT NULL AND utc_ms <= ?""",
            (device, end_ms),
        ).fetchone()[0]
        target.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sample_id = "
            "excluded.sample_id, state = excluded.state",
            (device, seen, msgspec.json.encode(state)),
        )
        rebuilt.append(device)
    return tuple(rebuilt)


def _last_slots(target: sqlite3.Connection, device: str) -> list[Slot]:
    """Of each direction of its newest series the last slot."""
    columns = list(Slot.__dataclass_fields__)
    slots: dict[str, Slot] = {}
    serial_number = None
    rows = target.execute(
        f"SELECT {', '.join(columns)} FROM slots WHERE device = ? ORDER BY start_s DESC LIMIT 100",  # noqa: S608
        (device,),
    )
    for row in rows:
        slot = Slot(**dict(zip(columns, row, strict=True)))
        if not slots:
            serial_number = slot.serial_number
        if slot.serial_number == serial_number:
            slots.setdefault(
                slot.direction, replace(slot, serial_number=slot.serial_number or None)
            )
    return list(slots.values())
