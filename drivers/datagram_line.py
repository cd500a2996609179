"""A line on which a meter sends datagrams to a multicast group (IPv4, RFC 1112)."""

import asyncio
import os
import socket
import struct

from drivers.intake import Intake
from drivers.line_protocol import LineError, LineFlooded
from drivers.line_url import LineUrl, SerialSettings

MAX_DATAGRAM_BYTES = 65_535

DRAIN_DATAGRAMS = 1000
"""The most one `drain` throws away: a group that babbles must not hold the loop."""


class MulticastLine:
    """A `DatagramLine`. The kernel keeps some 200 KB of what comes while nobody reads."""

    def __init__(self, url: LineUrl) -> None:
        """Joins the group. Raises LineError."""
        self.name = str(url)
        self._intake = Intake()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            _join(self._socket, url)
        except OSError as error:
            self._socket.close()
            raise LineError(f"{url}: {_why_not_joined(url, error)}") from error

    def drain(self) -> int:
        count = 0
        while count < DRAIN_DATAGRAMS and self._take() is not None:
            count += 1
        return count

    async def receive(self, deadline_s: float) -> bytes | None:
        loop = asyncio.get_running_loop()
        # A line that always has something must not keep the loop from the others.
        await asyncio.sleep(0)
        if (data := self._take()) is not None:
            return data
        try:
            async with asyncio.timeout_at(deadline_s):
                return self._counted(await loop.sock_recv(self._socket, MAX_DATAGRAM_BYTES))
        except TimeoutError:
            return None
        except OSError as error:
            raise self._gone(error) from error

    def _take(self) -> bytes | None:
        """What the kernel holds, or None."""
        try:
            return self._counted(self._socket.recv(MAX_DATAGRAM_BYTES))
        except BlockingIOError:
            return None
        except OSError as error:
            raise self._gone(error) from error

    def _counted(self, data: bytes) -> bytes:
        """One more datagram. Raises LineFlooded."""
        self._intake.take(len(data), asyncio.get_running_loop().time())
        if self._intake.is_flood:
            raise LineFlooded(
                f"{self.name}: the group is flooded, with {self._intake.pieces} datagrams, "
                f"{self._intake} — find out who sends them"
            )
        return data

    def _gone(self, error: OSError) -> LineError:
        if self._socket.fileno() < 0:
            return LineError(f"{self.name}: the line has been closed — open it again")
        return LineError(f"{self.name}: {error.strerror or error} — check the network")

    async def configure(self, settings: SerialSettings) -> None:
        """There is no port to set."""

    def rest(self) -> None:
        """It goes on listening."""

    def close(self) -> None:
        self._socket.close()


def _join(listening: socket.socket, url: LineUrl) -> None:
    """Hear what is sent to the group, beside other programs that do. Raises OSError."""
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((url.target, url.port or 0))
    index = socket.if_nametoindex(url.interface) if url.interface else 0
    group = struct.pack("4s4si", socket.inet_aton(url.target), bytes(4), index)
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)


def _why_not_joined(url: LineUrl, error: OSError) -> str:
    """Cause and remedy."""
    try:
        interfaces = ", ".join(name for _, name in socket.if_nameindex())
    except OSError:
        interfaces = url.interface or ""  # the service may not ask: it has no AF_NETLINK
    if url.interface and url.interface not in interfaces.split(", "):
        return f"there is no network interface {url.interface!r} — there are {interfaces}"
    cause = os.strerror(error.errno) if error.errno else str(error)
    return (
        f"cannot join the group ({cause}) — check the network, or name one of its interfaces: "
        f"?interface=… ({interfaces})"
    )
