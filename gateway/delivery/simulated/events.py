"""What the simulated exchange tells an aggregator by itself. Pure.

`market` at each slot's begin, but the first one's; `tick` at each tenth of it where the aggregator
acts for an asset; `finish` at the end. Nobody is told of single trades here. Before there was a
market, the tree is empty.
"""

from collections.abc import Mapping
from uuid import UUID

from gateway.delivery.simulated.books import SETTLED_S, Books, slot_text
from gateway.delivery.simulated.commands import UWH_PER_KWH
from gateway.delivery.simulated.community import Community, Node
from gateway.delivery.simulated.market_statistics import MarketStatistics

PARTS_PER_SLOT = 10
"""Ticks that are told of a slot."""


def event(
    name: str,
    community: Community,
    books: Books,
    statistics: MarketStatistics,
    *,
    aggregator: UUID,
    simulation: UUID,
    at: tuple[int, int, int],
) -> dict[str, object]:
    """`market` or `tick`. `at` is the slot that runs, how many tenths of it are over, and the
    length of a slot.
    """
    slot_s, tenths, length_s = at
    has_past = statistics.has_past(slot_s)

    def told(node: Node) -> dict[str, object]:
        said: dict[str, object] = {"area_name": node.name}
        if node.is_market:
            said |= {
                "last_market_bill": {"accumulated_trades": {}, "external_trades": {}},
                "last_market_stats": statistics.trades(node, slot_s),
                **statistics.fees.in_tree(node),
                "children": {str(child.uuid): told(child) for child in node.children},
            }
        elif community.controlled.get(node.uuid) == aggregator:
            said |= {
                "asset_info": _asset_info(node, books, slot_s, length_s),
                "last_slot_asset_info": {"energy_traded": 0, "total_cost": 0},
                "asset_bill": None,
            }
        return said

    return {
        "event": name,
        "market_slot": slot_text(slot_s, length_s),
        "slot_completion": f"{tenths * 100 // PARTS_PER_SLOT}%",
        "grid_tree": {str(community.root.uuid): told(community.root)} if has_past else {},
        "feed_in_tariff_rate": 0,
        "market_maker_rate": None,
        "simulation_id": str(simulation),
        "num_ticks": float(PARTS_PER_SLOT),
    }


def _asset_info(node: Node, books: Books, slot_s: int, length_s: int) -> Mapping[str, object]:
    forecast_kwh = books.forecasts.get(node.uuid, {}).get(slot_s, 0) / UWH_PER_KWH
    measured = books.measurements.get(node.uuid, {})
    sign = -1 if node.kind == "PV" else 1

    # Nothing was traded, so all that was measured deviates.
    deviation: dict[str, float | None] = {
        slot_text(past_s, length_s): sign * measured[past_s] / UWH_PER_KWH
        if past_s in measured
        else None
        for past_s in range(max(slot_s - SETTLED_S, books.began_s), slot_s, length_s)
    }
    common = {"unsettled_deviation_kWh": deviation, "energy_traded": 0, "total_cost": 0}
    if node.kind == "PV":
        return {**common, "available_energy_kWh": forecast_kwh, "energy_active_in_offers": 0}
    return {**common, "energy_requirement_kWh": forecast_kwh, "energy_active_in_bids": 0.0}
