"""A grid operator who changes the configuration while a slot runs, and restarts the agent; and
somebody else who sets fees beside.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.operator.money import charged_fee
from gateway.store.grid_fee_rows import GridFee
from tests.gateway.operator.street import HOUSE, STREET, Operator, fixed
from tests.gateway.operator.test_faults import OTHER, asks
from tests.gateway.operator.world import SLOT_S, START_S, Counting, World


async def _restarted(world: World, operator: Operator) -> None:
    """In the middle of a slot whose fee was sent and not answered; its event is told once more."""
    await world.slots(3)
    world.exchange.engine.is_mute = True
    await world.slots(0.05)
    world.operator = operator
    await world.restart()
    await world.slots(0.05)
    world.exchange.engine.is_mute = False
    event = {"event": "market", "market_slot": "2026-11-28T00:45", "grid_tree": {}}
    for aggregator in world.community.aggregators:
        world.exchange.engine.tell(aggregator, event)
    await world.slots(0.6)


def test_what_was_sent_before_a_dry_run_is_not_sent_again_in_it(tmp_path: Path) -> None:
    world = World(Operator(fixed(5)), tmp_path)

    async def an_hour(world: World) -> None:
        await _restarted(world, replace(world.operator, dry_run=True))
        in_slot = [each for each in world.arrived if each.slot_s == START_S + 3 * SLOT_S]
        assert len(in_slot) == 3
        await world.slots(1)
        assert world.by_slot(HOUSE)[4].state == "silent"
        assert world.by_slot(HOUSE)[5].state == "dry_run"
        assert len([each for each in world.arrived if each.slot_s > START_S + 2 * SLOT_S]) == 3

    world.run(an_hour)


def test_what_was_sent_before_the_bounds_were_narrowed_is_decided_anew(tmp_path: Path) -> None:
    world = World(Operator(fixed(5)), tmp_path)

    async def an_hour(world: World) -> None:
        await _restarted(world, replace(world.operator, highest=4.5))
        row = world.by_slot(HOUSE)[4]
        assert (row.fee, row.state) == (4_500_000, "taken")
        assert [each.data for each in world.arrived[-3:]] == [{"fee_const": 4.5}] * 3

    world.run(an_hour)


def test_a_restart_before_some_markets_were_decided_leaves_their_slot_explained(
    tmp_path: Path,
) -> None:
    def mixed(market: str) -> Counting:
        return Counting(needs_statistics=market != "Street")

    world = World(Operator(mixed), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(3)
        world.exchange.engine.is_mute = True
        await world.slots(0.001)  # the street's fee needs no statistics, and is sent at once
        await world.restart()
        world.exchange.engine.is_mute = False
        await world.slots(2)
        of_street, of_house = world.by_slot(STREET)[4], world.by_slot(HOUSE)[4]
        assert of_street.fee is not None
        assert (of_house.fee, of_house.state) == (None, "missed")
        assert of_house.reason == "this gateway did not run, or had not heard the exchange yet"
        assert world.by_slot(HOUSE)[5].state == "taken"

    world.run(hours)


def test_a_dry_run_takes_no_market_from_another_aggregator(tmp_path: Path) -> None:
    world = World(asks(take_over=True, dry_run=True), tmp_path)
    world.community.aggregators[OTHER] = "other"
    world.community.controlled[HOUSE] = OTHER

    async def hours(world: World) -> None:
        await world.slots(3)
        assert world.community.controlled[HOUSE] == OTHER
        problem = world.agent.connection.problems["House 1"]
        assert "'other' sets its fees, and a dry run takes no market over" in problem
        assert {row.name for row in world.rows("dry_run")} == {"Grid", "Street"}

    world.run(hours)


@pytest.mark.parametrize("number", [150.0, -5.0])
def test_what_somebody_else_set_beyond_any_fee_is_told_as_it_is(
    tmp_path: Path, number: float
) -> None:
    world = World(Operator(fixed(3, "percent"), fee_type="percent", step=1), tmp_path)

    async def hours(world: World) -> None:
        await world.slots(4.9)
        house = world.community.find(HOUSE)
        assert house is not None
        world.exchange.engine.fees.command(house, {"data": {"fee_percent": number}})
        await world.slots(2)
        row = world.by_slot(HOUSE)[5]
        assert (row.state, row.in_force) == ("taken", number * 1_000_000)
        assert row.reason == f"the exchange took it, and charges {number:g} % in this slot"
        assert charged_fee(row) == number
        assert world.by_slot(HOUSE)[6].fee == 3_000_000

    world.run(hours)


def test_a_simulation_begun_anew_has_taken_nothing_of_what_the_one_before_took(
    tmp_path: Path,
) -> None:
    world = World(Operator(fixed(5)), tmp_path)

    async def hours(world: World) -> None:
        rows = [
            GridFee(
                slot_s=START_S + n * SLOT_S,
                market=HOUSE,
                name="House 1",
                state="taken",
                fee_type="constant",
                fee=9_000_000,
            )
            for n in range(2, 7)
        ]
        world.buffer.tables.grid_fees.write(rows)
        await world.slots(9)
        assert {world.by_slot(HOUSE)[n].fee for n in (2, 3, 6, 7)} == {5_000_000}
        assert world.judge() == []

    world.run(hours)
