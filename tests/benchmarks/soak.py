"""Seven quiet days of the whole gateway under virtual time, drivers and all, in a process of its
own: what grows?
"""

import asyncio
import logging
import multiprocessing
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from drivers.strict_yaml import Seconds
from tests.benchmarks.figure import Figure, progress
from tests.simulation.disk import Disk
from tests.simulation.laws import judge
from tests.simulation.scenario import Scenario
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World

TITLE = "a virtual week of three meters at 10 s"
SLOW = "takes minutes"

DAYS = 7
HOUR_S, DAY_S = 3600, 86_400
DOCUMENTED = {"samples", "slots", "asset_slots", "outbox", "events"}
"""Tables that grow until their age or size limits them; docs/limits.md says how."""


def figures() -> Iterator[Figure]:
    """In a process of its own, whose memory is nobody else's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        grown_bytes, last_bytes, grown_tables, violations = pool.apply(_week)
    at_last = f"{last_bytes / 1e6:.1f} MB at last"
    yield Figure(
        f"memory after {DAYS} days, beside that after an hour",
        grown_bytes / 1e6,
        "MB",
        1,
        "low",
        at_last,
    )
    yield Figure(
        "tables that grow, beside the documented ones",
        len(grown_tables),
        "",
        0,
        "low",
        ", ".join(grown_tables),
    )
    yield Figure(
        "laws broken in that week", len(violations), "", 0, "low", "; ".join(violations)[:80]
    )


def _week() -> tuple[int, int, list[str], list[str]]:
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        # A simulated disk that is not put under SQLite: no fault reaches it, and what it would
        # remember is not the gateway's.
        return runner.run(_live(Path(folder), Disk(Path(folder))))


async def _live(folder: Path, disk: Disk) -> tuple[int, int, list[str], list[str]]:
    world = World(Scenario(about="a quiet week", lasts=Seconds(DAYS * DAY_S)), folder, disk)
    # What the simulated world itself keeps must be there before, or be taken off: only the gateway
    # is weighed.
    world.home.flows.energy_mj("pv", round(world.time.s() + DAYS * DAY_S) * 1000)
    weights: list[int] = []
    counts: list[dict[str, int]] = []

    async def weigh() -> None:
        begun_s = world.time.s()
        for at_s in (HOUR_S, *range(DAY_S, DAYS * DAY_S, DAY_S), DAYS * DAY_S - HOUR_S):
            await asyncio.sleep(begun_s + at_s - world.time.s())
            resident = int(Path("/proc/self/statm").read_text().split()[1])
            weights.append(resident * os.sysconf("SC_PAGE_SIZE") - _held_bytes(world))
            counts.append(_counts(world.settings.buffer_path))
            progress(f"soak: {weights[-1] / 1e6:.1f} MB")

    async with asyncio.TaskGroup() as group:
        group.create_task(weigh())
        result = await world.run()
    grown = [
        name for name in counts[0] if counts[-1][name] > counts[1][name] and name not in DOCUMENTED
    ]
    return weights[-1] - weights[0], weights[-1], grown, judge(result).violations


def _held_bytes(world: World) -> int:
    """What the simulated exchange remembers: it has more with every slot, and is not the
    gateway.
    """
    exchange = world.exchange
    kept = [
        *exchange.books.measurements.values(),
        *exchange.books.forecasts.values(),
        *exchange.books.held.values(),
        exchange.books.booked,
        world.process.acknowledged,
    ]
    numbers = sum(sys.getsizeof(table) + len(table) * (32 + 32) for table in kept)
    return (
        numbers
        + len(exchange.books.booked) * sys.getsizeof(("", None, 0))
        + len(exchange.books.history) * 300
        + len(exchange.journal) * 300
    )


def _counts(path: Path) -> dict[str, int]:
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        names = [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    finally:
        db.close()
