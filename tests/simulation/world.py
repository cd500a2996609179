"""Runs one scenario: a simulated home, its gateway's machine and the exchange, under virtual time.
Gives out what is left to be judged.

The gateway is the product's own, with an ordinary configuration folder; what is simulated is handed
to it at its three seams (lines, HTTP, time), and its SQLite file lies on a simulated disk.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from uuid import UUID

from drivers.line import LineUrl, SerialSettings
from gateway import MADE_S
from gateway.app import Gateway
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.operator.loading import load
from gateway.timing.clock import Clock
from tests.simulation.community import Community
from tests.simulation.disk import Disk
from tests.simulation.faults import APPLY
from tests.simulation.home import ASSETS, SimulatedHome, write_folder, write_site
from tests.simulation.machine import Machine, TrueTime
from tests.simulation.markets import Markets
from tests.simulation.network import Network
from tests.simulation.other_programs import OtherPrograms
from tests.simulation.process import Process
from tests.simulation.result import FaultLog, RunResult
from tests.simulation.scenario import FaultEvent, Scenario
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.wires import SimulatedLine, push_p1

P1_PERIOD_S = 10
RARELY_S = 300
"""Where meters are read as rarely as this, the P1 meter pushes …"""
RARE_P1_PERIOD_S = 60
"""… this rarely, since nobody listens to the others: what they cost is half of a long run."""
_HISTORY_S = 7200
"""The home has a past of so long before the scenario."""


class World:
    """One run of one scenario in an empty folder."""

    def __init__(self, scenario: Scenario, folder: Path, disk: Disk) -> None:
        loop = self.loop
        self.scenario = scenario
        self.folder = folder
        self.rng = Random(scenario.seed)
        """Every draw comes from here, in the order in which things happen."""
        self.time = TrueTime(loop, scenario.start_s)

        ids = Random(scenario.seed + 1)
        self.assets = {name: _uuid(ids) for name in ASSETS}
        self.exchange = StandInExchange(
            _uuid(ids),
            {uuid: name for name, uuid in self.assets.items()},
            slot_s=int(scenario.slot),
            now=self.time.s,
            max_history=None,
        )
        markets = Markets(self.exchange, Random(f"markets {scenario.seed}"))
        if scenario.grid_operator:
            markets.open()
        self.nodes = {node.name: node for node in self.exchange.community.assets()}
        """The assets there, by their names here."""
        self.fault_log = FaultLog(markets, known_there={u: name for name, u in self.assets.items()})

        origin_s = (scenario.start_s - _HISTORY_S) // 60 * 60
        self.home = SimulatedHome(scenario.seed, origin_s, self.time.ms, self.rng)
        write_folder(folder, scenario, self.assets, self.exchange)
        self.settings = load(folder)

        self.machine = Machine(
            loop, self.time, partial(_uuid, ids), scenario.trust, scenario.synchronised_after
        )
        community = None
        if scenario.fleet:
            community = Community(Random(f"fleet {scenario.seed}"), self.time.s)
        others = OtherPrograms(self.settings.buffer_path)
        self.process = Process(loop, disk, others, Network(self.exchange, community), self._gateway)

    @property
    def community(self) -> Community | None:
        """The fleet that the gateway belongs to, if it does."""
        return self.process.network.community

    @property
    def loop(self) -> VirtualLoop:
        """Whose time it is."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop

    async def run(self) -> RunResult:
        """To the scenario's end, and until the daemon has stopped."""
        async with asyncio.TaskGroup() as group:
            self.machine.boot(error_s=-3600.0)
            period_s = P1_PERIOD_S if self.scenario.interval < RARELY_S else RARE_P1_PERIOD_S
            # Also where only one telegram in six is sent, it comes while the gateway listens:
            # within the period of the profile.
            phase_s = self.rng.uniform(0, P1_PERIOD_S)
            pushing = group.create_task(
                push_p1(self.home.wire_of["grid"], self.home.meters["grid"], period_s, phase_s)
            )
            life = group.create_task(self.process.live())
            ticking = group.create_task(self._tick())
            collecting = group.create_task(self._collect())
            for event in self.scenario.happens:
                self.later(event.at, partial(self.apply_fault, event))

            await asyncio.sleep(self.scenario.lasts)
            await self.process.stop()
            self.process.others.end()
            for task in (pushing, life, ticking, collecting):
                task.cancel()
            await self.exchange.hang_up()
        return self._result()

    async def _tick(self) -> None:
        """The exchange's engine, where somebody hears it."""
        if self.scenario.verdicts or self.scenario.grid_operator:
            await self.exchange.tick()

    async def _collect(self) -> None:
        """The fleet's server, where there is one."""
        if self.community is not None:
            await self.community.run()

    def configure(self, scenario: Scenario) -> None:
        """Somebody edits gateway.yaml, so that it is as for that scenario. It counts from the next
        start on.
        """
        write_site(self.folder, scenario, self.assets, self.exchange.network)
        self.settings = load(self.folder)

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something then."""
        self.loop.call_later(delay_s, work)

    def apply_fault(self, event: FaultEvent) -> None:
        """Apply a fault now, and take it away again when its time is over."""
        undo = APPLY[event.fault](self, event)
        if undo is not None:
            self.later(event.lasts, undo)

    def start_another(self) -> None:
        """A second daemon begins, beside the first. Raises StoreError where it must not."""
        self._gateway(Network(self.exchange, self.community, severed=True))

    def _gateway(self, network: Network) -> Gateway:
        return Gateway(
            self.settings,
            Clock(self.scenario.trust, self.machine.sources(), made_s=MADE_S),
            open_a_line=self._open_line,
            transport=network,
            mqtt=network.connect_mqtt if network.community else None,
            rng=Random(self.rng.random()),
        )

    async def _open_line(self, url: LineUrl, defaults: SerialSettings) -> SimulatedLine:
        return await self.home.wires[url.key].open(url, defaults)

    def _result(self) -> RunResult:
        self.fault_log.acknowledged = self.process.acknowledged
        return RunResult(
            scenario=self.scenario,
            settings=self.settings,
            home=self.home.flows,
            meters=self.home.meters,
            exchange=self.exchange,
            boots=self.machine.boots,
            trusted_ms=self.machine.trusted_ms,
            end_ms=self.time.ms(),
            starts=self.process.starts,
            crashes=self.process.crashes,
            faults=self.fault_log,
            community=self.community,
        )


def _uuid(ids: Random) -> UUID:
    return UUID(int=ids.getrandbits(128), version=4)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _cache_directory(path: Path) -> Iterator[None]:
    """What systemd gives the daemon by that name, for as long as this lasts."""
    path.mkdir(exist_ok=True)
    before = os.environ.get("CACHE_DIRECTORY")
    os.environ["CACHE_DIRECTORY"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CACHE_DIRECTORY"]
        else:
            os.environ["CACHE_DIRECTORY"] = before


def run(scenario: Scenario, folder: Path, *, quiet: bool = True) -> RunResult:
    """Run a scenario in an empty folder. The same scenario gives the same run."""

    async def work(disk: Disk) -> RunResult:
        return await World(scenario, folder, disk).run()

    folder.mkdir(exist_ok=True)
    with (
        _cache_directory(folder / "cache"),
        Disk(folder) as disk,
        _quiet() if quiet else contextlib.nullcontext(),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        return runner.run(work(disk))
