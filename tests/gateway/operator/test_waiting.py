"""While the agent waits for its meters' slot to close, it looks now and then, and does not spin."""

from dataclasses import dataclass, field
from pathlib import Path

from gateway.energy.assets import Formula
from gateway.operator.agent import LOOKS
from gateway.operator.fee import fee_of
from gateway.operator.model import NOTICE_SLOTS, Asked, Proposal
from tests.gateway.operator.street import Operator
from tests.gateway.operator.world import World


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
