"""Dialect `rest`: the exchange's documented REST API for clients without its SDK. One undated
number per asset and slot. Pure.

    POST external-connection/api/{canary network}/{asset}/set_energy_forecast/    {"energy_Wh":
    137.25}

The number carries no time: the exchange books it to whatever slot comes next when it *arrives*. So
the energy of the closed slot n is sent inside slot n + 1, and there it is the exchange's figure for
slot n + 2. Sent any later it would be booked to a slot it was never meant for; so it is missed
instead, stays in the buffer, and can be exported.

With `rest: {sends: forecast}` the number is a forecast of that slot n + 2.
"""

from collections.abc import Sequence

from gateway.outbox.dialect import Reply
from gateway.outbox.format import Batch, Margins, Outcome, Window
from gateway.outbox.http_replies import http_outcome
from gateway.outbox.item import Item, Kind


class Dialect:
    """One request per item. Sending an item again inside its window replaces the same value by
    itself, so a lost reply does no harm.
    """

    kinds: frozenset[Kind] = frozenset({"measurement"})
    dated = False

    def __init__(self, canary_network: str, slot_s: int) -> None:
        self._canary_network = canary_network
        self._slot_s = slot_s

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:
        """Inside the slot that follows, away from its edges, so that both clocks agree on the
        slot.
        """
        self._check(kind)
        end_s = slot_s + self._slot_s
        return Window(end_s + kept.margin_s, end_s + self._slot_s - kept.lead_s)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Batch]:  # noqa: ARG002 — this API knows no transactions
        """One request per item, in the order of the items."""
        for item in items:
            self._check(item.kind)
        path = f"external-connection/api/{self._canary_network}/{{}}/set_energy_forecast/"
        return [
            Batch((item,), path.format(item.subject), {"energy_Wh": item.energy_uwh / 10**6})
            for item in items
        ]

    def judge(self, reply: Reply) -> Outcome:
        """Accepted as soon as the exchange says 2xx."""
        return http_outcome(reply)

    def _check(self, kind: Kind) -> None:
        if kind not in self.kinds:
            raise ValueError(f"the rest dialect has no way to say a {kind}")


class ForecastDialect(Dialect):
    """The same, where the number is what is expected of the slot that it is booked to. A better one
    replaces it until that slot begins.
    """

    kinds: frozenset[Kind] = frozenset({"forecast"})

    def window(self, kind: Kind, slot_s: int, kept: Margins) -> Window:
        """Inside the slot before: sent any earlier, it would be booked to that one."""
        self._check(kind)
        return Window(slot_s - self._slot_s + kept.margin_s, slot_s - kept.lead_s)
