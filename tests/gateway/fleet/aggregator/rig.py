"""A fleet's database with homes that leave their deliveries to the fleet, and the stand-in exchange
to which aggregators deliver.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.fleet.aggregator.aggregator import Aggregator
from gateway.fleet.database import Connection
from gateway.fleet.inbox import Delivered
from gateway.fleet.settings import FleetSettings, load
from gateway.fleet.writing import Taken, Writer
from gateway.outbox.fleet.messages import Ack, AssetRow, AssetRows, Slots, encode
from tests.gateway.fleet.postgres import Postgres

SLOT_S = 900
NOW_S = int(time.time()) // SLOT_S * SLOT_S
LAST_S = NOW_S - SLOT_S
"""The newest slot that has closed; the running one lasts for the whole test, or changes nothing."""

Key = tuple[UUID, int]
Values = dict[Key, int]
"""(asset, slot) → µWh."""


def uuid_of(number: int) -> UUID:
    return UUID(int=random.Random(number).getrandbits(128), version=4)


def exchange_for(assets: Mapping[UUID, str], **behaviour: Any) -> StandInExchange:
    usual: dict[str, Any] = {"tick_s": 0.3}
    return StandInExchange(
        uuid4(), assets, slot_s=SLOT_S, max_history=None, behaviour=Behaviour(**(usual | behaviour))
    )


def with_exchange(
    settings: FleetSettings, exchange: StandInExchange, tick: str = "15s"
) -> FleetSettings:
    """The same with `exchange:` in fleet.yaml; a verdict that is not there after two ticks does not
    come, and a busy machine must not look like that.
    """
    folder = settings.folder
    login = folder / "fleet-exchange.credentials"
    login.write_text(f"username: '{exchange.username}'\npassword: '{exchange.password}'\n")
    login.chmod(0o600)
    path = folder / "fleet.yaml"
    path.write_text(
        f"{path.read_text()}exchange:\n  url: {exchange.url}\n"
        f"  canary_network: {exchange.network}\n  credentials: {login.name}\n"
        f"  aggregator: community\n  timeout: 2s\n  tick: {tick}\n"
    )
    return load(folder)


@dataclass
class Homes:
    """Homes of one asset each, whose messages go into the database as a collector writes them. The
    truth is the newest revision of each number.
    """

    connection: Connection
    number: int
    truth: Values = field(default_factory=dict)
    newest: dict[Key, int] = field(default_factory=dict)
    writer: Writer = field(default_factory=Writer)

    @property
    def assets(self) -> dict[UUID, str]:
        return {uuid_of(n): f"asset {n}" for n in range(self.number)}

    async def join(self) -> None:
        for n in range(self.number):
            await self.connection.execute(
                "INSERT INTO fleet.sites (name) VALUES (%s)", (f"home-{n}",)
            )
        await self.writer.directory.refresh(self.connection)

    def message(
        self, n: int, values: Mapping[int, tuple[int, int | None]], **changes: Any
    ) -> Taken:
        """Of one home: slot → (revision, energy)."""
        rows = [AssetRow(s, r, uwh, "measured", 7) for s, (r, uwh) in values.items()]
        kind = changes.pop("kind", "measurement")
        usual: dict[str, Any] = {
            "v": 1, "site": f"home-{n}", "store": f"store-{n}", "seq": [(1, 1)],
            "version": "0.1.0", "sent": NOW_S, "deliver": "fleet",
            "items": [AssetRows(str(uuid_of(n)), kind, SLOT_S, rows)],
        }  # fmt: skip
        found = self.writer.read(
            Delivered(f"home-{n}", encode(Slots(**(usual | changes))), time.time())
        )
        assert isinstance(found, Taken), found
        return found

    async def write(self, *messages: Taken) -> None:
        replies = await self.writer.write(self.connection, messages)
        assert not any(each.ack.refused for each in replies), replies
        for each in messages:
            for item in each.message.items:
                for row in item.rows:
                    key = UUID(item.asset), row.slot_s
                    if item.kind == "measurement" and row.revision >= self.newest.get(key, 0):
                        self.newest[key] = row.revision
                        if row.energy_uwh is not None:
                            self.truth[key] = row.energy_uwh

    async def close(
        self, slot_s: int, revision: int = 0, homes: Iterable[int] | None = None
    ) -> None:
        """A slot of these homes (default: all) is written, with some value."""
        some = range(self.number) if homes is None else homes
        await self.write(
            *(self.message(n, {slot_s: (revision, random.getrandbits(30))}) for n in some)
        )


@contextlib.asynccontextmanager
async def delivering(
    settings: FleetSettings, *names: str, told: list[tuple[str, Ack]] | None = None
) -> AsyncIterator[list[Aggregator]]:
    """Aggregators in this process, as `fleet run` has them."""
    assert settings.file.exchange is not None

    def tell(site: str, ack: Ack) -> bool:
        if told is not None:
            told.append((site, ack))
        return told is not None

    found = [
        Aggregator(settings, settings.file.exchange, name, tell, jitter=lambda: 0.1)
        for name in names or ("one",)
    ]
    tasks = [asyncio.create_task(each.run()) for each in found]
    try:
        yield found
        for task in tasks:
            if task.done():
                await task
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


def states(postgres: Postgres, settings: FleetSettings) -> dict[str, int]:
    """How many deliveries are in each state."""
    rows = postgres.rows(
        "SELECT state::text, count(*) FROM fleet.deliveries GROUP BY state",
        dbname=settings.file.database.name,
    )
    return dict(rows)


async def until_all(
    postgres: Postgres, settings: FleetSettings, wanted: dict[str, int], patience_s: float = 45.0
) -> None:
    try:
        async with asyncio.timeout(patience_s):
            while (found := states(postgres, settings)) != wanted:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{found}, not {wanted}") from None


def booked(exchange: StandInExchange) -> Values:
    """What the exchange holds."""
    return {
        (asset, slot_s): uwh
        for asset, slots in exchange.books.measurements.items()
        for slot_s, uwh in slots.items()
    }
