"""kill -9 of gateways, collectors, broker and PostgreSQL, and cut networks, while homes deliver;
then every µWh is compared through a connection of its own. Real processes throughout; beside a few
real gateways with their buffers there are many homes without.
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.fleet.settings import FleetSettings
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.a_gateway import truth_of
from tests.gateway.fleet.homes import SLOT_S, Home, Truth, stored, until
from tests.gateway.fleet.postgres import Postgres
from tests.gateway.fleet.test_collector import add_sites
from tests.gateway.fleet.wire_cutter import WireCutter

pytestmark = pytest.mark.xdist_group("postgres")

VICTIMS = ("gateway", "gateway", "collector", "collector", "broker", "postgres", "wire")
"""What is killed, and how often beside the others; a wire is cut."""

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


class Gateways:
    """Real ones, each with a buffer of its own, as processes."""

    def __init__(self, folder: Path, port: int, number: int, slots: int, every_s: float) -> None:
        self.folder = folder
        self.sites = [f"gateway-{n}" for n in range(number)]
        self.first_s = NOW_S - slots * SLOT_S
        self._port = port
        self._slots = slots
        self._every_s = every_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, site: str) -> None:
        with (self.folder / f"{site}.log").open("ab") as log:
            self._processes[site] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.gateway.fleet.a_gateway", str(self.folder / site),
                site, str(self._port), str(self.first_s), str(self._slots), str(self._every_s),
                stdout=log, stderr=log,
            )  # fmt: skip

    async def kill(self, site: str) -> None:
        process = self._processes.pop(site)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def log(self) -> str:
        return "".join(
            path.read_text(errors="replace")[-1500:] for path in self.folder.glob("gateway-*.log")
        )

    @property
    def truth(self) -> Truth:
        """What flowed in all of them."""
        found: Truth = {}
        for site in self.sites:
            found |= truth_of(site, self.first_s, self._slots)
        return found

    @property
    def owed(self) -> int:
        """What they have not forgotten, or not closed yet."""
        found = 0
        for site in self.sites:
            path = self.folder / site / "buffer.sqlite"
            try:
                with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                    [(changes,)] = db.execute("SELECT count(*) FROM changes")
                    [(slots,)] = db.execute("SELECT count(*) FROM asset_slots")
            except sqlite3.OperationalError:
                return self._slots  # it has just been killed, or begins
            found += changes + 2 * self._slots - slots
        return found


@contextlib.asynccontextmanager
async def real_gateways(
    folder: Path, port: int, number: int, slots: int, every_s: float
) -> AsyncIterator[Gateways]:
    gateways = Gateways(folder, port, number, slots, every_s)
    for site in gateways.sites:
        await gateways.start(site)
    try:
        yield gateways
    finally:
        for site in gateways.sites:
            await gateways.kill(site)


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


async def strike(
    what: str,
    draw: random.Random,
    collectors: Collectors,
    gateways: Gateways,
    broker: Broker,
    postgres: Postgres,
    wire: WireCutter,
) -> None:
    """Kill it, or cut it, and start it again."""
    match what:
        case "collector":
            number = draw.randrange(2)
            await collectors.kill(number)
            await collectors.start(number)
        case "gateway":
            site = draw.choice(gateways.sites)
            await gateways.kill(site)
            await gateways.start(site)
        case "wire":
            wire.cut()
            await asyncio.sleep(draw.random())
            wire.mend()
        case "broker":
            await broker.stop()
            await asyncio.sleep(draw.random() / 2)
            await broker.start()
        case _:
            postgres.kill()
            await asyncio.sleep(draw.random() / 2)
            await asyncio.to_thread(postgres.start)


async def chaos(
    fleet: FleetSettings,
    broker: Broker,
    postgres: Postgres,
    *,
    homes: int,
    gateways: int,
    slots: int,
    kills: int,
    every_s: float,
    seed: int,
) -> Counter[str]:
    """All close slots all the while; gives how often what was killed."""
    draw = random.Random(seed)
    all_homes = [Home(f"home-{n}", seed=seed) for n in range(homes)]
    database = add_sites(postgres, fleet, *(home.site for home in all_homes))
    killed: Counter[str] = Counter()
    wire = WireCutter(broker.port)
    port = await wire.open()
    pace_s = kills * every_s / slots
    async with (
        two_collectors(fleet.folder) as collectors,
        real_gateways(fleet.folder, port, gateways, slots, pace_s) as real,
    ):
        add_sites(postgres, fleet, *real.sites)
        tasks = [asyncio.create_task(home.deliver(port, NOW_S)) for home in all_homes]

        async def close_slots() -> None:
            for n in range(slots):
                for home in all_homes:
                    home.close(NOW_S - (slots - n) * SLOT_S)
                await asyncio.sleep(pace_s)

        closing = asyncio.create_task(close_slots())
        order = [what for _ in range(-(-kills // len(VICTIMS))) for what in VICTIMS][:kills]
        draw.shuffle(order)
        for what in order:
            await asyncio.sleep(every_s * (0.5 + draw.random()))
            killed[what] += 1
            await strike(what, draw, collectors, real, broker, postgres, wire)
        await closing
        await until(
            lambda: not any(home.changes for home in all_homes) and not real.owed,
            f"all is acknowledged; they say\n{collectors.log()}\n{real.log()}",
            180,
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wire.close()
    truth = real.truth
    for home in all_homes:
        truth |= home.truth
    assert len(truth) == (homes + gateways) * slots * 2
    assert stored(postgres, database) == truth
    assert postgres.rows("SELECT count(*) FROM fleet.clashes", dbname=database) == [(0,)]
    assert not any(ack.refused for home in all_homes for ack in home.acks)
    return killed


async def test_nothing_is_lost_wrong_or_doubled_when_everything_is_killed(
    fleet: FleetSettings, broker: Broker, postgres: Postgres
) -> None:
    killed = await chaos(
        fleet, broker, postgres, homes=12, gateways=2, slots=30, kills=7, every_s=1.5, seed=0
    )
    assert killed.keys() == {*VICTIMS}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_wrong_or_doubled_in_a_hundred_kills_of_five_hundred(
    fleet: FleetSettings, broker: Broker, postgres: Postgres, seed: int
) -> None:
    began_s = time.monotonic()
    killed = await chaos(
        fleet, broker, postgres, homes=60, gateways=4, slots=200, kills=100, every_s=2.0, seed=seed
    )
    print(f"seed {seed}: {dict(killed)}, 25,600 numbers, {time.monotonic() - began_s:.0f} s")


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
        await until(lambda: collectors.log().count("the broker is there") == 2, "both listen")
        for number, process in enumerate(list(collectors.processes)):
            assert process is not None
            os.kill(process.pid, signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0, collectors.log()
            collectors.processes[number] = None
    assert "rows stored" in collectors.log()
