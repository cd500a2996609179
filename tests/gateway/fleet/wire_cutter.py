"""A wire between gateways and their broker that can be cut, and put together again."""

import asyncio
import contextlib


class WireCutter:
    """Carries TCP from a port of its own to another one of this machine."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self.cuts = 0
        """Connections that were cut."""

    async def open(self) -> int:
        """Its port."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Everything is cut, for good."""
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._carrying)

    def cut(self) -> None:
        """What is under way is lost, and nobody gets through."""
        self._is_cut = True
        self.cuts += len(self._ends) // 2
        for end in list(self._ends):
            end.transport.abort()

    def mend(self) -> None:
        """Connections get through again."""
        self._is_cut = False

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            there, answer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, answer}
        self._ends |= ends
        try:
            ways = [
                asyncio.create_task(_pump(reader, answer)),
                asyncio.create_task(_pump(there, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
