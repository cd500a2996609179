"""The network's side of an HTTP connection: what has come, within bounds. Shell."""

import asyncio
import contextlib
import ssl
from asyncio import sslproto
from typing import Self

from drivers.net.dialling import dial

READ_AHEAD_BYTES = 64 * 1024
"""Of what has come and was not looked at yet: beyond, the server has to wait."""

GOODBYE_S = 1.0

TLS_BUFFER_BYTES = 32 * 1024
"""What asyncio sets aside for each connection with TLS: two whole records (RFC 8446, section 5.1).
It would take 256 KiB, which is more than all else that a connection costs.
"""

sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


class Wire(asyncio.Protocol):
    """One connection, as bytes."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._is_over = False
        self._why: Exception | None = None
        self._has_news = asyncio.Event()
        self._closing: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None) -> Self:
        """An open one, with TLS where there is a context for it. Raises OSError."""
        _, wire = await asyncio.get_running_loop().create_connection(
            cls,
            sock=await dial(host, port),
            ssl=tls,
            server_hostname=host if tls else None,
            ssl_shutdown_timeout=GOODBYE_S if tls else None,
        )
        return wire

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """TLS with that host from now on, inside what is there. Raises OSError."""
        assert self._transport is not None
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, tls, server_hostname=host, ssl_shutdown_timeout=GOODBYE_S
        )
        if transport is None:
            raise ConnectionResetError("the connection was lost")
        self._transport = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) >= READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._has_news.set()

    def eof_received(self) -> None:
        self._is_over = True
        self._has_news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._why = exc
        self.closes_at(None)
        self._has_news.set()
        self._lost.set()

    def is_at_rest(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""
        return not self._is_over and not self._came

    def closes_at(self, loop_s: float | None) -> None:
        """Close at that time of the loop's clock, unless told otherwise before."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if loop_s is not None:
            self._closing = asyncio.get_running_loop().call_at(loop_s, self._close)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def read(self) -> bytes:
        """What has come; nothing once the server has closed. Raises OSError where the connection
        was lost.
        """
        assert self._transport is not None
        if not self._came and not self._is_over:
            self._has_news.clear()
            await self._has_news.wait()
        if not self._came and self._why is not None:
            raise self._why

        data = bytes(self._came)
        self._came.clear()
        if not self._is_over:
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Be gone at once."""
        self.closes_at(None)
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Close, with TLS's goodbye where there is TLS."""
        self.closes_at(None)
        self._close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._lost.wait()
        self.abort()

    def _close(self) -> None:
        self._is_over = True
        if self._transport is not None:
            self._transport.close()
