"""What an exchange may do to a grid operator's agent, in virtual time. After each run the world
judges: no fee outside its bounds or for a slot that had begun, each slot taken or explained.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from gateway.delivery.simulated.market_statistics import Flow
from gateway.operator.stop_order import Order
from tests.gateway.operator.random_faults import live
from tests.gateway.operator.street import GRID, HOUSE, STREET, Operator, fixed
from tests.gateway.operator.world import SLOT_S, START_S, Counting, World, number_of

OTHER = UUID("11111111-2222-4333-8444-555555555555")
Play = Callable[[World], Awaitable[None]]


def asks(**wanted: object) -> Operator:
    """Whose model waits for the statistics of the last slot."""
    return Operator(lambda _: Counting(needs_statistics=True), **wanted)  # type: ignore[arg-type]


def played(folder: Path, play: Play, operator: Operator | None = None) -> World:
    """A world in which that happened, and in which the laws hold."""
    world = World(operator or asks(), folder)

    async def judged(world: World) -> None:
        await play(world)
        assert world.judge() == []

    world.run(judged)
    return world


def test_on_an_ordinary_day_every_fee_is_taken_and_charged(tmp_path: Path) -> None:
    async def day(world: World) -> None:
        await world.slots(96)
        rows = world.by_slot(HOUSE)
        assert {row.state for n, row in rows.items() if n >= 2} == {"taken"}
        assert max(rows) == 96
        assert world.charged[START_S + 50 * SLOT_S, HOUSE] == number_of(START_S + 50 * SLOT_S)
        assert rows[50].revenue_cents == pytest.approx(0.5 * number_of(rows[50].slot_s))

    played(tmp_path, day)


def test_statistics_and_fee_go_in_one_batch_where_the_model_needs_none(tmp_path: Path) -> None:
    async def an_hour(world: World) -> None:
        await world.slots(4)
        paths = [path for _, path, _ in world.exchange.journal if "batch" in path]
        assert len(paths) == 4

    played(tmp_path, an_hour, Operator(lambda _: Counting()))


def test_doubled_events_say_nothing_new(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        world.faults.copies = 3
        await world.slots(8)
        assert world.agent.doings.stray_events == 16
        assert len(world.rows("taken")) == 3 * 7

    played(tmp_path, hours)


@pytest.mark.parametrize("late_s", [30.0, 400.0, 800.0, 1000.0, 2000.0])
def test_what_comes_late_sets_no_fee_for_a_slot_that_has_begun(
    tmp_path: Path, late_s: float
) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        world.faults.late_s = lambda _: late_s
        await world.slots(8)
        world.faults.late_s = lambda _: 0.0
        await world.slots(4)
        assert world.by_slot(HOUSE)[14].state == "taken"

    played(tmp_path, hours)


def test_what_comes_late_and_out_of_order_does_not_either(tmp_path: Path) -> None:
    async def day(world: World) -> None:
        rng = Random(3)
        await world.slots(2)
        world.faults.late_s = lambda _: rng.choice((0.0, 5.0, 100.0, 700.0, 1500.0, 4000.0))
        await world.slots(60)
        world.faults.late_s = lambda _: 0.0
        await world.slots(8)
        assert world.by_slot(HOUSE)[69].state == "taken"

    played(tmp_path, day)


def test_an_event_of_long_past_is_no_slot(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        event = {"event": "market", "market_slot": "2026-11-27T00:15", "grid_tree": {}}
        for aggregator in world.community.aggregators:
            world.exchange.engine.tell(aggregator, event)
        await world.slots(3)
        assert world.agent.doings.stray_events == 1
        assert len(world.rows("taken")) == 3 * 5

    played(tmp_path, hours)


def test_after_an_outage_the_slots_that_went_by_say_why_and_fees_are_set_again(
    tmp_path: Path,
) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        world.network.suffer("refused")
        await world.slots(10)
        world.network.suffer("")
        await world.slots(4)
        rows = world.by_slot(HOUSE)
        assert rows[7].state == "missed"
        assert "was not heard" in rows[7].reason
        assert rows[16].state == "taken"

    played(tmp_path, hours)


def test_an_exchange_that_is_away_for_a_moment_costs_no_slot(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        world.exchange.mode("down", where="batch-commands")
        await asyncio.sleep(SLOT_S / 2)
        world.exchange.mode("ok")
        await world.slots(1.6)
        assert {row.state for n, row in world.by_slot(HOUSE).items() if n >= 2} == {"taken"}

    played(tmp_path, hours)


@pytest.mark.parametrize("mode", ["slow", "drop_after_accept", "partial", "html", "error_body"])
def test_an_exchange_that_answers_badly_by_http_is_told_again(tmp_path: Path, mode: str) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        world.exchange.mode(mode, seconds=40.0, where="batch-commands")  # type: ignore[arg-type]
        await world.slots(3)
        world.exchange.mode("ok")
        await world.slots(3)
        assert world.by_slot(HOUSE)[9].state == "taken"

    played(tmp_path, hours)


def test_an_exchange_whose_words_are_lost_leaves_what_was_sent_silent(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(3)
        world.faults.late_s = lambda is_event: 0.0 if is_event else 10**6
        await world.slots(5)
        rows = world.by_slot(HOUSE)
        assert rows[6].state == "silent"
        assert "did not answer" in rows[6].reason
        assert rows[6].fee is not None and rows[6].wanted is None
        world.faults.late_s = lambda _: 0.0
        await world.slots(3)
        assert world.by_slot(HOUSE)[10].state == "taken"

    played(tmp_path, hours)


def test_without_statistics_the_last_fee_stays_and_then_the_fallback_is_set(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(4)
        world.exchange.engine.statistics.flows = lambda *_: Flow()
        await world.slots(8)
        rows = world.by_slot(HOUSE)
        lost = [rows[n] for n in range(6, 12)]
        assert all(row.wanted is None and row.state == "taken" for row in lost)
        assert (lost[0].fee, lost[-1].fee) == (rows[5].fee, 4_000_000)

    played(tmp_path, hours)


@pytest.mark.parametrize("at", [0.02, 0.1, 0.5, 0.9])
def test_a_restart_in_the_middle_of_a_slot_loses_no_more_than_that_slot(
    tmp_path: Path, at: float
) -> None:
    async def hours(world: World) -> None:
        await world.slots(4 + at)
        await world.restart(60.0)
        await world.slots(4)
        rows = world.by_slot(HOUSE)
        assert rows[8].state == "taken"
        assert all(row.state == "taken" or row.reason for n, row in rows.items() if n >= 2)

    played(tmp_path, hours)


def test_a_gateway_that_was_off_for_hours_says_so(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(4)
        await world.restart(10 * SLOT_S)
        await world.slots(3)
        assert "did not run" in world.by_slot(HOUSE)[9].reason

    played(tmp_path, hours)


def test_a_wrong_clock_of_this_gateway_changes_nothing(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        world.faults.clock_off_s = -86_400.0 * 400
        await world.slots(4)
        world.faults.clock_off_s = 10_000.0
        await world.slots(4)
        assert {row.state for n, row in world.by_slot(HOUSE).items() if n >= 2} == {"taken"}

    played(tmp_path, hours)


def test_a_market_that_another_aggregator_holds_is_left_to_it(tmp_path: Path) -> None:
    operator = asks()
    world = World(operator, tmp_path)
    world.community.aggregators[OTHER] = "other"
    world.community.controlled[STREET] = OTHER

    async def hours(world: World) -> None:
        await world.slots(4)
        assert {row.name for row in world.rows()} == {"Grid", "House 1"}
        assert "'other'" in world.agent.connection.problems["Street"]
        assert world.community.controlled[STREET] == OTHER
        del world.community.controlled[STREET]
        await world.slots(3)
        assert {row.name for row in world.rows("taken")} == {"Grid", "House 1", "Street"}

    world.run(hours)


def test_it_is_taken_over_where_the_operator_says_so(tmp_path: Path) -> None:
    world = World(asks(take_over=True), tmp_path)
    world.community.aggregators[OTHER] = "other"
    world.community.controlled[STREET] = OTHER

    async def hours(world: World) -> None:
        await world.slots(3)
        assert world.community.aggregator_of(next(world.community.nodes())) == "dso"
        assert {row.name for row in world.rows("taken")} == {"Grid", "House 1", "Street"}

    world.run(hours)


def test_a_network_of_the_other_fee_type_refuses_and_the_reason_says_what_to_write(
    tmp_path: Path,
) -> None:
    world = World(asks(), tmp_path)

    async def hours(world: World) -> None:
        world.exchange.behaviour.fee_type = "percent"
        await world.slots(3)
        [row] = [row for row in world.rows("refused") if row.name == "House 1"][:1]
        assert "write fee_type: percent" in row.reason
        assert row.sent == 2

    world.run(hours)


def test_a_market_that_is_renamed_or_gone_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    world = World(asks(markets=("House 1", "Grid")), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3)
        house = world.community.find(HOUSE)
        assert house is not None
        house.name = "House One"
        await world.restart()
        await world.slots(3)
        assert "there is no such market" in world.agent.connection.problems["House 1"]
        assert world.by_slot(GRID)[6].state == "taken"

    world.run(hours)


def test_a_network_made_anew_is_found_again(tmp_path: Path) -> None:
    world = World(asks(), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3)
        world.community.controlled.clear()
        world.community.aggregators.clear()
        await world.slots(6)
        rows = world.by_slot(HOUSE)
        assert rows[max(rows)].state == "taken"
        assert all(row.state == "taken" or row.reason for n, row in rows.items() if n >= 2)

    world.run(hours)


def test_the_end_of_the_simulation_is_told_and_a_new_one_followed(tmp_path: Path) -> None:
    world = World(asks(), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3)
        world.exchange.engine.finish()
        await world.slots(2)
        assert world.agent.snapshot().state == "the simulation is over"
        world.exchange.engine.ended = ""
        await world.slots(3)
        assert "its simulation is over" in world.by_slot(HOUSE)[5].reason
        assert world.by_slot(HOUSE)[8].state == "taken"

    world.run(hours)


def test_hostile_frames_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(2)
        engine = world.exchange.engine
        for aggregator in world.community.aggregators:
            for frame in (
                b"\x00\xff",
                b"[" * 50_000,
                "text",
                b'{"event": "market"',
            ):
                engine.tell(aggregator, frame)
            engine.tell(aggregator, {"event": "market", "market_slot": "9999-12-31T23:45"})
            tree = {"x": {"children": {"y": {"current_market_fee": "NaN", "children": []}}}}
            engine.tell(aggregator, {"event": "tick", "market_slot": 5, "grid_tree": tree})
        await world.slots(5)
        assert world.agent.connection.condition.strange >= 4
        assert len(world.rows("taken")) == 3 * 6

    played(tmp_path, hours)


def test_a_dry_run_decides_and_keeps_and_sends_no_fee(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(5)
        assert world.arrived == []
        rows = world.by_slot(HOUSE)
        assert {row.state for n, row in rows.items() if n >= 2} == {"dry_run"}
        assert rows[4].fee == round(number_of(rows[4].slot_s) * 1_000_000)
        assert world.agent.snapshot().state == "dry run"

    played(tmp_path, hours, asks(dry_run=True))


def test_a_person_leaves_the_markets_at_a_fee_and_goes_on_again(tmp_path: Path) -> None:
    world = World(Operator(fixed(5), step=1), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(6)
        order = world.agent._order
        order.write(Order(3_500_000, world.exchange.now()))
        await world.slots(4)
        found = order.read()
        assert found is not None and found.done_s is not None
        assert world.agent.snapshot().state == "stopped"
        assert [world.by_slot(HOUSE)[n].fee for n in (7, 8, 9)] == [5_000_000, 4_000_000, 3_500_000]
        sent = len(world.arrived)
        await world.restart()
        await world.slots(3)
        assert len(world.arrived) == sent
        assert world.community.controlled == {}

        order.take_back()
        await world.slots(3)
        assert "did not run" in world.by_slot(HOUSE)[12].reason
        assert world.rows("taken")[-1].fee == 5_000_000

    world.run(hours)


def test_a_login_that_was_refused_for_a_while_is_made_again_though_the_websocket_stays(
    tmp_path: Path,
) -> None:
    world = World(Operator(lambda _: Counting()), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3.3)
        world.exchange.mode("status", status=401, where="api-token-auth")
        world.exchange.revoke_tokens()
        await world.slots(2)
        world.exchange.mode("ok")
        await world.slots(6)
        assert world.by_slot(HOUSE)[5].state in ("silent", "too_late")
        assert [world.by_slot(HOUSE)[n].state for n in (10, 11)] == ["taken", "taken"]

    world.run(hours)
    assert world.arrived


def test_bounds_that_are_narrowed_hold_for_an_order_to_stop_that_is_open(tmp_path: Path) -> None:
    world = World(Operator(fixed(5), step=1), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(6)
        order = world.agent._order
        order.write(Order(9_000_000, world.exchange.now(), "constant"))
        await world.slots(2.1)
        world.operator = replace(world.operator, highest=6.5)
        sent = len(world.arrived)
        await world.restart()
        await world.slots(4)
        assert {each.data["fee_const"] for each in world.arrived[sent:]} == {6.5}
        found = order.read()
        assert found is not None and found.done_s is not None
        assert (found.micros, found.left_at) == (9_000_000, "6.5 ct/kWh")
        assert world.charged[world.slot_s, HOUSE] == 6.5
        why = world.rows("taken")[-1].why
        assert "fees stop said 9, and gateway.yaml allows 0 ct/kWh to 6.5 ct/kWh" in why

    world.run(hours)


def test_an_order_to_stop_in_the_unit_of_another_network_leaves_the_fallback(
    tmp_path: Path,
) -> None:
    world = World(Operator(fixed(5), fallback=4), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3)
        world.agent._order.write(Order(9_000_000, world.exchange.now(), "percent"))
        await world.slots(3)
        row = world.rows("taken")[-1]
        assert row.fee == 4_000_000
        assert "fees stop said a fee of the other type" in row.why
        assert world.agent.snapshot().state == "stopped"

    world.run(hours)


def test_statistics_with_nulls_zeros_and_of_other_forms_end_in_the_fallback(tmp_path: Path) -> None:
    async def hours(world: World) -> None:
        await world.slots(2)
        answer = world.exchange.engine.statistics.answer
        forms = [{}, None, [], "none", {"area_throughput": None, "total_traded_energy_kWh": "1"}]

        def strange(node: object) -> dict[str, object]:
            told = answer(node)  # type: ignore[arg-type]
            return {**told, "market_stats": json.loads(json.dumps(forms[len(world.arrived) % 5]))}

        vars(world.exchange.engine.statistics)["answer"] = strange
        await world.slots(8)
        rows = world.by_slot(HOUSE)
        assert rows[9].fee == 4_000_000
        assert rows[9].state == "taken"

    played(tmp_path, hours)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_goes_wrong_no_fee_is_late_and_each_slot_is_explained(
    tmp_path: Path, seed: int
) -> None:
    """The benchmark `fees_year` does so for a year."""

    async def days(world: World) -> None:
        await live(world, 1.5, Random(seed))
        rows = world.by_slot(HOUSE)
        assert rows[max(rows)].state == "taken"

    played(tmp_path, days)


def test_another_programs_lock_costs_no_slot_and_a_disk_that_refuses_is_told(
    tmp_path: Path,
) -> None:
    async def hours(world: World) -> None:
        await world.slots(3.5)
        # Waiting for a lock would take real time.
        world.buffer.database.connection.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(world.buffer.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await world.slots(0.7)
        other.execute("ROLLBACK")
        await world.slots(0.8)
        rows = world.by_slot(HOUSE)
        assert {row.state for n, row in rows.items() if n >= 2} == {"taken"}
        assert "locked" in world.agent.doings.problem

        other.execute("BEGIN IMMEDIATE")
        await world.slots(2)
        other.execute("ROLLBACK")
        other.close()
        await world.slots(3)
        assert "could not be kept" in world.by_slot(HOUSE)[7].reason
        assert world.by_slot(HOUSE)[10].state == "taken"

    played(tmp_path, hours)
