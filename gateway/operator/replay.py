"""Models side by side over past slots: which fees each would have set, and what they bring. Pure.

Nobody knows how people would have answered to other fees: energies stay as they were.
"""

from array import array
from collections.abc import Iterator, Mapping
from itertools import pairwise

from msgspec import Struct, field

from gateway.operator.decision import Bounds, Decision, decide
from gateway.operator.fee import MILLION, Fee, FeeType
from gateway.operator.model import NOTICE_SLOTS, Asked, Model, OfMarkets
from gateway.operator.past_slots import Past, PastSlot, in_order
from gateway.operator.statistics import Statistics

REMEMBERED_SLOTS = 8
"""No model looks back further."""


class Charged(Struct, frozen=True):
    """A fee for a slot, and its money."""

    decision: Decision
    kwh: float | None
    """What it was charged on. None where that is not known."""
    cents: float | None
    """None where the energy, or its price, is not known."""


class Total(Struct, frozen=True, kw_only=True):
    """What a model did in a market."""

    model: str
    market: str
    slots: int
    lowest: Fee
    highest: Fee
    mean: float
    """Of all slots alike."""
    changes: int
    fallbacks: int
    """Slots in which the model lacked what it needs."""
    limited: int
    """Slots in which it wanted another fee than the bounds and the step allow."""
    charged_kwh: float
    cents: float
    """Of the slots whose energy is known."""


def replayed(past: Past, market: str, model: Model, bounds: Bounds) -> Iterator[Charged]:
    """What the model would have set for every slot of that market."""
    statistics: dict[int, Statistics] = {}
    loads: dict[int, float] = {}
    slots = past.markets[market]
    before: Decision | None = None
    for start in past.starts:
        _know(slots.get(start - NOTICE_SLOTS * past.slot_s), start, past.slot_s, statistics, loads)
        before = decide(
            model,
            Asked(
                market=market,
                slot_s=start,
                slot_length_s=past.slot_s,
                statistics=statistics,
                loads_kwh=loads,
                in_force=before.fee if before else None,
                memory=before.memory if before else {},
                slots_without=before.slots_without if before else 0,
            ),
            bounds,
        )
        slot = slots.get(start)
        kwh = slot.charged_kwh if slot else None
        yield Charged(before, kwh, money_cents(before.fee, slot))


def _know(
    slot: PastSlot | None,
    start: int,
    slot_s: int,
    statistics: dict[int, Statistics],
    loads: dict[int, float],
) -> None:
    """What is known by now, and forget what is too old for any model."""
    newest_s = start - NOTICE_SLOTS * slot_s
    if slot is not None:
        statistics[newest_s] = slot.statistics
        if slot.load_kwh is not None:
            loads[newest_s] = slot.load_kwh
    oldest_s = newest_s - REMEMBERED_SLOTS * slot_s
    statistics.pop(oldest_s, None)
    loads.pop(oldest_s, None)


def money_cents(fee: Fee, slot: PastSlot | None) -> float | None:
    """What a fee brings in a slot: cents per kWh times its energy; or a part of its price, which
    the statistics' average rate tells. None where that is not known.
    """
    if slot is None or slot.charged_kwh is None:
        return None
    if fee.type == "constant":
        return fee.number * slot.charged_kwh
    rate = slot.statistics.average_rate
    return None if rate is None else fee.number / 100 * slot.charged_kwh * rate


class Tally:
    """What a model did in a market, added up slot by slot. The decisions are not kept."""

    def __init__(self, model: str, market: str) -> None:
        self.model, self.market = model, market
        self.fees = array("q")
        """Of each slot, in millionths."""
        self.why = ""
        """Of the newest decision."""
        self._type: FeeType = "constant"
        self._fallbacks = self._limited = 0
        self._charged_kwh = self._cents = 0.0

    def add(self, charged: Charged) -> None:
        """One more slot."""
        decision = charged.decision
        self.fees.append(decision.fee.micros)
        self.why, self._type = decision.why, decision.fee.type
        self._fallbacks += decision.is_fallback
        self._limited += decision.wanted not in (None, decision.fee)
        if charged.cents is not None:
            self._cents += charged.cents
            self._charged_kwh += charged.kwh or 0.0

    def total(self) -> Total:
        """All of it. There is one slot at least."""
        return Total(
            model=self.model,
            market=self.market,
            slots=len(self.fees),
            lowest=Fee(self._type, min(self.fees)),
            highest=Fee(self._type, max(self.fees)),
            mean=sum(self.fees) / MILLION / len(self.fees),
            changes=sum(a != b for a, b in pairwise(self.fees)),
            fallbacks=self._fallbacks,
            limited=self._limited,
            charged_kwh=self._charged_kwh,
            cents=self._cents,
        )


class Contender(Struct, frozen=True, kw_only=True):
    """A model to be replayed, or one for each market."""

    label: str
    default: Model
    models: Mapping[str, Model] = field(default_factory=dict)

    def model_of(self, market: str) -> Model:
        """The model of that market."""
        return self.models.get(market, self.default)

    def knows(self, market: str) -> bool:
        """Whether it has anything for that market: a tariff file may not."""
        model = self.model_of(market)
        return not isinstance(model, OfMarkets) or market in model.markets


def told_cents(past: Past, market: str) -> float | None:
    """What the fees that were charged have brought, by the exchange's own word. None where it said
    nothing.
    """
    told = [
        slot.statistics.revenue_cents
        for slot in past.markets[market].values()
        if slot.statistics.revenue_cents is not None
    ]
    return sum(told) if told else None


def charged_fees(past: Past, market: str) -> list[float | None]:
    """The fees that were charged, slot by slot."""
    return [slot.fee if slot else None for _, slot in in_order(past, market)]
