"""A gateway's slots to a fleet's collector, by way of a real mosquitto: it forgets what is stored,
and nothing else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateway.delivery.fleet_delivery import FleetDelivery
from gateway.delivery.kinds import fleet_mqtt
from gateway.delivery.opening import Opening
from gateway.energy.slot import AssetSlot
from gateway.outbox.fleet.messages import Ack, Refused, Slots, Span, decode_slots, encode, topic_of
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.store.rig import SMALL, closing, slot

ASSET = UUID(int=7)
SITE = "home-12"
SLOT = 900
NOW_S = 1_750_000_500 // SLOT * SLOT + 40.0


class Collector:
    """It hears slots, and says what a test lets it say."""

    def __init__(self, port: int) -> None:
        self.heard: list[Slots] = []
        self.says = True
        self.has: dict[tuple[str, int], int | None] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("mg/v1/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.rsplit("/", 1)[1] not in ("slots", "backlog"):
            return
        slots = decode_slots(message.payload, SITE)
        self.heard.append(slots)
        if not self.says:
            return
        for item in slots.items:
            self.has |= {(item.asset, row.slot_s): row.energy_uwh for row in item.rows}
        if slots.seq:
            self.say(Ack(slots.store, stored=slots.seq))

    def say(self, ack: Ack) -> None:
        self._client.publish(topic_of("mg", SITE, "ack"), encode(ack), qos=1)

    def close(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()


def asset_slot(start_s: int, energy_uwh: int, revision: int = 0) -> AssetSlot:
    return AssetSlot(ASSET, start_s, SLOT, energy_uwh, 5, "measured", revision)


def close(buffer: Buffer, *starts: int, revision: int = 0) -> None:
    from msgspec.structs import replace

    for start_s in starts:
        one = closing(replace(slot(start_s), revision=revision))
        buffer.close(replace(one, asset_slots=(asset_slot(start_s, start_s + revision, revision),)))
    buffer.flush()


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    buffer = open_buffer(tmp_path / "buffer.sqlite", SMALL, now_s=NOW_S)
    yield buffer
    buffer.abandon()


def a_delivery(
    buffer: Buffer, port: int, folder: Path, destinations: Mapping[str, Any] | None = None
) -> FleetDelivery:
    """`destinations`: of the site, beside the fleet."""
    site = SimpleNamespace(
        site=SITE,
        folder=folder,
        buffer_path=buffer.path,
        market=SimpleNamespace(slot=SLOT),
        assets=(),
        devices=(),
        destinations={} if destinations is None else destinations,
    )
    settings = fleet_mqtt.Settings(host="127.0.0.1", port=port, tls=False)
    opening = Opening(
        name="fleet",
        site=cast(Any, site),
        buffer=buffer,
        now=lambda: NOW_S,
        trusted=lambda: True,
        jitter=lambda: 0.0,
    )
    return fleet_mqtt.open(settings, opening)


@contextlib.asynccontextmanager
async def running(delivery: FleetDelivery) -> AsyncIterator[None]:
    task = asyncio.create_task(delivery.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: object) -> None:
    assert callable(what)
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.01)


def owed(buffer: Buffer) -> int:
    return buffer.tables.changes.count()[0]


async def test_a_home_that_joins_brings_its_history_and_forgets_what_is_stored(
    broker: Broker, buffer: Buffer, tmp_path: Path
) -> None:
    await broker.start()
    starts = [int(NOW_S) // SLOT * SLOT - (n + 1) * SLOT for n in range(300)]
    close(buffer, *starts)
    assert owed(buffer) == 0, "without a fleet nothing is kept for one"
    collector = Collector(broker.port)
    try:
        async with running(a_delivery(buffer, broker.port, tmp_path)):
            await until(lambda: len(collector.has) == 300 and owed(buffer) == 0)
            assert collector.has == {(str(ASSET), s): s for s in starts}
            rows = [row.slot_s for m in collector.heard for each in m.meters for row in each.rows]
            assert sorted(rows) == sorted(starts), "each once"
            close(buffer, starts[5], revision=1)
            assert owed(buffer) == 1
            await until(lambda: owed(buffer) == 0)
            assert collector.has[str(ASSET), starts[5]] == starts[5] + 1
    finally:
        collector.close()


async def test_what_a_collector_does_not_confirm_is_sent_again(
    broker: Broker, buffer: Buffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.fleet.shipping.RESEND_S", (0.4, 1.0))
    await broker.start()
    start_s = int(NOW_S) // SLOT * SLOT - SLOT
    collector = Collector(broker.port)
    collector.says = False
    try:
        delivery = a_delivery(buffer, broker.port, tmp_path)
        async with running(delivery):
            await until(lambda: delivery.snapshot(NOW_S).state == "connected")
            close(buffer, start_s)
            delivery.wake()
            await until(lambda: sum(bool(m.seq) for m in collector.heard) >= 3)
            assert owed(buffer) == 1
            collector.says = True
            await until(lambda: owed(buffer) == 0)
            assert delivery.snapshot(NOW_S).state == "ok"
    finally:
        collector.close()


async def test_words_about_another_file_change_nothing_and_refusals_are_noted(
    broker: Broker, buffer: Buffer, tmp_path: Path
) -> None:
    await broker.start()
    boundary_s = int(NOW_S) // SLOT * SLOT
    collector = Collector(broker.port)
    collector.says = False
    try:
        delivery = a_delivery(buffer, broker.port, tmp_path)
        async with running(delivery):
            await until(lambda: delivery.snapshot(NOW_S).state == "connected")
            close(buffer, boundary_s - SLOT, boundary_s - 2 * SLOT)
            delivery.wake()
            await until(lambda: any(m.seq for m in collector.heard))
            spans: list[Span] = [(0, 10_000)]
            collector.say(Ack("another store", stored=spans))
            store = next(m.store for m in collector.heard)
            newest = buffer.tables.changes.newest(1)[0].seq
            collector.say(Ack(store, refused=[Refused((newest, newest), "asset of another site")]))
            await until(lambda: owed(buffer) == 1)
            assert delivery.snapshot(NOW_S).rejected == 1
            collector.say(Ack(store, ask=[(boundary_s - 2 * SLOT, boundary_s)]))
            await until(lambda: owed(buffer) == 3)
        buffer.flush()
        assert "asset of another site" in " ".join(buffer.latest_events())
    finally:
        collector.close()


async def test_a_broker_that_is_away_is_waited_for(
    broker: Broker, buffer: Buffer, tmp_path: Path
) -> None:
    close(buffer, int(NOW_S) // SLOT * SLOT - SLOT)
    delivery = a_delivery(buffer, broker.port, tmp_path)
    async with running(delivery):
        await until(lambda: delivery.snapshot(NOW_S).state == "retrying")
        await broker.start()
        collector = Collector(broker.port)
        try:
            await until(lambda: len(collector.has) == 1 and owed(buffer) == 0)
        finally:
            collector.close()
