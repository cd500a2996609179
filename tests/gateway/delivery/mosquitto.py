"""A real mosquitto, whoever listens to it, and publishers that do not wait long."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from drivers.sample import Sample
from gateway.delivery.mqtt_publisher import MqttPublisher
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


def a_publisher(
    mqtt: MqttSettings, login: Credentials = LOGIN, unanswered_s: float = 30.0
) -> MqttPublisher:
    """With the shortest waits: half a second, a second, …"""
    return MqttPublisher(
        mqtt,
        "home-12",
        lambda _: login,
        now=lambda: 1_750_000_000.0,
        jitter=lambda: 0.0,
        unanswered_s=unanswered_s,
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


def passwords(program: str, folder: Path) -> Path:
    path = folder / "passwords"
    subprocess.run(
        [program, "-b", "-c", str(path), LOGIN.username, LOGIN.password],
        check=True,
        capture_output=True,
    )
    path.chmod(0o644)
    return path


def certificates(openssl: str, folder: Path) -> str:
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
