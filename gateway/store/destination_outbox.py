"""What one destination is owed: what is due, and what became of it. It answers what
`gateway/delivery` asks for (`records.Outbox`, `records.DeliveryRecords`).
"""

import math
from collections.abc import Callable, Sequence

from gateway.energy.slot import Event
from gateway.outbox.item import Item
from gateway.outbox.owed import (
    MAX_ANSWER_CHARACTERS,
    Backlog,
    Confirmations,
    Held,
    Owed,
    State,
    Unanswered,
)
from gateway.store.accepted_marks import AcceptedMarks
from gateway.store.behind import apply_marks
from gateway.store.database import Database
from gateway.store.held_rows import confirm, dispute, forecasts_uwh, leave, owe_once_more
from gateway.store.rows import (
    OWED_LIST,
    REPLACED,
    THIS_ITEM,
    key_of,
    owed_of,
    subject_from,
)

MAX_COUNTED = 10_000
"""Where nobody can say what a destination holds, counting all that is not confirmed would take ever
longer.
"""

_PENDING = "outbox INDEXED BY outbox_pending"
_SENT = "outbox INDEXED BY outbox_sent"
"""SQLite does not know that few items are pending: it would go through all that the destination was
ever owed.
"""

_UNCONFIRMED = """state = 'accepted' AND kind = 'measurement' AND closes_s IS NULL
    AND energy_uwh IS NOT NULL AND confirmed_s IS NULL
    AND disagreements < 2 AND attempts > 0"""
"""What only counts as accepted (`behind.py`) was sent from another buffer, with another number."""


