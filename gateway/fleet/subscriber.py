"""The collector's connection to its broker: MQTT 3.1.1, and of that only what a collector needs.

It subscribes to the topics of ten thousand homes, acknowledges to the broker at once, and publishes
with QoS 0. A client for every purpose takes several times as long for each message, and messages
are what a collector's processor time goes into. Nothing is kept here: what came is handed over
before it is acknowledged, and what cannot be written at once is not published.

What a broker may not send ends the connection; errors are those of `drivers.net.mqtt`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Self

from drivers.net.dialling import dial
from drivers.net.mqtt import CONNECT_S, KEEPALIVE_S, Broker, BrokerRefused, NotAsBroker, why_not
from drivers.net.mqtt_packets import SpeaksTls

MAX_UNSENT_BYTES = 1 << 20
"""Words to gateways that the network has not taken yet."""
GOODBYE_S = 1.0

REST_S = 0.03
"""Between two looks at what came, while it is little. A look, its acknowledgement and the broker's
look at that cost more than the message that came, and homes publish one by one.
"""
MANY_MESSAGES, MANY_BYTES = 16, 64_000
"""So much at one look is not little: brokers have twenty messages under way (mosquitto)."""
BUSY_S = 0.05
"""For so long after that, each look follows the one before."""

_CONNACK, _PUBLISH, _SUBACK, _PINGRESP = 2, 3, 9, 13
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"
_PUBACK = b"\x40\x02"
_TLS_ALERT = 0x15
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    3: "it is not available",
    4: "wrong username or password",
    5: "not authorized",
}
"""Of MQTT 3.1.1, section 3.2.2.3."""


class NotGranted(BrokerRefused):
    """The broker lets us in, and does not let us subscribe."""


Received = Callable[[str, bytes], None]
"""Is given the topic and the payload of each message; must not raise."""


class Subscriber(asyncio.Protocol):
    """One connection that the broker has welcomed, and that hears what it asked for."""

    def __init__(self, broker: Broker, received: Received, max_packet_bytes: int) -> None:
        """Use `connect`."""
        self._broker = broker
        self._received = received
        self._max_packet_bytes = max_packet_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._welcome: asyncio.Future[None] = self._loop.create_future()
        self._granted: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._heard_s = self._loop.time()
        self._busy_until_s = 0.0
        self._messages = 0

    @classmethod
    async def connect(
        cls, broker: Broker, topics: Sequence[str], received: Received, max_packet_bytes: int
    ) -> Self:
        """A connection over which messages of these topics come, with QoS 1. Raises OSError, of
        which BrokerRefused and NotAsBroker are kinds.
        """
        subscriber: Self | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                _, subscriber = await asyncio.get_running_loop().create_connection(
                    lambda: cls(broker, received, max_packet_bytes),
                    sock=await dial(broker.host, broker.port),
                    ssl=broker.tls,
                    server_hostname=broker.host if broker.tls else None,
                )
                subscriber._write(_connect_packet(broker))
                await subscriber._until(subscriber._welcome)
                subscriber._write(_subscribe_packet(topics))
                await subscriber._until(subscriber._granted)
                return subscriber
        except BaseException as error:
            if subscriber is not None:
                subscriber.abort()
            why = why_not(error, broker, is_open=subscriber is not None)
            if why is error:
                raise
            raise why from error

    @property
    def busy(self) -> bool:
        """Whether the network has yet to take what was published before."""
        return self._transport is None or self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES

    @property
    def rests(self) -> bool:
        """Whether it waits a moment until more has come."""
        return self._transport is not None and not self._transport.is_reading()

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send topics and payloads with QoS 0: nobody says whether they came."""
        out = bytearray()
        for topic, payload in messages:
            name = topic.encode()
            size = 2 + len(name) + len(payload)
            out += b"\x30%b%b%b%b" % (_length(size), len(name).to_bytes(2, "big"), name, payload)
        self._write(out)

    async def run(self, alive: Callable[[], None]) -> None:
        """Until the connection is gone, which raises OSError. `alive` is called every few seconds
        for as long as the broker answers.
        """
        while True:
            silent_s = self._loop.time() - self._heard_s
            if silent_s > 2 * KEEPALIVE_S:
                raise TimeoutError(f"the broker has said nothing for {silent_s:.0f} s")
            alive()
            self._write(_PINGREQ)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE_S / 2):
                    await asyncio.shield(self._closed)
                raise ConnectionError("the broker closed the connection")

    async def end(self) -> None:
        """Say goodbye, and let what was written go out for a moment."""
        if self._transport is not None and not self._closed.done():
            self._write(_DISCONNECT)
            self._transport.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await asyncio.shield(self._closed)
        self.abort()

    def abort(self) -> None:
        """Be gone at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed.done():
            return
        if isinstance(exc, NotAsBroker | BrokerRefused):
            self._closed.set_exception(exc)
            self._closed.exception()  # whoever waits is told; nobody may
        else:
            self._closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        before = self._messages
        try:
            self._hear(data)
        except (NotAsBroker, BrokerRefused) as error:
            if not self._closed.done():
                self._closed.set_exception(error)
                self._closed.exception()
            self.abort()
        if self._messages > before:
            self._rest_from(self._messages - before, len(data))

    def _rest_from(self, messages: int, size: int) -> None:
        """Look again when more has come."""
        if messages >= MANY_MESSAGES or size >= MANY_BYTES:
            self._busy_until_s = self._heard_s + BUSY_S
        if self._heard_s >= self._busy_until_s and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(REST_S, self._transport.resume_reading)

    def _hear(self, data: bytes) -> None:
        """Work off all whole packets. Raises NotAsBroker, BrokerRefused."""
        self._heard_s = self._loop.time()
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
        if not self._welcome.done() and data[0] >> 4 != _CONNACK:
            if data[0] == _TLS_ALERT:
                raise SpeaksTls("it speaks TLS")
            raise NotAsBroker(
                f"what answers is no MQTT broker: it begins with {data[:16]!r} — check host and "
                "port"
            )
        at, acks = 0, bytearray()
        try:
            while True:
                # The length of a packet is of one to four bytes (section 2.2.3).
                size = shift = n = 0
                for n in range(at + 1, at + 5):
                    if n >= len(data):
                        return
                    size |= (data[n] & 0x7F) << shift
                    if data[n] < 0x80:
                        break
                    shift += 7
                else:
                    raise NotAsBroker("what came is not MQTT — check host and port")
                if size > self._max_packet_bytes:
                    raise NotAsBroker(f"the broker announces a packet of {size} bytes")
                begin, end = n + 1, n + 1 + size
                if end > len(data):
                    return
                if data[at] >> 4 == _PUBLISH and self._welcome.done():
                    acks += self._message(data[at], data, begin, end)
                else:
                    self._answer(data[at], data[begin:end])
                at = end
        finally:
            self._rest = bytearray(data[at:]) if at < len(data) else bytearray()
            if acks:
                self._write(acks)

    def _message(self, head: int, data: bytes, begin: int, end: int) -> bytes:
        """A message of ours; gives the acknowledgement that it asks for."""
        named = begin + 2 + int.from_bytes(data[begin : begin + 2], "big")
        told = named + 2 if head & 0b110 else named
        if told > end or head & 0b100:
            raise NotAsBroker("the broker sends a message that is none — is it a broker, and well?")
        try:
            topic = data[begin + 2 : named].decode()
        except UnicodeDecodeError as error:
            raise NotAsBroker(
                "the broker sends a topic that is no text — is it a broker, and well?"
            ) from error
        self._messages += 1
        self._received(topic, data[told:end])
        return _PUBACK + data[named:told] if told > named else b""

    def _answer(self, head: int, body: bytes) -> None:
        kind = head >> 4
        if not self._welcome.done():
            if kind != _CONNACK or len(body) != 2:
                raise NotAsBroker("what answers is no MQTT broker — check host and port")
            if body[1]:
                why = _REFUSALS.get(body[1], f"reason {body[1]}")
                raise BrokerRefused(
                    f"the broker refuses us: {why}; check {self._broker.login_from}, and what the "
                    "broker allows that user"
                )
            self._welcome.set_result(None)
        elif kind == _SUBACK and not self._granted.done():
            if any(code >= 0x80 for code in body[2:]):
                raise NotGranted(
                    "the broker does not let us subscribe; check what it allows this user"
                )
            self._granted.set_result(None)
        elif kind != _PINGRESP:
            raise NotAsBroker(
                f"the broker sends what was never asked for (a packet of type {kind}) — is it a "
                "broker, and well?"
            )

    async def _until(self, answered: asyncio.Future[None]) -> None:
        """Wait for an answer. Raises OSError where the connection ends before."""
        await asyncio.wait((answered, self._closed), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            self._closed.result()
            raise ConnectionResetError("the broker closed the connection")

    def _write(self, data: bytes | bytearray) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(data))


def _connect_packet(broker: Broker) -> bytes:
    flags, fields = 0x02, [broker.client_id]  # a clean session
    if broker.username is not None:
        flags |= 0x80
        fields.append(broker.username)
        if broker.password is not None:
            flags |= 0x40
            fields.append(broker.password)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + KEEPALIVE_S.to_bytes(2, "big")
    body += b"".join(map(_text, fields))
    return b"\x10" + _length(len(body)) + body


def _subscribe_packet(topics: Sequence[str]) -> bytes:
    body = b"\x00\x01" + b"".join(_text(topic) + b"\x01" for topic in topics)
    return b"\x82" + _length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    digits = bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(digits)
