"""One connection to an MQTT broker, for whoever publishes or subscribes.

paho-mqtt speaks MQTT 3.1.1; the network is asyncio's, so that neither connecting nor the TLS
handshake stops the daemon, and no thread of paho's is needed: it accepts any object with a socket's
recv, send and close (its SocketLike), and `Wire` is one over an asyncio transport. paho is imported
when the first connection is made: it costs 2 MB.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

CONNECT_S = 15.0
"""Time for DNS, TCP, TLS and the broker's welcome together."""

KEEPALIVE_S = 30

LOOK_S = 10.0
"""Time between two looks at the keepalive: a half-open connection is found within 70 seconds."""

GOODBYE_S = 1.0

MAX_PACKET_BYTES = 4096
"""Of one packet from the broker, for whoever subscribes to nothing."""

MAX_UNSENT_BYTES = 64 * 1024


class BrokerRefused(OSError):
    """The broker answered, and does not want us: wrong login, not allowed."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and how it is spoken to. `tls` is what the connection trusts; None: no
    TLS.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    client_id: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    login_from: str = "the credentials"
    """Where a message sends whoever has to correct the login."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published. A retained one stays with the broker, for those who come later."""

    topic: str
    payload: bytes
    retained: bool = False


class MqttConnection:
    """An open connection. Whoever has it calls `turn` again and again: nothing happens between.

    `received` is given every message; `acknowledged` the number of each that the broker has.
    """

    def __init__(
        self,
        client: "Client",
        wire: "Wire",
        broker: Broker,
        received: Callable[[Message], None] | None,
        acknowledged: Callable[[int], None] | None,
    ) -> None:
        """Use `connect`."""
        self._client = client
        self._wire = wire
        self._login_from = broker.login_from
        self._received = received
        self._acknowledged = acknowledged
        client.on_connect = self._on_connect
        client.on_subscribe = _subscribed
        client.on_message = self._on_message
        client.on_publish = self._on_publish

    @classmethod
    async def connect(
        cls,
        broker: Broker,
        *,
        will: Message | None = None,
        received: Callable[[Message], None] | None = None,
        acknowledged: Callable[[int], None] | None = None,
        max_packet_bytes: int = MAX_PACKET_BYTES,
    ) -> Self:
        """A connection that the broker has welcomed. `will` is what it publishes once it misses us.

        Raises OSError (of which TimeoutError, ssl.SSLError and BrokerRefused are kinds).
        """
        client = _client(broker)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retained)

        wire: Wire | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                loop = asyncio.get_running_loop()
                _, wire = await loop.create_connection(
                    lambda: Wire(max_packet_bytes), broker.host, broker.port, ssl=broker.tls
                )
                connection = cls(client, wire, broker, received, acknowledged)
                _hand_over(client, wire, broker)
                while not client.is_connected():
                    await connection.turn(CONNECT_S)
                return connection
        except BaseException as error:
            if wire is not None:
                wire.abort()
            if isinstance(error, TimeoutError):
                raise TimeoutError(f"no answer in {CONNECT_S:g} s") from error
            if isinstance(error, (ConnectionError, ssl.SSLError)):
                raise _unwelcome(error, is_tls=broker.tls is not None) from error
            raise

    @property
    def busy(self) -> bool:
        """Whether what has been published has not been handed to the network yet."""
        return self._client.want_write()

    def wake(self) -> None:
        """Let the `turn` that waits go on: there is something to publish."""
        self._wire.something_to_do.set()

    def publish(self, message: Message) -> int:
        """Publish with QoS 1; gives the number by which it will be acknowledged. Raises OSError."""
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retained)
        self._check(info.rc)
        return info.mid

    def subscribe(self, topic: str) -> None:
        """Ask for what is published under a topic, with QoS 0. Raises OSError; a broker that does
        not allow it says so in a later `turn`.
        """
        self._check(self._client.subscribe(topic)[0])

    async def turn(self, patience_s: float = LOOK_S) -> None:
        """Wait until there is something to do, `patience_s` at most, and do it. Raises OSError
        where the connection is gone.
        """
        wire = self._wire
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await wire.something_to_do.wait()
        wire.something_to_do.clear()
        self.work()

    def work(self) -> None:
        """Do what there is to do, without waiting. Raises OSError where the connection is gone."""
        while self._wire.received or self._wire.lost:
            self._check(self._client.loop_read())
        self._check(self._client.loop_misc())
        if self._client.want_write():
            self._check(self._client.loop_write())

    async def end(self, last: Message | None = None) -> None:
        """Say goodbye, with a last message, and let what was written go out for a moment."""
        if self._client.is_connected() and not self._wire.lost:
            if last is not None:
                self._client.publish(last.topic, last.payload, retain=last.retained)
            self._client.disconnect()
        await self._wire.end()

    def abort(self) -> None:
        """Be gone at once; what was written may be lost."""
        self._wire.abort()

    def _on_connect(
        self, _client: "Client", _userdata: object, _flags: object, reason: Any, _props: object
    ) -> None:
        """Raises BrokerRefused where the broker's welcome is none."""
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker refuses us: {reason}; check {self._login_from}, and what the broker "
                "allows that user"
            )

    def _on_message(self, _client: "Client", _userdata: object, message: "MQTTMessage") -> None:
        if self._received is not None:
            self._received(Message(message.topic, bytes(message.payload), message.retain))

    def _on_publish(
        self, _client: "Client", _userdata: object, mid: int, _reason: object, _properties: object
    ) -> None:
        if self._acknowledged is not None:
            self._acknowledged(mid)

    def _check(self, result: int) -> None:
        """Raises OSError where paho's result code is an error."""
        from paho.mqtt.client import error_string
        from paho.mqtt.enums import MQTTErrorCode

        if self._wire.lost and not self._wire.received:
            raise self._wire.error()
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionError(error_string(MQTTErrorCode(result)))


