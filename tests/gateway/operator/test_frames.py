"""What the exchange tells the agent, read from what was observed on the engine."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.gateway.delivery.simulated
from gateway.operator.fee import fee_of
from gateway.operator.frames import Finished, Replies, SlotRuns, Strange, said_in
from tests.gateway.delivery.simulated.twin import COMMUNITY, GRID, HOUSE

OBSERVED = json.loads(
    (Path(tests.gateway.delivery.simulated.__path__[0]) / "observed.json").read_text("utf-8")
)


def said(message: object, fee_type: Any = "constant") -> Any:
    return said_in(json.dumps(message).encode(), fee_type)


def test_an_event_tells_the_slot_that_began_and_what_each_market_charges() -> None:
    event = OBSERVED["market_event"]
    found = said(event)
    assert isinstance(found, SlotRuns)
    assert found.part == 0
    assert set(found.fees) == {GRID, COMMUNITY, HOUSE}
    assert found.fees[HOUSE] == fee_of(2, "constant")


def test_a_tick_tells_the_slot_and_no_fee() -> None:
    tick = {"event": "tick", "market_slot": "2026-11-28T00:00", "slot_completion": "53%"}
    assert said({**tick, "grid_tree": {}}) == SlotRuns(1_795_824_000, 0.53)


def test_a_batch_is_told_market_by_market_and_command_by_command() -> None:
    found = said(OBSERVED["batch"]["answer"])
    assert isinstance(found, Replies)
    assert found.transaction_id == OBSERVED["batch"]["sent"]["transaction_id"]
    assert {reply.command for each in found.of.values() for reply in each} == {
        "dso_market_stats",
        "grid_fees",
    }
    assert all(reply.is_ready for each in found.of.values() for reply in each)


@pytest.mark.parametrize("fee_type", ["constant", "percent"])
def test_refusals_are_known_by_whatever_key_they_have(fee_type: str) -> None:
    for case in OBSERVED[f"fees_{fee_type}"]:
        body = {
            "command": "batch_commands",
            "transaction_id": "t",
            "responses": {str(HOUSE): case["answers"]},
        }
        replies = said(body).of[HOUSE]
        for reply, answer in zip(replies, case["answers"], strict=True):
            assert reply.is_ready == (answer["status"] == "ready")
            if not reply.is_ready:
                assert reply.says == answer.get("error_message", answer.get("message"))[:200]


def test_a_mean_of_nothing_costs_no_answer() -> None:
    frame = (
        b'{"command": "batch_commands", "transaction_id": "t", "responses": {"%s": [{"command": '
        b'"dso_market_stats", "status": "ready", "market_stats": {"avg_trade_rate": NaN}}]}}'
        % str(HOUSE).encode()
    )
    [reply] = said_in(frame, "constant").of[HOUSE]  # type: ignore[union-attr]
    assert reply.is_ready
    assert reply.body["market_stats"] == {"avg_trade_rate": None}


def test_the_end_is_known() -> None:
    assert said({"event": "finish"}) == Finished()


@pytest.mark.parametrize(
    "message",
    [
        {"event": "trade", "trade_list": []},
        {"event": "selected_by_device", "device_uuid": str(HOUSE)},
        {"event": "market", "market_slot": None},
        {"event": "market", "market_slot": "soon"},
        {"event": ["market"]},
        {"event": "tick", "market_slot": "2026-11-28T00:15", "slot_completion": "half"},
        {"command": "batch_commands", "responses": {}},
        {"command": "set_energy_forecast", "status": "ready", "transaction_id": "t"},
        {},
    ],
)
def test_what_is_about_something_else_says_nothing(message: object) -> None:
    assert said(message) is None


@pytest.mark.parametrize("frame", [b"", b"[]", b"3", b"\xff\xfe", b'{"event": "market"'])
def test_what_is_no_object_is_strange(frame: bytes) -> None:
    with pytest.raises(Strange):
        said_in(frame, "constant")


def test_a_fee_of_somebody_else_that_cannot_be_ours_is_not_known() -> None:
    tree = {str(HOUSE): {"current_market_fee": -5}, "x": {"current_market_fee": 1}}
    event = {"event": "market", "market_slot": "2026-11-28T00:15", "grid_tree": tree}
    assert said(event, "percent").fees == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [str(HOUSE), str(UUID(int=1)), "children", "status", "error", "command"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["event", "market_slot", "grid_tree", "command", "transaction_id", "responses"]
        ),
        JSON | st.sampled_from(["market", "batch_commands", "2026-11-28T00:15"]),
    )
)
def test_whatever_an_object_holds_nothing_is_raised(message: dict[str, object]) -> None:
    said(message)
