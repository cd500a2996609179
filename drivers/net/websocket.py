"""A websocket's client side (RFC 6455): wsproto over asyncio's network. Shell.

It is for what a server tells by itself. Nothing is sent but the answers to its pings, and pings of
our own, so that a connection that is dead without a word is noticed.

    WebsocketError
      ├─ HandshakeRefused   the server answered with another status than 101
      └─ WebsocketClosed    the connection was closed, lost, or spoke another protocol
"""

import asyncio
from collections.abc import Mapping
from typing import Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from drivers.net.http_wire import Wire

PING_AFTER_S = 45.0
"""After so long a silence the server is asked whether it is there."""

ANSWER_WITHIN_S = 20.0
"""So long it may be silent after that."""

EVENTS_PER_TURN = 64
"""Frames that are looked at before the others in this process have their turn."""

_MAX_REASON_CHARS = 100


class WebsocketError(Exception):
    """There is no connection. The text is for a person."""


class HandshakeRefused(WebsocketError):
    """The server answered, and there is no websocket for us."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"the websocket's handshake was answered with {status}")
        self.status = status
        self.headers = headers


class WebsocketClosed(WebsocketError):
    """It was there, and is not any more."""


class WebSocket:
    """One open connection. `receive` what comes."""

    def __init__(self, wire: Wire, max_bytes: int) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._message = bytearray()
        self._is_too_long = False
        self.too_long = 0
        """Messages beyond `max_bytes`, which were dropped."""

    @classmethod
    async def open(
        cls, wire: Wire, host: str, target: str, headers: Mapping[str, str], max_bytes: int
    ) -> Self:
        """Shake hands over a connection that is there; whatever goes wrong, it is closed then. Of
        longer messages than `max_bytes` nothing is kept. The caller has the deadline. Raises
        WebsocketError.
        """
        socket = cls(wire, max_bytes)
        extra = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        try:
            socket._send(Request(host=host, target=target, extra_headers=extra))
            await socket._shake_hands()
        except BaseException:
            wire.abort()
            raise
        return socket

    async def receive(self) -> bytes:
        """The next whole message, binary or text. Raises WebsocketClosed."""
        try:
            while True:
                for n, event in enumerate(self._protocol.events(), 1):
                    message = self._take(event)
                    if message is not None:
                        return message
                    if n % EVENTS_PER_TURN == 0:
                        await asyncio.sleep(0)
                await self._read_more()
        except (OSError, ProtocolError) as error:
            raise WebsocketClosed(_words(error)) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.end()

    async def _shake_hands(self) -> None:
        try:
            while True:
                for event in self._protocol.events():
                    if isinstance(event, AcceptConnection):
                        return
                    if isinstance(event, RejectConnection):
                        raise HandshakeRefused(event.status_code, _joined(event.headers))
                    raise WebsocketClosed("the server broke off the handshake")
                await self._receive_data()
        except (OSError, ProtocolError) as error:
            raise WebsocketClosed(_words(error)) from error

    async def _read_more(self) -> None:
        """Whatever comes next. A server that is silent is asked whether it is there."""
        try:
            async with asyncio.timeout(PING_AFTER_S):
                await self._receive_data()
            return
        except TimeoutError:
            self._send(Ping())
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._receive_data()
        except TimeoutError:
            self._wire.abort()
            silent_s = PING_AFTER_S + ANSWER_WITHIN_S
            raise WebsocketClosed(f"it was silent for {silent_s:g} s") from None

    async def _receive_data(self) -> None:
        data = await self._wire.read()
        if not data:
            raise WebsocketClosed("the server closed the connection")
        self._protocol.receive_data(data)

    def _take(self, event: Event) -> bytes | None:
        """One event of the protocol. Returns a message once it is whole."""
        if isinstance(event, Ping):
            self._send(event.response())
            return None
        if isinstance(event, CloseConnection):
            reason = f"{event.code} {event.reason or ''}".strip()[:_MAX_REASON_CHARS]
            raise WebsocketClosed(f"the server closed it ({reason})")
        if not isinstance(event, BytesMessage | TextMessage):
            return None

        part = event.data if isinstance(event.data, bytes | bytearray) else event.data.encode()
        self._is_too_long |= len(self._message) + len(part) > self._max_bytes
        if self._is_too_long:
            self._message.clear()
        else:
            self._message += part
        if not event.message_finished:
            return None

        message, self._message = bytes(self._message), bytearray()
        if self._is_too_long:
            self._is_too_long = False
            self.too_long += 1
            return None
        return message

    def _send(self, event: Event) -> None:
        self._wire.write(self._protocol.send(event))


def _joined(headers: object) -> dict[str, str]:
    """The headers of a refusal by their names, in lower case."""
    pairs = headers if isinstance(headers, list) else []
    return {
        name.decode("latin-1").lower(): value.decode("latin-1", "replace") for name, value in pairs
    }


def _words(error: BaseException) -> str:
    return f"the connection was lost: {str(error) or type(error).__name__}"
