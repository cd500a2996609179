"""An exchange that repeats all it was ever told, in each of its answers: nothing of that is to be
found wherever the daemon speaks or writes.
"""

import asyncio
import contextlib
import html
import json
import re
import socket
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest

from drivers.net.mqtt import Broker, Message, MqttConnection
from gateway.cli.demo_home import Site
from gateway.delivery.simulated.answers import Answer, json_answer
from gateway.delivery.simulated.exchange import LOGIN
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.monitoring.report import Report

if TYPE_CHECKING:
    from tests.system.conftest import StartSite

pytestmark = pytest.mark.long

PASSWORD = 'Größe/7 & "mehr" it\'s+so'
BROKER_PASSWORD = "0pen-Sesame!"
ROUNDS = 24


class Echo(StandInExchange):
    """Takes logins, and answers all else with what it has heard, in another way each time."""

    def __init__(self) -> None:
        super().__init__(uuid4(), {})
        self.heard: list[str] = []
        self.answers = 0
        self._ways = cycle(self._says())

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002 — as the exchange's
        """See the class."""
        self.heard = [*self.heard[-4:], headers.get("authorization", "")]
        if target == LOGIN:
            said = json.loads(body)
            login = f"{said['username']}:{said['password']}"
            self.heard = [body.decode(), said["password"], login, BROKER_PASSWORD]
            if self.answers % 3 == 2:  # now and then it gives no token
                self.answers += 1
                return json_answer(500, {"detail": f"cannot log {body!r} in"})
            return json_answer(200, {"token": f"t0k.{uuid4().hex}"})

        self.answers += 1
        if self.answers % 7 == 6:
            return json_answer(401, {"detail": self.heard})
        return next(self._ways)

    def _says(self) -> Iterator[Answer]:
        while True:
            text = " ".join(self.heard)
            yield json_answer(400, {"detail": text})
            yield json_answer(500, {"error": self.heard})
            yield Answer(400, text.encode(), "text/plain")
            yield Answer(500, html.escape(text).encode(), "text/html")
            yield Answer(
                400, f"<html><body>{html.escape(text)}</body></html>".encode(), "text/html"
            )
            yield Answer(302, headers=(("Location", f"/login?next={quote(text)}"),))
            yield Answer(429, b64encode(text.encode()), "text/plain", (("Retry-After", "0"),))
            yield Answer(400, json.dumps({"request": text}, ensure_ascii=False).encode())
            yield Answer(400, (" " * 1150 + "password=" + PASSWORD).encode(), "text/plain")
            yield Answer(400, f'"{PASSWORD[:12]}"'.encode(), "text/plain")
            yield Answer(500, b"ok", headers=(("X\x01 " + quote(PASSWORD), "bad header"),))


def ways(secret: str) -> Iterator[str]:
    """How a secret may be written."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(secret))[3:-3]
    yield html.escape(secret)
    yield quote(secret)
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    for before in ("", "x", "xx"):
        yield b64encode((before + secret).encode()).decode()[4:-4]


@pytest.fixture
async def broker(required_tool: Callable[[str], str], tmp_path: Path) -> AsyncIterator[int]:
    """The port of a mosquitto that lets everybody in."""
    program = required_tool("mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(config), stderr=subprocess.DEVNULL
    )
    yield port
    process.kill()
    await process.wait()


async def listen(port: int, heard: list[Message]) -> None:
    """Collect what is published, for ever."""
    for _ in range(500):
        with contextlib.suppress(OSError):
            connection = await MqttConnection.connect(
                Broker("127.0.0.1", port), received=heard.append, max_packet_bytes=1 << 20
            )
            break
        await asyncio.sleep(0.02)
    connection.subscribe("#")
    try:
        while True:
            await connection.turn()
    finally:
        connection.abort()


async def test_what_an_exchange_repeats_is_nowhere_to_be_found(
    start_site: "StartSite", tmp_path: Path, broker: int
) -> None:
    echo = Echo()
    published: list[Message] = []

    def prepare(site: Site) -> None:
        _point_at(site.folder, echo.url, broker)

    async with echo, start_site(tmp_path / "site", prepare=prepare) as site:
        listening = asyncio.create_task(listen(broker, published))
        places: dict[str, str] = {}
        while echo.answers < ROUNDS:
            report = await site.report()
            places[f"status {echo.answers}"] = report.to_json().decode()
            await asyncio.sleep(0.5)
        places["metrics"] = (await site.page.get("/metrics")).text
        await site.until(_has_told, "the exchange's words are shown")
        await asyncio.sleep(1)
        listening.cancel()

    places["log"] = site.daemon.log_path.read_text()
    places["MQTT"] = "\n".join(f"{m.topic} {m.payload.decode()}" for m in published)
    for path in (tmp_path / "site").glob("buffer.sqlite*"):
        places[path.name] = path.read_bytes().decode("utf-8", "replace")
    _check(places)


def _has_told(report: Report) -> bool:
    return any("(secret)" in destination.last_error for destination in report.destinations)


def _check(places: Mapping[str, str]) -> None:
    for secret in (PASSWORD, BROKER_PASSWORD):
        for place, text in places.items():
            for way in ways(secret):
                assert way not in text, (place, way)
    for place in ("log", "buffer.sqlite"):
        assert "(secret)" in places[place], f"{place} tells what the exchange said"
        assert PASSWORD[:6] not in places[place]
        assert not re.search(r"t0k\.[0-9a-f]", places[place])
    assert '"rejected"' in places["MQTT"] or "(secret)" in places["MQTT"]


def _point_at(folder: Path, url: str, broker: int) -> None:
    """Let the site deliver to that exchange, and publish to that broker."""
    config = folder / "gateway.yaml"
    text = re.sub(r"url: .*", f"url: {url}", config.read_text())
    mqtt = f"mqtt: {{host: 127.0.0.1, port: {broker}, tls: false, credentials: mqtt.credentials}}"
    config.write_text(f"{text}\n{mqtt}\n")

    for name, password in (("exchange", PASSWORD), ("mqtt", BROKER_PASSWORD)):
        file = folder / f"{name}.credentials"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"username": "gateway", "password": password}))
