"""The demo of a fleet: homes with their gateways, a broker, a database and two collectors, all as
processes, and a stand-in exchange to which the fleet delivers for them.

One collector, the broker and the database are killed in turn. Afterwards every slot of every asset
is compared: what the exchange holds with what the database does, to the µWh, and both with what the
simulated homes truly used, within what the gateways say themselves that they may be off by.
"""

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drivers.profile import load_profile
from drivers.simulated.home import Household
from drivers.simulated.meters import (
    HEAT_PUMP_ADDRESS,
    PV_ADDRESS,
    ModbusTwin,
    heat_pump_values,
    modbus_tcp,
    pv_values,
)
from gateway.cli.as_service import PACKAGES
from gateway.cli.demo_home import Daemon, free_port
from gateway.cli.demo_servers import Server, mosquitto, postgres
from gateway.cli.terminal import Refused
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.counter import UWH_PER_WH
from gateway.timing.utc import utc_seconds

SLOT_S = 15
MANY = 6
"""From so many homes on, slots are twice as long: all processes share one machine."""
LEAST_FOR_S = 6
"""Slots that it runs at least, where nobody says for how long."""
START_EVERY_S = 1.0
READ_EVERY_S = 5
"""How often meters are read; it divides the slots."""
AWAY_S = 3.0
"""How long the broker and the database are away."""
GRACE_S = 120.0
"""How long after the end the last slots may take to be accepted."""
DAY_S = 480
"""Of a simulated home."""

ASSETS: Mapping[str, tuple[str, str, str, str]] = {
    "PV": ("pv", "pv.export", "pv", "export"),
    "Heat pump": ("heat_pump, delivered_as: load", "heat-pump.import", "heat_pump", "import"),
}
"""name: (what it is, its energy, the simulated meter, that meter's direction)."""


@dataclass(frozen=True, slots=True)
class SimulatedHome:
    """One home, where its meters can be reached, and what its assets are called."""

    site: str
    truth: Household
    pv_port: int
    heat_pump_port: int
    assets: Mapping[str, UUID]


@contextlib.asynccontextmanager
async def simulated_home(number: int) -> AsyncIterator[SimulatedHome]:
    """With a meter of its PV and one of its heat pump, on Modbus TCP: twenty such take little of
    one process' time.
    """
    start_s = math.floor(time.time())
    # Each home's day is another hour's, so that no two are alike.
    truth = Household(
        number, start_s - 3600, day_s=DAY_S,
        sun_offset_s=DAY_S * (30 + 2 * number % 30) // 100 - start_s,
    )  # fmt: skip
    pv = ModbusTwin(load_profile("eastron/sdm120"), lambda: pv_values(truth, time.time()))
    heat_pump = ModbusTwin(
        load_profile("eastron/sdm630"), lambda: heat_pump_values(truth, time.time())
    )
    async with (
        modbus_tcp({PV_ADDRESS: pv}) as pv_port,
        modbus_tcp({HEAT_PUMP_ADDRESS: heat_pump}) as heat_pump_port,
    ):
        assets = {name: uuid4() for name in ASSETS}
        yield SimulatedHome(f"home-{number}", truth, pv_port, heat_pump_port, assets)


