"""What is to go wrong in a rehearsal, and what the stand-in exchange shows of what it holds."""

from uuid import UUID

import pytest

from gateway.delivery.simulated.board import held, page, rows, summary
from gateway.delivery.simulated.rehearsal import MEANING, mishap
from gateway.delivery.simulated.results import asset_statistics
from tests.gateway.delivery.simulated.twin import HOUSE, LOAD, PV, SIMULATION, START_S, Twin

REGISTRY = f"/external-connection/configurations/{SIMULATION}/registry"
MIDNIGHT = "2026-11-28T00:00"
NEXT = "2026-11-28T00:15"


@pytest.mark.parametrize(
    ("text", "after_s", "lasts_s"),
    [
        ("down", 0, None),
        ("down after 5min", 300, None),
        ("  down   for 10s ", 0, 10),
        ("live off House load after 1h for 2min", 3600, 120),
    ],
)
def test_when_it_begins_and_how_long_it_lasts(
    text: str, after_s: float, lasts_s: float | None
) -> None:
    found = mishap(text)
    assert (found.after_s, found.lasts_s) == (after_s, lasts_s)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("status 503", 503),
        ("busy 7s", 429),
        ("slow 3s", 200),
        ("html", 200),
        ("unauthorized", 401),
        ("error body", 200),
        ("down", 0),
        ("no answer", 0),
        ("half an answer", 0),
        ("packs", 200),
        ("logins forgotten", 401),
        ("no role", 403),
    ],
)
def test_it_goes_wrong_and_is_over(text: str, status: int) -> None:
    twin = Twin()
    undo = mishap(text).apply(twin.exchange)
    twin.exchange.handle("GET", REGISTRY, twin.headers, b"")
    assert twin.exchange.journal[-1][2] == status
    undo()
    if text != "logins forgotten":
        twin.ask("GET", REGISTRY, None)


def test_a_live_data_switch_is_off_and_on_again() -> None:
    twin = Twin()
    undo = mishap("live off House load").apply(twin.exchange)
    assert "House load: whatever is sent to it vanishes" in "".join(summary(twin.exchange, 0))
    twin.send(LOAD, "measurement", {MIDNIGHT: 0.5})
    assert twin.after(60) == []
    undo()
    twin.send(LOAD, "measurement", {MIDNIGHT: 0.5})
    assert len(twin.after(60)) == 1


def test_verdicts_are_lost_on_the_way_and_what_was_sent_is_booked() -> None:
    twin = Twin()
    undo = mishap("verdicts lost").apply(twin.exchange)
    twin.send(LOAD, "measurement", {MIDNIGHT: 0.5})
    assert twin.after(60) == []
    assert twin.exchange.books.measurements[LOAD]
    undo()
    twin.send(LOAD, "measurement", {MIDNIGHT: 0.5})
    assert len(twin.after(60)) == 1


def test_websockets_are_down_and_http_is_not() -> None:
    twin = Twin()
    undo = mishap("websockets down").apply(twin.exchange)
    path = f"/external-ws/{SIMULATION}/{LOAD}/"
    refused = twin.exchange.open_stream(path, twin.headers)
    assert not isinstance(refused, UUID)
    assert refused.sends == "nothing"
    twin.ask("GET", REGISTRY, None)
    undo()
    assert twin.exchange.open_stream(path, twin.headers) == LOAD


def test_a_network_that_was_made_anew_has_the_same_names_and_other_uuids() -> None:
    twin = Twin()
    before = twin.exchange.assets
    undo = mishap("made anew").apply(twin.exchange)
    assert list(twin.exchange.assets.values()) == list(before.values())
    assert not before.keys() & twin.exchange.assets.keys()
    path = f"/external-connection/api/{SIMULATION}/{LOAD}/set-energy-measurement/"
    twin.ask("POST", path, {}, status=404)
    undo()
    assert twin.exchange.assets == before


def test_reading_back_tells_forecasts_for_a_while() -> None:
    twin = Twin()
    undo = mishap("tells forecasts").apply(twin.exchange)
    assert twin.exchange.behaviour.tells == "forecasts"
    undo()
    assert twin.exchange.behaviour.tells == "measurements"


def test_all_that_the_help_page_names_can_be_said() -> None:
    said = {"CODE": "503", "SECONDS": "7", "ASSET": "PV"}
    for name in MEANING:
        mishap(" ".join(said.get(word, word) for word in name.split()))


@pytest.mark.parametrize("text", ["", "downs", "status", "live off", "down after never", "slow x"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        mishap(text)


def test_the_board_shows_each_slot_with_what_was_odd_about_it() -> None:
    twin = Twin()
    twin.send(LOAD, "forecast", {NEXT: 0.2})
    for kwh in (0.5, 0.125):
        twin.send(LOAD, "measurement", {MIDNIGHT: kwh})
    twin.after(2 * 3600)
    twin.send(PV, "measurement", {MIDNIGHT: 0.0, "2026-11-28T00:01": 0.0})
    assert [row.cells for row in rows(twin.exchange, 10)] == [
        (NEXT, "House load", "200.000000", "", ""),
        ("2026-11-28T00:01", "PV", "", "0.000000", "after its settlement, no slot begins then"),
        (MIDNIGHT, "House load", "", "125.000000", "sent 2 times"),
        (MIDNIGHT, "PV", "", "0.000000", "after its settlement"),
    ]
    assert [row.slot for row in rows(twin.exchange, 1)] == [NEXT]
    assert "125.000000" in page(twin.exchange, 0, 10, ["/held.json"])
    assert held(twin.exchange)["assets"][str(LOAD)]["measurements_uwh"] == {  # type: ignore[index]
        MIDNIGHT: 125_000_000
    }


def test_the_board_says_what_was_dropped_and_that_a_simulation_has_ended() -> None:
    twin = Twin()
    twin.send(LOAD, "measurement", {NEXT: 0.5})
    twin.send(LOAD, "forecast", {MIDNIGHT: 0.5})
    twin.act_for(HOUSE)
    twin.batch({HOUSE: [{"type": "grid_fees", "data": {"fee_const": "<b>"}}]})
    twin.after(15)
    said = "\n".join(summary(twin.exchange, 3))
    assert "websockets: 3" in said
    assert "since their slot had not begun: 1" in said
    assert "since their slot had begun, by the exchange's clock: 1" in said
    assert "THE SIMULATION HAS ENDED for everybody, at a grid fee that is text" in said
    assert "<b>" not in page(twin.exchange, 0, 10, [])


def test_its_results_hold_what_was_forecast_and_never_a_measurement() -> None:
    twin = Twin()
    twin.send(LOAD, "forecast", {NEXT: 0.2})
    twin.send(PV, "measurement", {MIDNIGHT: 0.5})
    twin.after(1800)
    exchange = twin.exchange
    results = asset_statistics(
        exchange.community, exchange.books, exchange.slot_s, START_S + twin.at_s
    )
    house = results["Community"]["House 1"]  # type: ignore[index]
    assert house["House load"]["load_profile_kWh"] == {MIDNIGHT: 0, NEXT: 0.2}
    assert house["PV"]["pv_production_kWh"] == {MIDNIGHT: 0, NEXT: 0}
    assert house["Battery"] == {}
