"""The table of changes: which slots a fleet's collector has not stored yet."""

import secrets
from collections.abc import Iterable, Sequence

from gateway.energy.slot import AssetSlot, Slot
from gateway.outbox.fleet.messages import Span
from gateway.outbox.fleet.shipping import Change
from gateway.store.database import Database


class ChangeTable:
    """Changes on disk. Each method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_kept = False
        database.attach(self)

    def begin(self) -> None:
        """Look at another file: whether there is a fleet at all. Else nothing is written here."""
        self._is_kept = self.store is not None

    def forget(self) -> None:
        """Nothing is remembered of what a transaction writes."""

    @property
    def store(self) -> str | None:
        """By which name a fleet knows this file; None: no fleet has it."""
        found = next(self._database.rows("SELECT store FROM fleet_store"), None)
        return None if found is None else str(found[0])

    def note(self, slots: Iterable[Slot], asset_slots: Iterable[AssetSlot]) -> None:
        """Inside the transaction that writes these."""
        if not self._is_kept:
            return
        slots_s = {slot.start_s for slot in slots} | {slot.start_s for slot in asset_slots}
        self._database.connection.executemany(
            "INSERT INTO changes (slot_s) VALUES (?)", [(slot_s,) for slot_s in sorted(slots_s)]
        )

    def join(self) -> str:
        """From now on changes are kept. Returns by which name the fleet knows this file. At the
        first time all slots that are there count as changed.
        """
        if known := self.store:
            return known
        store = secrets.token_hex(8)
        with self._database.transaction() as connection:
            connection.execute("INSERT INTO fleet_store VALUES (?)", (store,))
            self._note_all(0)
        self._is_kept = True
        return store

    def leave(self) -> None:
        """There is no fleet any more: nothing is kept for it."""
        if self.store is None:
            return
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM changes")
            connection.execute("DELETE FROM fleet_store")
        self._is_kept = False

    def note_again(self, since_s: int, until_s: int) -> None:
        """What starts in that time is wanted once more."""
        with self._database.transaction():
            self._note_all(since_s, until_s)

    def _note_all(self, since_s: int, until_s: int = 1 << 60) -> None:
        """Of slots in that time. Inside a transaction."""
        self._database.connection.execute(
            """INSERT INTO changes (slot_s) SELECT start_s FROM (
                SELECT start_s FROM slots WHERE start_s >= ?1 AND start_s < ?2
                UNION SELECT start_s FROM asset_slots WHERE start_s >= ?1 AND start_s < ?2)
                ORDER BY start_s""",
            (since_s, until_s),
        )

    def newest(self, limit: int) -> list[Change]:
        """Those of the newest slots."""
        rows = self._database.rows(
            "SELECT seq, slot_s FROM changes ORDER BY slot_s DESC, seq DESC LIMIT ?", limit
        )
        return [Change(*row) for row in rows]

    def stored(self, spans: Sequence[Span]) -> int:
        """The collector has these: they are owed no more. Returns how many there were."""
        with self._database.transaction() as connection:
            return sum(
                connection.execute("DELETE FROM changes WHERE seq >= ? AND seq <= ?", span).rowcount
                for span in spans
            )

    def count(self) -> tuple[int, int | None]:
        """How many there are, and the start of the oldest slot among them."""
        [(count, oldest_s)] = self._database.rows("SELECT count(*), min(slot_s) FROM changes")
        return count, oldest_s
