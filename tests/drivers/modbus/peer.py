"""A device on the network that behaves as some in the field do: raw frames on raw sockets."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, cast

from drivers.line import Line, LineUrl, SerialSettings, open_line
from tests.drivers.modbus.frames import mbap, rtu
from tests.drivers.papers import Papers, device_side
from tests.serving import serving

GOOD = struct.pack(">HHHH", 1, 2, 3, 4)


@dataclass
class Peer:
    """Answers with the beginning of `data`, over Modbus TCP or with the frames of a serial line.

    `deaf_s`: what comes so soon after connecting is dropped, or ends the connection. `mend` changes
    a reply on its way, `before` gives what comes before it.
    """

    framing: Literal["tcp", "rtu"] = "tcp"
    closes_after_answer: bool = False
    closes_when_idle_s: float | None = None
    deaf_s: float = 0.0
    drops_early: bool = False
    mend: Callable[[bytes], bytes] = lambda reply: reply
    before: Callable[[bytes], bytes] = lambda _: b""
    at_nonsense: Literal["is silent", "hangs up", "echoes"] = "is silent"
    data: bytes = GOOD
    connections: int = 0
    answered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        began_s = asyncio.get_running_loop().time()
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:
                async with asyncio.timeout(self.closes_when_idle_s):
                    request = await reader.read(1000)
                if not request:
                    break
                if asyncio.get_running_loop().time() - began_s < self.deaf_s:
                    if self.drops_early:
                        break
                    continue
                if reply := self.reply(request):
                    self.answered += 1
                    writer.write(self.before(request) + self.mend(reply))
                elif self.at_nonsense == "echoes":
                    writer.write(request)
                elif self.at_nonsense == "hangs up":
                    break
                if self.closes_after_answer:
                    break

    def reply(self, request: bytes) -> bytes:
        if self.framing == "tcp":
            transaction, protocol, length = struct.unpack_from(">HHH", request)
            if protocol or length != len(request) - 6:
                return b""
            size = 2 * request[11]
            return mbap(transaction, request[6], request[7], size, data=self.data[:size])
        if rtu(*request[:-2]) != request:
            return b""  # to a meter on the bus that is noise
        size = 2 * request[5]
        return rtu(request[0], request[1], size, data=self.data[:size])


def scheme_of(framing: str) -> str:
    """By which such a peer is read."""
    return {"tcp": "tcp", "rtu": "rtu+tcp"}[framing]


class Datagrams(asyncio.DatagramProtocol):
    """The same behind a serial server that passes frames on in datagrams."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if reply := self.peer.reply(data):
            self.peer.answered += 1
            self.transport.sendto(self.peer.mend(reply), addr)


def line_server(
    peer: Peer, tls: ssl.SSLContext | None = None
) -> contextlib.AbstractAsyncContextManager[int]:
    """Gives the port at which it listens."""
    return serving(peer.serve, tls=tls)


@contextlib.asynccontextmanager
async def datagram_server(peer: Peer) -> AsyncIterator[int]:
    """The same over UDP."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Datagrams(peer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def line_to(
    peer: Peer, scheme: str | None = None, query: str = "", papers: Papers | None = None
) -> AsyncIterator[Line]:
    """A line to it, by default with the frames that it speaks. With `papers`, inside TLS."""
    scheme = scheme or ("tls" if papers else scheme_of(peer.framing))
    if papers:
        query = f"?ca={papers.ca}" + query.replace("?", "&")
        server = line_server(peer, device_side(papers))
    else:
        server = datagram_server(peer) if scheme == "rtu+udp" else line_server(peer)
    async with server as port:
        url = LineUrl.parse(f"{scheme}:127.0.0.1:{port}{query}")
        line = await open_line(url, SerialSettings())
        try:
            yield line
        finally:
            line.close()