class Wire(asyncio.Protocol):
    """An asyncio transport that looks like a non-blocking socket to paho."""

    def __init__(self, max_packet_bytes: int) -> None:
        self.received = bytearray()
        self.lost = False
        self.something_to_do = asyncio.Event()
        self._max_packet_bytes = max_packet_bytes
        self._why: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > self._max_packet_bytes and self._transport is not None:
            self._transport.pause_reading()
        self.something_to_do.set()

    def resume_writing(self) -> None:
        self.something_to_do.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._why = exc
        self._over.set()
        self.something_to_do.set()

    def recv(self, size: int) -> bytes:
        if size > self._max_packet_bytes:
            raise ConnectionError(f"the broker announces a packet of {size} bytes")
        if not self.received and not self.lost:
            raise BlockingIOError
        data = bytes(self.received[:size])
        del self.received[:size]
        if self._transport is not None and not self.lost:
            self._transport.resume_reading()
        return data

    def send(self, data: bytes | bytearray) -> int:
        assert self._transport is not None
        if self.lost:
            raise self.error()
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise BlockingIOError
        self._transport.write(data)
        return len(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def error(self) -> OSError:
        """Why the connection ended."""
        if isinstance(self._why, OSError):
            return self._why
        return ConnectionError("the broker closed the connection")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Let what was written go out, for a moment, and be gone."""
        self.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._over.wait()
        self.abort()


def _unwelcome(error: OSError, *, is_tls: bool) -> OSError:
    """What a connection says that ended before the broker's welcome. Whoever speaks TLS to a port
    without it, or the other way round, is mostly hung up on.
    """
    verifies = isinstance(error, ssl.SSLCertVerificationError)
    if verifies or isinstance(error, (BrokerRefused, ConnectionRefusedError)):
        return error

    said = str(error)
    if isinstance(error, ssl.SSLError):
        said = (error.reason or said).replace("_", " ").lower()
    elif error.errno:
        said = os.strerror(error.errno).lower()
    if is_tls:
        hint = "does this port speak TLS? 8883 does mostly, 1883 does not (tls: false)"
    else:
        hint = "does this port want TLS? 8883 does mostly (tls: true), 1883 does not"
    return ConnectionError(f"the connection ended before the broker's welcome ({said}); {hint}")


def _client(broker: Broker) -> "Client":
    from paho.mqtt.client import Client, MQTTv311
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(
        CallbackAPIVersion.VERSION2,
        broker.client_id,
        protocol=MQTTv311,
        reconnect_on_failure=False,
    )
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    return client


def _hand_over(client: "Client", wire: Wire, broker: Broker) -> None:
    """Let paho begin on a connection that exists already: it asks this method for its socket (the
    one private name of paho's we use).
    """
    client._create_socket = lambda: wire  # type: ignore[method-assign]
    client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)


def _subscribed(
    _client: object, _userdata: object, _mid: int, reasons: Iterable[Any], _properties: object
) -> None:
    """paho's on_subscribe. Raises BrokerRefused where we may not listen."""
    for reason in reasons:
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker does not let us subscribe: {reason}; check what it allows this user"
            )
