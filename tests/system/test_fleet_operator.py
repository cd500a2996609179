"""The grid operator beside a community's server: `meter-gateway run` without meters, and `fleet
run`, at the same exchange.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from gateway.cli.demo_fleet import SimulatedHome, simulated_home
from gateway.cli.demo_home import Daemon, free_port
from gateway.cli.main import main
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.community import AREA, Community, Node
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.store.errors import StoreError
from gateway.store.grid_fee_rows import GridFee
from gateway.store.opening import open_for_reading
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.postgres import Postgres, running

SLOT_S = 10
NETWORK = UUID("8a2c0f3e-5d1b-4c77-9f64-0b1f7f5a2d10")
STREET = UUID("bbbbbbbb-0000-4000-8000-000000000002")
FEES = (1.5, 3.0)
"""By the clock: in each quarter of an hour the other one."""
PATIENCE_S = 12 * SLOT_S + 60


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as server:
        server.new_database("community")
        yield server


@pytest.fixture
async def broker(required_tool: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Broker]:
    output = tmp_path / "out"
    options = (
        f"allow_anonymous false\npassword_file {output}/mosquitto.passwd\n"
        f"acl_file {output}/mosquitto.acl"
    )
    broker = Broker(required_tool("mosquitto"), tmp_path, free_port(), options)
    yield broker
    await broker.stop()


def login(file: Path, username: str, password: str) -> None:
    file.touch(0o600)
    file.write_text(f"username: '{username}'\npassword: '{password}'\n")


@dataclass
class Place:
    """The folders, and what they deliver to."""

    folder: Path
    exchange: StandInExchange
    postgres: Postgres

    def write_server(self, broker: Broker) -> None:
        """As the community's manager does it, with one home."""
        server = self.folder / "server"
        server.mkdir()
        (server / "fleet.yaml").write_text(
            f"broker: {{host: 127.0.0.1, port: {broker.port}, tls: false, "
            "credentials: broker.credentials}\n"
            f"database: {{host: {self.postgres.folder}, name: community, "
            "credentials: db.credentials}\n"
            f"exchange:\n  url: {self.exchange.url}\n  canary_network: {NETWORK}\n"
            "  credentials: exchange.credentials\n  aggregator: community\n"
            f"  slot: {SLOT_S}s\n  timeout: 3s\n"
        )
        login(server / "broker.credentials", "fleet", "open sesame")
        login(server / "db.credentials", "admin", "unused")
        login(server / "exchange.credentials", self.exchange.username, self.exchange.password)
        words = ["--config", str(server), "fleet"]
        output = ["--output", str(self.folder / "out")]
        assert main([*words, "init", *output]) == 0
        assert main([*words, "sites", "add", "home-1", *output]) == 0

    def write_home(self, home: SimulatedHome) -> None:
        """Its numbers go to the exchange by way of the fleet."""
        folder = self.folder / "home-1"
        (folder / "devices").mkdir(parents=True)
        given = self.folder / "out" / "home-1"
        shutil.copy2(given / "fleet.credentials", folder)
        (folder / "gateway.yaml").write_text(
            f"site: home-1\nmarket: {{slot: {SLOT_S}s, max_gap: 10min}}\n"
            f"exchange:\n  dialect: sdk\n  deliver: fleet\n  url: {self.exchange.url}\n"
            f"  canary_network: {NETWORK}\n"
            f"assets:\n  - {{name: PV, uuid: {home.assets['PV']}, kind: pv, energy: pv.export}}\n"
            f"{(given / 'gateway.yaml.fleet').read_text()}    spread: 1s\n"
            "buffer: {path: buffer.sqlite, flush: 5s}\n"
            f"status: {{port: {free_port()}}}\nclock: {{trust: assured}}\n"
        )
        (folder / "devices" / "pv.yaml").write_text(
            f"profile: eastron/sdm120\nline: tcp:127.0.0.1:{home.pv_port}\naddress: 2\n"
            "interval: 5s\n"
        )

    def write_operator(self) -> None:
        """A folder with nothing but the grid operator."""
        folder = self.folder / "operator"
        folder.mkdir()
        login(folder / "grid-operator.credentials", self.exchange.username, self.exchange.password)
        rows = [
            f"{quarter // 4:02}:{quarter % 4 * 15:02};{FEES[quarter % 2]}" for quarter in range(96)
        ]
        (folder / "tou.csv").write_text("\n".join(["Time;Street", *rows]) + "\n")
        (folder / "gateway.yaml").write_text(
            f"site: dso\nmarket: {{slot: {SLOT_S}s}}\n"
            f"grid_operator:\n  url: {self.exchange.url}\n  canary_network: {NETWORK}\n"
            "  credentials: grid-operator.credentials\n  aggregator: dso\n"
            "  fee_type: constant\n  markets: [Street]\n"
            "  model: {kind: time_of_use, file: tou.csv}\n"
            "  lowest: 0\n  highest: 12\n  fallback: 2\n"
            "buffer: {path: buffer.sqlite, flush: 5s}\n"
            f"status: {{port: {free_port()}}}\nclock: {{trust: assured}}\n"
        )
        assert main(["--config", str(folder), "check"]) == 0

    def taken(self) -> dict[int, GridFee]:
        """The slots whose fee the exchange has taken, as the operator's buffer has it."""
        try:
            buffer = open_for_reading(self.folder / "operator" / "buffer.sqlite")
        except StoreError:  # the daemon has not made it yet
            return {}
        try:
            rows = buffer.tables.grid_fees.between(0, 1 << 40)
            return {row.slot_s: row for row in rows if row.state == "taken"}
        finally:
            buffer.close_file()

    def accepted(self) -> dict[int, int]:
        """The slots of the PV that the exchange has accepted, as the database has it."""
        return dict(
            self.postgres.rows(
                "SELECT extract(epoch FROM d.slot)::bigint, d.energy_uwh FROM fleet.delivered d "
                "WHERE d.kind = 'measurement' AND d.state = 'accepted'",
                dbname="community",
            )
        )

    def charged(self) -> dict[int, float]:
        """What the street's fee was in each slot, by the exchange."""
        rows = list(self.exchange.engine.fees.charged)
        return {slot_s: fees[STREET] for slot_s, fees in rows if STREET in fees}


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(what):
            await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def runs(daemon: Daemon) -> AsyncIterator[None]:
    task = asyncio.create_task(daemon.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_both_go_on_beside_each_other(
    tmp_path: Path, broker: Broker, postgres: Postgres
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        home = await stack.enter_async_context(simulated_home(1))
        pv = home.assets["PV"]
        street = Node(STREET, "Street", AREA, children=[Node(pv, "PV", "PV")], fee=7)
        grid = Node(UUID(int=1), "Grid", AREA, children=[street], fee=1)
        behaviour = Behaviour(lead_s=SLOT_S / 60, tick_s=SLOT_S / 60)
        exchange = await stack.enter_async_context(
            StandInExchange(NETWORK, Community(grid), slot_s=SLOT_S, behaviour=behaviour)
        )
        place = Place(tmp_path, exchange, postgres)
        await asyncio.to_thread(place.write_server, broker)
        await asyncio.to_thread(place.write_home, home)
        await asyncio.to_thread(place.write_operator)
        await broker.start()
        await stack.enter_async_context(runs(Daemon(tmp_path / "home-1")))
        await stack.enter_async_context(runs(Daemon(tmp_path / "operator")))
        async with runs(Daemon(tmp_path / "server", "fleet", "run")):
            await until(lambda: len(place.taken()) >= 2 and len(place.accepted()) >= 2)
        # Without a collector the fees are set all the same.
        before = len(place.taken())
        await until(lambda: len(place.taken()) >= before + 1)
        there = len(place.accepted())
        async with runs(Daemon(tmp_path / "server", "fleet", "run")):
            await until(lambda: len(place.accepted()) >= there + 1)
        taken, accepted, charged = place.taken(), place.accepted(), place.charged()

    for slot_s, row in taken.items():
        assert row.fee == round(FEES[slot_s % 86_400 // 900 % 2] * 1_000_000)
        if slot_s in charged:
            assert round(charged[slot_s] * 1_000_000) == row.fee
    assert {*taken} & {*charged}
    booked = exchange.books.measurements[pv]
    assert {slot_s: booked[slot_s] for slot_s in accepted} == accepted
    assert {exchange.community.aggregators[each] for each in exchange.community.controlled.values()
            } == {"community", "dso"}  # fmt: skip
    assert exchange.community.aggregators[exchange.community.controlled[STREET]] == "dso"
    assert exchange.community.aggregators[exchange.community.controlled[pv]] == "community"
