"""One connection to an MQTT broker, for whoever publishes or subscribes.

paho-mqtt speaks MQTT 5 or 3.1.1; the network is asyncio's, so that neither connecting nor the TLS
handshake stops the daemon, and no thread of paho's is needed: it accepts any object with a socket's
recv, send and close (its SocketLike), and `Wire` is one over an asyncio transport. paho is imported
when the first connection is made: it costs 0.7 MB.

It sees only packets that may come (`mqtt_packets`). What does not belong there ends the connection:

    OSError
      ├─ BrokerRefused     the broker answered, and does not want us
      │    └─ OldBroker    it does not speak MQTT 5
      ├─ NoWelcome         it closed the connection without a word
      ├─ NotAsBroker       what came is nothing that a broker may send
      │    └─ Flood        far more came than was to be expected
      └─ …                 the network's and TLS's own
"""

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from drivers.net.dialling import dial
from drivers.net.mqtt_packets import Conversation, Flood, NotAsBroker, SpeaksTls
from drivers.net.tls_words import no_tls_there

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

_TAKEN_OVER = 0x8E
"""MQTT 5: another client came with our id."""

_ENVELOPE_BYTES = 16
"""More than a PUBLISH has beside its topic and its payload."""


_TLS_THERE = "does this port speak TLS? 8883 does mostly, 1883 does not"
_NO_TLS_THERE = "does this port want TLS? 8883 does mostly, 1883 does not"

__all__ = [
    "Broker",
    "BrokerRefused",
    "Flood",
    "Message",
    "MqttConnection",
    "NoWelcome",
    "NotAsBroker",
    "OldBroker",
    "TooLong",
    "why_not",
]


class BrokerRefused(OSError):
    """The broker answered, and does not want us: wrong login, not allowed."""


class OldBroker(BrokerRefused):
    """The broker does not speak MQTT 5."""


class NoWelcome(ConnectionError):
    """The broker closed the connection instead of welcoming us; an old one does that to MQTT 5."""


class TooLong(Exception):
    """A message is longer than the broker takes; it was not sent."""


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
    mqtt5: bool = False
    """Whether to speak MQTT 5, in which the broker says what it does not take, and why."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published. A retained one stays with the broker, for those who come later."""

    topic: str
    payload: bytes
    retained: bool = False


