"""The server side of one websocket of the simulated exchange (RFC 6455): wsproto over asyncio's
streams. It tells, and hears nothing but pings and the end.
"""

import asyncio
from collections.abc import Mapping

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Who reads so much slower than it is told is hung up on."""

READ_BYTES = 16 * 1024
_GOING_AWAY = 1001


class ServerWebSocket:
    """One websocket whose handshake has come in. Raises RemoteProtocolError where that is none."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: str,
        headers: Mapping[str, str],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._protocol.initiate_upgrade_connection(
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            target,
        )
        for event in self._protocol.events():
            if isinstance(event, Request):
                self._send(AcceptConnection())

    def tell(self, message: bytes | str) -> None:
        """Send one whole message: bytes in a binary frame, text in a text frame."""
        if self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self._writer.transport.abort()
        elif isinstance(message, str):
            self._send(TextMessage(message))
        else:
            self._send(BytesMessage(message))

    async def serve(self) -> None:
        """Until the client has gone."""
        while data := await self._reader.read(READ_BYTES):
            try:
                self._protocol.receive_data(data)
                for event in self._protocol.events():
                    if self._heard(event):
                        return
            except RemoteProtocolError as error:
                if error.event_hint is not None:
                    self._send(error.event_hint)
                return

    def close(self) -> None:
        """Say that it ends. The connection is the caller's."""
        self._send(CloseConnection(_GOING_AWAY))

    def _heard(self, event: Event) -> bool:
        """Whether that was the end."""
        if isinstance(event, Ping):
            self._send(Pong(event.payload))
        if isinstance(event, CloseConnection):
            self._send(event.response())
            return True
        return False

    def _send(self, event: Event) -> None:
        self._writer.write(self._protocol.send(event))
