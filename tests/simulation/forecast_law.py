"""The law of forecasts, as the others are (`laws.py`): with SQL of its own."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from gateway.energy.counter import UWH_PER_WH
from tests.simulation.books import Books, meters_of, wh_text

_SENT = """SELECT uuid_text(subject) AS asset, slot_s, length_s, energy_uwh, last_sent_s FROM outbox
    WHERE destination = 'exchange' AND kind = 'forecast'"""
_KEPT = """SELECT uuid_text(asset) AS asset, start_s, length_s, forecast_uwh,
    forecast_low_uwh, forecast_high_uwh FROM asset_slots WHERE forecast_uwh IS NOT NULL"""


def foretold(books: Books, _: object) -> Iterator[str]:
    """No forecast of a slot that has begun, none below nothing, none beyond the fuses; and of what
    is kept beside the slots, the band holds what was expected.
    """
    for row in _rows(books, _SENT):
        name = books.names[row["asset"]]
        which = f"{name}: the forecast of {row['slot_s']}"
        if row["last_sent_s"] is not None and row["last_sent_s"] >= row["slot_s"]:
            yield f"{which} was sent {row['last_sent_s'] - row['slot_s']:g} s after it had begun"
        if not 0 <= row["energy_uwh"] <= _most_uwh(books, name, row["length_s"]):
            yield f"{which} is {wh_text(row['energy_uwh'])}"
    for row in kept_forecasts(books):
        name, expected = books.names[row["asset"]], row["forecast_uwh"]
        low, high = row["forecast_low_uwh"], row["forecast_high_uwh"]
        ends = (0, low, expected, high, _most_uwh(books, name, row["length_s"]))
        known = [each for each in ends if each is not None]
        if known != sorted(known):
            yield f"{name}: of {row['start_s']} {wh_text(expected)} were expected, {low} to {high}"


def kept_forecasts(books: Books) -> list[Any]:
    """What was expected of each slot of an asset, where something was."""
    return _rows(books, _KEPT)


def _rows(books: Books, sql: str) -> list[Any]:
    uri = f"{books.run.settings.buffer_path.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        db.row_factory = sqlite3.Row
        db.create_function("uuid_text", 1, lambda value: str(UUID(bytes=value)))
        return list(db.execute(sql))


def _most_uwh(books: Books, asset: str, slot_s: int) -> float:
    """What the fuses of an asset's meters carry in a slot of that length."""
    fuses_w = {device.name: device.max_power_w for device in books.run.settings.devices}
    most_w = sum(fuses_w[device] for device in meters_of(asset))
    return most_w * slot_s / 3600 * UWH_PER_WH
