"""What several tests of this room need."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.demo_home import free_port
from gateway.fleet import migrating
from gateway.fleet.database import Connection, connect
from gateway.fleet.settings import FleetSettings, load
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.postgres import Postgres, running, write_config

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
async def settings(postgres: Postgres, tmp_path: Path) -> FleetSettings:
    """Of a new database, whose schema is made, and of a broker that is not there."""
    return await ready(postgres, tmp_path, free_port())


@pytest.fixture
async def connection(settings: FleetSettings) -> AsyncIterator[Connection]:
    connection = await connect(settings)
    yield connection
    await connection.close()


@pytest.fixture
async def broker(required_tool: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(required_tool("mosquitto"), tmp_path, free_port())
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def fleet(postgres: Postgres, broker: Broker, tmp_path: Path) -> FleetSettings:
    """Of a new database, whose schema is made, and of a broker that runs."""
    return await ready(postgres, tmp_path, broker.port)


async def ready(postgres: Postgres, folder: Path, port: int) -> FleetSettings:
    """The schema is made once; each test has a copy of that database."""
    number = next(_numbers)
    if number == 0:
        postgres.new_database("ready")
        write_config(folder, port, postgres, "ready")
        connection = await connect(load(folder))
        try:
            await migrating.migrate(connection)
            await migrating.make_roles(connection)
            await migrating.add_months(connection)
            await migrating.set_group(connection, "a-group")
        finally:
            await connection.close()
    name = f"community_{number}"
    postgres.new_database(name, template="ready")
    write_config(folder, port, postgres, name)
    return load(folder)
