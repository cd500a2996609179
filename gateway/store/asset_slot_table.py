"""The table of asset slots: of each asset one row per slot, in its newest revision."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from gateway.energy.slot import AssetSlot
from gateway.store.database import Database
from gateway.store.rows import ASSET_SLOT_COLUMNS, ASSET_SLOT_LIST, asset_slot_of, asset_slot_row


class AssetSlotTable:
    """Asset slots on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._data_version: int | None = None

    @property
    def changed_elsewhere(self) -> bool:
        """Whether another process (a person) may have written since this was asked last."""
        before, self._data_version = self._data_version, self._database.one("PRAGMA data_version")
        return before != self._data_version

    def writings(self, asset: UUID, after_s: int, until_s: int) -> int:
        """How often the slots of an asset were written that start after a time, and before
        another.
        """
        return self._database.one(  # type: ignore[no-any-return]
            "SELECT coalesce(sum(revision + 1), 0) FROM asset_slots "
            "WHERE start_s > ? AND start_s < ? AND asset = ?",
            *(after_s, until_s, asset.bytes),
        )

    def write(self, slots: Sequence[AssetSlot]) -> None:
        """Inside a transaction. What is there stays, unless this is a later revision of it."""
        marks = ", ".join("?" * len(ASSET_SLOT_COLUMNS))
        self._database.connection.executemany(
            f"""INSERT INTO asset_slots ({ASSET_SLOT_LIST}) VALUES ({marks})
                ON CONFLICT (start_s, asset) DO UPDATE SET length_s = excluded.length_s,
                energy_uwh = excluded.energy_uwh, uncertainty_uwh = excluded.uncertainty_uwh,
                quality = excluded.quality, revision = excluded.revision,
                imported = excluded.imported
                WHERE excluded.revision > asset_slots.revision""",  # noqa: S608
            [asset_slot_row(slot) for slot in slots],
        )

    def at(self, asset: UUID, start_s: int) -> AssetSlot | None:
        """The slot of an asset that starts then."""
        rows = self._database.rows(
            f"SELECT {ASSET_SLOT_LIST} FROM asset_slots WHERE start_s = ? AND asset = ?",  # noqa: S608
            *(start_s, asset.bytes),
        )
        return next(map(asset_slot_of, rows), None)

    def between(self, since_s: int, until_s: int) -> Iterator[AssetSlot]:
        """All assets' slots that start within a time, in its order."""
        rows = self._database.rows(
            f"SELECT {ASSET_SLOT_LIST} FROM asset_slots "  # noqa: S608
            "WHERE start_s >= ? AND start_s < ? ORDER BY start_s, asset",
            *(since_s, until_s),
        )
        return map(asset_slot_of, rows)

    def of(self, asset: UUID, after_s: int, until_s: int, limit: int) -> list[AssetSlot]:
        """The first slots of an asset that start after a time and before another."""
        rows = self._database.rows(
            f"SELECT {ASSET_SLOT_LIST} FROM asset_slots "  # noqa: S608
            "WHERE start_s > ? AND start_s < ? AND asset = ? ORDER BY start_s LIMIT ?",
            *(after_s, until_s, asset.bytes, limit),
        )
        return [asset_slot_of(row) for row in rows]

    def newest_s(self) -> int | None:
        """The start of the newest slot of any asset."""
        newest_s: int | None = self._database.one("SELECT max(start_s) FROM asset_slots")
        return newest_s

    def remove_before(self, oldest_s: int) -> None:
        """Remove what began before a time. Inside a transaction."""
        self._database.connection.execute("DELETE FROM asset_slots WHERE start_s < ?", (oldest_s,))