async def run_fleet(homes: int, folder: Path | None, for_s: float | None, console: Console) -> int:
    """The whole demo. Returns 0 where the database, the exchange and the truth agree. Raises
    Refused.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="meter-gateway-fleet-"))
    slot_s = SLOT_S if homes < MANY else 2 * SLOT_S
    for_s = for_s or LEAST_FOR_S * slot_s + homes * START_EVERY_S
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Twenty homes' meters in one process may be late, and pymodbus prints all that had passed.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    database_folder = _database_folder()
    try:
        async with contextlib.AsyncExitStack() as stack:
            community = [
                await stack.enter_async_context(simulated_home(n)) for n in range(1, homes + 1)
            ]
            assets = {
                uuid: f"{h.site} {name}" for h in community for name, uuid in h.assets.items()
            }
            behaviour = Behaviour(lead_s=slot_s / 60)
            exchange = await stack.enter_async_context(
                StandInExchange(uuid4(), assets, slot_s=slot_s, behaviour=behaviour)
            )
            demo = Demo(folder, slot_s, community, exchange, console)
            await demo.set_up(database_folder / "postgres")
            stack.push_async_callback(demo.end_servers)
            return await demo.run(stop, for_s)
    finally:
        shutil.rmtree(database_folder, ignore_errors=True)


def _database_folder() -> Path:
    """A socket's path may have some 100 characters, and its user must be able to get there."""
    folder = Path(tempfile.mkdtemp(prefix="mg-demo-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


class Demo:
    """One run of it."""

    def __init__(
        self,
        folder: Path,
        slot_s: int,
        homes: list[SimulatedHome],
        exchange: StandInExchange,
        console: Console,
    ) -> None:
        self._folder = folder
        self._slot_s = slot_s
        self._homes = homes
        self._exchange = exchange
        self._console = console
        self._server = folder / "server"
        self._collectors = [
            Daemon(self._server, "fleet", "run", name=f"collector-{n}") for n in (1, 2)
        ]
        self._gateways = [Daemon(folder / home.site) for home in homes]
        self._servers: list[Server] = []
        """The broker and the database."""

    # --- before -----------------------------------------------------------------------------------

    async def set_up(self, database_folder: Path) -> None:
        """As a manager does it: broker and database are there, `fleet init`, `fleet sites add`.
        Raises Refused.
        """
        self._server.mkdir(parents=True, exist_ok=True)
        port = free_port()
        exchange = self._exchange
        (self._server / "fleet.yaml").write_text(
            f"broker: {{host: 127.0.0.1, port: {port}, tls: false, "
            "credentials: fleet-broker.credentials}\n"
            f"database: {{host: {database_folder}, name: postgres, "
            "credentials: fleet-database.credentials}\n"
            f"exchange:\n  url: {exchange.url}\n  canary_network: {exchange.network}\n"
            "  credentials: fleet-exchange.credentials\n  aggregator: community\n"
            f"  slot: {self._slot_s}s\n  timeout: 3s\n"
        )
        for name, user, password in (
            ("broker", "fleet", uuid4().hex),
            ("database", "postgres", "unused"),
            ("exchange", exchange.username, exchange.password),
        ):
            path = self._server / f"fleet-{name}.credentials"
            path.touch(mode=0o600)
            path.write_text(f"username: '{user}'\npassword: '{password}'\n")
        database = postgres(database_folder)
        self._servers.append(database)
        await database.start()
        output = self._folder / "broker"
        await self._manage("init", "--output", str(output))
        sites = [home.site for home in self._homes]
        await self._manage("sites", "add", *sites, "--output", str(output))
        broker = mosquitto(self._server, port, output)
        self._servers.append(broker)
        await broker.start()
        for home in self._homes:
            self._write_home(home, output / home.site)

    async def _manage(self, *words: str) -> None:
        command = ("-P", "-m", "gateway", "--config", str(self._server), "fleet", *words)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=as_process(),
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise Refused(f"meter-gateway fleet {' '.join(words)}: {said.decode().strip()}")

    def _write_home(self, home: SimulatedHome, from_manager: Path) -> None:
        """An ordinary configuration folder, with what the manager has handed over."""
        folder = self._folder / home.site
        (folder / "devices").mkdir(parents=True, exist_ok=True)
        shutil.copy(from_manager / "fleet.credentials", folder / "fleet.credentials")
        section = (from_manager / "gateway.yaml.fleet").read_text(encoding="utf-8")
        assets = [
            f"  - {{name: {name}, uuid: {home.assets[name]}, kind: {kind}, energy: {energy}}}"
            for name, (kind, energy, _, _) in ASSETS.items()
        ]
        lines = [
            f"site: {home.site}",
            f"market: {{slot: {self._slot_s}s, max_gap: 10min}}",
            "exchange:",
            "  dialect: sdk",
            "  deliver: fleet",
            f"  url: {self._exchange.url}",
            f"  canary_network: {self._exchange.network}",
            "assets:",
            *assets,
            section + "    spread: 2s",
            "buffer: {path: buffer.sqlite, flush: 5s}",
            f"status: {{port: {free_port()}}}",
            "clock: {trust: assured}   # a demo machine may lack NTP",
        ]
        (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
        for name, profile, port, address in (
            ("pv", "eastron/sdm120", home.pv_port, PV_ADDRESS),
            ("heat-pump", "eastron/sdm630", home.heat_pump_port, HEAT_PUMP_ADDRESS),
        ):
            (folder / "devices" / f"{name}.yaml").write_text(
                f"profile: {profile}\nline: tcp:127.0.0.1:{port}\naddress: {address}\n"
                f"interval: {READ_EVERY_S}s\n"
            )

    async def end_servers(self) -> None:
        """Broker and database are of no use any more."""
        for server in reversed(self._servers):
            await server.kill()

    # --- meanwhile --------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, for_s: float) -> int:
        """Returns the exit code."""
        self._say(f"{len(self._homes)} homes, slots of {self._slot_s} s, in {self._folder}")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run()) for each in self._collectors]
            for gateway in self._gateways:
                tasks.append(group.create_task(gateway.run()))
                await asyncio.sleep(START_EVERY_S)
            self._say(f"{len(tasks)} processes are started; it goes on for {for_s:.0f} s")
            started_s = time.time()
            killing = group.create_task(self._kill_in_turn(for_s))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    await stop.wait()
            end_s = int(time.time()) // self._slot_s * self._slot_s
            await asyncio.wait([killing], timeout=START_EVERY_S + 30)
            await self._settled(end_s)
            for task in (*tasks, killing):
                task.cancel()
        held = await asyncio.to_thread(self._in_database)
        return self._tell(held, started_s, end_s)

    async def _kill_in_turn(self, for_s: float) -> None:
        """One collector, the broker, the database."""
        database, broker = self._servers
        await asyncio.sleep(for_s / 5)
        process = self._collectors[0].process
        if process is not None and process.returncode is None:
            process.kill()
            self._say("[red]A collector is killed[/red]; it is started again a second later")
        for server in (broker, database):
            await asyncio.sleep(for_s / 5)
            await server.kill()
            self._say(f"[red]{server.name} is killed")
            await asyncio.sleep(AWAY_S)
            await server.start()
            self._say(f"[green]{server.name} is back")

    async def _settled(self, end_s: int) -> None:
        """Wait until the exchange has the last slot of every asset, and its verdict is in the
        database; or for as long as is bearable.
        """
        self._say(f"The last slot ended at {utc_seconds(end_s)}; what is on its way arrives")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                while not await asyncio.to_thread(self._is_complete, end_s):  # noqa: ASYNC110 — it tells nobody
                    await asyncio.sleep(1)

    def _is_complete(self, end_s: int) -> bool:
        held = self._in_database()
        assets = [uuid for home in self._homes for uuid in home.assets.values()]
        return all(_is_settled(held.get(uuid, {}), end_s - self._slot_s) for uuid in assets)

    def _in_database(self) -> "Held":
        """What the database has of each asset's measurements, by the start of the slot."""
        import psycopg

        database = self._servers[0].knock
        assert isinstance(database, Path)
        held: Held = {}
        with psycopg.connect(host=str(database.parent), user="postgres") as connection:
            for asset, slot_s, *stored in connection.execute(
                "SELECT m.asset, extract(epoch FROM m.slot)::bigint, m.energy_uwh, "
                "m.uncertainty_uwh, d.state FROM fleet.measurements m "
                "LEFT JOIN fleet.delivered d ON d.asset = m.asset AND d.slot = m.slot "
                "AND d.kind = 'measurement'"
            ):
                held.setdefault(asset, {})[slot_s] = Stored(*stored)
        return held

    # --- afterwards -------------------------------------------------------------------------------

    def _tell(self, held: "Held", started_s: float, end_s: int) -> int:
        """Print for each home what was true, stored and accepted; 0 where they agree."""
        table = Table(title="What homes did, and what became of it", title_justify="left")
        for column in (
            "home",
            "asset",
            "slots",
            "true Wh",
            "database Wh",
            "exchange Wh",
            "",
            "verdict",
        ):
            is_text = column in ("home", "asset", "verdict")
            table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
        wrong = 0
        late_s = started_s + 4 * self._slot_s
        for home in self._homes:
            for name, uuid in home.assets.items():
                booked = self._exchange.books.measurements[uuid]
                row = Line.of(home, name, held.get(uuid, {}), booked, self._slot_s, end_s, late_s)
                wrong += row.verdict != "agree"
                colour = "green" if row.verdict == "agree" else "red"
                table.add_row(home.site, name, *row.cells, Text(row.verdict, colour))
        self._console.print(table)
        books = self._exchange.books
        again = sum(n - 1 for (what, _, _), n in books.booked.items() if what == "measurement")
        started = sum(each.starts for each in self._collectors)
        self._console.print(
            f"Logins at the exchange: {self._exchange.logins}. Requests: "
            f"{self._exchange.requests[200]}. Numbers sent more than once (harmless): {again}. "
            f"Starts of collectors: {started}, of the broker: {self._servers[1].starts}, of the "
            f"database: {self._servers[0].starts}."
        )
        if not wrong:
            self._console.print("[green]Database, exchange and truth agree.")
            return 0
        self._console.print(
            f"[red]{wrong} assets do not agree.[/red] The logs are in {self._folder}"
        )
        return 1

    def _say(self, text: str) -> None:
        self._console.print(f"{utc_seconds(time.time())}  {text}", highlight=False)


class Stored(NamedTuple):
    """One slot of an asset, as the database has it."""

    energy_uwh: int | None
    uncertainty_uwh: int | None
    """By how much it may be off, by its gateway's own word."""
    state: str | None
    """What came of its delivery; None: the fleet does not deliver it."""


Held = dict[UUID, dict[int, Stored]]


def _is_settled(slots: Mapping[int, Stored], last_s: int) -> bool:
    """Whether the last slot is accepted, and nothing before it waits. Of slots from before the
    fleet took over there is no state.
    """
    states = {each.state for at_s, each in slots.items() if at_s <= last_s}
    last = slots.get(last_s)
    return last is not None and last.state == "accepted" and not states & {"owed", "sent"}


@dataclass(frozen=True, slots=True)
class Line:
    """One asset: what was true, what the database has, and what the exchange does."""

    slots: int
    true_wh: float
    stored_wh: float
    accepted_wh: float
    off_wh: float
    """By how much the sum may be off, by the gateway's own word."""
    verdict: str
    """In a few words; `agree` where all is well."""

    @classmethod
    def of(
        cls,
        home: SimulatedHome,
        name: str,
        held: Mapping[int, Stored],
        booked: Mapping[int, int],
        slot_s: int,
        end_s: int,
        late_s: float,
    ) -> "Line":
        """From the first slot that the exchange accepted to `end_s`."""
        accepted = {at_s: uwh for at_s, uwh in booked.items() if at_s < end_s}
        first_s = min(accepted, default=end_s)
        here = {at_s: each for at_s, each in held.items() if first_s <= at_s < end_s}
        stored = {at_s: s.energy_uwh for at_s, s in here.items() if s.energy_uwh is not None}
        _, _, meter, direction = ASSETS[name]
        true_wh = home.truth.energy_wh(meter, direction, first_s, end_s)
        stored_wh = sum(stored.values()) / UWH_PER_WH
        unlike = sum(stored.get(at_s) != uwh for at_s, uwh in accepted.items())
        missing = len(range(first_s, end_s, slot_s)) - len(accepted)
        states = {each.state for each in here.values()}
        # All boundaries between are the end of one slot and the begin of the next.
        edges = {first_s, end_s - slot_s} & here.keys()
        off_wh = sum(here[at_s].uncertainty_uwh or 0 for at_s in edges) / UWH_PER_WH
        if not accepted or first_s > late_s:
            verdict = "no slot in time"
        elif missing or stored.keys() != accepted.keys():
            verdict = f"{missing} missing in the exchange, {len(stored)} stored"
        elif unlike:
            verdict = f"{unlike} slots differ"
        elif states != {"accepted"}:
            verdict = f"states: {', '.join(sorted(map(str, states)))}"
        elif abs(stored_wh - true_wh) > off_wh:
            verdict = "DIFFERS from the truth"
        else:
            verdict = "agree"
        accepted_wh = sum(accepted.values()) / UWH_PER_WH
        return cls(len(accepted), true_wh, stored_wh, accepted_wh, off_wh, verdict)

    @property
    def cells(self) -> tuple[str, ...]:
        """For the table."""
        return (
            str(self.slots),
            f"{self.true_wh:.3f}",
            f"{self.stored_wh:.6f}",
            f"{self.accepted_wh:.6f}",
            f"±{self.off_wh:.1f}",
        )


def as_process() -> dict[str, str]:
    """The environment in which our own commands run."""
    return os.environ | {"PYTHONPATH": str(PACKAGES)}
