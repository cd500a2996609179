"""What the engine of the stand-in exchange takes, refuses, drops, and never answers."""

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
    NEIGHBOUR,
    PV,
    SIMULATION,
    TRANSACTION,
    Twin,
)

NOON_S = 12 * 3600
SLOT_S = 900
BEFORE = "2026-11-28T11:45"
RUNNING = "2026-11-28T12:00"
NEXT = "2026-11-28T12:15"


@pytest.fixture
def twin() -> Twin:
    """At noon and a little, in the middle of a tick."""
    twin = Twin()
    twin.after(NOON_S + 100)
    return twin


def verdict(twin: Twin) -> Any:
    ((_, said),) = twin.after(15)
    assert said["transaction_id"] == TRANSACTION
    return said


def measured(twin: Twin) -> dict[int, int]:
    return twin.exchange.books.measurements[LOAD]


# --- which slots ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "time", "is_kept"),
    [
        ("measurement", BEFORE, True),
        ("measurement", RUNNING, True),
        ("measurement", NEXT, False),
        ("forecast", BEFORE, False),
        ("forecast", RUNNING, False),
        ("forecast", NEXT, True),
        ("forecast", "2026-11-29T12:00", True),
    ],
)
def test_what_is_kept_of_the_running_slot_is_its_measurement(
    twin: Twin, kind: str, time: str, is_kept: bool
) -> None:
    twin.send(LOAD, kind, {time: 0.125})
    assert verdict(twin)["status"] == "ready"
    books = twin.exchange.books
    assert bool(getattr(books, f"{kind}s")[LOAD]) == is_kept
    assert books.dropped[kind] == (not is_kept)


def test_its_clock_leads_and_the_last_tick_of_a_slot_belongs_to_the_next() -> None:
    for lead_s, before_edge_s, is_kept in ((0, 16, True), (0, 14, False), (5, 19, False)):
        twin = Twin(lead_s=lead_s)
        twin.after(NOON_S - before_edge_s)
        twin.send(LOAD, "forecast", {RUNNING: 0.125})
        assert bool(twin.exchange.books.forecasts[LOAD]) == is_kept, (lead_s, before_edge_s)


def test_a_measurement_settles_until_an_hour_after_the_begin_of_its_slot() -> None:
    twin = Twin()
    twin.act_for(LOAD)
    for after_s, settles in ((3600 - 20, True), (3600 + 20, False)):
        twin.after(NOON_S + after_s - twin.at_s)
        twin.send(LOAD, "measurement", {RUNNING: 0.125})
        assert verdict(twin)["status"] == "ready"
        assert twin.exchange.books.history[-1].settles == settles


def test_what_was_measured_deviates_from_the_next_slot_on_and_a_pvs_is_negative(twin: Twin) -> None:
    twin.act_for(LOAD, PV)
    twin.send(LOAD, "measurement", {BEFORE: 0.45})
    twin.send(PV, "measurement", {BEFORE: 0.2})
    twin.send(LOAD, "forecast", {NEXT: 0.4})
    event = next(said for _, said in twin.after(SLOT_S) if said.get("event") == "market")
    house = event["grid_tree"][str(GRID)]["children"][str(COMMUNITY)]["children"][str(HOUSE)]
    load, pv = (house["children"][str(uuid)]["asset_info"] for uuid in (LOAD, PV))
    assert load["unsettled_deviation_kWh"] == {
        "2026-11-28T11:15": None,
        "2026-11-28T11:30": None,
        BEFORE: 0.45,
        RUNNING: None,
    }
    assert pv["unsettled_deviation_kWh"][BEFORE] == -0.2
    assert load["energy_requirement_kWh"] == 0.4


