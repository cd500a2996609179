"""One salvage: takes over rows that are valid, and knows when its time or its room is used up."""

import contextlib
import math
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.store.packing import Packing
from gateway.store.row_checks import LOST_BOOT, VALID
from gateway.store.salvage.shapes import Shape

SANE = 1e30
"""No quantity of a meter is this large: what claims to be is damage."""

_BETTER: Mapping[str, str] = {
    # Freed pages may hold what a row was before.
    "counters": """(device) DO UPDATE SET sample_id = excluded.sample_id, state = excluded.state
        WHERE excluded.sample_id > counters.sample_id""",
    "outbox": """(destination, slot_s, subject, kind, revision) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, attempts = excluded.attempts,
        decided_s = excluded.decided_s, first_sent_s = excluded.first_sent_s,
        last_sent_s = excluded.last_sent_s, answer = excluded.answer,
        transaction_id = excluded.transaction_id
        WHERE (excluded.attempts, excluded.state <> 'pending', excluded.state <> 'sent')
            > (outbox.attempts, outbox.state <> 'pending', outbox.state <> 'sent')""",
    "asset_slots": """(start_s, asset) DO UPDATE SET
        energy_uwh = excluded.energy_uwh, uncertainty_uwh = excluded.uncertainty_uwh,
        quality = excluded.quality, revision = excluded.revision, imported = excluded.imported
        WHERE excluded.revision > asset_slots.revision""",
    "forecast_states": """(asset) DO UPDATE SET formula = excluded.formula,
        since_s = excluded.since_s, as_of_s = excluded.as_of_s, state = excluded.state
        WHERE excluded.as_of_s > forecast_states.as_of_s""",
}
"""Which of two rows that claim the same place is the later one."""


@dataclass(slots=True)
class Job:
    """One salvage."""

    path: Path
    target: sqlite3.Connection
    deadline_s: float
    packed: dict[object, Packing] = field(default_factory=dict)
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
        shape: Shape,
        columns: Sequence[str],
        rows: list[Sequence[Any]],
        *,
        judged: bool = False,
    ) -> None:
        """Take over those rows that are valid; `judged`: all of them are, and none comes from a
        page that was given up.
        """
        marks = ", ".join("?" * len(columns))
        if judged or shape.name == "samples":
            # There are so many samples that each microsecond counts.
            sql = f"INSERT OR IGNORE INTO {shape.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        else:
            sql = _checked_insert(shape, columns)
        if shape.name == "samples":
            rows = self._possible(columns, rows)

        rows = shape.converted(columns, rows)
        before = self.target.total_changes
        try:
            self.target.executemany(sql, rows)
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            # What no column can hold was none of ours; those before it are taken already.
            for row in rows:
                with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
                    self.target.execute(sql, row)
        shape.found.count += self.target.total_changes - before

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
            and _is_sane(packing, row[data])
            and (row[utc] is None or (isinstance(row[utc], int) and row[utc] < self.newest_ms))
            and isinstance(row[boot], int)
            and isinstance(row[boottime], int)
        ]
        for number in {row[boot] for row in possible} - self.boots:
            # Which boot it was matters to samples without a date alone; that they are of one is
            # kept.
            self.target.execute(
                "INSERT INTO boots (id, boot_id) VALUES (?, ?)", (number, f"{LOST_BOOT}{number}")
            )
            self.boots.add(number)
        return possible


def _is_sane(packing: Packing, data: bytes) -> bool:
    """Whether that is a sample, of values that can be."""
    try:
        return all(abs(value) < SANE for value in packing.unpack(data))
    except ValueError:
        return False


def _checked_insert(shape: Shape, columns: Sequence[str]) -> str:
    """SQL that takes over a row where it is valid. A column that an earlier version lacks is as it
    would be in a file that was upgraded.
    """
    lacking = [column for column in shape.literals if column not in columns]
    values = ", ".join(
        [
            *(f"? AS {column}" for column in columns),
            *(f"{shape.literals[column]} AS {column}" for column in lacking),
        ]
    )
    names = ", ".join([*columns, *shape.needed_literals])
    clash = f"ON CONFLICT {_BETTER.get(shape.name, 'DO NOTHING')}"
    return (
        f"INSERT INTO {shape.name} ({names}) SELECT {names} FROM (SELECT {values}) "  # noqa: S608
        f"WHERE {VALID.get(shape.name, 'true')} {clash}"
    )
