"""What the twin's markets tell a grid operator's agent, as the engine was observed to."""

from typing import Any
from uuid import UUID

import pytest

from gateway.delivery.simulated.market_statistics import Flow
from tests.gateway.delivery.simulated.twin import (
    AGGREGATOR,
    COMMUNITY,
    GRID,
    HOUSE,
    LOAD,
    PV,
    SIMULATION,
    Twin,
)

STATISTICS = {"type": "dso_market_stats", "data": {}}
OTHER = UUID("11111111-2222-4333-8444-555555555555")
NO_TRADES = {
    "min_trade_rate": None,
    "max_trade_rate": None,
    "avg_trade_rate": None,
    "median_trade_rate": None,
    "total_traded_energy_kWh": None,
}


def twin_of(**behaviour: Any) -> Twin:
    twin = Twin(**behaviour)
    twin.act_for(GRID, COMMUNITY, HOUSE)
    return twin


def told_of(twin: Twin, market: UUID) -> Any:
    """What it answers of a market a tick later."""
    twin.batch({market: [STATISTICS]})
    [(_, answer)] = [each for each in twin.after(15) if "command" in each[1]]
    return answer["responses"][str(market)][0]["market_stats"]


def test_before_there_was_a_market_there_are_no_statistics() -> None:
    assert told_of(twin_of(), HOUSE) == {}


def test_without_trades_rates_are_null_and_nothing_flowed() -> None:
    twin = twin_of()
    twin.after(900)
    told = told_of(twin, HOUSE)
    assert told.items() >= NO_TRADES.items()
    assert told["area_throughput"] == {"import": 0.0, "export": 0.0}
    assert told["market_fee_revenue"] == 0


def test_what_was_forecast_flows_through_every_market_and_not_through_the_uppermost() -> None:
    twin = twin_of()
    twin.act_for(LOAD, PV)
    twin.send(LOAD, "forecast", {"2026-11-28T00:15": 0.5})
    twin.send(PV, "forecast", {"2026-11-28T00:15": 0.125})
    twin.after(1800)
    assert told_of(twin, HOUSE)["area_throughput"] == {"import": 0.375, "export": 0.0}
    assert told_of(twin, COMMUNITY)["area_throughput"] == {"import": 0.375, "export": 0.0}
    root = told_of(twin, GRID)
    assert root["area_throughput"] == {"import": 0.0, "export": 0.0}
    assert root["total_traded_energy_kWh"] == 0.375


def test_a_fee_of_the_next_slot_earns_in_it_and_is_told_one_slot_later() -> None:
    """3.25 sent in 00:15 is current in the event of 00:30, and last in that of 00:45."""
    twin = twin_of()
    twin.exchange.engine.statistics.flows = lambda *_: Flow(0.075)
    twin.after(900)
    twin.batch({HOUSE: [{"type": "grid_fees", "data": {"fee_const": 3.25}}]})

    told = []
    for _ in range(2):
        [event] = [said for _, said in twin.after(900) if said.get("event") == "market"]
        house = event["grid_tree"][str(GRID)]["children"][str(COMMUNITY)]["children"][str(HOUSE)]
        told.append((event["market_slot"], house["current_market_fee"], house["last_market_fee"]))

    assert told == [("2026-11-28T00:30", 3.25, 2.0), ("2026-11-28T00:45", 3.25, 3.25)]
    statistics = told_of(twin, HOUSE)
    assert statistics["market_fee_revenue"] == pytest.approx(0.24375)
    assert statistics["avg_trade_rate"] == 33.25


def test_a_percent_fee_earns_its_part_of_what_was_paid() -> None:
    twin = twin_of(fee_type="percent")
    twin.exchange.engine.statistics.flows = lambda *_: Flow(0.0, 2.0)
    twin.after(900)
    assert told_of(twin, HOUSE)["market_fee_revenue"] == pytest.approx(2.0 * 30 * 0.02)


def test_one_batch_asks_and_sets_and_is_answered_in_its_order() -> None:
    twin = twin_of()
    twin.after(900)
    fee = {"type": "grid_fees", "data": {"fee_const": 4}}
    twin.batch({HOUSE: [STATISTICS, fee]})
    [(_, answer)] = [each for each in twin.after(15) if "command" in each[1]]
    commands = [each["command"] for each in answer["responses"][str(HOUSE)]]
    assert commands == ["dso_market_stats", "grid_fees"]
    assert answer["responses"][str(HOUSE)][1]["market_fee_const"] == "4"


def select(twin: Twin, aggregator: UUID, market: UUID, status: int = 200) -> Any:
    path = f"/external-connection/aggregator-api/{SIMULATION}/select-aggregator/"
    body = {"aggregator_uuid": str(aggregator), "device_uuid": str(market)}
    return twin.ask("POST", path, body, status)


def test_a_market_that_another_aggregator_holds_is_not_given() -> None:
    twin = twin_of()
    twin.exchange.community.aggregators[OTHER] = "other"
    refused = select(twin, OTHER, HOUSE, status=400)
    assert "Device already have selected" in refused["detail"]
    assert twin.exchange.community.controlled[HOUSE] == AGGREGATOR


def test_an_aggregator_that_the_engine_does_not_know_takes_a_market_over() -> None:
    assert select(twin_of(), OTHER, HOUSE, status=404)
    twin = twin_of(knows_aggregators=False)
    select(twin, OTHER, HOUSE)
    assert twin.exchange.community.controlled[HOUSE] == OTHER


def test_at_the_end_it_says_so_and_nothing_more() -> None:
    twin = twin_of()
    twin.heard.clear()
    twin.exchange.engine.finish()
    assert twin.heard == [(AGGREGATOR, {"event": "finish"})]
    twin.batch({HOUSE: [STATISTICS]})
    assert twin.after(1800) == []


def test_in_the_first_slot_the_tree_of_a_tick_is_empty() -> None:
    twin = twin_of()
    twin.act_for(LOAD)
    assert [(said["event"], said["grid_tree"]) for _, said in twin.after(90)] == [("tick", {})]
