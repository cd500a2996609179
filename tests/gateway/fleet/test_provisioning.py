"""What a home may do at a real mosquitto with the access rules that are made for it, and nothing
else.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.net.mqtt import Broker as Address
from drivers.net.mqtt import BrokerRefused, Message, MqttConnection
from gateway.cli.demo_home import free_port
from gateway.fleet import provisioning
from gateway.fleet.broker import deals_out, listen
from gateway.fleet.provisioning import Login
from tests.gateway.delivery.mosquitto import Broker

COLLECTOR = Login("fleet", "open sesame")
ADMIN = Login("admin", "admin's own")


async def client(
    broker: Broker, login: Login, heard: list[Message], refused: list[int] | None = None
) -> MqttConnection:
    told = [] if refused is None else refused
    return await MqttConnection.connect(
        Address(
            "127.0.0.1", broker.port, client_id=f"{login.username}-test", mqtt5=True,
            username=login.username, password=login.password,
        ),
        received=heard.append,
        refused=lambda number, _why: told.append(number),
        many=True,
        max_packet_bytes=100_000,
    )  # fmt: skip


async def turns(*connections: MqttConnection) -> None:
    for _ in range(4):
        for connection in connections:
            await connection.turn(0.1)


async def what_passes(broker: Broker, home: Login, other: str) -> None:
    """A home gets its own through, and hears its own; of another one nothing, and asks in vain."""
    address = Address(
        "127.0.0.1", broker.port, client_id="collector", username=COLLECTOR.username,
        password=COLLECTOR.password,
    )  # fmt: skip
    assert await deals_out(address, "mg")
    came: list[str] = []
    collector = await listen(address, "mg", "mg-a", lambda topic, _payload: came.append(topic))
    heard: list[Message] = []
    refused: list[int] = []
    gateway = await client(broker, home, heard, refused)
    gateway.subscribe(f"mg/v1/{home.username}/ack", 1)
    await turns(gateway)
    for site in (home.username, other):
        for channel in ("slots", "backlog", "status", "ack"):
            gateway.publish(Message(f"mg/v1/{site}/{channel}", b"x"))
    collector.publish([(f"mg/v1/{site}/ack", b"word") for site in (home.username, other)])
    await turns(gateway)
    assert came == [
        f"mg/v1/{home.username}/{channel}" for channel in ("slots", "backlog", "status")
    ]
    assert len(refused) == 5
    assert [each.topic for each in heard] == [f"mg/v1/{home.username}/ack"]
    gateway.abort()
    collector.abort()


async def test_a_home_gets_at_its_own_only_with_the_acl_file(
    required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    homes = [provisioning.new_login("home-12"), provisioning.new_login("home-13")]
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    lines = map(provisioning.password_line, [COLLECTOR, *homes])
    passwords.write_text("\n".join(lines) + "\n")
    acl.write_text(provisioning.acl_file("mg", COLLECTOR.username))
    options = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}"
    broker = Broker(required_tool("mosquitto"), tmp_path, free_port(), options)
    await broker.start()
    try:
        await what_passes(broker, homes[0], "home-13")
        with pytest.raises(BrokerRefused):
            await client(broker, Login("home-13", homes[0].password), [])
    finally:
        await broker.stop()


async def test_a_home_gets_at_its_own_only_with_dynamic_security(
    required_tool: Callable[[str], str], tmp_path: Path
) -> None:
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)
    if plugin is None:
        pytest.skip("mosquitto's dynamic-security plugin is not installed")
    state = tmp_path / "dynamic-security.json"
    process = await asyncio.create_subprocess_exec(
        required_tool("mosquitto_ctrl"), "dynsec", "init", str(state), ADMIN.username,
        ADMIN.password, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    options = (
        f"allow_anonymous false\nplugin {plugin}\nplugin_opt_config_file {state}\n"
        "per_listener_settings false"
    )
    broker = Broker(required_tool("mosquitto"), tmp_path, free_port(), options)
    await broker.start()
    try:
        homes = [provisioning.new_login("home-12"), provisioning.new_login("home-13")]
        answers: list[Message] = []
        admin = await client(broker, ADMIN, answers)
        admin.subscribe("$CONTROL/dynamic-security/v1/response", 1)
        commands = provisioning.collector_commands("mg", COLLECTOR)
        for home in homes:
            commands += provisioning.site_commands("mg", home)
        # Twice: a login that is made anew replaces the one before.
        for _ in range(2):
            request = provisioning.as_request(commands).encode()
            admin.publish(Message("$CONTROL/dynamic-security/v1", request))
            await turns(admin)
        assert b"error" not in answers[0].payload
        await what_passes(broker, homes[0], "home-13")

        # Nobody but collectors may join their group, which would take messages away from them.
        thief = await client(broker, homes[1], [])
        thief.subscribe("$share/mg-a/mg/v1/+/slots", 1)
        with pytest.raises(BrokerRefused, match="Not authorized"):
            await turns(thief)
        thief.abort()

        removal = provisioning.as_request(provisioning.removal_commands("home-12")).encode()
        admin.publish(Message("$CONTROL/dynamic-security/v1", removal))
        await turns(admin)
        with pytest.raises(BrokerRefused):
            await client(broker, homes[0], [])
        admin.abort()
    finally:
        await broker.stop()
