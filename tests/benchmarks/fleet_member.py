"""What it costs a gateway to belong to a fleet: memory of the real daemon beside a real mosquitto,
and bytes written in a day of ten meters.
"""

import asyncio
import compileall
import shutil
from collections.abc import Iterator

import drivers
import gateway
from drivers.net.mqtt import Broker as Address
from drivers.net.mqtt import Message, MqttConnection
from gateway.cli.demo_home import free_port
from gateway.outbox.fleet.messages import Ack, decode_slots, encode, place_of, topic_of
from tests.benchmarks.daemon import SLOT_S, cost, delivering_site
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import daemon
from tests.benchmarks.writes import day_of
from tests.gateway.delivery.mosquitto import Broker

TITLE = "a gateway that belongs to a fleet: its memory, and what it writes more in a day"

MEMORY_MB = 43.5
STORED_SLOTS = 3
"""So many are stored before the memory is looked at."""
HALF_H = 12


def figures() -> Iterator[Figure]:
    """Takes some six minutes."""
    for package in (gateway, drivers):
        compileall.compile_dir(package.__path__[0], quiet=1)
    if shutil.which("mosquitto") is None:
        raise RuntimeError("mosquitto is not installed: sudo apt-get install mosquitto")
    for deliver in ("direct", "fleet"):
        rss_mb, slots = asyncio.run(_measure(deliver))
        yield Figure(
            f"memory (RSS) of a fleet's member, verdicts off, deliver: {deliver}",
            rss_mb,
            "MB",
            MEMORY_MB,
            "low",
            f"after {slots} slots were stored, and its status was told",
        )
    plain, member = (day_of(HALF_H, *more).written_bytes for more in ((), ("fleet",)))
    yield Figure(
        "written more in a day by a fleet's member",
        2 * (member - plain) / 1e6,
        "MB",
        1,
        "low",
        f"ten meters and assets; half a day without a fleet: {plain / 1e6:.1f} MB",
    )


async def _measure(deliver: str) -> tuple[float, int]:
    """The daemon's memory, and how many slots it has seen stored."""
    program = shutil.which("mosquitto")
    assert program is not None
    async with delivering_site(f", verdicts: off, deliver: {deliver}") as (folder, _, _):
        broker = Broker(program, folder.parent, free_port())
        await broker.start()
        file = folder / "gateway.yaml"
        file.write_text(
            f"{file.read_text()}destinations:\n  community: {{kind: fleet_mqtt, host: 127.0.0.1, "
            f"port: {broker.port}, tls: false, spread: 1s}}\n"
        )
        collector = _Collector()
        collecting = asyncio.create_task(collector.run(broker.port))
        try:
            with daemon(folder) as pid:
                progress(f"fleet_member: {STORED_SLOTS} slots of {SLOT_S} s, deliver: {deliver}")
                async with asyncio.timeout((STORED_SLOTS + 3) * SLOT_S):
                    while len(collector.slots) < STORED_SLOTS:
                        await asyncio.sleep(0.5)
                await asyncio.sleep(5)
                return cost(pid).rss_mb, len(collector.slots)
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            await broker.stop()


class _Collector:
    """It says of everything that it is stored."""

    def __init__(self) -> None:
        self.slots: set[int] = set()
        self._connection: MqttConnection | None = None

    async def run(self, port: int) -> None:
        self._connection = await MqttConnection.connect(
            Address("127.0.0.1", port, client_id="bench"),
            received=self._received,
            max_packet_bytes=1 << 20,
            many=True,
        )
        self._connection.subscribe("mg/v1/+/+", 1)
        while True:
            await self._connection.turn()

    def _received(self, message: Message) -> None:
        place = place_of("mg", message.topic)
        if place is None or place[1] not in ("slots", "backlog") or self._connection is None:
            return
        slots = decode_slots(message.payload, place[0])
        self.slots |= {row.slot_s for each in slots.items for row in each.rows}
        if slots.seq:
            ack = encode(Ack(slots.store, stored=slots.seq))
            self._connection.publish(Message(topic_of("mg", place[0], "ack"), ack))
