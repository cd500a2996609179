"""The table of slots: of each direction of each meter one row per slot, in its newest revision."""

from collections.abc import Iterator, Sequence

from gateway.energy.slot import Slot
from gateway.store.database import Database
from gateway.store.rows import SLOT_COLUMNS, SLOT_LIST, slot_of, slot_row

_THIS_SLOT = "start_s = ? AND device = ? AND direction = ? AND serial_number = ?"


class SlotTable:
    """Slots on disk. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0
        database.attach(self)

    def begin(self) -> None:
        """Look at another file."""
        self.count = self._database.one("SELECT count(*) FROM slots")

    def forget(self) -> None:
        """Nothing is remembered of what a transaction writes: whoever committed it counts."""

    def write(self, slots: Sequence[Slot]) -> int:
        """Inside a transaction. A slot is booked once: what is there already stays, unless this is
        a later revision of it. Returns how many are new; add them to `count` once committed.
        """
        marks = ", ".join("?" * len(SLOT_COLUMNS))
        insert = f"INSERT INTO slots ({SLOT_LIST}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 — our own column names
        revise = f"UPDATE slots SET ({SLOT_LIST}) = ({marks}) WHERE {_THIS_SLOT} AND revision < ?"  # noqa: S608

        connection = self._database.connection
        new = 0
        for slot in slots:
            row = slot_row(slot)
            if connection.execute(insert, row).rowcount:
                new += 1
            elif slot.revision:
                connection.execute(revise, (*row, *_key_of(slot), slot.revision))
        return new

    def are_next(self, slots: Sequence[Slot]) -> bool:
        """Whether the revision before each of these is what is there now. Inside a transaction."""
        sql = f"SELECT revision FROM slots WHERE {_THIS_SLOT}"  # noqa: S608
        connection = self._database.connection
        return all(
            connection.execute(sql, _key_of(slot)).fetchone() == (slot.revision - 1,)
            for slot in slots
        )

    def at(self, start_s: int) -> Iterator[Slot]:
        """All meters' slots that start then."""
        rows = self._database.rows(f"SELECT {SLOT_LIST} FROM slots WHERE start_s = ?", start_s)  # noqa: S608
        return map(slot_of, rows)

    def between(self, since_s: int, until_s: int) -> Iterator[Slot]:
        """All meters' slots that start within a time, in its order."""
        rows = self._database.rows(
            f"SELECT {SLOT_LIST} FROM slots"  # noqa: S608 — our own column names
            " WHERE start_s >= ? AND start_s < ? ORDER BY start_s",
            since_s,
            until_s,
        )
        return map(slot_of, rows)

    def remove_before(self, oldest_s: int) -> None:
        """Remove slots that began before a time. Inside a transaction."""
        self.count -= self._database.connection.execute(
            "DELETE FROM slots WHERE start_s < ?", (oldest_s,)
        ).rowcount


def _key_of(slot: Slot) -> tuple[object, ...]:
    return slot.start_s, slot.device, slot.direction, slot.serial_number or ""