class MqttConnection:
    """An open connection. Whoever has it calls `turn` again and again: nothing happens between.

    `received` is given every message; `acknowledged` the number of each that the broker has,
    `refused` that of each that it does not take, and why (MQTT 5).
    """

    def __init__(
        self,
        client: "Client",
        wire: "Wire",
        broker: Broker,
        received: Callable[[Message], None] | None,
        acknowledged: Callable[[int], None] | None,
        refused: Callable[[int, str], None] | None,
    ) -> None:
        """Use `connect`."""
        self._client = client
        self._wire = wire
        self._broker = broker
        self._received = received
        self._acknowledged = acknowledged
        self._refused = refused
        self._max_message_bytes: int | None = None
        self.max_unacknowledged: int | None = None
        """How many messages the broker lets wait for its answer, where it says so."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
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
        refused: Callable[[int, str], None] | None = None,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        many: bool = False,
    ) -> Self:
        """A connection that the broker has welcomed. `will` is what it publishes once it misses us.
        `many`: any number of messages is to be expected, with QoS 1 as well.

        All addresses of the host are tried, each a moment after the one before. Raises OSError (of
        which TimeoutError, ssl.SSLError, BrokerRefused and NotAsBroker are kinds).
        """
        client = _client(broker)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retained)

        wire: Wire | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                loop = asyncio.get_running_loop()
                _, wire = await loop.create_connection(
                    lambda: Wire(max_packet_bytes, many=many),
                    sock=await dial(broker.host, broker.port),
                    ssl=broker.tls,
                    server_hostname=broker.host if broker.tls else None,
                )
                connection = cls(client, wire, broker, received, acknowledged, refused)
                _hand_over(client, wire, broker)
                while not client.is_connected():
                    await connection.turn(CONNECT_S)
                return connection
        except BaseException as error:
            if wire is not None:
                wire.abort()
            why = why_not(error, broker, is_open=wire is not None)
            if why is error:
                raise
            raise why from error

    @property
    def busy(self) -> bool:
        """Whether what has been published has not been handed to the network yet."""
        return self._client.want_write()

    def wake(self) -> None:
        """Let the `turn` that waits go on: there is something to publish."""
        self._wire.something_to_do.set()

    def publish(self, message: Message, qos: int = 1) -> int:
        """Publish; gives the number by which it will be acknowledged, where it is with QoS 1.
        Raises OSError, or TooLong.
        """
        limit = self._max_message_bytes
        size = len(message.topic.encode()) + len(message.payload) + _ENVELOPE_BYTES
        if limit is not None and size > limit:
            raise TooLong(f"{size} bytes, and the broker takes {limit}")

        info = self._client.publish(message.topic, message.payload, qos, message.retained)
        self._check(info.rc)
        return info.mid

    def subscribe(self, topic: str, qos: int = 0) -> None:
        """Ask for what is published under a topic. Raises OSError; a broker that does not allow it
        says so in a later `turn`.
        """
        self._check(self._client.subscribe(topic, qos)[0])

    async def turn(self, patience_s: float = LOOK_S) -> None:
        """Wait until there is something to do, `patience_s` at most, and do it. Raises OSError
        where the connection is gone.
        """
        wire = self._wire
        # A broker that always has something to say must not keep the loop from the others.
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await wire.something_to_do.wait()
        wire.something_to_do.clear()
        self.work()

    def work(self) -> None:
        """Do what there is to do, without waiting: `mqtt_packets` bounds it. Raises OSError where
        the connection is gone.
        """
        while self._wire.has_packets or self._wire.lost:
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
        self, _client: "Client", _userdata: object, _flags: object, reason: Any, properties: Any
    ) -> None:
        """Raises BrokerRefused where the broker's welcome is none."""
        if reason.is_failure and self._broker.mqtt5 and "protocol version" in str(reason):
            raise OldBroker("the broker does not speak MQTT 5")
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker refuses us: {reason}; check {self._broker.login_from}, and what the "
                "broker allows that user"
            )
        self._max_message_bytes = getattr(properties, "MaximumPacketSize", None)
        self.max_unacknowledged = getattr(properties, "ReceiveMaximum", None)

    def _on_disconnect(
        self, _client: object, _userdata: object, flags: Any, reason: Any, _properties: object
    ) -> None:
        """The broker says goodbye, which it does in MQTT 5. Raises BrokerRefused."""
        if not flags.is_disconnect_packet_from_server:
            return
        remedy = ""
        if reason.value == _TAKEN_OVER:
            remedy = f" — {second_client(self._broker.client_id)}"
        raise BrokerRefused(f"the broker ended the connection: {reason}{remedy}")

    def _on_message(self, _client: "Client", _userdata: object, message: "MQTTMessage") -> None:
        """A message has come. Raises NotAsBroker where its topic is no text, as MQTT has it."""
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            raise NotAsBroker(
                "the broker sends a topic that is no text — is it a broker, and well?"
            ) from error
        if self._received is not None:
            self._received(Message(topic, bytes(message.payload), message.retain))

    def _on_publish(
        self, _client: "Client", _userdata: object, mid: int, _reason: object, _properties: object
    ) -> None:
        why = self._wire.refusal(mid)
        if why and self._refused is not None:
            self._refused(mid, why)
        elif self._acknowledged is not None:
            self._acknowledged(mid)

    def _check(self, result: int) -> None:
        """Raises OSError where paho's result code is an error."""
        from paho.mqtt.client import error_string
        from paho.mqtt.enums import MQTTErrorCode

        if self._wire.lost and not self._wire.has_packets:
            raise self._wire.error()
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionError(error_string(MQTTErrorCode(result)))


