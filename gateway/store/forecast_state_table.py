"""The table of what has been learned of each asset for its forecasts, written once a day."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from gateway.store.database import Database


class ForecastState(msgspec.Struct, frozen=True):
    """What has been learned of an asset. Slots by their starts, Unix time in seconds."""

    asset: UUID
    formula: str
    """What it was the sum of."""
    since_s: int
    """Earlier slots are of another formula."""
    as_of_s: int
    """The slot that was learned last; less than `since_s`: what was learned is not kept yet."""
    state: bytes
    """Empty where it is not kept yet."""


class ForecastStateTable:
    """States on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, states: Iterable[ForecastState]) -> None:
        """Inside a transaction. Each takes the place of the one before."""
        self._database.connection.executemany(
            # In place: a state mostly is as long as the one before.
            "INSERT INTO forecast_states (asset, formula, since_s, as_of_s, state) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET formula = excluded.formula, "
            "since_s = excluded.since_s, as_of_s = excluded.as_of_s, state = excluded.state",
            [(s.asset.bytes, s.formula, s.since_s, s.as_of_s, s.state) for s in states],
        )

    def of(self, asset: UUID) -> ForecastState | None:
        """What is kept of an asset."""
        rows = self._database.rows(
            "SELECT formula, since_s, as_of_s, state FROM forecast_states WHERE asset = ?",
            asset.bytes,
        )
        return next((ForecastState(asset, *row) for row in rows), None)
