"""Homes that deliver to a fleet as gateways do: what is not said to be stored goes again, whatever
the broker says. Their truth is known to the µWh.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from drivers.net.mqtt import Broker, Message, MqttConnection
from gateway.fleet.collector import Collector
from gateway.fleet.settings import FleetSettings
from gateway.outbox.fleet.messages import (
    Ack,
    AssetRow,
    AssetRows,
    MeterRow,
    MeterRows,
    Slots,
    decode_ack,
    encode,
    topic_of,
)
from tests.gateway.fleet.postgres import Postgres

SLOT_S = 900
TOPIC = "mg"

Truth = dict[tuple[str, int, int], int]
"""(asset, slot, revision) → µWh."""


def asset_of(site: str, number: int = 0) -> str:
    draw = random.Random(f"{site}/{number}")
    return str(UUID(int=draw.getrandbits(128), version=4))


@dataclass
class Home:
    """One site, with two assets and two meters. `changes` are what it owes: seq → slots."""

    site: str
    store: str = "store-1"
    seed: int = 0
    seq: int = 0
    changes: dict[int, int] = field(default_factory=dict)
    truth: Truth = field(default_factory=dict)
    acks: list[Ack] = field(default_factory=list)
    resend_s: float = 1.0
    length_s: int = SLOT_S
    by: str = "fleet"
    """Who delivers to the exchange, as it says: `direct` or `fleet`."""

    def close(self, slot_s: int, revision: int = 0) -> int:
        """A slot closes: it is owed from now on; gives its number."""
        self.seq += 1
        self.changes[self.seq] = slot_s
        for number in range(2):
            asset = asset_of(self.site, number)
            draw = random.Random(f"{self.seed}/{asset}/{slot_s}/{revision}")
            self.truth[asset, slot_s, revision] = draw.getrandbits(30)
        return self.seq

    def message(self, seqs: Iterable[int], now_s: int, **changes: Any) -> bytes:
        return encode(self.slots(seqs, now_s, **changes))

    def slots(self, seqs: Iterable[int], now_s: int, **changes: Any) -> Slots:
        seqs = sorted(seqs)
        slots_s = {self.changes[seq] for seq in seqs}
        of_assets = [
            AssetRows(
                asset, "measurement", self.length_s,
                [AssetRow(s, r, uwh, "measured", 7) for (a, s, r), uwh in self.truth.items()
                 if a == asset and s in slots_s],
            )
            for asset in (asset_of(self.site, 0), asset_of(self.site, 1))
        ]  # fmt: skip
        of_meters = [
            MeterRows(
                name, "import", "4711", self.length_s,
                [MeterRow(s, r, uwh, "measured", "counter", 1000, 90, 10_000, s, s + uwh,
                          "kernel", 9)
                 for (a, s, r), uwh in self.truth.items()
                 if a == asset_of(self.site, number) and s in slots_s],
            )
            for number, name in enumerate(("grid", "pv"))
        ]  # fmt: skip
        values: dict[str, Any] = {
            "v": 1, "site": self.site, "store": self.store, "seq": [(s, s) for s in seqs],
            "version": "0.1.0", "sent": now_s, "deliver": self.by, "items": of_assets,
            "meters": of_meters,
        }  # fmt: skip
        return Slots(**(values | changes))

    def take(self, ack: Ack) -> None:
        """What is decided is forgotten."""
        self.acks.append(ack)
        if ack.store != self.store:
            return
        for begin, end in [*ack.stored, *(each.seq for each in ack.refused)]:
            for seq in range(begin, end + 1):
                self.changes.pop(seq, None)

    async def deliver(self, port: int, now_s: int, most: int = 96) -> None:
        """Send what is owed until it is stored, for ever: the broker may come and go."""
        while True:
            with contextlib.suppress(OSError):
                await self._session(port, now_s, most)
            await asyncio.sleep(0.2 + 0.3 * random.random())

    async def tell(
        self, connection: MqttConnection, now_s: int, patience: int, site: str | None = None
    ) -> None:
        """Publish all that is owed once, on the topic of `site` (its own), and wait a while until
        it is stored.
        """
        topic = topic_of(TOPIC, site or self.site, "slots")
        connection.publish(Message(topic, self.message([*self.changes], now_s)))
        for _ in range(patience):
            if self.changes:
                await connection.turn(0.05)

    async def _session(self, port: int, now_s: int, most: int) -> None:
        connection = await connected(port, self.site, self.take)
        try:
            while True:
                owed = sorted(self.changes)
                if owed:
                    some = owed[:most]
                    channel = "slots" if len(some) < 4 else "backlog"
                    payload = self.message(some, now_s)
                    topic = topic_of(TOPIC, self.site, channel)  # type: ignore[arg-type]
                    connection.publish(Message(topic, payload))
                    until = asyncio.get_running_loop().time() + self.resend_s * (
                        0.5 + random.random()
                    )
                    while (
                        any(seq in self.changes for seq in some)
                        and (rest := until - asyncio.get_running_loop().time()) > 0
                    ):
                        await connection.turn(rest)
                else:
                    await connection.turn(0.05)
        finally:
            connection.abort()


async def connected(port: int, site: str, take: Any) -> MqttConnection:
    """As a gateway is connected, and listens to what it is told."""

    def received(message: Message) -> None:
        take(decode_ack(message.payload))

    connection = await MqttConnection.connect(
        Broker("127.0.0.1", port, client_id=f"home-{site}"), received=received, many=True
    )
    connection.subscribe(topic_of(TOPIC, site, "ack"), 1)
    return connection


@contextlib.asynccontextmanager
async def collecting(
    settings: FleetSettings, housekeeping_s: float = 10.0
) -> AsyncIterator[Collector]:
    """A collector in this process, which has reached the broker and the database."""
    collector = Collector(settings, housekeeping_s=housekeeping_s)
    task = asyncio.create_task(collector.run())
    try:
        async with asyncio.timeout(60):
            while not (collector.health.broker == collector.health.database == "connected"):
                await asyncio.sleep(0.02)
                if task.done():
                    await task
        yield collector
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Any, what: str, patience_s: float = 60.0) -> None:
    try:
        async with asyncio.timeout(patience_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def stored(postgres: Postgres, database: str) -> Truth:
    """What the database has, through a connection of its own; every row."""
    rows = postgres.rows(
        "SELECT a.uuid::text, extract(epoch FROM s.slot)::bigint, s.revision, s.energy_uwh "
        "FROM fleet.asset_slots s JOIN fleet.assets a ON a.id = s.asset",
        dbname=database,
    )
    found = {(asset, slot_s, revision): uwh for asset, slot_s, revision, uwh in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found
