"""A year of the grid operator's agent in virtual time, with something going wrong every few hours:
the exchange away, slow or silent; events doubled, late, out of order or lost; restarts; a wrong
clock; logins and aggregators forgotten; no trades.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.benchmarks.figure import Figure, progress
from tests.gateway.operator.random_faults import live
from tests.gateway.operator.street import Operator
from tests.gateway.operator.world import Counting, World

TITLE = "a year of the grid operator's agent, with faults"
SLOW = "takes ten minutes"

STRETCHES, DAYS = 73, 5
SCRATCH = "/dev/shm"


def figures() -> Iterator[Figure]:
    """Stretch by stretch, each with a seed of its own and a file of its own."""
    logging.disable(logging.CRITICAL)
    broken: list[str] = []
    states: Counter[str] = Counter()
    for seed in range(STRETCHES):
        progress(f"fees_year: day {seed * DAYS} of {STRETCHES * DAYS}")
        _stretch(seed, broken, states)
    logging.disable(logging.NOTSET)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    late = [text for text in broken if "arrived in" in text or "out of bounds" in text]
    beside = f"{STRETCHES * DAYS} days, three markets: {told}"
    yield Figure("fees outside bounds or for a begun slot", len(late), "", 0, "low", beside)
    others = len(broken) - len(late)
    yield Figure("slots neither taken nor explained, or charged otherwise", others, "", 0, "low")


def _stretch(seed: int, broken: list[str], states: Counter[str]) -> None:
    folder = SCRATCH if Path(SCRATCH).is_dir() else None
    operator = Operator(lambda _: Counting(needs_statistics=seed % 2 == 0))

    async def days(world: World) -> None:
        await live(world, DAYS, Random(seed))
        broken.extend(world.judge())
        states.update(row.state for row in world.rows() if row.state != "observed")

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        World(operator, Path(scratch)).run(days)
