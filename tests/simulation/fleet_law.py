"""The law *Stored*, as the others are (`laws.py`): with SQL of its own. What a gateway has
forgotten that it owes to its fleet is in the fleet's database, equal to the µWh; and at the end
everything is.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tests.simulation.books import Books
from tests.simulation.community import AssetKey, Database, MeterKey

_GRACE_SLOTS = 3
"""The newest slots of a run may still be on their way."""
_ASSETS = """SELECT uuid_text(asset) AS asset, start_s, revision, energy_uwh, quality
    FROM asset_slots ORDER BY start_s, asset"""
_METERS = """SELECT device, direction, serial_number, start_s, revision, energy_uwh, samples,
    begin_register_uwh, end_register_uwh, quality FROM slots ORDER BY start_s, device"""


def stored(books: Books, _: object) -> Iterator[str]:
    """Where the gateway is a fleet's member."""
    community = books.run.community
    if community is None:
        return
    yield from (f"the collector refuses something: {why}" for why in community.server.refused)
    owed_s = {row["slot_s"] for row in _rows(books, "SELECT slot_s FROM changes")}
    end_s = books.run.end_ms // 1000 - _GRACE_SLOTS * books.slot_s
    for slot_s in sorted(owed_s):
        if slot_s < end_s:
            yield f"{slot_s} is still owed to the fleet at the end"
    database = community.database
    for row in _rows(books, _ASSETS):
        if row["start_s"] in owed_s:
            continue
        key = row["asset"], row["start_s"], "measurement", row["revision"]
        if row["energy_uwh"] not in _energies(database, key):
            yield (
                f"{books.names[row['asset']]}: {row['start_s']} was forgotten with "
                f"{row['energy_uwh']} µWh, and the database has {_energies(database, key)}"
            )
    for row in _rows(books, _METERS):
        if row["start_s"] in owed_s:
            continue
        whose = (
            row["device"],
            row["direction"],
            row["serial_number"] or "",
            row["start_s"],
            row["revision"],
        )
        said = tuple(row[name] for name in _MEASURED)
        if said not in _meters(database, whose):
            yield (
                f"{row['device']} {row['direction']}: {row['start_s']} was forgotten with {said}, "
                f"and the database has {_meters(database, whose)}"
            )


_MEASURED = ("energy_uwh", "begin_register_uwh", "end_register_uwh", "samples", "quality")


def _energies(database: Database, key: AssetKey) -> list[int | None]:
    """All that the database has under a key: what clashed is kept beside what came first."""
    rows = [database.assets[key]] if key in database.assets else []
    rows += [row for other, row in database.clashes if other == key]
    return [row.energy_uwh for row in rows]


def _meters(database: Database, key: MeterKey) -> list[tuple[Any, ...]]:
    rows = [database.meters[key]] if key in database.meters else []
    rows += [row for other, row in database.clashes if other == key]
    return [tuple(getattr(row, name) for name in _MEASURED) for row in rows]


def _rows(books: Books, sql: str) -> list[Any]:
    uri = f"{books.run.settings.buffer_path.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        db.row_factory = sqlite3.Row
        db.create_function("uuid_text", 1, lambda value: str(UUID(bytes=value)))
        return list(db.execute(sql))
