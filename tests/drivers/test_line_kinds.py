"""Lines that carry no bytes: what their URLs mean, and how they behave over real sockets."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.datagram_line import MulticastLine
from drivers.http_line import WebLine
from drivers.line import (
    AnyLine,
    BadReply,
    LineError,
    LineUrl,
    NoReply,
    SerialSettings,
    open_any_line,
    open_line,
)
from drivers.mqtt_line import TopicLine
from drivers.net.http_connection import MAX_REPLY_BYTES
from drivers.net.mqtt import Broker, Message, MqttConnection
from tests.drivers.net.http_server import http_server, reply

GROUP = "239.12.255.254"


def now_s() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Any]:
    line: AnyLine = await open_any_line(LineUrl.parse(url), SerialSettings())
    try:
        assert line.name == url
        yield line
    finally:
        line.close()


# --- What a URL means ---


@pytest.mark.parametrize(
    ("text", "url", "key", "kind"),
    [
        ("http://meter.lan", LineUrl("http", "meter.lan", 80), "meter.lan:80", "http"),
        ("http://meter.lan:8080/", LineUrl("http", "meter.lan", 8080), "meter.lan:8080", "http"),
        ("http://[fd00::20]", LineUrl("http", "fd00::20", 80), "fd00::20:80", "http"),
        (
            "https://Meter.lan?ca=/etc/ca.pem",
            LineUrl("https", "Meter.lan", 443, ca_file="/etc/ca.pem"),
            "meter.lan:443",
            "http",
        ),
        (
            f"multicast:{GROUP}:9522",
            LineUrl("multicast", GROUP, 9522),
            f"{GROUP}:9522",
            "datagrams",
        ),
        (
            f"multicast:{GROUP}:9522?interface=eth0",
            LineUrl("multicast", GROUP, 9522, interface="eth0"),
            f"{GROUP}:9522",
            "datagrams",
        ),
        (
            "mqtt://broker.lan/tele/meter/SENSOR",
            LineUrl("mqtt", "broker.lan", 1883, topic="tele/meter/SENSOR"),
            "broker.lan:1883/tele/meter/SENSOR",
            "mqtt",
        ),
        (
            "mqtts://broker.lan:8884/a?ca=/etc/ca.pem",
            LineUrl("mqtts", "broker.lan", 8884, ca_file="/etc/ca.pem", topic="a"),
            "broker.lan:8884/a",
            "mqtt",
        ),
    ],
)
def test_a_url_says_what_travels_and_can_be_written_back(
    text: str, url: LineUrl, key: str, kind: str
) -> None:
    assert LineUrl.parse(text) == url
    assert (url.key, url.kind) == (key, kind)
    assert LineUrl.parse(str(url)) == url
    assert re.match(str(LineUrl.json_schema["pattern"]), str(url))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("http:meter.lan", "two slashes are missing — write http://meter.lan"),
        ("htps://meter.lan", "did you mean 'https'?"),
        ("http://meter.lan/rpc", "'/rpc' does not belong here"),
        ("http://meter.lan/rpc", "write http://meter.lan"),
        ("http://", "is not the name or address of a host — such as http://192.168.1.20"),
        ("http://meter.lan:0", "'0' is not a port"),
        ("http://fd00::20", "IPv6 addresses go in brackets, such as http://[fd00::20]"),
        ("http://meter.lan?ca=/etc/ca.pem", "'ca' is not a setting of a line http:"),
        ("https://meter.lan?ka=/etc/ca.pem", "'ka' is not a setting of a line https: — known: ca"),
        ("https://meter.lan?ca=ca.pem", "such as ca=/etc/meter-gateway/ca.pem"),
        ("multicast:192.168.1.20:9522", "is not a group, from 224.0.0.0 to 239.255.255.255"),
        ("multicast:239.12.255.254", "and its port — such as multicast:239.12.255.254:9522"),
        ("multicast:239.12.255.254:9522?interfac=eth0", "did you mean 'interface'?"),
        ("multicast:239.12.255.254:9522?interface=", "such as interface=eth0"),
        ("mqtt://broker.lan", "'' is not the topic of one meter"),
        ("mqtt://broker.lan/tele/#", "'tele/#' is not the topic of one meter: no + or #"),
        ("mqqt://broker.lan/a", "did you mean 'mqtt'?"),
    ],
)
def test_a_url_that_is_none_says_what_is_wrong(raw: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        LineUrl.parse(raw)


@pytest.mark.parametrize("scheme", ["http", "https", "mqtt"])
def test_a_login_in_a_url_is_refused_and_not_shown(scheme: str) -> None:
    with pytest.raises(ValueError, match="a login does not stand in a line") as caught:
        LineUrl.parse(f"{scheme}://admin:S3cret@meter.lan/a")
    assert "S3cret" not in str(caught.value)


async def test_whoever_needs_bytes_does_not_get_another_kind() -> None:
    with pytest.raises(LineError, match=r"http://meter\.lan:80: is not a line of bytes"):
        await open_line(LineUrl.parse("http://meter.lan"), SerialSettings())


# --- HTTP ---


async def test_a_page_is_given_with_its_status_and_asked_for_with_the_login() -> None:
    async with (
        http_server({"/data": reply(b"{}")}) as server,
        opened(f"http://127.0.0.1:{server.port}") as line,
    ):
        assert isinstance(line, WebLine)
        assert (await line.get("/data", 20.0)).body == b"{}"
        assert (await line.get("/none", 20.0)).status == 404
        await line.get("/data", 20.0, {"username": "Aladdin", "password": "open sesame"})
    assert "Authorization" not in server.heads[0]
    assert "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in server.heads[2]


async def test_a_web_server_that_fails_says_how() -> None:
    answers = {"/slow": None, "/long": reply(b"x" * (MAX_REPLY_BYTES + 1)), "/odd": b"nonsense"}
    async with (
        http_server(answers) as server,
        opened(f"http://127.0.0.1:{server.port}") as line,
    ):
        with pytest.raises(NoReply, match=r"/slow was not answered within 0\.2 s"):
            await line.get("/slow", 0.2)
        with pytest.raises(BadReply, match="/long is longer than 64 KiB"):
            await line.get("/long", 20.0)
        with pytest.raises(LineError, match=rf"^http://127\.0\.0\.1:{server.port}: cannot be"):
            await line.get("/odd", 20.0, {"token": "S3cret"})
    async with opened(f"http://127.0.0.1:{server.port}") as line:
        with pytest.raises(LineError, match="Connection refused — check the address"):
            await line.get("/data", 20.0)
    with pytest.raises(LineError, match="has been closed"):
        await line.get("/data", 20.0)


async def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(LineError, match=r"ca\.pem cannot be used"):
        await open_any_line(LineUrl.parse(f"https://meter.lan?ca={path}"), SerialSettings())


# --- Datagrams ---


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def group_url() -> str:
    return f"multicast:{GROUP}:{free_port(socket.SOCK_DGRAM)}?interface=lo"


def send(url: str, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        port = LineUrl.parse(url).port
        for data in datagrams:
            sender.sendto(data, (GROUP, port))


async def test_what_is_sent_to_a_group_is_heard_by_everybody_whole_and_in_order(
    group_url: str,
) -> None:
    async with opened(group_url) as one, opened(group_url) as other:
        assert isinstance(one, MulticastLine)
        send(group_url, b"first", b"", b"x" * 1400)
        for line in (one, other):
            assert await line.receive(now_s() + 20) == b"first"
            assert await line.receive(now_s() + 20) == b""
            assert await line.receive(now_s() + 20) == b"x" * 1400


async def test_a_datagram_is_waited_for_until_the_deadline(group_url: str) -> None:
    async with opened(group_url) as line:
        assert await line.receive(now_s() + 0.05) is None
        assert await line.receive(0.0) is None
        asyncio.get_running_loop().call_later(0.05, send, group_url, b"late")
        assert await line.receive(now_s() + 20) == b"late"


async def test_old_datagrams_are_thrown_away(group_url: str) -> None:
    async with opened(group_url) as line:
        send(group_url, b"old", b"older")
        async with asyncio.timeout(20):
            drained = 0
            while drained < 2:
                drained += line.drain()
                await asyncio.sleep(0.001)
        send(group_url, b"new")
        assert await line.receive(now_s() + 20) == b"new"


async def test_a_closed_group_says_so(group_url: str) -> None:
    async with opened(group_url) as line:
        pass
    with pytest.raises(LineError, match="has been closed"):
        line.drain()


async def test_an_interface_that_is_not_there_is_named() -> None:
    url = LineUrl.parse(f"multicast:{GROUP}:9522?interface=eth77")
    with pytest.raises(LineError, match=r"no network interface 'eth77' — there are .*lo"):
        await open_any_line(url, SerialSettings())


# --- MQTT ---


@pytest.fixture
async def broker(
    required_tool: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """A mosquitto; its port and process."""
    port = free_port(socket.SOCK_STREAM)
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = await asyncio.create_subprocess_exec(
        required_tool("mosquitto"), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            break
    yield port, process
    if process.returncode is None:
        process.kill()
    await process.wait()


@asynccontextmanager
async def publisher(port: int) -> AsyncIterator[Callable[..., Any]]:
    acknowledged: set[int] = set()
    connection = await MqttConnection.connect(
        Broker("127.0.0.1", port), acknowledged=acknowledged.add
    )

    async def publish(payload: bytes, *, retained: bool = False, topic: str = "meter") -> None:
        number = connection.publish(Message(topic, payload, retained))
        async with asyncio.timeout(20):
            while number not in acknowledged:
                await connection.turn(1.0)

    try:
        yield publish
    finally:
        await connection.end()


async def test_what_is_published_arrives_with_its_time_and_what_was_kept_does_not(
    broker: tuple[int, asyncio.subprocess.Process],
) -> None:
    port, _ = broker
    async with publisher(port) as publish, opened(f"mqtt://127.0.0.1:{port}/meter") as line:
        assert isinstance(line, TopicLine)
        await publish(b"of yesterday", retained=True)
        assert await line.receive(now_s() + 0.3) is None
        await publish(b"another's", topic="meters")
        began_s = now_s()
        await publish(b"now")
        await publish(b"then")
        arrived = await line.receive(now_s() + 20)
        assert arrived is not None
        assert arrived.payload == b"now"
        assert began_s <= arrived.at_s <= now_s()
        assert (await line.receive(now_s() + 20)).payload == b"then"


async def test_what_came_while_nobody_listened_is_dropped(
    broker: tuple[int, asyncio.subprocess.Process],
) -> None:
    port, _ = broker
    async with publisher(port) as publish, opened(f"mqtt://127.0.0.1:{port}/meter") as line:
        assert await line.receive(now_s() + 0.1) is None
        await publish(b"unheard")
        await asyncio.sleep(0.4)
        arrived, _ = await asyncio.gather(line.receive(now_s() + 20), publish(b"heard"))
        assert arrived.payload == b"heard"


async def test_a_broker_that_goes_is_a_line_that_is_gone(
    broker: tuple[int, asyncio.subprocess.Process],
) -> None:
    port, process = broker
    url = f"mqtt://127.0.0.1:{port}/meter"
    async with opened(url) as line:
        assert await line.receive(now_s() + 0.1) is None
        process.kill()
        await process.wait()
        with pytest.raises(LineError, match=rf"^{url}: .* — check the broker"):
            await line.receive(now_s() + 20)
    async with opened(url) as line:
        with pytest.raises(LineError, match=r"refused|Connect call failed"):
            await line.receive(now_s() + 20, {"username": "meter", "password": "S3cret"})
