"""The publisher against a real mosquitto: restarts, wrong logins, certificates and the last will
included.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from drivers.sample import Sample
from drivers.strict_yaml import Seconds
from gateway.delivery.mqtt_publisher import MAX_WAITING, MqttPublisher
from gateway.energy.slot import Slot
from gateway.monitoring.report import Report
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.site.credentials import Credentials
from gateway.site.settings import MqttSettings

LOGIN = Credentials("gateway", "open sesame")


@dataclass
class Broker:
    """A mosquitto that can be stopped and started again on its port."""

    program: str
    folder: Path
    port: int
    options: str = "allow_anonymous true"
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n{self.options}\npersistence false\nuser root\n"
        )  # else root's files are not its own
        self.process = await asyncio.create_subprocess_exec(
            self.program, "-c", str(config), stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            assert self.process.returncode is None, "mosquitto ended at once"
            await asyncio.sleep(0.02)
        raise AssertionError("mosquitto does not listen")

    async def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None


@pytest.fixture
async def broker(required_tool: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Broker]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = Broker(required_tool("mosquitto"), tmp_path, port)
    yield broker
    await broker.stop()


class Listener:
    """Another client, which hears everything. paho's own blocking calls, a millisecond each: this
    is only a test.
    """

    def __init__(
        self, port: int, login: Credentials | None = None, ca_file: str | None = None
    ) -> None:
        self.heard: list[tuple[str, Any, bool]] = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.subscribed = False
        if login:
            self.client.username_pw_set(login.username, login.password)
        if ca_file:
            self.client.tls_set(ca_file)
        self.client.connect("localhost" if ca_file else "127.0.0.1", port)

    @classmethod
    async def open(
        cls, port: int, login: Credentials | None = None, ca_file: str | None = None
    ) -> "Listener":
        """A listener that hears from now on."""
        listener = cls(port, login, ca_file)
        async with asyncio.timeout(20):
            while not listener.subscribed:
                listener.client.loop(timeout=0.001)
                await asyncio.sleep(0.005)
        return listener

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        try:
            body = msgspec.json.decode(message.payload)
        except msgspec.DecodeError:
            body = message.payload.decode()
        self.heard.append((message.topic, body, message.retain))

    async def until(self, topic: str, matches: Callable[[Any], bool] | None = None) -> Any:
        """The first message on that topic which matches."""
        async with asyncio.timeout(20):
            while True:
                for heard_topic, body, _ in self.heard:
                    if heard_topic == topic and (matches is None or matches(body)):
                        return body
                self.client.loop(timeout=0.001)
                await asyncio.sleep(0.005)

    def close(self) -> None:
        self.client.disconnect()


@contextlib.asynccontextmanager
async def running(publisher: MqttPublisher) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(publisher.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def state(publisher: MqttPublisher, wanted: str) -> None:
    async with asyncio.timeout(20):
        while publisher.snapshot().state != wanted:
            await asyncio.sleep(0.01)


def settings(port: int, **changes: Any) -> MqttSettings:
    return MqttSettings(**{"host": "127.0.0.1", "port": port, "tls": False, **changes})


def a_publisher(mqtt: MqttSettings, login: Credentials = LOGIN) -> MqttPublisher:
    """With the shortest waits: half a second, a second, …"""
    return MqttPublisher(
        mqtt, "home-12", lambda _: login, now=lambda: 1_750_000_000.0, jitter=lambda: 0.0
    )


def a_sample(
    device: str = "grid", boottime_ms: int = 60_000, utc_ms: int | None = 1_750_000_000_250
) -> Sample:
    return Sample(
        device,
        "E0031003",
        "b7e1",
        boottime_ms,
        utc_ms,
        {"power_w": -812.0, "energy_import_wh": 1000.5},
    )


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
        f"{_passwords(required_tool('mosquitto_passwd'), broker.folder)}"
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
        f"{_passwords(required_tool('mosquitto_passwd'), broker.folder)}"
    )
    await broker.start()
    async with running(a_publisher(settings(broker.port, credentials="mqtt.credentials"))):
        listener = await Listener.open(broker.port, LOGIN)
        await listener.until("meter-gateway/home-12/status/online", lambda body: body == "online")
        listener.close()


async def test_tls_is_verified_against_the_given_authority_and_name(
    broker: Broker, required_tool: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    ca = _certificates(required_tool("openssl"), broker.folder)
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


async def test_tls_to_a_port_without_it_and_the_other_way_round_are_named(
    broker: Broker, required_tool: Callable[[str], str]
) -> None:
    await broker.start()
    publisher = a_publisher(settings(broker.port, host="localhost", tls=True))
    async with running(publisher):
        await state(publisher, "retrying")
    assert "does this port speak TLS?" in publisher.snapshot().last_error

    await broker.stop()
    _certificates(required_tool("openssl"), broker.folder)
    broker.options = (
        f"allow_anonymous true\ncertfile {broker.folder}/broker.pem\nkeyfile "
        f"{broker.folder}/broker.key"
    )
    await broker.start()
    publisher = a_publisher(settings(broker.port, host="localhost", tls=False))
    async with running(publisher):
        await state(publisher, "retrying")
    assert "does this port want TLS?" in publisher.snapshot().last_error


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
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        publisher = a_publisher(settings(server.sockets[0].getsockname()[1]))
        async with running(publisher) as task:
            await state(publisher, "retrying")
            assert not task.done()
            assert publisher.snapshot().last_error


def _passwords(program: str, folder: Path) -> Path:
    path = folder / "passwords"
    subprocess.run(
        [program, "-b", "-c", str(path), LOGIN.username, LOGIN.password],
        check=True,
        capture_output=True,
    )
    path.chmod(0o644)
    return path


def _certificates(openssl: str, folder: Path) -> str:
    """A throw-away authority and a certificate of it for `localhost`, but not for 127.0.0.1."""

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = (
        "-days",
        "2",
        "-subj",
        "/CN=throw-away",
        "-addext",
        "keyUsage=critical,keyCertSign",
    )
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", *authority)
    # Python 3.13 verifies strictly, by RFC 5280: a certificate names the key it was signed with.
    (folder / "san").write_text(
        "subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    run("req", *key, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
    sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
    run("x509", "-req", "-in", "broker.csr", *sign, "-out", "broker.pem")
    (folder / "broker.key").chmod(0o644)
    assert ssl.create_default_context(cafile=str(folder / "ca.pem"))
    return str(folder / "ca.pem")
