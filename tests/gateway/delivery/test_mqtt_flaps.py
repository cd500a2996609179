"""A broker that does not like something of ours, or likes somebody else better: what else there is
arrives, and the log says what is wrong, once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.delivery.mqtt_publisher import MqttPublisher
from gateway.monitoring.report import Report
from tests.gateway.delivery.mosquitto import (
    Broker,
    Listener,
    a_publisher,
    a_sample,
    certificates,
    running,
    settings,
    state,
)
from tests.serving import serving

ONLINE, GRID = "meter-gateway/home-12/status/online", "meter-gateway/home-12/sample/grid"
CONNACK = b"\x20\x02\x00\x00"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def too_long(publisher: MqttPublisher, report: Report) -> None:
    """A status of more than 4 KB, and a sample of half of one."""
    assert len(report.to_json()) > 2000
    publisher.status(report)
    publisher.sample(a_sample())


async def until(publisher: MqttPublisher, condition: Callable[[MqttPublisher], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition(publisher):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("option", ["message_size_limit 1000", "max_packet_size 1000"])
async def test_what_is_too_long_is_named_and_the_rest_arrives(
    broker: Broker, healthy_report: Report, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    broker.options += f"\n{option}"
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    listener = await Listener.open(broker.port)
    async with running(publisher):
        too_long(publisher, healthy_report)
        await listener.until(GRID)
        await until(publisher, lambda p: p.snapshot().state == "incomplete")
        publisher.status(healthy_report)
        publisher.sample(a_sample("pv"))
        await listener.until(GRID.replace("grid", "pv"))

        part = publisher.snapshot()
        assert "status is left out, for the broker does not take it" in part.last_error
        assert part.healthy(1_750_000_000.0, 0)
        assert publisher.dropped == 0
    assert len(warnings(caplog)) == 1, warnings(caplog)
    assert "max_packet_size" in warnings(caplog)[0]
    listener.close()


async def test_what_may_not_be_written_is_named_and_is_no_success(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    rules = broker.folder / "acl"
    rules.write_text(f"topic write {ONLINE}\n")
    rules.chmod(0o644)
    broker.options += f"\nacl_file {rules}"
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    async with running(publisher):
        publisher.sample(a_sample())
        await until(publisher, lambda p: p.snapshot().errors > 0)
        part = publisher.snapshot()
        assert "sample/grid is left out" in part.last_error
        assert "Not authorized" in part.last_error
        assert part.last_success_s is None, "that we are online is no news"
    assert len(warnings(caplog)) == 1


async def test_a_second_client_of_our_name_is_told_of(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.start()
    one, other = a_publisher(settings(broker.port)), a_publisher(settings(broker.port))
    async with running(one):
        await state(one, "connected")
        async with running(other):
            await until(one, lambda p: "again and again" in p.snapshot().last_error)
            assert "connect with the client id meter-gateway-home-12?" in one.snapshot().last_error
    assert len(warnings(caplog)) <= 4, "two lines of each of the two"


async def test_a_broker_that_says_so_is_believed_at_once() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8e\x00")

    async with serving(serve) as port:
        publisher = a_publisher(settings(port))
        async with running(publisher):
            await until(publisher, lambda p: "Session taken over" in p.snapshot().last_error)
            assert "the client id meter-gateway-home-12?" in publisher.snapshot().last_error


async def test_what_is_explained_is_not_blamed_on_a_second_client() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\x40\x02\x00\x77" * 100)

    async with serving(serve) as port:
        publisher = a_publisher(settings(port))
        async with running(publisher):
            await until(publisher, lambda p: p.snapshot().errors >= 3)
            assert "never asked for (PUBACK)" in publisher.snapshot().last_error
            assert "again and again" not in publisher.snapshot().last_error


@asynccontextmanager
async def old_broker(
    limit: int, *, kicks: bool = False, deaf: int = 0
) -> AsyncIterator[tuple[int, list[bytes], list[bytes]]]:
    """One that knows MQTT 3.1.1 only, closes the connection where a packet is longer than `limit`,
    and, if it `kicks`, does so after a moment in any case. On its first `deaf` connections it
    acknowledges `online` and nothing else. Gives its port, the CONNECTs and the packets that it
    took.
    """
    connects: list[bytes] = []
    taken: list[bytes] = []

    async def packet(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(1)
        size, shift = 0, 0
        while True:
            (byte,) = await reader.readexactly(1)
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return head + await reader.readexactly(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connects.append(await packet(reader))
        if connects[-1][7] == 4:
            writer.write(CONNACK)
            while len(data := await packet(reader)) <= limit:
                taken.append(data)
                is_heard = len(connects) - 1 > deaf or b"/online" in data  # one was MQTT 5
                if data[0] >> 4 == 3 and is_heard:
                    at = 3 + int.from_bytes(data[1:3], "big")
                    writer.write(b"\x40\x02" + data[at : at + 2])
                if kicks and len(taken) % 2 == 0:
                    break

    async with serving(serve) as port:
        yield port, connects, taken


async def test_what_twice_ends_a_connection_is_left_out_by_name(
    healthy_report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    async with old_broker(1000) as (port, connects, taken):
        publisher = a_publisher(settings(port))
        async with running(publisher):
            too_long(publisher, healthy_report)
            await until(publisher, lambda _: any(b"sample/grid" in data for data in taken))
            publisher.status(healthy_report)
            publisher.sample(a_sample("pv"))
            await until(publisher, lambda _: any(b"sample/pv" in data for data in taken))
            assert publisher.snapshot().state == "incomplete"
            assert publisher.snapshot().last_success_s is not None
    assert [c[7] for c in connects] == [5, 4, 4, 4, 4][: len(connects)], "MQTT 5 is tried once"
    assert len(connects) <= 5
    assert sum("status is left out" in line for line in warnings(caplog)) == 1
    assert len(warnings(caplog)) == 2, "that the connection was lost, and why"
    assert publisher.dropped == 0


async def test_a_broker_that_hangs_up_again_and_again_is_left_in_peace_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with old_broker(10_000, kicks=True) as (port, connects, _):
        publisher = a_publisher(settings(port))
        async with running(publisher):
            for minute in range(30):
                publisher.sample(a_sample(boottime_ms=minute * 60_000))
            await until(publisher, lambda p: "again and again" in p.snapshot().last_error)
            assert "does another program connect with the client id" in (
                publisher.snapshot().last_error
            )
            began_s = asyncio.get_running_loop().time()
            before = len(connects)
            await until(publisher, lambda _: len(connects) > before)
            assert asyncio.get_running_loop().time() - began_s >= 1.5, "the waits grow"
    assert len(caplog.records) <= 5, caplog.text
    assert not any("left out" in line for line in warnings(caplog)), "nothing is to blame"


async def test_what_is_not_acknowledged_is_sent_again_on_another_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with old_broker(10_000, deaf=2) as (port, connects, taken):
        publisher = a_publisher(settings(port), unanswered_s=0.2)
        async with running(publisher):
            for minute in range(2000):
                publisher.sample(a_sample(boottime_ms=minute * 60_000))
                if publisher.snapshot().last_success_s is not None:
                    break
                await asyncio.sleep(0.01)
            assert publisher.snapshot().last_success_s is not None
    first = b'"boottime_ms":0,'
    assert sum(first in data for data in taken) == len(connects) - 1 == 3
    [said] = [text for text in warnings(caplog) if text.startswith("mqtt ")]
    assert "has not acknowledged for 0.2 s what it was sent" in said


async def test_tls_to_a_port_without_it_and_the_other_way_round_are_named(
    broker: Broker, required_tool: Callable[[str], str]
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port, host="localhost", tls=True))
    async with running(publisher):
        await state(publisher, "retrying")
    assert "does this port speak TLS?" in publisher.snapshot().last_error
    await broker.stop()

    certificates(required_tool("openssl"), broker.folder)
    pair = f"certfile {broker.folder}/broker.pem\nkeyfile {broker.folder}/broker.key"
    broker.options = f"allow_anonymous true\n{pair}"
    await broker.start()
    publisher = a_publisher(settings(broker.port, host="localhost", tls=False))
    async with running(publisher):
        await state(publisher, "retrying")
    assert "does this port want TLS?" in publisher.snapshot().last_error
