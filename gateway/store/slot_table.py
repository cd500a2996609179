"""The table of slots: of each direction of each meter one row per slot, in its newest revision."""

from collections.abc import Iterator, Sequence

import msgspec

from gateway.energy.assets import Direction
from gateway.energy.slot import Quality, Slot
from gateway.store.database import Database
from gateway.store.rows import SLOT_COLUMNS, SLOT_LIST, slot_of, slot_row

Part = tuple[str, Direction, str, int]
"""One direction of one meter, the sum that it is a part of, and its sign there: 1 or −1."""


class BriefSlot(msgspec.Struct, frozen=True, array_like=True):
    """What a day's picture shows of a slot of one direction of a meter."""

    start_s: int
    device: str
    direction: Direction
    serial_number: str
    length_s: int
    energy_uwh: int | None
    uncertainty_uwh: int | None
    quality: Quality
    coverage_permille: int


class SlotSum(msgspec.Struct, frozen=True, array_like=True):
    """What the parts of one sum that are known come to in one slot."""

    start_s: int
    sum_name: str
    energy_uwh: int
    parts: int
    """How many of its parts are known: the sum is, where that is all of them."""
    uncertainty_uwh: int | None
    """None: of one of them that is not known."""
    by_power: int
    """1 where one is known by power alone."""


_THIS_SLOT = "start_s = ? AND device = ? AND direction = ? AND serial_number = ?"


class SlotTable:
    """Slots on disk. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database, *, counts: bool = True) -> None:
        """`counts`: whether anybody wants to know how many there are; all are read for that."""
        self._database = database
        self.count = 0
        if counts:
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

    def brief_between(self, since_s: int, until_s: int) -> Iterator[BriefSlot]:
        """The same, with no more than a picture needs, in the order of the primary key."""
        rows = self._database.rows(
            "SELECT start_s, device, direction, serial_number, length_s, energy_uwh, "
            "uncertainty_uwh, quality, coverage_permille FROM slots "
            "WHERE start_s >= ? AND start_s < ? ORDER BY start_s, device, direction, serial_number",
            *(since_s, until_s),
        )
        return (BriefSlot(*row) for row in rows)

    def sums(self, since_s: int, until_s: int, parts: Sequence[Part]) -> Iterator[SlotSum]:
        """Of each slot that starts within a time what the parts of each sum come to, in the order
        of time. The adding is done by SQLite: a month of thirty meters is 180,000 rows.
        """
        if not parts:
            return iter(())
        values = ", ".join(["(?, ?, ?, ?)"] * len(parts))
        rows = self._database.rows(
            # CROSS JOIN keeps the order: once through the slots, and of each to its part.
            f"""WITH part (device, direction, name, sign) AS (VALUES {values})
                SELECT slots.start_s, part.name, sum(part.sign * slots.energy_uwh), count(*),
                    iif(count(slots.uncertainty_uwh) = count(*), sum(slots.uncertainty_uwh), NULL),
                    max(slots.method = 'power')
                FROM slots CROSS JOIN part
                ON part.device = slots.device AND part.direction = slots.direction
                WHERE slots.start_s >= ? AND slots.start_s < ?
                AND slots.quality IN ('measured', 'estimated')
                GROUP BY slots.start_s, part.name ORDER BY slots.start_s""",  # noqa: S608
            *(value for part in parts for value in part),
            *(since_s, until_s),
        )
        return (SlotSum(*row) for row in rows)

    def starts(self) -> tuple[int, int] | None:
        """The start of the oldest slot, and of the newest; None where there are none."""
        oldest_s = self._database.one("SELECT min(start_s) FROM slots")
        newest_s = self._database.one("SELECT max(start_s) FROM slots")
        return None if oldest_s is None else (oldest_s, newest_s)

    def start_before(self, start_s: int) -> int | None:
        """The start of the newest slot that begins before a time."""
        found: int | None = self._database.one(
            "SELECT max(start_s) FROM slots WHERE start_s < ?", start_s
        )
        return found

    def start_from(self, start_s: int) -> int | None:
        """The start of the oldest slot that does not begin before a time."""
        found: int | None = self._database.one(
            "SELECT min(start_s) FROM slots WHERE start_s >= ?", start_s
        )
        return found

    def remove_before(self, oldest_s: int) -> None:
        """Remove slots that began before a time. Inside a transaction."""
        self.count -= self._database.connection.execute(
            "DELETE FROM slots WHERE start_s < ?", (oldest_s,)
        ).rowcount


def _key_of(slot: Slot) -> tuple[object, ...]:
    return slot.start_s, slot.device, slot.direction, slot.serial_number or ""
