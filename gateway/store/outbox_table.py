"""The table of what is owed, over all destinations: what the ledger writes and a person decides.
What one destination does with it is in `destination_outbox.py`.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from gateway.outbox.item import EXCHANGE, Item, Kind, Subject
from gateway.outbox.owed import Owed
from gateway.store.accepted_marks import AcceptedMarks
from gateway.store.behind import ASSUMED, look_whether_behind
from gateway.store.database import Database
from gateway.store.deliverer_table import DelivererTable
from gateway.store.destination_outbox import DestinationOutbox
from gateway.store.rows import (
    OWED_LIST,
    REPLACED,
    THIS_ITEM,
    key_of,
    owed_of,
    owed_row,
    subject_from,
    subject_value,
)


class OutboxTable:
    """What is owed, on disk. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.deliverers = DelivererTable(database)
        self._of: dict[str, DestinationOutbox] = {}
        self.masked: Callable[[str], str] = str
        """What a reason is shown through: an earlier version may have kept what an exchange
        repeated of a login.
        """
        self._is_known = False
        """It has been looked whether the file is behind the marks."""
        database.attach(self)

    def begin(self) -> None:
        """Look at another file."""
        for outbox in self._of.values():
            outbox.begin()
        if self._database.reserve is None:
            return  # it has just been opened

        if not self._is_known:
            self.own(salvaged=False)
        if self._database.lost_rows:
            self.marks.assume(self.marks.accepted)
        self.marks.is_stored = False  # the folder may be a new one
        self.marks.store()

    def forget(self) -> None:
        """What is pending has changed, or the change was rolled back."""
        for outbox in self._of.values():
            outbox.forget_windows()

    def of(self, destination: str) -> DestinationOutbox:
        """What one destination is owed; always the same object."""
        if destination not in self._of:
            made = DestinationOutbox(self._database, destination, lambda: self.marks)
            if destination == EXCHANGE:
                made.not_due = lambda: self.deliverers.not_the_fleets
            self._of[destination] = made
        return self._of[destination]

    # --- what is known to be accepted, whatever the file says -------------------------------------

    @cached_property
    def marks(self) -> AcceptedMarks:
        """How far each destination has accepted."""
        return AcceptedMarks.beside(self._database.path)

    def own(self, *, salvaged: bool) -> None:
        """From now on this is the daemon's; some of it may have been lost just now. Raises
        StoreError.
        """
        if self._database.is_in_memory:
            return  # there is no file yet, and nobody knows what it will hold
        look_whether_behind(self._database, self.marks, salvaged=salvaged)
        self._is_known = True

    def clock_is_right(self, now_s: float, slot_s: int) -> None:
        """It is sure what time it is: only slots that have ended can have been accepted."""
        if not self.marks.capped:
            self.marks.cap(int(now_s) - slot_s)
            self.marks.store()

    # --- what the ledger writes and asks ----------------------------------------------------------

    def write(self, owed: Sequence[Owed], *, again: bool = False) -> tuple[Owed, ...]:
        """Inside a transaction. What is owed already stays as it is. What is assumed to be accepted
        counts as that. `again`: it was written once before, with these very numbers; those that
        name their slots do no harm when they are sent twice. Returns what was to be written.
        """
        if not owed:
            return ()
        self.forget()
        owed = tuple(
            each if again and each.closes_s is None else self._or_assumed(each) for each in owed
        )
        marks = ", ".join("?" * (OWED_LIST.count(",") + 1))
        self._database.connection.executemany(
            f"INSERT INTO outbox ({OWED_LIST}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608
            [owed_row(each) for each in owed],
        )
        return owed

    def _or_assumed(self, owed: Owed) -> Owed:
        item = owed.item
        if owed.state != "pending" or item.kind != "measurement":
            return owed
        if not self.marks.assumes(item.destination, item.subject, item.slot_s):
            return owed
        return replace(owed, state="accepted", reason=ASSUMED, decided_s=self._database.now_s)

    def revisions(
        self, destination: str, subject: Subject, slot_s: int, kind: Kind
    ) -> Iterator[Owed]:
        """Every revision of what a destination is owed for a subject's slot."""
        rows = self._database.rows(
            f"SELECT {OWED_LIST} FROM outbox "  # noqa: S608
            "WHERE destination = ? AND slot_s = ? AND subject = ? AND kind = ?",
            *(destination, slot_s, subject_value(subject), kind),
        )
        return map(owed_of, rows)

    def sent_forecasts(
        self, destination: str, since_s: int, until_s: int
    ) -> dict[tuple[UUID, int], int]:
        """What a destination has taken as forecasts (µWh) of slots that start within a time, by
        asset and start: of each the newest revision.
        """
        rows = self._database.rows(
            "SELECT subject, slot_s, energy_uwh FROM outbox WHERE destination = ? "
            "AND slot_s >= ? AND slot_s < ? AND kind = 'forecast' "
            "AND state IN ('accepted', 'sent') ORDER BY slot_s, subject, revision",
            *(destination, since_s, until_s),
        )
        found = {(subject_from(subject), start_s): uwh for subject, start_s, uwh in rows}
        return {(asset, s): uwh for (asset, s), uwh in found.items() if isinstance(asset, UUID)}

    def destinations(self) -> list[str]:
        """All that something is or was owed to, also those that are not configured any more."""
        found: list[str] = []
        # One step down the tree for each, however many rows it has.
        while name := self._database.one(
            "SELECT min(destination) FROM outbox WHERE destination > ?", found[-1] if found else ""
        ):
            found.append(name)
        return found

    def oldest_slot_s(self) -> int | None:
        """Start of the oldest slot that something is on record for, Unix time."""
        starts = [
            self._database.one("SELECT min(slot_s) FROM outbox WHERE destination = ?", destination)
            for destination in self.destinations()
        ]
        return min(starts, default=None)

    def remove_before(self, oldest_s: int) -> None:
        """Remove what was owed for slots that began before a time, and is not owed any more. Inside
        a transaction.
        """
        for destination in self.destinations():
            self._database.connection.execute(
                "DELETE FROM outbox "
                "WHERE destination = ? AND slot_s < ? AND state NOT IN ('pending', 'sent')",
                (destination, oldest_s),
            )

    def not_begun(self, now_s: float, slot_s: int) -> list[Item]:
        """What waits for slots that have not begun, which can only be of a clock that was ahead.
        Forecasts are of the slot after the next one at most (`selects.py`).
        """
        found: list[Item] = []
        for destination in self.destinations():
            for state, index in (("pending", "outbox_pending"), ("sent", "outbox_sent")):
                rows = self._database.rows(
                    f"""SELECT {OWED_LIST} FROM outbox INDEXED BY {index}
                        WHERE destination = ? AND state = '{state}'
                        AND slot_s > ? + iif(kind = 'forecast', ?, 0)""",  # noqa: S608
                    *(destination, now_s, 2 * slot_s),
                )
                found += (owed_of(row).item for row in rows)
        return found

    # --- what a person looks at and decides -------------------------------------------------------

    def owed(self, since_s: int, until_s: int, destination: str | None) -> Iterator[Owed]:
        """Everything owed for slots of a time, to one destination or to all, in its order, whatever
        became of it.
        """
        names = self.destinations() if destination is None else [destination]
        found = [self._owed_to(name, since_s, until_s) for name in names]
        return found[0] if len(found) == 1 else heapq.merge(*found, key=_order)

    def states(self, destination: str, since_s: int, until_s: int) -> Iterator[tuple[Any, ...]]:
        """Of each measurement for slots of a time: subject, start and state, in their order; the
        newest revision comes last.
        """
        rows = self._database.rows(
            "SELECT subject, slot_s, state FROM outbox WHERE destination = ? AND slot_s >= ? "
            "AND slot_s < ? AND kind = 'measurement' ORDER BY slot_s, subject, revision",
            *(destination, since_s, until_s),
        )
        return ((subject_from(subject), slot_s, state) for subject, slot_s, state in rows)

    def newest_accepted_s(self, destination: str, subject: Subject, since_s: int) -> int | None:
        """Start of the newest slot since a time whose number was accepted."""
        found: int | None = self._database.one(
            "SELECT max(slot_s) FROM outbox WHERE destination = ? AND slot_s >= ? AND subject = ? "
            "AND kind = 'measurement' AND state = 'accepted'",
            *(destination, since_s, subject_value(subject)),
        )
        return found

    def newest_refused(self, destination: str, since_s: int, limit: int) -> list[Owed]:
        """The newest measurements for slots since a time that were rejected or missed."""
        rows = self._database.rows(
            f"SELECT {OWED_LIST} FROM outbox WHERE destination = ? AND slot_s >= ? "  # noqa: S608
            "AND kind = 'measurement' AND state IN ('rejected', 'missed') "
            "ORDER BY slot_s DESC LIMIT ?",
            *(destination, since_s, limit),
        )
        return [self._shown(owed_of(row)) for row in rows]

    def waiting(self, destination: str) -> Iterator[tuple[Any, ...]]:
        """Of each subject how many numbers are pending or sent: subject and count."""
        rows = self._database.rows(
            "SELECT subject, count(*) FROM outbox INDEXED BY outbox_pending WHERE destination = ? "
            "AND state = 'pending' GROUP BY subject",
            destination,
        )
        return ((subject_from(subject), count) for subject, count in rows)

    def _owed_to(self, destination: str, since_s: int, until_s: int) -> Iterator[Owed]:
        rows = self._database.rows(
            f"SELECT {OWED_LIST} FROM outbox WHERE destination = ? "  # noqa: S608
            "AND slot_s >= ? AND slot_s < ? ORDER BY slot_s, subject, kind, revision",
            *(destination, since_s, until_s),
        )
        return map(self._shown, map(owed_of, rows))

    def _shown(self, owed: Owed) -> Owed:
        if not owed.reason:
            return owed  # nearly all of them
        reason = self.masked(owed.reason)
        return owed if reason == owed.reason else replace(owed, reason=reason)

    def retry(self, items: Sequence[Item]) -> int:
        """Rejected and missed items are owed again, accepted ones that the destination holds
        otherwise in spite of a second delivery, and those that only count as accepted. What is
        pending because it was refused is asked for as if for the first time. Returns how many.
        """
        # What is disputed gets one more delivery, and is disputed again where that does not help.
        what = (
            "state = 'pending', decided_s = NULL, reason = '', disagreements = "
            "min(disagreements, 1)"
        )
        where = (
            "(state IN ('rejected', 'missed') "
            "OR (state = 'accepted' AND (disagreements = 2 OR attempts = 0)) "
            "OR (state = 'pending' AND decided_s IS NOT NULL))"
        )
        return self._decide(items, what, f"{where} AND NOT {REPLACED}")

    def owe_again(self, items: Sequence[Item], reason: str) -> int:
        """What was accepted, and is held otherwise, is owed again under the same revision, for that
        reason. Only what names its slot: it can only replace itself. Returns how many.
        """
        what = (
            "state = 'pending', decided_s = NULL, confirmed_s = NULL, reason = ?, "
            "disagreements = min(disagreements, 1)"
        )
        where = (
            "state = 'accepted' AND attempts > 0 AND kind = 'measurement' AND closes_s IS NULL "
            "AND energy_uwh IS NOT NULL"
        )
        return self._decide(items, what, f"{where} AND NOT {REPLACED}", reason)

    def give_up(self, items: Sequence[Item], reason: str, now_s: float) -> int:
        """Pending and sent items are missed, for that reason. Returns how many."""
        return self._decide(
            items,
            "state = 'missed', decided_s = ?, reason = ?",
            "state IN ('pending', 'sent')",
            *(now_s, reason),
        )

    def _decide(self, items: Sequence[Item], what: str, where: str, *values: object) -> int:
        sql = f"UPDATE outbox SET {what} WHERE {where} AND {THIS_ITEM}"  # noqa: S608
        for outbox in self._of.values():
            outbox.forget_windows(is_decided=True)
        with self._database.transaction() as connection:
            return sum(connection.execute(sql, (*values, *key_of(item))).rowcount for item in items)


def _order(owed: Owed) -> tuple[object, ...]:
    item = owed.item
    return item.slot_s, str(item.subject), item.kind, item.revision, item.destination
