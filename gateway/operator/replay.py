"""Models side by side over past slots: which fees each would have set, and what they bring. Pure.

Nobody knows how people would have answered to other fees: energies stay as they were.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.operator.decision import Bounds, Decision, decide
from gateway.operator.fee import MILLION, Fee
from gateway.operator.model import NOTICE_SLOTS, Asked, Model
from gateway.operator.past_slots import Past, PastSlot, in_order
from gateway.operator.statistics import Statistics

REMEMBERED_SLOTS = 8
"""No model looks back further."""


@dataclass(frozen=True, slots=True)
class Charged:
    """A fee for a slot, and its money."""

    decision: Decision
    cents: float | None
    """None where the energy is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
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
        yield Charged(before, money_cents(before.fee, slots.get(start)))


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


def total(model: str, market: str, past: Past, charged: list[Charged]) -> Total:
    """What all the slots of a market came to. There is one at least."""
    decisions = [each.decision for each in charged]
    fees = [decision.fee for decision in decisions]
    pairs = zip(charged, in_order(past, market), strict=True)
    known = [slot.charged_kwh for each, (_, slot) in pairs if slot and each.cents is not None]
    return Total(
        model=model,
        market=market,
        slots=len(charged),
        lowest=min(fees),
        highest=max(fees),
        mean=sum(fee.micros for fee in fees) / MILLION / len(fees),
        changes=sum(a != b for a, b in pairwise(fees)),
        fallbacks=sum(decision.is_fallback for decision in decisions),
        limited=sum(decision.wanted not in (None, decision.fee) for decision in decisions),
        charged_kwh=sum(kwh for kwh in known if kwh is not None),
        cents=sum(each.cents for each in charged if each.cents is not None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model to be replayed, or one for each market."""

    label: str
    default: Model
    models: Mapping[str, Model] = field(default_factory=dict)

    def model_of(self, market: str) -> Model:
        """The model of that market."""
        return self.models.get(market, self.default)


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
