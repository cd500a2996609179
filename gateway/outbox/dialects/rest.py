"""Dialect `rest`: the exchange's documented REST API for clients without its SDK. One undated
number per asset and slot. Pure.

    POST external-connection/api/{canary network}/{asset}/set_energy_forecast/    {"energy_Wh":
    137.25}

The number carries no time: the exchange books it to whatever slot comes next when it *arrives*. So
the energy of the closed slot n is sent inside slot n + 1, and there it is the exchange's figure for
slot n + 2. Sent any later it would be booked to a slot it was never meant for; so it is missed
instead, stays in the buffer, and can be exported.
"""

from collections.abc import Sequence

from gateway.outbox.dialect import Question, Reply, Request, Verdict
from gateway.outbox.format import Window
from gateway.outbox.http_replies import http_verdict
from gateway.outbox.item import Item, Kind


class Dialect:
    """One request per item. Sending an item again inside its window replaces the same value by
    itself, so a lost reply does no harm.
    """

    kinds: frozenset[Kind] = frozenset({"measurement"})

    def __init__(self, canary_network: str, slot_s: int) -> None:
        self._canary_network = canary_network
        self._slot_s = slot_s

    def window(self, kind: Kind, slot_s: int, margin_s: float) -> Window:
        """Inside the slot that follows, away from its edges, so that clocks that differ by less
        than the margin agree on the slot.
        """
        self._check(kind)
        end_s = slot_s + self._slot_s
        return Window(end_s + margin_s, end_s + self._slot_s - margin_s)

    def encode(self, items: Sequence[Item], transaction_id: str) -> list[Request]:  # noqa: ARG002 — this API knows no transactions
        """One request per item, in the order of the items."""
        for item in items:
            self._check(item.kind)
        path = f"external-connection/api/{self._canary_network}/{{}}/set_energy_forecast/"
        return [
            Request(path.format(item.subject), {"energy_Wh": item.energy_uwh / 10**6}, (item,))
            for item in items
        ]

    def judge(self, reply: Reply) -> Verdict:
        """Accepted as soon as the exchange says 2xx."""
        return http_verdict(reply)

    def ask(self, items: Sequence[Item]) -> Question | None:  # noqa: ARG002 — numbers without a time cannot be asked for
        """Nothing."""
        return None

    def held(self, reply: Reply) -> None:  # noqa: ARG002
        """Nothing."""
        return

    def _check(self, kind: Kind) -> None:
        if kind not in self.kinds:
            raise ValueError(f"the rest dialect has no way to say a {kind}")
