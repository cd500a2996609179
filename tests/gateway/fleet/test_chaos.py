"""kill -9 of collectors, broker and PostgreSQL while homes deliver; then every µWh is compared
through a connection of its own. Real processes throughout, but for the homes.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.fleet.settings import FleetSettings
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import SLOT_S, Home, Truth, stored, until
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites

pytestmark = pytest.mark.xdist_group("postgres")

NOW_S = int(time.time()) // SLOT_S * SLOT_S


class Collectors:
    """`meter-gateway fleet run`, more than once, as processes of their own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.processes: list[asyncio.subprocess.Process | None] = [None] * number

    async def start(self, number: int) -> None:
        with (self.folder / f"collector-{number}.log").open("ab") as log:
            self.processes[number] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "--config", str(self.folder), "fleet", "run",
                stdout=log, stderr=log,
            )  # fmt: skip

    async def kill(self, number: int, how: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes[number]
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            await process.wait()
            self.processes[number] = None

    def log(self) -> str:
        return "".join(
            path.read_text(errors="replace")[-3000:] for path in self.folder.glob("collector-*.log")
        )


@contextlib.asynccontextmanager
async def two_collectors(folder: Path) -> AsyncIterator[Collectors]:
    collectors = Collectors(folder, 2)
    for number in range(2):
        await collectors.start(number)
    try:
        yield collectors
    finally:
        for number in range(2):
            await collectors.kill(number)


async def chaos(
    fleet: FleetSettings,
    broker: Broker,
    postgres: Postgres,
    *,
    homes: int,
    slots: int,
    kills: int,
    every_s: float,
    seed: int,
) -> dict[str, int]:
    """Homes close slots all the while; gives how often what was killed."""
    draw = random.Random(seed)
    all_homes = [Home(f"home-{n}", seed=seed) for n in range(homes)]
    database = add_sites(postgres, fleet, *(home.site for home in all_homes))
    killed = {"collector": 0, "broker": 0, "postgres": 0}
    async with two_collectors(fleet.folder) as collectors:
        tasks = [asyncio.create_task(home.deliver(broker.port, NOW_S)) for home in all_homes]

        async def close_slots() -> None:
            for n in range(slots):
                for home in all_homes:
                    home.close(NOW_S - (slots - n) * SLOT_S)
                await asyncio.sleep(kills * every_s / slots)

        closing = asyncio.create_task(close_slots())
        for _ in range(kills):
            await asyncio.sleep(every_s * (0.5 + draw.random()))
            what = draw.choice(["collector", "collector", "broker", "postgres"])
            killed[what] += 1
            match what:
                case "collector":
                    number = draw.randrange(2)
                    await collectors.kill(number)
                    await collectors.start(number)
                case "broker":
                    await broker.stop()
                    await asyncio.sleep(draw.random() / 2)
                    await broker.start()
                case _:
                    postgres.kill()
                    await asyncio.sleep(draw.random() / 2)
                    await asyncio.to_thread(postgres.start)
        await closing
        await until(
            lambda: not any(home.changes for home in all_homes),
            f"all is acknowledged; the collectors say\n{collectors.log()}",
            180,
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    truth: Truth = {}
    for home in all_homes:
        truth |= home.truth
    assert len(truth) == homes * slots * 2
    assert stored(postgres, database) == truth
    assert postgres.rows("SELECT count(*) FROM fleet.clashes", dbname=database) == [(0,)]
    assert not any(ack.refused for home in all_homes for ack in home.acks)
    return killed


async def test_nothing_is_lost_wrong_or_doubled_when_everything_is_killed(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    killed = await chaos(fleet, broker, postgres, homes=15, slots=30, kills=6, every_s=1.5, seed=0)
    assert min(killed.values()) >= 1, killed


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_wrong_or_doubled_in_a_hundred_kills(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, seed: int
) -> None:
    await chaos(fleet, broker, postgres, homes=60, slots=200, kills=100, every_s=2.0, seed=seed)


async def test_a_collector_ends_when_it_is_told_to(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    home = Home("home-1")
    add_sites(postgres, fleet, "home-1")
    home.close(NOW_S)
    async with two_collectors(fleet.folder) as collectors:
        task = asyncio.create_task(home.deliver(broker.port, NOW_S))
        await until(lambda: not home.changes, "all is acknowledged")
        task.cancel()
        for number, process in enumerate(list(collectors.processes)):
            assert process is not None
            os.kill(process.pid, signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0, collectors.log()
            collectors.processes[number] = None
    assert "rows stored" in collectors.log()
