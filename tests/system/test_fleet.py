"""The whole way of a community: meters, the daemon, a broker with access rules, a collector as a
process that is killed meanwhile, and PostgreSQL.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.postgres import Postgres, running

if TYPE_CHECKING:
    from gateway.cli.demo_home import Site
    from tests.system.conftest import RunningSite, StartSite

DATABASE = "community"
SITE = "demo-home"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as server:
        server.new_database(DATABASE)
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


def server_folder(folder: Path, broker: Broker, postgres: Postgres) -> Path:
    """The community's server, as its manager sets it up."""
    server = folder / "server"
    server.mkdir()
    (server / "fleet.yaml").write_text(
        f"broker: {{host: 127.0.0.1, port: {broker.port}, tls: false, "
        "credentials: broker.credentials}\n"
        f"database: {{host: {postgres.folder}, name: {DATABASE}, credentials: db.credentials}}\n"
    )
    for name, user in (("broker", "fleet"), ("db", "admin")):
        path = server / f"{name}.credentials"
        path.write_text(f"username: '{user}'\npassword: 'open sesame'\n")
        path.chmod(0o600)
    output = str(folder / "out")
    assert main(["--config", str(server), "fleet", "init", "--output", output]) == 0
    assert main(["--config", str(server), "fleet", "sites", "add", SITE, "--output", output]) == 0
    return server


@contextlib.asynccontextmanager
async def a_collector(server: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Killed in the end, with -9."""
    with (server / "collector.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--config", str(server), "fleet", "run",
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def in_database(postgres: Postgres) -> dict[tuple[Any, ...], int | None]:
    """Every number of assets and meters that is stored, through a connection of its own."""
    found = {}
    for query in (
        "SELECT a.uuid, extract(epoch FROM slot)::bigint, revision, energy_uwh "
        "FROM fleet.asset_slots JOIN fleet.assets a ON a.id = asset",
        "SELECT meter || CASE direction WHEN 'i' THEN '.import' ELSE '.export' END, "
        "extract(epoch FROM slot)::bigint, revision, energy_uwh "
        "FROM fleet.meter_slots JOIN fleet.series s ON s.id = series",
    ):
        rows = postgres.rows(query, dbname=DATABASE)
        found |= {row[:3]: row[3] for row in rows}
    return found


def in_buffer(site: "RunningSite") -> dict[tuple[Any, ...], int | None]:
    """What the gateway has closed, and has forgotten to owe to the fleet."""
    with site.buffer() as buffer:
        owed_s = {change.slot_s for change in buffer.tables.changes.newest(10_000)}
        assets = list(buffer.tables.asset_slots.between(0, 1 << 40))
        slots = list(buffer.slots())
    found: dict[tuple[Any, ...], int | None] = {
        (a.asset, a.start_s, a.revision): a.energy_uwh for a in assets if a.start_s not in owed_s
    }
    return found | {
        (f"{s.device}.{s.direction}", s.start_s, s.revision): s.energy_uwh
        for s in slots
        if s.start_s not in owed_s
    }


async def test_what_the_gateway_forgot_is_in_the_database_to_the_uwh(
    start_site: "StartSite", tmp_path: Path, broker: Broker, postgres: Postgres
) -> None:
    server = await asyncio.to_thread(server_folder, tmp_path, broker, postgres)
    await broker.start()

    def join(site: "Site") -> None:
        home = tmp_path / "out" / SITE
        text = (home / "gateway.yaml.fleet").read_text()
        gateway = site.folder / "gateway.yaml"
        gateway.write_text(f"{gateway.read_text()}\n{text}    spread: 1s\n")
        login = site.folder / "fleet.credentials"
        login.touch(0o600)
        login.write_text((home / "fleet.credentials").read_text())

    async with start_site(tmp_path / "site", prepare=join) as site:
        for slots in (2, 4, 6):
            async with a_collector(server):
                async with asyncio.timeout(120):
                    # What is stored is forgotten a moment later, once the gateway is told.
                    while (
                        len({key[1] for key in in_database(postgres)}) < slots
                        or len({key[1] for key in in_buffer(site)}) < slots - 2
                    ):
                        await asyncio.sleep(0.3)
        stored = in_database(postgres)
        forgotten = in_buffer(site)
    assert len({key[1] for key in forgotten}) >= 4
    newer = {key: stored.get(key, "not there") for key in forgotten}
    assert newer == forgotten
    assert postgres.rows("SELECT count(*) FROM fleet.clashes", dbname=DATABASE) == [(0,)]
    assert postgres.rows("SELECT count(*) FROM fleet.refused", dbname=DATABASE) == [(0,)]
