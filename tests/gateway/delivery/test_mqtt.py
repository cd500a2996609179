"""The publisher against a real mosquitto: restarts, wrong logins, certificates and the last will
included.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from drivers.strict_yaml import Seconds
from gateway.delivery.mqtt_publisher import MAX_WAITING
from gateway.energy.slot import Slot
from gateway.monitoring.report import GridOperatorReport, Report
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.site.credentials import Credentials
from tests.gateway.delivery.mosquitto import (
    LOGIN,
    Broker,
    Listener,
    a_publisher,
    a_sample,
    certificates,
    passwords,
    running,
    settings,
    state,
)
from tests.gateway.monitoring.told_forecasts import with_forecasts
from tests.serving import serving


def a_slot() -> Slot:
    return Slot(
        "grid", "E0031003", "import", 1_749_999_600, 900, 172_750_000, "measured", "counter", 1000,
        90, 10_000, 0, 172_750_000,
        1_000_000_000, 1_172_000_000, "kernel",
    )  # fmt: skip


async def test_samples_slots_and_status_reach_a_listener_with_units_and_utc(
    broker: Broker, healthy_report: Report
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    item = Item(
        "exchange",
        UUID("26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"),
        1_749_999_600,
        "measurement",
        0,
        172_750_000,
    )
    listener = await Listener.open(broker.port)
    async with running(publisher):
        await listener.until("meter-gateway/home-12/status/online", lambda body: body == "online")
        sample = a_sample()
        publisher.sample(replace(sample, values={**sample.values, "meter_utc_s": 1_750_000_003.0}))
        publisher.slot(a_slot())
        publisher.owed(Owed(item, 900, "measured", 0, None))
        publisher.status(healthy_report)
        sample = await listener.until("meter-gateway/home-12/sample/grid")
        assert sample["taken_at"] == "2025-06-15T15:06:40.250Z"
        assert sample["meter_time"] == "2025-06-15T15:06:43Z"
        assert "meter_utc_s" not in sample
        assert (sample["power_w"], sample["energy_import_wh"], sample["serial_number"]) == (
            -812.0,
            1000.5,
            "E0031003",
        )
        slot = await listener.until("meter-gateway/home-12/slot/grid/import")
        assert (slot["start"], slot["energy_wh"], slot["quality"]) == (
            "2025-06-15T15:00:00Z",
            172.75,
            "measured",
        )
        asset = await listener.until(
            "meter-gateway/home-12/asset/26090dea-8a2c-4c39-a9ae-0f6b32c9d2a1"
        )
        assert (asset["start"], asset["energy_wh"], asset["state"]) == (
            "2025-06-15T15:00:00Z",
            172.75,
            "pending",
        )
        assert (await listener.until("meter-gateway/home-12/status"))["site"] == "home-12"
        assert publisher.snapshot().healthy(1_750_000_000.0, 0)
        late = await Listener.open(broker.port)
        assert await late.until("meter-gateway/home-12/status/online") == "online"
        await late.until("meter-gateway/home-12/status")
        assert all(retained for _, _, retained in late.heard), (
            "who comes later still learns the status"
        )
        late.close()
    await listener.until("meter-gateway/home-12/status/online", lambda body: body == "offline")
    listener.close()


async def test_what_is_expected_of_an_asset_stays_with_the_broker(
    broker: Broker, healthy_report: Report
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    async with running(publisher):
        publisher.status(with_forecasts(healthy_report))
        listener = await Listener.open(broker.port)
        uuid = healthy_report.assets[0].uuid
        told = await listener.until(f"meter-gateway/home-12/forecast/{uuid}")
        assert (told["by"], told["words"]) == ("auto", "learning since 5 June")
        [runs, comes] = told["slots"]
        assert runs["start"] == "2025-06-15T15:15:00Z"
        assert comes["start"] == "2025-06-15T15:30:00Z"
        assert (comes["energy_wh"], comes["low_wh"], comes["high_wh"]) == (191.5, 130, 280)
        assert comes["length_s"] == 900
        listener.close()


async def test_what_a_market_charges_stays_with_the_broker(
    broker: Broker, healthy_report: Report, operator_report: GridOperatorReport
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    async with running(publisher):
        publisher.status(replace(healthy_report, grid_operator=operator_report))
        listener = await Listener.open(broker.port)
        uuid = operator_report.markets[0].uuid
        market = await listener.until(f"meter-gateway/home-12/market/{uuid}")
        assert (market["fee"], market["next_fee"], market["load_percent"]) == (2.0, 3.25, 71.5)
        assert market["next_slot"].endswith("Z")
        listener.close()


async def test_a_market_is_published_when_it_changes_and_to_a_broker_that_is_new(
    broker: Broker, healthy_report: Report, operator_report: GridOperatorReport
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    market = operator_report.markets[0]
    others = operator_report.markets[1:]
    topic = f"meter-gateway/home-12/market/{market.uuid}"
    dearer = replace(operator_report, markets=[replace(market, next_fee=7.5), *others])
    async with running(publisher):
        listener = await Listener.open(broker.port)
        for n, report in enumerate((operator_report, operator_report, dearer, dearer)):
            publisher.markets(report)
            publisher.status(replace(healthy_report, grid_operator=report))
            publisher.sample(a_sample(boottime_ms=n * 60_000))
            await listener.until(
                "meter-gateway/home-12/sample/grid",
                lambda body, ms=n * 60_000: body["boottime_ms"] == ms,
            )
        told = [body["next_fee"] for t, body, _ in listener.heard if t == topic]
        assert told == [3.25, 7.5]
        listener.close()

        await broker.stop()
        await state(publisher, "retrying")
        await broker.start()
        await state(publisher, "connected")
        publisher.markets(dearer)
        listener = await Listener.open(broker.port)
        assert (await listener.until(topic))["next_fee"] == 7.5
        listener.close()


async def test_a_meter_is_published_once_per_window(broker: Broker) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port, samples=Seconds(60)))
    for boottime_ms in range(0, 180_000, 10_000):
        publisher.sample(a_sample("grid", boottime_ms))
        publisher.sample(a_sample("pv", boottime_ms))
    publisher.slot(a_slot())
    listener = await Listener.open(broker.port)
    async with running(publisher):
        await listener.until("meter-gateway/home-12/slot/grid/import")
    assert [b["boottime_ms"] for t, b, _ in listener.heard if t.endswith("sample/grid")] == [
        0,
        60_000,
        120_000,
    ]
    assert [b["boottime_ms"] for t, b, _ in listener.heard if t.endswith("sample/pv")] == [
        0,
        60_000,
        120_000,
    ]
    listener.close()


async def test_a_broker_restart_costs_nothing_that_was_said_meanwhile(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await broker.start()
    publisher = a_publisher(settings(broker.port))
    async with running(publisher):
        await state(publisher, "connected")
        await broker.stop()
        await state(publisher, "retrying")
        for minute in range(50):
            publisher.sample(a_sample(boottime_ms=minute * 60_000))
        assert publisher.snapshot().errors >= 1
        await asyncio.sleep(
            0.6
        )  # long enough for a second failure, which is counted and not logged
        await broker.start()
        listener = await Listener.open(broker.port)
        await listener.until(
            "meter-gateway/home-12/sample/grid", lambda body: body["boottime_ms"] == 49 * 60_000
        )
        await state(publisher, "connected")
    assert publisher.dropped == 0
    assert len(caplog.records) <= 5
    assert "connected again" in caplog.text
    listener.close()


async def test_while_the_broker_is_away_the_newest_messages_are_kept(broker: Broker) -> None:
    publisher = a_publisher(settings(broker.port))
    for minute in range(MAX_WAITING + 25):
        publisher.sample(a_sample(boottime_ms=minute * 60_000))
    assert publisher.dropped == 25
    await broker.start()
    listener = await Listener.open(broker.port)
    async with running(publisher):
        await listener.until(
            "meter-gateway/home-12/sample/grid",
            lambda body: body["boottime_ms"] == (MAX_WAITING + 24) * 60_000,
        )
    minutes = [
        body["boottime_ms"] // 60_000 for topic, body, _ in listener.heard if "/sample/" in topic
    ]
    assert minutes == list(range(25, MAX_WAITING + 25))
    listener.close()


async def test_the_last_will_tells_that_we_broke_off(broker: Broker) -> None:
    await broker.start()
    listener = await Listener.open(broker.port)
    script = f"""
