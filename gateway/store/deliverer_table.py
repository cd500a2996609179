"""The table of deliverers: whether a slot's numbers go to the exchange from here, or from the
fleet. It is one of both for all numbers of a slot, for ever.
"""

from gateway.outbox.fleet.change import Deliver
from gateway.store.database import Database


class DelivererTable:
    """Deliverers on disk. Each method that asks or writes may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: list[tuple[int, int | None]] | None = None
        database.attach(self)

    def begin(self) -> None:
        """Look at another file."""
        self._known = None

    def forget(self) -> None:
        """What a transaction wrote is not so."""
        self._known = None

    @property
    def _spans(self) -> list[tuple[int, int | None]]:
        """From when to when the fleet delivers: starts of slots; None: it still does."""
        if self._known is None:
            rows = self._database.rows(
                "SELECT since_s, until_s FROM fleet_delivers ORDER BY since_s"
            )
            self._known = [(since_s, until_s) for since_s, until_s in rows]
        return self._known

    def of(self, slot_s: int) -> Deliver:
        """Who delivers the slot that starts then."""
        for since_s, until_s in self._spans:
            if since_s <= slot_s and (until_s is None or slot_s < until_s):
                return "fleet"
        return "direct"

    @property
    def newest(self) -> Deliver:
        """Who delivers the slots to come."""
        return "fleet" if self._spans and self._spans[-1][1] is None else "direct"

    @property
    def not_the_fleets(self) -> str:
        """In SQL: AND slot_s is none of the fleet's; empty where it delivers none."""
        return "".join(
            f" AND NOT (slot_s >= {since_s}{'' if until_s is None else f' AND slot_s < {until_s}'})"
            for since_s, until_s in self._spans
        )

    def change(self, to: Deliver, from_s: int, fleet: str) -> None:
        """From the slot that starts then on. `fleet` is how that is called in the configuration.
        Nothing where it is so already.
        """
        if to == self.newest:
            return
        with self._database.transaction() as connection:
            if to == "fleet":
                connection.execute(
                    "INSERT INTO fleet_delivers VALUES (?, NULL, ?)", (from_s, fleet)
                )
            else:
                connection.execute(
                    "UPDATE fleet_delivers SET until_s = ? WHERE until_s IS NULL", (from_s,)
                )
        self._known = None

    def give_up(self) -> None:
        """There is no fleet any more: all that it was to deliver is this gateway's again. Inside a
        transaction.
        """
        self._database.connection.execute("DELETE FROM fleet_delivers")
        self._known = None
