"""An exchange whose answers do not come, or that has none, as it knows none of the markets."""

from pathlib import Path
from uuid import UUID

from tests.gateway.operator.test_faults import asks
from tests.gateway.operator.world import SLOT_S, START_S, World


def test_a_network_that_is_made_anew_has_its_fees_again_in_the_second_slot(tmp_path: Path) -> None:
    """An exchange that knows none of the markets of a batch does not answer it at all."""

    async def hours(world: World) -> None:
        await world.slots(3.5)
        for node in world.community.nodes():
            node.uuid = UUID(int=node.uuid.int ^ 1)
        world.community.controlled.clear()
        await world.slots(4)
        rows = {(row.name, (row.slot_s - START_S) // SLOT_S): row for row in world.rows()}
        markets = {row.name for row in world.rows()}
        assert len(markets) == 3
        assert {rows[name, n].state for name in markets for n in (6, 7, 8)} == {"taken"}

    World(asks(), tmp_path).run(hours)


def test_where_answers_are_lost_the_registry_is_read_ever_more_rarely(tmp_path: Path) -> None:
    async def a_day(world: World) -> None:
        await world.slots(3)
        world.faults.late_s = lambda is_event: 0.0 if is_event else 1e9
        await world.slots(1)
        before = len(world.exchange.journal)
        await world.slots(32)
        told = [path for _, path, _ in list(world.exchange.journal)[before:] if "batch" not in path]
        assert 4 <= sum("list-aggregators" in path for path in told) <= 6

    World(asks(), tmp_path).run(a_day)
