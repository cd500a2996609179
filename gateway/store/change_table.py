"""The table of changes: which slots a fleet's collector has not stored yet.

Numbers are near the time at which they are given, in ms: a copy of the file that is put back later
gives none that was given before, which a late acknowledgement could be about.
"""

import secrets
from collections.abc import Iterable, Sequence

from gateway.energy.slot import AssetSlot, Slot
from gateway.outbox.fleet.change import Change, Span
from gateway.outbox.item import EXCHANGE
from gateway.outbox.owed import Owed
from gateway.store.database import Database
from gateway.store.handed_over import HandedOver
from gateway.store.outbox_table import OutboxTable


class ChangeTable:
    """Changes on disk. Each method may raise StoreError."""

    def __init__(self, database: Database, outbox: OutboxTable) -> None:
        self._database = database
        self._deliverers = outbox.deliverers
        self.handed = HandedOver(database, outbox)
        """What the fleet delivers to the exchange."""
        self._is_kept = False
        database.attach(self)

    def begin(self) -> None:
        """Look at another file: whether there is a fleet at all. Else nothing is written here."""
        self._is_kept = self.store is not None

    def forget(self) -> None:
        """Nothing is remembered of what a transaction writes."""

    @property
    def is_kept(self) -> bool:
        """Whether this file's changes are kept for a fleet."""
        return self._is_kept

    @property
    def store(self) -> str | None:
        """By which name a fleet knows this file; None: no fleet has it."""
        found = next(self._database.rows("SELECT store FROM fleet_store"), None)
        return None if found is None else str(found[0])

    def note(
        self, slots: Iterable[Slot], asset_slots: Iterable[AssetSlot], owed: Iterable[Owed] = ()
    ) -> None:
        """Inside the transaction that writes these. Forecasts are the fleet's business where it
        delivers them.
        """
        if not self._is_kept:
            return
        slots_s = {slot.start_s for slot in slots} | {slot.start_s for slot in asset_slots}
        slots_s |= {
            each.item.slot_s
            for each in owed
            if each.item.kind == "forecast"
            and each.item.destination == EXCHANGE
            and self._deliverers.of(each.item.slot_s) == "fleet"
        }
        self._insert(slots_s)

    def join(self) -> str:
        """From now on changes are kept. Returns by which name the fleet knows this file. At the
        first time all slots that are there count as changed.
        """
        if known := self.store:
            return known
        with self._database.transaction():
            store = self._begin_store()
        self._is_kept = True
        return store

    def begin_anew(self) -> str:
        """Another gateway has a copy of this file: from now on this one has a name of its own, and
        everything in it counts as changed. Returns the name.
        """
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM changes")
            connection.execute("DELETE FROM fleet_store")
            return self._begin_store()

    def _begin_store(self) -> str:
        store = secrets.token_hex(8)
        self._database.connection.execute("INSERT INTO fleet_store VALUES (?)", (store,))
        self._note_all(0)
        return store

    def leave(self) -> None:
        """There is no fleet any more: nothing is kept for it, and what it was to deliver and has
        not is this gateway's again.
        """
        if self.store is None:
            return
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM changes")
            connection.execute("DELETE FROM fleet_store")
            self.handed.take_back()
            self._deliverers.give_up()
        self._is_kept = False

    def count_from(self, now_s: float) -> None:
        """Numbers are given from that time on (Unix time, which has to be right), in ms."""
        sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'"
        now_ms = int(now_s * 1000)
        if self._database.one(sql) >= now_ms:
            return
        with self._database.transaction() as connection:
            # Deleted at once: only SQLite's own table of sequences remembers it.
            connection.execute("INSERT INTO changes VALUES (?, 0)", (now_ms,))
            connection.execute("DELETE FROM changes WHERE seq = ?", (now_ms,))

    @property
    def newest_seq(self) -> int:
        """The highest number that was ever given."""
        sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'"
        return int(self._database.one(sql))

    def note_again(self, since_s: int, until_s: int) -> None:
        """What starts in that time is wanted once more."""
        with self._database.transaction():
            self._note_all(since_s, until_s)

    def note_slots(self, slots_s: Iterable[int]) -> None:
        """These are to be sent once more."""
        with self._database.transaction():
            self._insert(slots_s)

    def _insert(self, slots_s: Iterable[int]) -> None:
        """Inside a transaction."""
        self._database.connection.executemany(
            "INSERT INTO changes (slot_s) VALUES (?)", [(slot_s,) for slot_s in sorted({*slots_s})]
        )

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
        return [Change(seq, slot_s, self._deliverers.of(slot_s)) for seq, slot_s in rows]

    def stored(self, spans: Sequence[Span], now_s: float, why_not: str = "") -> int:
        """The collector has decided on these: they are owed to it no more, and it has what the
        fleet delivers of them. `why_not`: it refuses (some of) them. Returns how many there were.
        """
        count, slots_s = 0, set()
        with self._database.transaction() as connection:
            for span in spans:
                rows = connection.execute(
                    "DELETE FROM changes WHERE seq >= ? AND seq <= ? RETURNING slot_s", span
                ).fetchall()
                count += len(rows)
                slots_s |= {slot_s for (slot_s,) in rows}
            self._hand_over(
                {s for s in slots_s if self._deliverers.of(s) == "fleet"}, why_not, now_s
            )
        return count

    def _hand_over(self, slots_s: set[int], why_not: str, now_s: float) -> None:
        """The fleet has all that there is of these, but of those written anew since. Inside a
        transaction.
        """
        if slots_s:
            rows = self._database.rows(
                "SELECT slot_s FROM changes WHERE slot_s >= ? AND slot_s <= ?",
                *(min(slots_s), max(slots_s)),
            )
            anew = {slot_s for (slot_s,) in rows}
            self.handed.hand_over(sorted(slots_s - anew), why_not, now_s)

    def count(self) -> tuple[int, int | None]:
        """How many there are, and the start of the oldest slot among them."""
        [(count, oldest_s)] = self._database.rows("SELECT count(*), min(slot_s) FROM changes")
        return count, oldest_s
