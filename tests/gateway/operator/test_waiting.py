"""While the agent waits for its meters' slot to close, it looks now and then, and does not spin.
Where the machine is suspended meanwhile, what it waited for is over.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from gateway.energy.assets import Formula
from gateway.operator.agent import LOOKS
from gateway.operator.fee import fee_of
from gateway.operator.model import NOTICE_SLOTS, Asked, Proposal
from tests.gateway.operator.street import GRID, Operator
from tests.gateway.operator.world import SLOT_S, START_S, Counting, World


@dataclass(frozen=True)
class ByLoad:
    """A fee that wants to know what the meters counted."""

    load: Formula = field(default_factory=lambda: Formula.parse("grid.import"))
    needs_statistics: bool = False
    needs_load: bool = True
    kind: str = "by_load"

    def propose(self, asked: Asked) -> Proposal:
        return Proposal(fee=fee_of(1.0, "constant"), why=f"counted for {asked.slot_s}")


def test_it_looks_no_more_often_than_it_says(tmp_path: Path) -> None:
    looks = 0

    def load_of(_load: Formula, _start_s: int) -> None:
        nonlocal looks
        looks += 1

    async def three_slots(world: World) -> None:
        await world.slots(1)
        before = looks
        await world.slots(2)
        markets = len(world.agent.snapshot().markets)
        assert markets == 3
        assert 0 < looks - before <= 2 * LOOKS * markets * NOTICE_SLOTS

    World(Operator(lambda _: ByLoad(), load_of=load_of), tmp_path).run(three_slots)


def test_a_fee_that_was_due_before_the_machine_slept_is_not_sent_when_it_wakes(
    tmp_path: Path,
) -> None:
    async def a_night(world: World) -> None:
        await world.slots(3)
        while world.exchange.now() % SLOT_S < 100:
            await asyncio.sleep(10)
        assert not world.rows("sent"), "it waits for the meters' slot"
        asleep_at_s, arrived = world.slot_s, len(world.arrived)
        world.faults.slept_s = 4.0 * SLOT_S
        await world.slots(0.9)
        assert world.arrived[arrived:], "the slot in which it wakes is told of, too"
        await world.slots(3)
        assert world.judge() == []
        kept = world.by_slot(GRID)
        woken = (asleep_at_s - START_S) // SLOT_S + 4
        assert kept[woken - 3].state in ("missed", "too_late")
        assert {kept[n].state for n in range(woken + 1, woken + 4)} == {"taken"}

    World(Operator(lambda _: Counting(needs_load=True)), tmp_path).run(a_night)
