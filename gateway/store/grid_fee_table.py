"""The table of a grid operator's fees: one row for each market and slot."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from gateway.store.database import Database
from gateway.store.grid_fee_rows import (
    COLUMNS,
    STATISTICS,
    GridFee,
    SlotStatistics,
    fee_of_row,
    fee_row,
)

_ALL = ", ".join(COLUMNS)
_KEPT = ("slot_s", "market", "in_force", *STATISTICS)
"""What a decision does not say, and so does not replace."""


class GridFeeTable:
    """Grid fees on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, fees: Sequence[GridFee]) -> None:
        """What was decided for a market and slot, in one transaction; what was written before is
        replaced, but for what the exchange told of the slot.
        """
        marks = ", ".join("?" * len(COLUMNS))
        new = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEPT)
        with self._database.transaction() as connection:
            connection.executemany(
                f"""INSERT INTO grid_fees ({_ALL}) VALUES ({marks})
                    ON CONFLICT (slot_s, market) DO UPDATE SET {new}""",  # noqa: S608
                [fee_row(fee) for fee in fees],
            )

    def observe(
        self, slot_s: int, told: Sequence[tuple[UUID, str, SlotStatistics]], fee_type: str
    ) -> None:
        """The exchange's statistics of a slot, by market and its name, in one transaction."""
        names = ", ".join(STATISTICS)
        marks = ", ".join("?" * len(STATISTICS))
        new = ", ".join(f"{name} = excluded.{name}" for name in STATISTICS)
        with self._database.transaction() as connection:
            connection.executemany(
                f"""INSERT INTO grid_fees (slot_s, market, name, state, fee_type, {names})
                    VALUES (?, ?, ?, 'observed', ?, {marks})
                    ON CONFLICT (slot_s, market) DO UPDATE SET {new}""",  # noqa: S608
                [
                    (slot_s, market.bytes, name, fee_type, *msgspec.structs.astuple(each))
                    for market, name, each in told
                ],
            )

    def note_in_force(self, slot_s: int, charged: Sequence[tuple[UUID, int]]) -> None:
        """What the exchange says that markets charge in a slot, in millionths. Of a market and
        slot of which nothing is written that is not kept.
        """
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE grid_fees SET in_force = ? WHERE slot_s = ? AND market = ?",
                [(micros, slot_s, market.bytes) for market, micros in charged],
            )

    def between(self, since_s: int, until_s: int) -> Iterator[GridFee]:
        """All markets' fees of slots that start within a time, in its order."""
        rows = self._database.rows(
            f"SELECT {_ALL} FROM grid_fees "  # noqa: S608
            "WHERE slot_s >= ? AND slot_s < ? ORDER BY slot_s, name, market",
            *(since_s, until_s),
        )
        return map(fee_of_row, rows)

    def newest_s(self, before_s: int) -> int | None:
        """The newest slot before a time for which anything was decided."""
        found: int | None = self._database.one(
            "SELECT max(slot_s) FROM grid_fees WHERE slot_s < ? AND state <> 'observed'", before_s
        )
        return found

    def remove_before(self, oldest_s: int) -> None:
        """Remove what is of slots that began before a time. Inside a transaction."""
        self._database.connection.execute("DELETE FROM grid_fees WHERE slot_s < ?", (oldest_s,))
