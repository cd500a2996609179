"""The collector's own MQTT, against a broker that says anything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from drivers.net.mqtt import Broker, BrokerRefused, NotAsBroker
from gateway.fleet.subscriber import MANY_MESSAGES, NotGranted, Subscriber
from tests.serving import serving

CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x01"


def publish(topic: bytes, payload: bytes, number: int = 7) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + payload
    size, length = len(body), bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        length.append(digit | (0x80 if size else 0))
        if not size:
            return b"\x32" + bytes(length) + body


@contextlib.asynccontextmanager
async def broker(
    welcome: bytes, granted: bytes = SUBACK, then: bytes = b"", piece: int = 1 << 20
) -> AsyncIterator[tuple[Broker, bytearray]]:
    """It answers with these bytes, in pieces, and notes what it hears after the subscription."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(welcome)
        await reader.read(1000)
        data = granted + then
        for at in range(0, len(data), piece):
            writer.write(data[at : at + piece])
            await writer.drain()
            if piece < 100:
                await asyncio.sleep(0)
        while data := await reader.read(1000):
            heard.extend(data)

    async with serving(serve) as port:
        yield Broker("127.0.0.1", port, client_id="c"), heard


async def connect(at: Broker, came: list[tuple[str, bytes]]) -> Subscriber:
    return await Subscriber.connect(at, ["mg/+"], lambda t, p: came.append((t, p)), 100_000)


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
async def test_messages_come_whole_however_they_are_cut_and_each_is_acknowledged(
    piece: int,
) -> None:
    sent = [(f"mg/{n}", bytes([n]) * (n * 40)) for n in range(12)]
    data = b"".join(publish(t.encode(), p, 300 + n) for n, (t, p) in enumerate(sent))
    came: list[tuple[str, bytes]] = []
    async with broker(CONNACK, then=data, piece=piece) as (at, heard):
        subscriber = await connect(at, came)
        acks = b"".join(b"\x40\x02" + (300 + n).to_bytes(2, "big") for n in range(12))
        async with asyncio.timeout(30):
            while len(heard) < len(acks):
                await asyncio.sleep(0.01)
        assert came == sent
        assert bytes(heard) == acks
        subscriber.publish([("mg/a", b"x" * 200)])
        async with asyncio.timeout(30):
            while not heard.endswith(b"x" * 200):
                await asyncio.sleep(0.01)
        assert heard[len(acks) :] == b"\x30\xce\x01\x00\x04mg/a" + b"x" * 200
        await subscriber.end()


@pytest.mark.parametrize(("messages", "rests"), [(1, True), (MANY_MESSAGES, False)])
async def test_after_little_it_looks_again_when_more_has_come(messages: int, rests: bool) -> None:
    came: list[bool] = []

    def received(_topic: str, _payload: bytes) -> None:
        # Whether it goes on listening shows once it is through with what came.
        asyncio.get_running_loop().call_soon(lambda: came.append(subscriber.rests))

    data = b"".join(publish(b"mg/1", b"x", n) for n in range(messages))
    async with broker(CONNACK, granted=SUBACK) as (at, heard), asyncio.timeout(30):
        subscriber = await Subscriber.connect(at, ["mg/+"], received, 100_000)
        subscriber.data_received(data)
        while len(heard) < 4 * messages:
            await asyncio.sleep(0.001)
        assert came == [rests] * messages
        while subscriber.rests:
            await asyncio.sleep(0.001)
        await subscriber.end()


async def test_what_is_retained_may_come_before_the_subscription_is_granted() -> None:
    came: list[tuple[str, bytes]] = []
    async with broker(CONNACK, granted=publish(b"mg/1", b"on") + SUBACK) as (at, _):
        (await connect(at, came)).abort()
    assert came == [("mg/1", b"on")]


@pytest.mark.parametrize(
    ("welcome", "granted", "error", "words"),
    [
        (b"\x20\x02\x00\x04", b"", BrokerRefused, "wrong username or password"),
        (b"\x20\x02\x00\x05", b"", BrokerRefused, "not authorized"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", NotAsBroker, "no MQTT broker"),
        (b"\x15\x03\x03\x00\x02\x02\x28", b"", NotAsBroker, "does this port want TLS"),
        (b"\x20\xff\xff\xff\xff\x01", b"", NotAsBroker, "is not MQTT"),
        (CONNACK, b"\x90\x03\x00\x01\x80", NotGranted, "does not let us subscribe"),
        (CONNACK, b"\x30\xff\xff\x7f" + b"x", NotAsBroker, "packet of 2097151 bytes"),
        (CONNACK, b"\x32\x04\x00\x09ab", NotAsBroker, "a message that is none"),
        (CONNACK, b"\x30\x04\x00\x02\xff\xfe", NotAsBroker, "no text"),
        (CONNACK, b"\x40\x02\x00\x01", NotAsBroker, "never asked for"),
    ],
)
async def test_a_broker_that_is_none_or_refuses_is_left_with_words(
    welcome: bytes, granted: bytes, error: type[OSError], words: str
) -> None:
    came: list[tuple[str, bytes]] = []
    async with broker(welcome, granted) as (at, _):
        with pytest.raises(error, match=words):
            await connect(at, came)
    assert came == []


async def test_a_broker_that_goes_away_or_talks_nonsense_later_ends_the_connection() -> None:
    for then, words in ((b"\xf0\x00", "never asked for"), (b"", "closed the connection")):
        async with broker(CONNACK, SUBACK, then) as (at, _):
            try:
                subscriber = await connect(at, [])
            except NotAsBroker as error:  # it came together with the grant
                assert words in str(error)
                continue
            if not then:
                asyncio.get_running_loop().call_later(0.1, subscriber.abort)
            with pytest.raises(OSError, match=words):
                async with asyncio.timeout(30):
                    await subscriber.run(lambda: None)
