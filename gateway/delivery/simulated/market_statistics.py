"""What the simulated exchange's markets tell of the slot before the one that runs. Pure.

What flowed follows the forecasts, as in the engine: a market imports what its assets are forecast
to need beyond what they make. A simulation may say otherwise (`flows`). The uppermost market has no
agent of its own to trade with, so its throughput is always 0, whatever went through it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.books import Books
from gateway.delivery.simulated.commands import UWH_PER_KWH
from gateway.delivery.simulated.community import Community, Node
from gateway.delivery.simulated.engine_clock import EngineClock
from gateway.delivery.simulated.market import GridFees

RATE = 30.0
"""What a kWh is traded for, in cents, without the grid fee."""
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Flow:
    """What went through a market in a slot, kWh."""

    import_kwh: float = 0.0
    export_kwh: float = 0.0

    @property
    def traded_kwh(self) -> float:
        """All of it."""
        return self.import_kwh + self.export_kwh


Flows = Callable[[Node, int], Flow]
"""What went through a market in the slot that starts then."""


class MarketStatistics:
    """Of the markets of one network."""

    def __init__(
        self,
        community: Community,
        books: Books,
        clock: EngineClock,
        fees: GridFees,
        behaviour: Behaviour,
    ) -> None:
        self._community = community
        self._books = books
        self._clock = clock
        self.fees = fees
        self._behaviour = behaviour
        self.flows: Flows = self._forecast

    def has_past(self, slot_s: int) -> bool:
        """Whether there was a market before the slot that runs."""
        return slot_s > self._books.began_s

    def trades(self, node: Node, slot_s: int) -> dict[str, object]:
        """What was traded in the slot before that one."""
        flow = self.flows(node, slot_s - self._clock.slot_s)
        if not flow.traded_kwh:
            return dict.fromkeys(
                (*(f"{which}_trade_rate" for which in _WHICH), "total_traded_energy_kWh")
            )
        rate = round(RATE + self._fee_per_kwh(node), _DIGITS)
        rates = {f"{which}_trade_rate": rate for which in _WHICH}
        return {**rates, "total_traded_energy_kWh": round(flow.traded_kwh, _DIGITS)}

    def answer(self, node: Node) -> dict[str, object]:
        """The answer to `dso_market_stats`. Before there was a market there are none."""
        slot_s = self._clock.slot_at(self._clock.now_s())
        return {
            "status": "ready",
            "name": node.name,
            "area_uuid": str(node.uuid),
            "command": "dso_market_stats",
            "market_stats": self._told(node, slot_s) if self.has_past(slot_s) else {},
        }

    def _told(self, node: Node, slot_s: int) -> Mapping[str, object]:
        flow = self.flows(node, slot_s - self._clock.slot_s)
        is_root = node is self._community.root
        revenue = round(flow.traded_kwh * self._fee_per_kwh(node), _DIGITS)
        return {
            **self.trades(node, slot_s),
            "market_bill": {"Accumulated Trades": {}},
            "market_fee_revenue": revenue or 0,
            "area_throughput": {
                "import": 0.0 if is_root else flow.import_kwh,
                "export": 0.0 if is_root else flow.export_kwh,
            },
            "self_sufficiency": None,
            "self_consumption": None,
            "market_energy_deviance": None,
        }

    def _fee_per_kwh(self, node: Node) -> float:
        """In cents, of the slot before the one that runs."""
        fee = self.fees.last(node)
        return RATE * fee / 100 if self._behaviour.fee_type == "percent" else fee

    def _forecast(self, node: Node, slot_s: int) -> Flow:
        net_uwh = 0
        for leaf in _leaves(node):
            uwh = self._books.forecasts.get(leaf.uuid, {}).get(slot_s, 0)
            net_uwh += -uwh if leaf.kind == "PV" else uwh
        return Flow(max(net_uwh, 0) / UWH_PER_KWH, max(-net_uwh, 0) / UWH_PER_KWH)


_WHICH = ("min", "max", "avg", "median")


def _leaves(node: Node) -> list[Node]:
    if not node.is_market:
        return [node]
    return [leaf for child in node.children for leaf in _leaves(child)]
