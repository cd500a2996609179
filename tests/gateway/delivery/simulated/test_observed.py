"""The twin says what the exchange's own engine was observed to say. observed.json has the messages
as they passed between the exchange's own software.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.gateway.delivery.simulated.twin import (
    AGGREGATOR,
    BATTERY,
    COMMUNITY,
    GRID,
    HOUSE,
    LOAD,
    PV,
    SIMULATION,
    START_S,
    Twin,
)

OBSERVED = json.loads(Path(__file__).with_name("observed.json").read_text(encoding="utf-8"))

AT_13_14_S = 13 * 3600 + 14 * 60
TWO_MINUTES_S = 120

SENT = {
    "const": {"fee_const": 3.25},
    "percent": {"fee_percent": 7.5},
    "both keys": {"fee_const": 1, "fee_percent": 2},
    "percent 150": {"fee_percent": 150},
    "percent -5": {"fee_percent": -5},
    "null": {"fee_const": None, "fee_percent": None},
    "zero": {"fee_const": 0},
    "huge": {"fee_const": 2000},
}


def test_a_login_is_answered_with_both_keys_that_clients_look_for() -> None:
    twin = Twin()
    sent = OBSERVED["login"]
    assert (sent["method"], sent["path"]) == ("POST", "/api-token-auth/")
    assert sent["body"].keys() == {"username", "password"}
    assert twin.login["access"] == twin.login["token"]


def test_the_first_requests_of_the_exchanges_own_template_are_answered_as_it_needs_them() -> None:
    twin = Twin()
    *first, select = OBSERVED["sdk_template"]
    found, created, registry, configuration = (
        twin.ask(sent["method"], sent["path"], sent["body"]) for sent in first
    )
    body = {**select["body"], "aggregator_uuid": created["uuid"]}
    selected = twin.ask(select["method"], select["path"], body)
    assert found == []
    assert twin.exchange.community.aggregators == {UUID(created["uuid"]): "dso"}
    assert registered_in(registry) == {
        "Grid": True,
        "Community": True,
        "House 1": True,
        "House load": True,
        "PV": True,
        "Battery": True,
        "Neighbour": None,
        "Market Maker": None,
    }
    latest = configuration["data"]["readConfiguration"]["scenarioData"]["latest"]
    tree = json.loads(latest["serialized"])
    assert (tree["name"], tree["uuid"]) == ("Grid", str(GRID))
    assert selected["aggregator_uuid"] == created["uuid"]


def registered_in(node: dict[str, Any]) -> dict[str, bool | None]:
    found = {node["name"]: node["registered"]}
    for child in node["children"]:
        found |= registered_in(child)
    return found


def test_an_event_of_a_market_is_told_when_a_slot_begins() -> None:
    twin = Twin(slot_s=TWO_MINUTES_S)
    twin.after(AT_13_14_S - 1)
    twin.act_for(GRID, COMMUNITY, HOUSE)
    assert twin.after(1.5) == [(AGGREGATOR, OBSERVED["market_event"])]


def test_a_batch_for_markets_is_answered_a_tick_later() -> None:
    twin = Twin(slot_s=TWO_MINUTES_S, tick_s=10)
    twin.after(AT_13_14_S)
    twin.act_for(GRID, COMMUNITY, HOUSE)
    sent = OBSERVED["batch"]["sent"]
    path = f"/external-connection/aggregator-api/{SIMULATION}/batch-commands/"
    twin.ask("POST", path, sent)
    assert twin.after(9.9) == []
    assert twin.after(0.2) == [(AGGREGATOR, OBSERVED["batch"]["answer"])]


@pytest.mark.parametrize("command", ["forecast", "measurement"])
def test_an_asset_hears_the_verdict_under_its_transaction(command: str) -> None:
    twin = Twin(slot_s=TWO_MINUTES_S)
    twin.after(13 * 3600 + 20 * 60 + 4)
    sent = OBSERVED[command]["sent"]
    twin.ask(sent["method"], sent["path"], sent["body"])
    (said,) = (each for each in OBSERVED["verdicts"] if each["command"] == f"set_energy_{command}")
    wanted = {**said, "transaction_id": sent["body"]["transaction_id"]}
    assert twin.after(2.1) == [(LOAD, wanted)]
    booked = getattr(twin.exchange.books, f"{command}s")[LOAD]
    assert list(booked.values()) == [72_507_981]


def test_an_undated_number_is_booked_to_the_slot_that_comes_next() -> None:
    twin = Twin()
    sent = OBSERVED["undated"]
    body = sent["raw"].encode()
    assert twin.exchange.handle("POST", sent["path"], twin.headers, body).status == 200
    assert twin.exchange.books.undated[LOAD] == {START_S + 900: 61_119_849}


def test_a_batch_for_assets_repeats_what_was_sent_and_refuses_the_battery() -> None:
    twin = Twin()
    twin.after(900)
    twin.act_for(LOAD, PV, BATTERY)
    observed = OBSERVED["batch_of_assets"]
    commands: dict[UUID, list[object]] = {
        LOAD: [
            {"type": "set_energy_forecast", "energy_forecast": {"2026-11-28T00:30": 0.4}},
            {"type": "set_energy_measurement", "energy_measurement": {"2026-11-28T00:00": 0.45}},
        ],
        PV: [
            {"type": "set_energy_forecast", "energy_forecast": {"2026-11-28T00:30": 0.25}},
            {"type": "set_energy_measurement", "energy_measurement": {"2026-11-28T00:00": 0.2}},
        ],
        BATTERY: [
            {"type": "set_energy_measurement", "energy_measurement": {"2026-11-28T00:00": 0.1}}
        ],
    }
    twin.batch(commands, observed["transaction_id"])
    ((address, said),) = twin.after(15)
    assert (address, said["responses"]) == (AGGREGATOR, observed["answers"])


def test_the_tree_of_an_event_tells_more_of_the_assets_that_are_ours() -> None:
    twin = Twin()
    twin.act_for(LOAD, PV)
    told = [said for _, said in twin.after(900) if said["event"] == "market"]
    house = told[0]["grid_tree"][str(GRID)]["children"][str(COMMUNITY)]["children"][str(HOUSE)]
    assert {of: house["children"][of] for of in (str(LOAD), str(PV))} == OBSERVED[
        "own_assets_in_tree"
    ]
    assert house["children"][str(BATTERY)] == {"area_name": "Battery"}


@pytest.mark.parametrize("fee_type", ["constant", "percent"])
def test_grid_fees_are_answered_as_observed(fee_type: str) -> None:
    twin = Twin(fee_type=fee_type)
    twin.act_for(COMMUNITY, LOAD)
    for case in OBSERVED[f"fees_{fee_type}"]:
        match case["case"]:
            case "unknown command":
                sent: dict[UUID, list[object]] = {COMMUNITY: [{"type": "nope", "data": {}}]}
            case "fee on an asset":
                sent = {LOAD: [{"type": "grid_fees", "data": {"fee_const": 1}}]}
            case "twice in one batch":
                fees = [{"type": "grid_fees", "data": {"fee_const": fee}} for fee in (4, 5)]
                sent = {COMMUNITY: [*fees]}
            case name:
                sent = {COMMUNITY: [{"type": "grid_fees", "data": SENT[name]}]}
        twin.batch(sent)
        told = [said for _, said in twin.after(15) if said.get("command") == "batch_commands"]
        assert [list(said["responses"].values()) for said in told] == [[case["answers"]]], case


def test_a_markets_own_requests_are_obeyed_and_never_answered_where_an_aggregator_acts_for_it() -> (
    None
):
    twin = Twin()
    twin.act_for(HOUSE)
    fee, statistics = OBSERVED["direct"]
    for sent in (fee, statistics):
        twin.ask(sent["method"], sent["path"], sent["body"])
    told = twin.after(900)
    assert {said.get("event") for _, said in told} == {"market"}
    house = told[0][1]["grid_tree"][str(GRID)]["children"][str(COMMUNITY)]["children"][str(HOUSE)]
    assert house["current_market_fee"] == 7
