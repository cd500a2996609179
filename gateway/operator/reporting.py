"""The agent's account of itself, for the page, the metrics, MQTT and `status`. Pure."""

from gateway.monitoring.report import MarketReport
from gateway.operator.fee import Fee
from gateway.operator.markets import Market
from gateway.operator.slot_round import SlotRound


def market_report(
    market: Market, current: SlotRound | None, in_force: Fee | None, model: str
) -> MarketReport:
    """One market: what it charges, and what it is to charge next."""
    place = current.places.get(market.uuid) if current else None
    decision = place.decision if place else None
    fee = None if in_force is None else in_force.number
    bare = MarketReport(name=market.name, uuid=str(market.uuid), fee=fee, model=model)
    if place is None or current is None:
        return bare
    return MarketReport(
        name=market.name,
        uuid=str(market.uuid),
        model=decision.model if decision else model,
        fee=fee,
        next_fee=decision.fee.number if decision else None,
        next_slot_s=current.slot_s,
        state=place.state if decision else "waiting",
        why=decision.why if decision else "",
        reason=place.reason,
        load_percent=decision.inputs.get("load_percent") if decision else None,
    )
