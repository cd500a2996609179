"""mosquitto's dynamic-security plugin with client certificates: whom it knows by the certificate's
name, its roles hold for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from drivers.net.issuing import server_certificate, write_whole
from drivers.net.mqtt import Broker as Address
from drivers.net.mqtt import BrokerRefused, Message, MqttConnection
from drivers.net.tls import client_context
from gateway.cli.demo_home import free_port
from gateway.cli.main import main
from gateway.fleet import certificates
from gateway.fleet.settings import load
from gateway.outbox.fleet.messages import decode_ack, topic_of
from tests.gateway.delivery.mosquitto import Broker
from tests.gateway.fleet.homes import TOPIC, Home, collecting, stored
from tests.gateway.fleet.postgres import Postgres, running
from tests.gateway.fleet.test_collector import NOW_S

pytestmark = pytest.mark.xdist_group("postgres")

CONTROL = "$CONTROL/dynamic-security/v1"
SLOT_S = NOW_S // 900 * 900 - 900


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


async def fleet(folder: Path, *words: str) -> None:
    """In a thread: it has a loop of its own."""
    arguments = ["--config", str(folder), "fleet", *words, "--output", str(folder / "out")]
    assert await asyncio.to_thread(main, arguments) == 0


@pytest.fixture
async def folder(postgres: Postgres, tmp_path: Path) -> Path:
    """A fleet with an authority and two homes."""
    postgres.new_database("dynamic")
    (tmp_path / "db.credentials").write_text("username: 'admin'\npassword: 'open sesame'\n")
    (tmp_path / "db.credentials").chmod(0o600)
    text = (
        f"broker: {{host: 127.0.0.1, port: {free_port()}}}\n"
        f"database: {{host: {postgres.folder}, name: dynamic, credentials: db.credentials}}\n"
    )
    (tmp_path / "fleet.yaml").write_text(text)
    await fleet(tmp_path, "init", "--ca")
    own = "ca_file: fleet-ca.pem, certificate: fleet-collector.pem}"
    (tmp_path / "fleet.yaml").write_text(text.replace("}", f", {own}", 1))
    await fleet(tmp_path, "sites", "add", "home-12", "home-13", "--certificates")
    return tmp_path


class Admin:
    """Of the plugin, who comes in by a listener of its own, with a password."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def tell(self, file: Path) -> bytes:
        """Publish that file; gives what the plugin says."""
        heard: list[bytes] = []
        connection = await MqttConnection.connect(
            Address("127.0.0.1", self._port, client_id="admin", username="admin", password="own"),
            received=lambda message: heard.append(message.payload),
        )
        try:
            connection.subscribe(f"{CONTROL}/response", 1)
            await connection.turn(0.1)
            connection.publish(Message(CONTROL, file.read_bytes()))
            async with asyncio.timeout(20):
                while not heard:
                    await connection.turn(0.1)
        finally:
            connection.abort()
        return heard[0]


@pytest.fixture
async def admin(required_tool: Callable[[str], str], folder: Path) -> AsyncIterator[Admin]:
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)
    if plugin is None:
        pytest.skip("mosquitto's dynamic-security plugin is not installed")
    state = folder / "dynamic-security.json"
    process = await asyncio.create_subprocess_exec(
        required_tool("mosquitto_ctrl"), "dynsec", "init", str(state), "admin", "own",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    server = server_certificate(certificates.authority(folder), ["127.0.0.1"], 30)
    write_whole(folder / "server.crt", server.certificate_pem, secret=False)
    write_whole(folder / "server.key", server.key_pem, secret=True)
    port = free_port()
    options = (
        f"allow_anonymous false\nplugin {plugin}\nplugin_opt_config_file {state}\n"
        f"listener {load(folder).file.broker.port} 127.0.0.1\n"
        f"certfile {folder}/server.crt\nkeyfile {folder}/server.key\n"
        f"cafile {folder}/out/fleet-ca.pem\ncrlfile {folder}/out/fleet.crl\n"
        "require_certificate true\nuse_identity_as_username true"
    )
    broker = Broker(required_tool("mosquitto"), folder, port, options)
    await broker.start()
    yield Admin(port)
    await broker.stop()


async def as_home(folder: Path, shown: str, home: Home) -> MqttConnection:
    """A connection with the certificate of `shown`."""
    file = str(folder / "out" / shown / "fleet.pem")
    tls = client_context(str(folder / "fleet-ca.pem"), file, file)
    port = load(folder).file.broker.port
    return await MqttConnection.connect(
        Address("127.0.0.1", port, tls=tls, client_id=f"home-{shown}"),
        received=lambda message: home.take(decode_ack(message.payload)),
        many=True,
    )


async def deliver(
    folder: Path, shown: str, home: Home, patience: int, *, listens: bool = True
) -> None:
    """What the home owes, with the certificate of `shown`, and a while of waiting for its word."""
    connection = await as_home(folder, shown, home)
    try:
        if listens:
            connection.subscribe(topic_of(TOPIC, home.site, "ack"), 1)
        await home.tell(connection, NOW_S, patience)
    finally:
        connection.abort()


async def test_its_roles_hold_for_whom_it_knows_by_a_certificate(
    folder: Path, admin: Admin, postgres: Postgres
) -> None:
    home, other = Home("home-12"), Home("home-13")
    for each in (home, other):
        each.close(SLOT_S)

    for name in ("dynamic-security", "dynamic-security-add"):
        assert b"error" not in await admin.tell(folder / "out" / f"{name}.json")
    async with collecting(load(folder)):
        await deliver(folder, "home-12", home, 600)
        assert home.changes == {}
        assert stored(postgres, "dynamic") == home.truth

        # Not on another's topic, and nobody but collectors joins their group.
        await deliver(folder, "home-12", other, 20, listens=False)
        assert stored(postgres, "dynamic") == home.truth
        with pytest.raises(BrokerRefused, match="does not let us subscribe"):
            await deliver(folder, "home-12", other, 20)
        thief = await as_home(folder, "home-12", home)
        thief.subscribe(f"$share/a-group/{TOPIC}/v1/+/slots", 1)
        with pytest.raises(BrokerRefused, match="does not let us subscribe"):
            await thief.turn(1.0)
        thief.abort()

        # One that is removed may do nothing any more, even before the broker has the new list.
        await fleet(folder, "sites", "remove", "home-12")
        removed = folder / "out" / "dynamic-security-remove.json"
        assert b"error" not in await admin.tell(removed)
        before = dict(home.truth)
        home.close(SLOT_S - 900)
        await deliver(folder, "home-12", home, 20, listens=False)
        with pytest.raises(BrokerRefused, match="does not let us subscribe"):
            await deliver(folder, "home-12", home, 20)
        assert stored(postgres, "dynamic") == before
        await deliver(folder, "home-13", other, 600)
        assert other.changes == {}
