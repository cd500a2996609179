"""A server whose end is one: when it is closed, so is every connection that it took.

asyncio's own server leaves that to others, and they cannot see to all of it. A connection that it
has accepted and not yet handed over when it is closed stays open; one amidst its TLS handshake is
handed over afterwards, to nobody; and a handler that is cancelled before its first step never
closes what it was given.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LIMIT_BYTES = 64 * 1024
"""Of one line that a reader keeps, where nothing else is said: as asyncio's own."""
EXHAUSTED_S = 1.0
"""Where the system has no descriptor for a connection, it is not asked again for so long."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOOK_S = 0.001
"""Between two looks at whether a transport has closed its socket: it does so in the loop's next
turn, and tells nobody.
"""


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    is_handled: bool = False
    is_cut: bool = False


class Server:
    """Gives each connection to `handler`, in a task of its own, and closes it when that returns.

    A handler's error is a bug: its connection is cut, and `failed` is told.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None = None,
        limit: int = LIMIT_BYTES,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`limit`: how many bytes of a line, or of what comes before a separator, are taken.
        Without `failed`, the loop is told as of any error that nobody hears of.
        """
        self._handler = handler
        self._tls = tls
        self._limit = limit
        self._listening: list[socket.socket] = []
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._failed = failed or _tell_the_loop
        self.port = 0
        """Where it listens, or did last."""

    async def listen(self, host: str, port: int, *, backlog: int = 100) -> None:
        """Take connections there from now on; port 0 takes a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        # This one is never served: it knows which sockets a host's name stands for.
        bound = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        try:
            for each in bound.sockets:
                self._listening.append(each.dup())
            if not self._listening:  # asyncio passes over those that could not be made
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            for each in self._listening:
                each.setblocking(False)
                each.listen(backlog)
        except OSError:
            self._stop_listening()
            raise
        finally:
            bound.close()
        self.port = self._listening[0].getsockname()[1]
        for each in self._listening:
            loop.add_reader(each, self._take, each)

    async def hang_up(self) -> None:
        """End every connection, and return when all are closed. Handlers are cancelled, and those
        that have not begun never do.
        """
        for task, connection in self._connections.items():
            connection.is_cut = True
            if connection.is_handled:
                task.cancel()
            else:
                # Were the task cancelled in a handshake, that would go on all the same.
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)
        if self._connections:
            await asyncio.wait(self._connections)

    async def close(self) -> None:
        """Take no more connections, and end those that there are. May be done again."""
        self._stop_listening()
        await self.hang_up()

    def _stop_listening(self) -> None:
        for each in self._listening:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._listening.clear()

    def _take(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            loop.remove_reader(listening)
            loop.call_later(EXHAUSTED_S, self._take_again, listening)
            context = {"message": "socket.accept() out of system resource", "exception": error}
            loop.call_exception_handler(context)
            return
        connection = _Connection(accepted)
        task = loop.create_task(self._attend(connection))
        self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _take_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._take, listening)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _attend(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(self._limit)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection.socket, ssl=self._tls
            )
        except OSError:  # it went away, or does not speak TLS as we do
            await _closed(connection.socket)
            return

        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            if not connection.is_cut:
                connection.is_handled = True
                await self._handler(reader, writer)
            if not connection.is_cut:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        finally:
            connection.is_handled = False
            transport.abort()
            await _closed(connection.socket)


def _tell_the_loop(error: BaseException) -> None:
    context = {"message": "a connection's handler failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


async def _closed(taken: socket.socket) -> None:
    """Waits until the transport has closed it."""
    while taken.fileno() != -1:  # noqa: ASYNC110 — a transport has no event for that
        await asyncio.sleep(_LOOK_S)
