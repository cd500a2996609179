"""The table of unallocated energy: what is in a counter and in no slot."""

from collections.abc import Iterator, Sequence

from gateway.energy.slot import TakenBack, Unallocated
from gateway.store.database import Database
from gateway.store.rows import WITHDRAWN, UnallocatedRecord, placed_by_of


class UnallocatedTable:
    """Unallocated energy on record. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, unallocated: Sequence[Unallocated]) -> None:
        """Inside a transaction."""
        connection = self._database.connection
        for each in unallocated:
            series = (each.device, each.serial_number or "", each.direction, each.kind)

            # Slot after slot that has no place (a clock that was ahead, memory that was full) is
            # one record and not a hundred. One that comes again has found its end elsewhere.
            joined = connection.execute(
                """UPDATE unallocated SET to_ms = ?, end_uwh = ?
                   WHERE id = (SELECT max(id) FROM unallocated
                       WHERE device = ? AND serial_number = ? AND direction = ? AND kind = ?)
                   AND kind IN ('clash', 'lost') AND placed_s IS NULL
                   AND (to_ms = ? AND end_uwh = ?
                       OR to_ms = ? AND begin_uwh <= ? AND end_uwh > ?)""",
                (
                    *(each.to_ms, each.end_uwh, *series, each.from_ms, each.begin_uwh),
                    *(each.to_ms, each.begin_uwh, each.begin_uwh),
                ),
            ).rowcount
            if joined or self._is_rest(each):
                continue

            connection.execute(
                """INSERT INTO unallocated
                   (device, serial_number, direction, kind, from_ms, to_ms, begin_uwh, end_uwh)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (*series, each.from_ms, each.to_ms, each.begin_uwh, each.end_uwh),
            )

    def _is_rest(self, what: Unallocated) -> bool:
        """Whether this is what the first step of a register says of the silence before it, and is
        added to that: no slot has been closed since, and nobody has allocated it.
        """
        if not what.is_rest:
            return False
        cursor = self._database.connection.execute(
            """UPDATE unallocated SET end_uwh = ?
               WHERE device = ? AND serial_number = ? AND direction = ?
               AND kind IN ('gap', 'clock') AND placed_s IS NULL
               AND from_ms = ? AND to_ms = ? AND end_uwh = ?""",
            (
                what.end_uwh,
                *(what.device, what.serial_number or "", what.direction),
                *(what.from_ms, what.to_ms, what.begin_uwh),
            ),
        )
        return cursor.rowcount > 0

    def has(self, what: Unallocated) -> bool:
        """Whether this energy is on record already."""
        found: int = self._database.one(
            """SELECT EXISTS (SELECT 1 FROM unallocated
                WHERE device = ? AND serial_number = ? AND direction = ?
                AND begin_uwh <= ? AND end_uwh >= ?)""",
            *(what.device, what.serial_number or "", what.direction),
            *(what.begin_uwh, what.end_uwh),
        )
        return bool(found)

    def records(self, number: int | None = None) -> Iterator[UnallocatedRecord]:
        """All records, oldest first, or the one of that number."""
        rows = self._database.rows(
            """SELECT device, serial_number, direction, kind, from_ms, to_ms, begin_uwh, end_uwh,
            id, placed_s, placed_by
            FROM unallocated WHERE id = coalesce(?, id) ORDER BY id""",
            number,
        )
        for device, serial_number, *what, found, placed_s, placed_by in rows:
            record = Unallocated(device, serial_number or None, *what)
            yield UnallocatedRecord(found, record, placed_s, *placed_by_of(placed_by))

    def total(self) -> tuple[int, int]:
        """How many records nobody has allocated that a person could, and their energy in µWh: what
        a register's first step says of where metering began (`start`) is not among them.
        """
        [(count, energy_uwh)] = self._database.rows(
            "SELECT count(*), coalesce(sum(end_uwh - begin_uwh), 0) FROM unallocated WHERE "
            "placed_s IS NULL AND kind <> 'start'"
        )
        return count, energy_uwh

    def is_as_read(self, record: UnallocatedRecord) -> bool:
        """Whether a record is still as it was read. Inside a transaction."""
        sql = "SELECT 1 FROM unallocated WHERE id = ? AND placed_s IS ? AND end_uwh = ?"
        parameters = (record.number, record.placed_s, record.what.end_uwh)
        return self._database.connection.execute(sql, parameters).fetchone() is not None

    def mark(self, record: UnallocatedRecord, by: str | None, now_s: float) -> None:
        """A person has allocated it to slots, or has taken it out of them again (None). Inside a
        transaction.
        """
        sql = "UPDATE unallocated SET placed_s = ?, placed_by = ? WHERE id = ?"
        placed_s = None if by is None else now_s
        self._database.connection.execute(sql, (placed_s, by or "", record.number))

    def withdraw(self, taken_back: TakenBack) -> None:
        """This energy never was. It stays on record as withdrawn, also where a person has allocated
        it. Inside a transaction.
        """
        # What was added later to a record from before it goes, too.
        self._database.connection.execute(
            """UPDATE unallocated SET end_uwh = ? WHERE placed_s IS NULL
               AND device = ? AND serial_number = ? AND direction = ?
               AND begin_uwh < ? AND end_uwh > ?""",
            (
                taken_back.from_uwh,
                *(taken_back.device, taken_back.serial_number or "", taken_back.direction),
                *(taken_back.from_uwh, taken_back.from_uwh),
            ),
        )
        self._database.connection.execute(
            """UPDATE unallocated SET placed_s = ?, placed_by = ?
               WHERE device = ? AND serial_number = ? AND direction = ? AND begin_uwh >= ?""",
            (
                *(taken_back.at_ms / 1000, WITHDRAWN),
                *(taken_back.device, taken_back.serial_number or "", taken_back.direction),
                taken_back.from_uwh,
            ),
        )

    def remove_before(self, oldest_s: int) -> None:
        """Remove what passed before a time. Inside a transaction."""
        self._database.connection.execute(
            "DELETE FROM unallocated WHERE max(from_ms, to_ms) < ?", (oldest_s * 1000,)
        )