class Wire(asyncio.Protocol):
    """An asyncio transport that looks like a non-blocking socket to paho."""

    def __init__(self, max_packet_bytes: int, *, many: bool = False) -> None:
        self.lost = False
        self.something_to_do = asyncio.Event()
        self._conversation = Conversation(max_packet_bytes, many)
        self._max_waiting_bytes = max_packet_bytes
        self._reading = bytearray()
        """The packet that paho reads now."""
        self._why: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._over = asyncio.Event()

    @property
    def has_packets(self) -> bool:
        """Whether whole packets wait."""
        return bool(self._reading or self._conversation.whole)

    def refusal(self, number: int) -> str:
        """Why the broker does not take what was published under that number; empty where it
        does.
        """
        return self._conversation.refusals.pop(number, "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self.lost:
            return
        try:
            self._conversation.hear(data, asyncio.get_running_loop().time())
        except NotAsBroker as error:
            self._why, self.lost = error, True
            self._transport.abort()
        # What comes next waits in the kernel, and then with the broker, until this is worked off.
        if self._conversation.waiting_bytes > self._max_waiting_bytes:
            self._transport.pause_reading()
        self.something_to_do.set()

    def resume_writing(self) -> None:
        self.something_to_do.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._why = self._why or exc
        self._over.set()
        self.something_to_do.set()

    def recv(self, size: int) -> bytes:
        if not self._reading:
            self._reading += self._conversation.take()
        if not self._reading and not self.lost:
            raise BlockingIOError
        data = bytes(self._reading[:size])
        del self._reading[:size]
        if self._transport is not None and not self.lost and not self.has_packets:
            self._transport.resume_reading()
        return data

    def send(self, data: bytes | bytearray) -> int:
        assert self._transport is not None
        if self.lost:
            raise self.error()
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise BlockingIOError
        self._conversation.said(bytes(data))
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
        reset = isinstance(self._why, (ConnectionResetError, BrokenPipeError))
        if isinstance(self._why, OSError) and not reset:
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


def _client(broker: Broker) -> "Client":
    with _asking_for_no_proxy():
        from paho.mqtt.client import Client, MQTTv5, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

    client = Client(
        CallbackAPIVersion.VERSION2,
        broker.client_id,
        protocol=MQTTv5 if broker.mqtt5 else MQTTv311,
        reconnect_on_failure=False,
    )
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    return client


@contextlib.contextmanager
def _asking_for_no_proxy() -> Iterator[None]:
    """While paho is imported: it imports `urllib.request`, with `http.client` and `email`, to look
    for a proxy when it connects, which it leaves to us. That would keep 1.7 MB of the memory.
    """
    name = "urllib.request"
    stands_in = sys.modules.setdefault(name, ModuleType(name))
    try:
        yield
    finally:
        if stands_in.__spec__ is None:
            sys.modules.pop(name, None)


def _hand_over(client: "Client", wire: Wire, broker: Broker) -> None:
    """Let paho begin on a connection that exists already: it asks this method for its socket (the
    one private name of paho's we use).
    """
    client._create_socket = lambda: wire  # type: ignore[method-assign]
    client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)


def second_client(client_id: str) -> str:
    """What to ask where a broker ends one connection after the other."""
    return (
        f"does another program connect with the client id {client_id}? Each gateway needs a site "
        "name of its own"
    )


def why_not(error: BaseException, broker: Broker, *, is_open: bool) -> BaseException:
    """Why no connection came about, in words that help."""
    if isinstance(error, TimeoutError):
        return TimeoutError(f"no answer in {CONNECT_S:g} s")
    if isinstance(error, socket.gaierror):
        return ConnectionError(
            f"the name {broker.host!r} is not known ({error.strerror}) — check it, or write the "
            "address in numbers"
        )
    if broker.tls is not None and not is_open and (words := no_tls_there(error)):
        return ConnectionError(f"{words}; {_TLS_THERE}")
    if isinstance(error, SpeaksTls):
        return NotAsBroker(f"{error}; {_NO_TLS_THERE}")
    if isinstance(error, ConnectionError) and is_open and not isinstance(error, NotAsBroker):
        hint = "" if broker.tls else f"; {_NO_TLS_THERE}"
        return NoWelcome(f"the broker closed the connection without a welcome{hint}")
    return error


def _subscribed(
    _client: object, _userdata: object, _mid: int, reasons: Iterable[Any], _properties: object
) -> None:
    """paho's on_subscribe. Raises BrokerRefused where we may not listen."""
    for reason in reasons:
        if reason.is_failure:
            raise BrokerRefused(
                f"the broker does not let us subscribe: {reason}; check what it allows this user"
            )
