"""One MQTT connection: paho-mqtt over asyncio's network. Shell.

paho-mqtt speaks MQTT 3.1.1; the network is asyncio's, so that neither connecting nor the TLS
handshake stops the daemon, and no thread of paho's is needed: it accepts any object with a socket's
recv, send and close (its SocketLike), and `Wire` is one over an asyncio transport.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paho.mqtt.client import Client

MAX_PACKET_BYTES = 4096
"""We subscribe to nothing, so the broker has nothing long to say."""
MAX_UNSENT_BYTES = 64 * 1024
KEEPALIVE_S = 30
GOODBYE_S = 1.0


class BrokerRefused(OSError):
    """The broker answered, and does not want us: wrong login, not allowed."""


class Wire(asyncio.Protocol):
    """An asyncio transport that looks like a non-blocking socket to paho."""

    def __init__(self, something_to_do: asyncio.Event) -> None:
        self.received = bytearray()
        self.lost = False
        self._why: Exception | None = None
        self._something_to_do = something_to_do
        self._transport: asyncio.Transport | None = None
        self._over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > MAX_PACKET_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._something_to_do.set()

    def resume_writing(self) -> None:
        self._something_to_do.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._why = exc
        self._over.set()
        self._something_to_do.set()

    def recv(self, size: int) -> bytes:
        if size > MAX_PACKET_BYTES:
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
        return (
            self._why
            if isinstance(self._why, OSError)
            else ConnectionError("the broker closed the connection")
        )

    async def end(self) -> None:
        """Let what was written go out, for a moment, and be gone."""
        assert self._transport is not None
        self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._over.wait()
        self._transport.abort()


def hand_over(client: "Client", wire: Wire, host: str, port: int) -> None:
    """Let paho begin on a connection that exists already: it asks this method for its socket (the
    one private name of paho's we use).
    """
    client._create_socket = lambda: wire  # type: ignore[method-assign]
    client.connect(host, port, keepalive=KEEPALIVE_S)


def refusal(
    _client: object, _userdata: object, _flags: object, reason: Any, _properties: object
) -> None:
    """paho's on_connect. Raises BrokerRefused where the broker's welcome is none."""
    if reason.is_failure:
        raise BrokerRefused(
            f"the broker refuses us: {reason}; check mqtt.credentials, and what the broker "
            "allows that user"
        )


def check(result: int, wire: Wire) -> None:
    """Raises OSError where paho's result code is an error."""
    from paho.mqtt.client import error_string
    from paho.mqtt.enums import MQTTErrorCode

    if wire.lost and not wire.received:
        raise wire.error()
    if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise ConnectionError(error_string(MQTTErrorCode(result)))