class DestinationOutbox:
    """The outbox of one destination. Each method that asks or writes may raise StoreError."""

    def __init__(
        self, database: Database, destination: str, marks: Callable[[], AcceptedMarks]
    ) -> None:
        self._database = database
        self.not_due: Callable[[], str] = str  # in SQL: AND it is none that a fleet delivers
        self.destination = destination
        self._marks = marks
        self._data_version: int | None = None
        self._is_decided = False
        self._windows: tuple[float, float] | None = None
        """From when until when no window of a pending item opens or closes: there may be many to
        look through. None: not known, since the outbox has changed.
        """

    def begin(self) -> None:
        """Another file is in use."""
        self.forget_windows(is_decided=self._data_version is not None)
        self._data_version = None

    def forget_windows(self, *, is_decided: bool = False) -> None:
        """What is pending has changed; `is_decided`: not by what the destination said."""
        self._windows, self._is_decided = None, self._is_decided or is_decided

    def note(self, event: Event) -> None:
        """Keep something that a person should know; written with the next flush."""
        self._database.note(event)

    # --- what is due ------------------------------------------------------------------------------

    def due(self, now_s: float, *, since_s: int | None, limit: int) -> list[Owed]:
        """Pending items whose window is open and that no fleet delivers, oldest slot first, of each
        slot the newest revision; with `since_s` only slots that start then or later."""
        rows = self._database.rows(
            f"""SELECT {OWED_LIST} FROM {_PENDING}
                WHERE destination = ? AND state = 'pending' AND slot_s >= ? AND opens_s <= ?
                AND (closes_s IS NULL OR closes_s > ?) AND NOT {REPLACED}{self.not_due()}
                ORDER BY slot_s LIMIT ?""",  # noqa: S608
            *(self.destination, 0 if since_s is None else since_s, now_s, now_s, limit),
        )
        return [owed_of(row) for row in rows]

    def next_change_s(self, now_s: float) -> float | None:
        """When the next window of a pending item opens or closes, Unix time."""
        if self._windows is not None and self._unchanged_at(now_s):
            return None if math.isinf(self._windows[1]) else self._windows[1]

        return self._database.one(  # type: ignore[no-any-return]
            f"""SELECT min(t) FROM (
                SELECT min(opens_s) AS t FROM {_PENDING}
                WHERE destination = ? AND state = 'pending' AND opens_s > ?
                UNION ALL SELECT min(closes_s) FROM {_PENDING}
                WHERE destination = ? AND state = 'pending' AND closes_s > ?)""",  # noqa: S608
            *(self.destination, now_s) * 2,
        )

    def _unchanged_at(self, now_s: float) -> bool:
        """Whether it is known that no window of a pending item has opened or closed."""
        return self._windows is not None and self._windows[0] <= now_s < self._windows[1]

    @property
    def changed_elsewhere(self) -> bool:
        """Whether others have changed what is owed since this was asked last: a person, who set the
        clock back, another file. StoreError also where the files are gone: nothing is sent then.
        """
        self._database.look_after_files()
        apply_marks(self._database, self._marks())
        before, self._data_version = self._data_version, self._database.one("PRAGMA data_version")
        changed = self._is_decided or before not in (None, self._data_version)
        self._windows, self._is_decided = None if changed else self._windows, False
        return changed

    def backlog(self) -> Backlog:
        """What is still owed."""
        [(count, oldest_s, closes_s)] = self._database.rows(
            f"SELECT count(*), min(slot_s), min(closes_s) FROM {_PENDING} "  # noqa: S608
            "WHERE destination = ? AND state = 'pending'",
            self.destination,
        )
        [(sent, oldest_sent_s)] = self._database.rows(
            f"SELECT count(*), min(slot_s) FROM {_SENT} "  # noqa: S608
            "WHERE destination = ? AND state = 'sent'",
            self.destination,
        )
        starts = [start_s for start_s in (oldest_s, oldest_sent_s) if start_s is not None]
        return Backlog(count, min(starts, default=None), closes_s, sent)

    # --- what became of it ------------------------------------------------------------------------

    def record(
        self,
        items: Sequence[Item],
        state: State,
        reason: str,
        now_s: float,
        *,
        sent_s: float | None = None,
        answer: str | None = None,
        transaction_id: str | None = None,
        refused: bool = False,
    ) -> None:
        """Write down what became of items. `pending`: try again later. `sent`: the wire took them,
        and the destination's own word is awaited; any other state may follow. `sent_s`, `answer`
        and `transaction_id` are kept where they are given. `refused`: they are pending because the
        destination refused them; since when, is kept until it gives another answer.

        Older revisions of what is accepted are not owed any more. What a person gave up meanwhile
        stays given up, unless the destination took it or refused it.
        """
        if state in ("accepted", "sent"):
            self.mark(items)
        if state == "sent" and sent_s is None:
            sent_s = now_s
        awaits = state in ("pending", "sent")
        decided = "coalesce(decided_s, ?)" if refused else "?"
        decided_s = None if awaits and not refused else now_s
        if state == "sent":
            decided = "coalesce(?, decided_s)"
        still = "AND state IN ('pending', 'sent')" if awaits else ""
        beside = {
            "first_sent_s": ("coalesce(first_sent_s, ?)", sent_s),
            "last_sent_s": ("?", sent_s),
            "answer": ("?", None if answer is None else answer[:MAX_ANSWER_CHARACTERS]),
            "transaction_id": ("?", transaction_id),
        }
        given = {name: each for name, each in beside.items() if each[1] is not None}
        also = "".join(f", {name} = {value}" for name, (value, _) in given.items())
        values = [value for _, value in given.values()]

        # What was sent is answered now: that is no new attempt.
        sql = (
            f"UPDATE outbox SET state = ?, reason = ?, decided_s = {decided}, "  # noqa: S608
            f"attempts = attempts + (state <> 'sent'){also} WHERE {THIS_ITEM} {still}"
        )
        if state == "pending":
            self._windows = None  # of what was sent, they count again
        with self._database.transaction() as connection:
            connection.executemany(
                sql, [(state, reason, decided_s, *values, *key_of(item)) for item in items]
            )
            if state == "accepted":
                connection.executemany(
                    """UPDATE outbox SET state = 'missed', decided_s = ?,
                           reason = 'replaced by revision ' || ? || ' of this slot'
                       WHERE destination = ? AND slot_s = ? AND subject = ? AND kind = ?
                       AND revision < ? AND state IN ('pending', 'sent')""",
                    [(now_s, item.revision, *key_of(item)) for item in items if item.revision],
                )

    def mark(self, items: Sequence[Item]) -> None:
        """Note outside the file what is accepted, and with it what is about to be. What was sent
        may be accepted, though its verdict never comes: an older buffer must not send over it.
        """
        marks = self._marks()
        news = [
            item.slot_s
            for item in items
            if item.kind == "measurement"
            and marks.note(self.destination, [item.subject], item.slot_s)
        ]
        if news:
            rows = self._database.rows(
                f"SELECT subject FROM {_PENDING} WHERE destination = ? AND state = 'pending' "  # noqa: S608
                "AND slot_s = ? AND kind = 'measurement'",
                *(self.destination, max(news)),
            )
            subjects = [subject_from(subject) for (subject,) in rows]
            marks.note(self.destination, subjects, max(news))
        marks.store()

    def sent_under(self, transaction_id: str, sent_s: float | None = None) -> list[Owed]:
        """Items that were sent in that transaction, and are not answered yet; or are pending again
        since no answer came in time. Where it is known when they were sent, little is looked
        through.
        """
        at = "" if sent_s is None else " AND last_sent_s = ?"
        when = () if sent_s is None else (sent_s,)
        these = self.destination, transaction_id, *when
        for table, state in ((_SENT, "sent"), (_PENDING, "pending")):
            rows = self._database.rows(
                f"""SELECT {OWED_LIST} FROM {table}
                    WHERE destination = ? AND state = '{state}' AND transaction_id = ?{at}
                    ORDER BY slot_s""",  # noqa: S608
                *these,
            )
            if found := [owed_of(row) for row in rows]:
                return found
        return []

    def unanswered(self, sent_before_s: float) -> list[Unanswered]:
        """What was sent before then and is not answered, by stream and batch."""
        rows = self._database.rows(
            f"""SELECT DISTINCT subject, kind, last_sent_s, coalesce(transaction_id, '')
                FROM {_SENT} WHERE destination = ? AND state = 'sent' AND last_sent_s < ?
                ORDER BY last_sent_s""",  # noqa: S608
            *(self.destination, sent_before_s),
        )
        return [Unanswered(subject_from(subject), *rest) for subject, *rest in rows]

    def owe_unanswered(self, sent_before_s: float, reason: str) -> int:
        """What was sent before then and not answered is pending again, for that reason. Returns how
        many items.
        """
        where = "destination = ? AND state = 'sent' AND last_sent_s < ?"
        these = self.destination, sent_before_s
        if not self._database.one(f"SELECT EXISTS (SELECT 1 FROM {_SENT} WHERE {where})", *these):  # noqa: S608
            return 0
        self._windows = None
        with self._database.transaction() as connection:
            return connection.execute(
                f"UPDATE {_SENT} SET state = 'pending', decided_s = NULL, reason = ? WHERE {where}",  # noqa: S608
                (reason, *these),
            ).rowcount

    def expire(self, now_s: float, cause: str = "") -> list[Item]:
        """Pending items whose window has closed become missed; `cause` is the reason of those that
        were never tried.
        """
        if self._unchanged_at(now_s):
            return []

        where = "destination = ? AND state = 'pending' AND closes_s <= ?"
        these = self.destination, now_s
        rows = self._database.rows
        is_late = f"SELECT EXISTS (SELECT 1 FROM {_PENDING} WHERE {where})"  # noqa: S608
        if not self._database.one(is_late, *these):
            until_s = self.next_change_s(now_s)
            self._windows = now_s, math.inf if until_s is None else until_s
            return []

        found = [
            owed_of(row).item
            for row in rows(f"SELECT {OWED_LIST} FROM {_PENDING} WHERE {where}", *these)  # noqa: S608
        ]
        with self._database.transaction() as connection:
            connection.execute(
                f"""UPDATE {_PENDING} SET state = 'missed', decided_s = ?,
                    reason = 'not delivered before its window closed'
                        || CASE coalesce(nullif(reason, ''), ?) WHEN '' THEN ''
                           ELSE ' (' || coalesce(nullif(reason, ''), ?) || ')' END
                    WHERE {where}""",  # noqa: S608
                (now_s, cause, cause, *these),
            )
        return found

    # --- what the destination holds ---------------------------------------------------------------

    def unconfirmed(self, accepted_before_s: float, *, since_s: int, limit: int) -> list[Item]:
        """Dated measurements that were accepted before then and not confirmed yet, newest slot
        first, of each slot the newest revision; only slots that start at `since_s` or later.
        """
        rows = self._database.rows(
            f"""SELECT {OWED_LIST} FROM outbox INDEXED BY outbox_unconfirmed
                WHERE destination = ? AND {_UNCONFIRMED} AND slot_s >= ? AND decided_s < ?
                AND NOT {REPLACED} ORDER BY slot_s DESC LIMIT ?""",  # noqa: S608
            *(self.destination, since_s, accepted_before_s, limit),
        )
        return [owed_of(row).item for row in rows]

    def confirmations(self, since_s: int) -> Confirmations:
        """How many accepted measurements, of slots from `since_s` on, are still to be asked for (at
        most `MAX_COUNTED`), and how many are held otherwise.
        """
        unconfirmed: int = self._database.one(
            "SELECT count(*) FROM (SELECT 1 FROM outbox INDEXED BY outbox_unconfirmed "  # noqa: S608
            f"WHERE destination = ? AND {_UNCONFIRMED} AND slot_s >= ? LIMIT ?)",
            *(self.destination, since_s, MAX_COUNTED),
        )
        disputed: int = self._database.one(
            "SELECT count(*) FROM outbox INDEXED BY outbox_disputed "
            "WHERE destination = ? AND disagreements = 2 AND slot_s >= ?",
            *(self.destination, since_s),
        )
        return Confirmations(unconfirmed, disputed)

    def forecasts_uwh(self, items: Sequence[Item]) -> dict[Item, frozenset[int]]:
        """The forecasts of the same slot that the destination may hold, where there are some."""
        return forecasts_uwh(self._database, items)

    def record_held(self, found: Sequence[Held], now_s: float) -> list[Item]:
        """Write down what the destination holds. What it holds otherwise is owed once more, and the
        second time left as it is; so is what may be a revision that this buffer, an old copy, knows
        nothing of. Returns what is owed again.
        """
        self._windows = None
        marks = self._marks()
        again: list[Item] = []
        with self._database.transaction():
            for held in found:
                if held.agrees:
                    confirm(self._database, held.item, now_s)
                elif marks.is_maybe_later(held):
                    leave(self._database, held)
                elif owe_once_more(self._database, held):
                    again.append(held.item)
                else:
                    dispute(self._database, held)
        return again
