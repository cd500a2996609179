"""What of the exchange's outbox the fleet delivers in this gateway's place. Its rows stay where
they are: `pending` until the fleet has them, then `sent`; when they were sent last stays open, so
that no word of the exchange itself is waited for.
"""

from collections.abc import Sequence

from gateway.outbox.item import EXCHANGE, KINDS, Kind
from gateway.outbox.owed import BY_FLEET, Owed
from gateway.store.database import Database
from gateway.store.outbox_table import OutboxTable
from gateway.store.rows import OWED_LIST, THIS_ITEM, key_of, owed_of

_OF_FLEET = "destination = ? AND state = 'sent' AND last_sent_s IS NULL"


class HandedOver:
    """Each method may raise StoreError."""

    def __init__(self, database: Database, outbox: OutboxTable) -> None:
        self._database = database
        self._outbox = outbox

    def pending_at(self, slot_s: int, kind: Kind) -> list[Owed]:
        """What the exchange is owed for that slot, and neither it nor the fleet has."""
        rows = self._database.rows(
            f"SELECT {OWED_LIST} FROM outbox WHERE destination = ? AND slot_s = ? AND kind = ? "  # noqa: S608
            "AND state = 'pending' ORDER BY subject, revision",
            *(EXCHANGE, slot_s, kind),
        )
        return [owed_of(row) for row in rows]

    def hand_over(self, slots_s: Sequence[int], why_not: str, now_s: float) -> None:
        """The fleet has what the exchange is owed for these slots: its word is awaited. `why_not`:
        its collector refuses (some of) it. Inside a transaction.
        """
        for slot_s in slots_s:
            items = [owed.item for kind in KINDS for owed in self.pending_at(slot_s, kind)]
            if not items:
                continue
            outbox = self._outbox.of(EXCHANGE)
            outbox.mark(items)
            outbox.forget_windows()
            self._database.connection.executemany(
                f"""UPDATE outbox SET state = 'sent', reason = ?, decided_s = NULL, answer = ?,
                    first_sent_s = coalesce(first_sent_s, ?), attempts = attempts + 1
                    WHERE {THIS_ITEM} AND state = 'pending'""",  # noqa: S608
                [(why_not, BY_FLEET, now_s, *key_of(item)) for item in items],
            )

    def unspoken(self, before_s: float, limit: int) -> list[int]:
        """Starts of slots before then of which the fleet has something that it has said nothing of,
        oldest first.
        """
        rows = self._database.rows(
            "SELECT DISTINCT slot_s FROM outbox INDEXED BY outbox_sent "  # noqa: S608
            f"WHERE {_OF_FLEET} AND slot_s < ? ORDER BY slot_s LIMIT ?",
            *(EXCHANGE, before_s, limit),
        )
        return [slot_s for (slot_s,) in rows]

    def take_back(self) -> None:
        """What the fleet has and has said nothing of is owed by this gateway itself. Inside a
        transaction.
        """
        self._outbox.forget()
        self._database.connection.execute(
            "UPDATE outbox INDEXED BY outbox_sent "  # noqa: S608
            f"SET state = 'pending', reason = '', answer = NULL WHERE {_OF_FLEET}",
            (EXCHANGE,),
        )

    def newest_slot_s(self, until_s: float) -> int | None:
        """Start of the newest slot until then that the exchange is or was owed something for."""
        newest_s: int | None = self._database.one(
            "SELECT max(slot_s) FROM outbox WHERE destination = ? AND slot_s <= ?",
            *(EXCHANGE, until_s),
        )
        return newest_s

    @property
    def is_all(self) -> bool:
        """Whether nothing is pending, and no answer awaited, that this gateway delivers itself."""
        not_the_fleets = self._outbox.deliverers.not_the_fleets
        return not self._database.one(
            "SELECT EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_pending "  # noqa: S608
            f"WHERE destination = ? AND state = 'pending'{not_the_fleets}) "
            "OR EXISTS (SELECT 1 FROM outbox INDEXED BY outbox_sent "
            "WHERE destination = ? AND state = 'sent' AND last_sent_s IS NOT NULL)",
            *(EXCHANGE, EXCHANGE),
        )