# --- which numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("energy", "kept"),
    [
        ({BEFORE: 0}, [0]),
        ({BEFORE: 1e-9}, [1]),
        ({BEFORE: 50_000}, [50_000 * 10**9]),
        ({BEFORE + ":00": 0.5}, [500_000_000]),
        ({"2026-11-28T11:44": 0.5}, [500_000_000]),
        ({BEFORE: float("nan")}, []),
        ({BEFORE: float("inf")}, []),
        ({BEFORE: 1e308}, []),
        ({BEFORE: 10**400}, [10**409]),
        ({}, []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_it_is_ready_for(twin: Twin, energy: dict[str, float], kept: list[int]) -> None:
    twin.send(LOAD, "measurement", energy)
    assert verdict(twin) == {
        "command": "set_energy_measurement",
        "status": "ready",
        "transaction_id": TRANSACTION,
    }
    assert list(measured(twin).values()) == kept


@pytest.mark.parametrize(
    "energy",
    [
        {BEFORE: 0.5, RUNNING: -0.000001},
        {BEFORE: "0.5"},
        {BEFORE: None},
        {BEFORE: []},
        {f"{BEFORE}Z": 0.5},
        {f"{BEFORE}+00:00": 0.5},
        {"2026-11-28 11:45": 0.5},
        {"2026-11-31T11:45": 0.5},
        {"11:45": 0.5},
        [0.5],
        None,
    ],
    ids=str,
)
def test_it_refuses_the_whole_request_for(twin: Twin, energy: object) -> None:
    twin.send(LOAD, "measurement", energy)
    said = verdict(twin)
    assert said["status"] == "error"
    assert "House load" in said["error_message"]
    assert measured(twin) == {}


def test_two_thousand_slots_ride_in_one_request(twin: Twin) -> None:
    energy = {f"2026-11-{1 + n // 96:02}T{n % 96 // 4:02}:{n % 4 * 15:02}": 1 for n in range(2000)}
    twin.send(LOAD, "measurement", energy)
    assert verdict(twin)["status"] == "ready"
    assert len(measured(twin)) == 2000


def test_another_key_is_refused_at_once_and_without_a_status(twin: Twin) -> None:
    twin.send(LOAD, "measurement", {BEFORE: 0.5}, device="House load")
    assert twin.heard == [
        (
            LOAD,
            {
                "command": "set_energy_measurement",
                "error": "Incorrect set_energy_measurement request. "
                "Available parameters: (energy_measurement).",
                "transaction_id": TRANSACTION,
            },
        )
    ]
    assert measured(twin) == {}


# --- its silences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction_id", [None, ""])
def test_without_a_transaction_nothing_is_done_nor_answered(
    twin: Twin, transaction_id: str | None
) -> None:
    twin.send(LOAD, "measurement", {BEFORE: 0.5}, transaction_id=transaction_id)
    assert twin.after(60) == []
    assert measured(twin) == {}


def test_a_type_that_it_does_not_take_is_never_answered(twin: Twin) -> None:
    twin.send(BATTERY, "measurement", {BEFORE: 0.5})
    assert twin.after(60) == []
    assert twin.exchange.engine.unanswered == 1
    assert not twin.exchange.books.booked


def test_nothing_is_answered_while_the_live_data_switch_is_off(twin: Twin) -> None:
    load = twin.exchange.community.find(LOAD)
    assert load is not None
    load.is_live = False
    twin.act_for(LOAD, PV)
    energy = {"type": "set_energy_measurement", "energy_measurement": {BEFORE: 0.5}}
    twin.send(LOAD, "measurement", {BEFORE: 0.5})
    twin.batch({LOAD: [energy], PV: [energy]})
    ((_, said),) = twin.after(15)
    assert list(said["responses"]) == [str(PV)]
    load.is_live = True
    twin.send(LOAD, "measurement", {BEFORE: 0.5})
    assert verdict(twin)["status"] == "ready"


def test_a_batch_in_which_nothing_is_known_is_never_answered(twin: Twin) -> None:
    twin.act_for()
    stranger = UUID(int=1)
    energy = {"type": "set_energy_measurement", "energy_measurement": {BEFORE: 0.5}}
    twin.batch({stranger: [energy]})
    twin.batch({LOAD: [energy]}, "while nobody acts for it")
    assert twin.after(60) == []
    assert measured(twin) == {}


def test_of_one_transaction_twice_in_a_tick_one_runs(twin: Twin) -> None:
    twin.act_for(LOAD)
    for kwh in (0.5, 0.25):
        energy = {"type": "set_energy_measurement", "energy_measurement": {BEFORE: kwh}}
        twin.batch({LOAD: [energy]})
    assert len(twin.after(15)) == 1
    assert list(measured(twin).values()) == [500_000_000]


def test_a_verdict_that_nobody_listens_to_is_lost(twin: Twin) -> None:
    other = Twin()
    heard: list[object] = []
    end = other.exchange.engine.listen(LOAD, heard.append)
    end()
    other.send(LOAD, "measurement", {"2026-11-28T00:00": 0.5})
    other.after(60)
    assert heard == []


# --- aggregators and markets ----------------------------------------------------------------------


def aggregator_request(
    twin: Twin, action: str, uuid: UUID, node: UUID | None = None, status: int = 200
) -> Any:
    body = {"aggregator_uuid": str(uuid), "transaction_id": TRANSACTION}
    if node is not None:
        body["device_uuid"] = str(node)
    path = f"/external-connection/aggregator-api/{SIMULATION}/{action}-aggregator/"
    return twin.ask("POST", path, body, status)


def test_an_aggregator_is_told_what_it_acts_for_and_holds_it_alone(twin: Twin) -> None:
    twin.act_for()
    aggregator_request(twin, "select", AGGREGATOR, LOAD)
    assert twin.heard == [(AGGREGATOR, {"event": "selected_by_device", "device_uuid": str(LOAD)})]
    other = UUID(int=7)
    twin.exchange.community.aggregators[other] = "another"
    aggregator_request(twin, "select", other, LOAD, status=400)
    aggregator_request(twin, "select", AGGREGATOR, NEIGHBOUR, status=403)
    aggregator_request(twin, "select", UUID(int=8), LOAD, status=404)

    aggregator_request(twin, "unselect", AGGREGATOR, LOAD)
    aggregator_request(twin, "select", other, LOAD)
    aggregator_request(twin, "delete", other)
    assert twin.exchange.community.controlled == {}
    assert list(twin.exchange.community.aggregators) == [AGGREGATOR]


def test_ticks_are_told_to_an_aggregator_that_acts_for_an_asset_only(twin: Twin) -> None:
    twin.act_for(GRID)
    assert [said["event"] for _, said in twin.after(SLOT_S)] == ["market"]
    twin.act_for(LOAD)
    told = [(said["event"], said["slot_completion"]) for _, said in twin.after(SLOT_S)]
    assert sorted(told) == [("market", "0%"), *(("tick", f"{n}0%") for n in range(1, 10))]


def test_a_fee_that_is_set_in_one_slot_holds_in_the_next_and_is_the_last_one_after_that(
    twin: Twin,
) -> None:
    twin.act_for(HOUSE)
    twin.batch({HOUSE: [{"type": "grid_fees", "data": {"fee_const": 3.25}}]})
    fees = []
    for _ in range(2):
        event = next(said for _, said in twin.after(SLOT_S) if "event" in said)
        house = event["grid_tree"][str(GRID)]["children"][str(COMMUNITY)]["children"][str(HOUSE)]
        fees.append((house["last_market_fee"], house["current_market_fee"]))
    assert fees == [(2.0, 3.25), (3.25, 3.25)]


def test_a_fee_below_zero_is_ready_and_the_old_one_stays(twin: Twin) -> None:
    twin.act_for(HOUSE)
    twin.batch({HOUSE: [{"type": "grid_fees", "data": {"fee_const": -1}}]})
    ((_, said),) = twin.after(15)
    (answer,) = said["responses"][str(HOUSE)]
    assert (answer["status"], answer["market_fee_const"]) == ("ready", "2")


@pytest.mark.parametrize("command", [{"data": {"fee_const": "3,5"}}, {}])
def test_a_fee_that_is_text_and_one_without_data_end_the_simulation_for_everybody(
    twin: Twin, command: dict[str, object]
) -> None:
    twin.act_for(HOUSE)
    twin.batch({HOUSE: [{"type": "grid_fees", **command}]})
    twin.send(LOAD, "measurement", {BEFORE: 0.5})
    assert twin.after(2 * SLOT_S) == []
    assert "grid fee" in twin.exchange.engine.ended
    twin.send(LOAD, "measurement", {BEFORE: 0.5})
    assert twin.after(60) == []


def test_a_market_that_nobody_acts_for_is_answered_itself(twin: Twin) -> None:
    path = f"/external-connection/api/{SIMULATION}/{HOUSE}/grid-fee/"
    twin.ask("POST", path, {"fee_const": 7, "transaction_id": TRANSACTION})
    ((address, said),) = twin.after(15)
    assert (address, said["market_fee_const"], said["transaction_id"]) == (HOUSE, "7", TRANSACTION)


def test_reading_back_may_tell_what_was_forecast(twin: Twin) -> None:
    twin.send(LOAD, "forecast", {NEXT: 0.4})
    twin.after(SLOT_S)
    twin.send(LOAD, "measurement", {NEXT: 0.125})
    twin.after(SLOT_S)
    path = f"/historical-data/assets/{SIMULATION}/{LOAD}/{NEXT}/2026-11-28T12:30"
    assert twin.ask("GET", path, None) == [{"time": NEXT, "energy_kWh": 0.125}]
    twin.exchange.behaviour.tells = "forecasts"
    assert twin.ask("GET", path, None) == [{"time": NEXT, "energy_kWh": 0.4}]
