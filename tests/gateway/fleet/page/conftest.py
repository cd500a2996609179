"""A community that is served by the real server, from a real PostgreSQL."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.fleet import migrating, users
from gateway.fleet.collector import Collector
from gateway.fleet.database import connect
from gateway.fleet.page.serving import FleetPage
from gateway.fleet.page.settings import PageSettings
from gateway.fleet.page.telling import Telling
from gateway.fleet.settings import FleetSettings, load
from tests.gateway.fleet.page.community import settle
from tests.gateway.fleet.postgres import Postgres, write_config

USER, PASSWORD = "anna", "open sesame 1"

_numbers = itertools.count()


@pytest.fixture
async def settings(postgres: Postgres, tmp_path: Path) -> FleetSettings:
    """Of the database with the community, and a user: made once, for all tests that only read."""
    if next(_numbers) == 0:
        postgres.new_database("settled")
        write_config(tmp_path, 1, postgres, "settled")
        connection = await connect(load(tmp_path))
        try:
            await migrating.migrate(connection)
            await migrating.make_roles(connection)
            await migrating.add_months(connection)
            await settle(connection)
            await users.put(connection, USER, PASSWORD)
        finally:
            await connection.close()
        postgres.new_database("copy", template="settled")
    write_config(tmp_path, 1, postgres, "settled")
    return load(tmp_path)


@pytest.fixture
async def own_settings(settings: FleetSettings, postgres: Postgres) -> FleetSettings:
    """Of a copy, for one test that changes it."""
    name = f"copy_{next(_numbers)}"
    postgres.new_database(name, template="copy")
    write_config(settings.folder, 1, postgres, name)
    return load(settings.folder)


@dataclass
class Visitor:
    """A browser that keeps its cookie and follows nothing."""

    client: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": "text/html"})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=self.headers | headers)

    async def log_in(self, name: str = USER, password: str = PASSWORD) -> httpx.Response:
        form = {"name": name, "password": password}
        return await self.client.post("/login", data=form, headers=self.headers)


@contextlib.asynccontextmanager
async def served(settings: FleetSettings, page: PageSettings | None = None) -> AsyncIterator[str]:
    """Where it is."""
    page = page or PageSettings(port=0, title="Sunny <Street>")
    serving = FleetPage(settings, page, Telling(Collector(settings)))
    task = asyncio.create_task(serving.run())
    try:
        async with asyncio.timeout(30):
            await serving.server.listening.wait()
        yield serving.server.url
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def url(settings: FleetSettings) -> AsyncIterator[str]:
    async with served(settings) as address:
        yield address


@pytest.fixture
async def visitor(url: str) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield Visitor(client)