import asyncio
from gateway.site.settings import MqttSettings
from gateway.delivery.mqtt_publisher import MqttPublisher
from tests.gateway.monitoring.told_forecasts import with_forecasts
settings = MqttSettings(host="127.0.0.1", port={broker.port}, tls=False)
asyncio.run(MqttPublisher(settings, "home-12", lambda name: None, now=lambda: 1.0).run())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=Path(__file__).parents[3]
    )
    await listener.until("meter-gateway/home-12/status/online", lambda body: body == "online")
    process.kill()
    await process.wait()
    await listener.until("meter-gateway/home-12/status/online", lambda body: body == "offline")
    listener.close()


async def test_a_wrong_password_is_named_once_and_not_hammered(
    broker: Broker, required_tool: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    broker.options = (
        "allow_anonymous false\npassword_file "
        f"{passwords(required_tool('mosquitto_passwd'), broker.folder)}"
    )
    await broker.start()
    publisher = a_publisher(
        settings(broker.port, credentials="mqtt.credentials"), Credentials("gateway", "wrong word")
    )
    async with running(publisher):
        async with asyncio.timeout(20):
            while publisher.snapshot().errors < 2:
                await asyncio.sleep(0.01)
        part = publisher.snapshot()
        assert "refuses us" in part.last_error
        assert part.last_success_s is None
        assert part.errors <= 3
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert "wrong word" not in caplog.text + repr(part)


async def test_the_right_password_is_let_in(
    broker: Broker, required_tool: Callable[[str], str]
) -> None:
    broker.options = (
        "allow_anonymous false\npassword_file "
        f"{passwords(required_tool('mosquitto_passwd'), broker.folder)}"
    )
    await broker.start()
    async with running(a_publisher(settings(broker.port, credentials="mqtt.credentials"))):
        listener = await Listener.open(broker.port, LOGIN)
        await listener.until("meter-gateway/home-12/status/online", lambda body: body == "online")
        listener.close()


async def test_tls_is_verified_against_the_given_authority_and_name(
    broker: Broker, required_tool: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    ca = certificates(required_tool("openssl"), broker.folder)
    broker.options = (
        f"allow_anonymous true\ncertfile {broker.folder}/broker.pem\nkeyfile "
        f"{broker.folder}/broker.key"
    )
    await broker.start()
    async with running(
        a_publisher(settings(broker.port, host="localhost", tls=True, ca_file=ca))
    ) as task:
        listener = await Listener.open(broker.port, ca_file=ca)
        await listener.until("meter-gateway/home-12/status/online", lambda body: body == "online")
        assert not task.done()
        listener.close()
    for mistaken in (
        settings(broker.port, host="localhost", tls=True),
        settings(broker.port, tls=True, ca_file=ca),
    ):
        publisher = a_publisher(mistaken)
        async with running(publisher):
            await state(publisher, "retrying")
            assert "certificate is not trusted" in publisher.snapshot().last_error


async def test_a_missing_authority_file_is_named(broker: Broker, tmp_path: Path) -> None:
    publisher = a_publisher(settings(broker.port, tls=True, ca_file=str(tmp_path / "nowhere.pem")))
    async with running(publisher):
        await state(publisher, "retrying")
    assert (
        f"mqtt.ca_file {tmp_path / 'nowhere.pem'}: No such file" in publisher.snapshot().last_error
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\xff\xff\xff\x7f",
        b"\x20\x02\x00\x05",
        b"\x00" * 9000,
        b"",
    ],
)
async def test_a_broker_that_is_none_is_survived(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with serving(speak) as port:
        publisher = a_publisher(settings(port))
        async with running(publisher) as task:
            await state(publisher, "retrying")
            assert not task.done()
            assert publisher.snapshot().last_error
