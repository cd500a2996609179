"""A wire between gateways and their broker that can be cut, and put together again."""

import asyncio
import contextlib

from drivers.net.serving import Server


class WireCutter:
    """Carries TCP from a port of its own to another one of this machine."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server = Server(self._carry)
        self._ends: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.cuts = 0
        """Connections that were cut."""

    async def open(self) -> int:
        """Its port."""
        await self._server.listen("127.0.0.1", 0)
        return self._server.port

    async def close(self) -> None:
        """Everything is cut, for good."""
        self.cut()
        await self._server.close()

    def cut(self) -> None:
        """What is under way is lost, and nobody gets through."""
        self._is_cut = True
        self.cuts += len(self._ends) // 2
        for end in list(self._ends):
            end.transport.abort()

    def mend(self) -> None:
        """Connections get through again."""
        self._is_cut = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        try:
            there, answer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            return
        ends = {writer, answer}
        self._ends |= ends
        ways = [
            asyncio.create_task(_pump(reader, answer)),
            asyncio.create_task(_pump(there, writer)),
        ]
        try:
            if not self._is_cut:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            with contextlib.suppress(OSError):
                await answer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
