"""The table of slots: of each direction of each meter one row per slot, in its newest revision."""

from collections.abc import Iterator, Sequence

import msgspec

from gateway.energy.assets import Direction
from gateway.energy.slot import DIRECTIONS, Quality, Slot
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

    def sums(
        self, since_s: int, until_s: int, parts: Sequence[Part]
    ) -> Iterator[tuple[int, dict[str, SlotSum]]]:
        """Of each slot that starts within a time, in its order, what the known parts of each sum
        come to. The adding is done by SQLite, once through the rows: a month of thirty meters has
        180,000.
        """
        kinds = sorted({(name, sign) for _, _, name, sign in parts})
        if not kinds:
            return
        cases, values = _cases(parts, kinds)
        found = ", ".join(
            f"sum(iif(kind = {n}, energy_uwh, NULL)), count(iif(kind = {n}, 1, NULL)), "
            f"sum(iif(kind = {n}, uncertainty_uwh, NULL)), "
            f"count(iif(kind = {n}, uncertainty_uwh, NULL)), max(kind = {n} AND by_power)"
            for n in range(len(kinds))
        )
        rows = self._database.rows(
            # The limit keeps SQLite from asking for each column anew what kind a row is.
            f"""SELECT start_s, {found} FROM (
                    SELECT start_s, energy_uwh, uncertainty_uwh, method = 'power' AS by_power,
                        CASE {cases} END AS kind FROM slots
                    WHERE start_s >= ? AND start_s < ? AND quality IN ('measured', 'estimated')
                    AND kind IS NOT NULL LIMIT -1
                ) GROUP BY start_s""",  # noqa: S608 — marks and numbers
            *values,
            *(since_s, until_s),
        )
        for start_s, *cells in rows:
            sums: dict[str, SlotSum] = {}
            for n, (name, sign) in enumerate(kinds):
                energy, count, uncertainty, told, by_power = cells[5 * n : 5 * n + 5]
                if count:
                    known = uncertainty if told == count else None
                    one = SlotSum(sign * energy, count, known, by_power)
                    sums[name] = _both(sums[name], one) if name in sums else one
            yield start_s, sums

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


def _cases(parts: Sequence[Part], kinds: Sequence[tuple[str, int]]) -> tuple[str, Sequence[object]]:
    """What tells which rows are of which kind (a sum and a sign), in SQL, and its values."""
    cases: list[str] = []
    values: list[object] = []
    for n, kind in enumerate(kinds):
        for direction in DIRECTIONS:
            names = [name for name, way, *of in parts if way == direction and tuple(of) == kind]
            if names:
                marks = ", ".join("?" * len(names))
                cases.append(f"WHEN direction = ? AND device IN ({marks}) THEN {n}")
                values += [direction, *names]
    return " ".join(cases), values


def _both(one: SlotSum, other: SlotSum) -> SlotSum:
    """What is added to a sum, and what is taken away from it."""
    uncertain = one.uncertainty_uwh, other.uncertainty_uwh
    return SlotSum(
        one.energy_uwh + other.energy_uwh,
        one.parts + other.parts,
        None if None in uncertain else sum(each or 0 for each in uncertain),
        max(one.by_power, other.by_power),
    )
