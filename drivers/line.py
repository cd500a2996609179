"""A line: one serial port, network endpoint or recording, opened by URL.

Nothing is buffered here: what has arrived waits in the kernel (4 KiB on a serial port, the socket's
receive buffer on a network) until somebody reads, at most 4 KiB at a time. When a serial port's
buffer is full, what comes next is lost, and checksums tell. The loop watches the descriptor only
while somebody waits in `read`: bytes that arrive while a driver sleeps cost no wake-up.
"""

import asyncio
import contextlib
import errno
import grp
import os
import socket
import stat
import termios
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import serial

from drivers.intake import MAX_BYTES, Intake
from drivers.line_claims import LineClaims, port_user
from drivers.line_protocol import (
    CONNECT_TIMEOUT_S,
    DRAINED_BYTES,
    READ_BYTES,
    AnyLine,
    BadReply,
    Line,
    LineClosed,
    LineError,
    LineFlooded,
    LineHeld,
    MeterError,
    NoReply,
    Turns,
    closed_by_peer,
)
from drivers.line_url import EXAMPLES, MODBUS_TCP_PORT, Framing, LineKind, LineUrl, SerialSettings
from drivers.net.dialling import dial_addresses, find_addresses
from drivers.usb import UsbError, usb_port

__all__ = [
    "EXAMPLES",
    "MODBUS_TCP_PORT",
    "AnyLine",
    "BadReply",
    "Framing",
    "Line",
    "LineClosed",
    "LineError",
    "LineFlooded",
    "LineHeld",
    "LineKind",
    "LineUrl",
    "MeterError",
    "NoReply",
    "SerialSettings",
    "Turns",
    "open_any_line",
    "open_line",
]

WRITE_TIMEOUT_S = 5.0
"""How long a line may refuse to take bytes before it counts as gone."""

DRAIN_BYTES = 1 << 20
"""The most one `drain` throws away: a line that babbles for ever must not hold the loop."""

_EXHAUSTED = "more files and connections are open than the system allows (LimitNOFILE= of the unit)"

SETTLE_S = 0.02
"""How long a port is left alone after it has been set anew: adapters take their time to follow."""


async def open_any_line(
    url: LineUrl, serial_defaults: SerialSettings, *, says: str = ""
) -> AnyLine:
    """Open a line of the kind that its URL says. Raises LineError, as `open_line`.

    Serial ports and endpoints of bytes have one user at a time. The others are made for many.
    """
    try:
        return await _opened(url, serial_defaults, says)
    except OSError as error:
        # What a line of its kind needs is loaded from the disk, which takes a descriptor.
        remedy = _remedy(error, "it is tried again")
        raise LineError(
            f"{url}: cannot be opened ({error.strerror or error}) — {remedy}"
        ) from error


async def _opened(url: LineUrl, serial_defaults: SerialSettings, says: str) -> AnyLine:
    # Each of these brings libraries that a daemon needs only where a line says so.
    if url.kind == "http":
        from drivers.http_line import WebLine

        return WebLine(url)
    if url.kind == "datagrams":
        from drivers.datagram_line import MulticastLine

        return MulticastLine(url)
    if url.kind == "mqtt":
        from drivers.mqtt_line import TopicLine

        return TopicLine(url)
    return await open_line(url, serial_defaults, says=says)


async def open_line(url: LineUrl, serial_defaults: SerialSettings, *, says: str = "") -> Line:
    """Open a line of bytes. What the URL does not say about a serial port is taken from
    `serial_defaults` (the profile's). `says`: what we are to those who want the line meanwhile.

    Raises LineError with the cause and what to do, LineHeld where another process has the line. A
    host's *name* is looked up in asyncio's
    executor thread; an address needs none.
    """
    if url.kind != "bytes":
        raise LineError(f"{url}: is not a line of bytes — such as {EXAMPLES['bytes']}")
    if url.scheme == "replay":
        from drivers.replay import open_replay  # a daemon needs it only where a line says so

        return open_replay(url)
    if url.port is None:
        return _open_serial(url, url.serial_settings(serial_defaults), says)
    if url.scheme == "tls":
        from drivers.net.tls import over_tls  # the same

        return await over_tls(url, await _open_network(url, url.port, says))
    return await _open_network(url, url.port, says)


def _open_serial(url: LineUrl, settings: SerialSettings, says: str) -> "_OpenLine":
    try:
        path = usb_port(url.target) if url.scheme == "usb" else url.target
    except UsbError as error:
        raise LineError(f"{url}: {error}") from error

    # Before it is opened: opening a port moves its control lines, which its user would notice.
    claims = LineClaims(url, says)
    claims.take_port(path)
    try:
        port = serial.Serial(
            path,
            **_port_settings(path, settings),
            exclusive=True,
            timeout=0,
            # makes the driver wait for one byte at least (VMIN = 1): only so is "nothing yet"
            # (EAGAIN) told from "unplugged" (0 bytes)
            inter_byte_timeout=0,
        )
    except (OSError, ValueError, termios.error) as error:
        claims.close()
        if getattr(error, "errno", None) in (errno.EBUSY, errno.EAGAIN):
            raise LineHeld(url, port_user(path)) from error
        raise LineError(f"{url}: {_why_not_open(path, error)}") from error
    return _OpenLine(
        str(url), port.fileno(), port.close, url.framing, claims, port=port, settings=settings
    )


def _port_settings(path: str, settings: SerialSettings) -> dict[str, Any]:
    """The settings as pyserial names them."""
    # A pty has no wire: Linux gives it 8 data bits only and refuses others. So simulated meters can
    # stand in for 7-bit ones.
    on_pty = os.path.realpath(path).startswith("/dev/pts/")
    return {
        "baudrate": settings.baud,
        "bytesize": 8 if on_pty else settings.data_bits,
        "parity": "N" if on_pty else settings.parity[0].upper(),
        "stopbits": settings.stop_bits,
    }


def _why_not_open(path: str, error: Exception) -> str:
    """Cause and remedy."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        seen = ", ".join(_ports_seen()) or "none"
        return f"there is no such port — is the adapter plugged in? ports seen: {seen}"
    if code in (errno.EACCES, errno.EPERM):
        return why_not_allowed(path)
    if isinstance(error, ValueError):
        return (
            f"the port does not take these settings ({error}) — check baud, parity, data and "
            "stop bits"
        )
    if "configure" in str(error) or isinstance(error, termios.error):
        return (
            "this is not a serial port, or it does not take these settings — check the path, "
            "baud, parity, data and stop bits"
        )
    if code in (errno.EMFILE, errno.ENFILE):
        return f"cannot open the port ({os.strerror(code)}) — {_EXHAUSTED}"
    return (
        f"cannot open the port ({os.strerror(code) if code else error}) — unplug the adapter "
        "and plug it in again"
    )


def why_not_allowed(path: str) -> str:
    """What to do where we may not open a port: that depends on whether its group may use it at
    all.
    """
    group, mode = "dialout", 0o660
    with contextlib.suppress(OSError, KeyError):
        found = Path(path).stat()
        mode = stat.S_IMODE(found.st_mode)
        group = grp.getgrgid(found.st_gid).gr_name
    if mode & 0o060 == 0o060 and group == "root":
        hint = f"it belongs to root alone: run: chgrp dialout {path}"
    elif mode & 0o060 == 0o060:
        hint = (
            "add the user that runs this to the group "
            f"{group} (usermod -aG {group} USER), and start it anew"
        )
    elif os.path.realpath(path).startswith("/dev/pts/"):
        hint = (
            f"its mode {mode:04o} is for its owner alone: start what is behind this pty as the "
            "same user, or run: chmod 666 " + path
        )
    else:
        hint = (
            f"its mode {mode:04o} is that of a terminal, not of a meter's port: take the login "
            f"off it (systemctl disable --now serial-getty@{Path(path).name}), then plug it in "
            "again or restart"
        )
    return f"no permission to open the port — {hint}"


def _ports_seen() -> Iterator[str]:
    """Serial ports that are there now, by their lasting names where they have one; eight at
    most.
    """
    found = sorted(Path("/dev/serial/by-id").glob("*"))
    for pattern in ("ttyUSB*", "ttyACM*", "ttyAMA*") if not found else ():
        found += sorted(Path("/dev").glob(pattern))
    yield from map(str, found[:8])


async def _open_network(url: LineUrl, port: int, says: str) -> "_OpenLine":
    claims = LineClaims(url, says)

    async def connect() -> socket.socket:
        return await _connected(url, port, claims)

    try:
        connection = await connect()
    except BaseException:
        claims.close()
        raise
    network = _Network(
        connect,
        per_round=url.connect == "cycle",
        datagrams=url.scheme == "rtu+udp",
        settle_s=url.settle_s or 0.0,
    )
    line = _OpenLine(
        str(url), connection.fileno(), connection.close, url.framing, claims, network=network
    )
    line.note_connection()
    return line


async def _connected(url: LineUrl, port: int, claims: LineClaims) -> socket.socket:
    """A connection to the endpoint, by the first of its addresses that takes one. One over TCP
    notices a dead peer. Raises LineError.
    """
    kind = socket.SOCK_DGRAM if url.scheme == "rtu+udp" else socket.SOCK_STREAM
    prepare = _notice_dead_peers if kind is socket.SOCK_STREAM else None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            addresses = await find_addresses(url.target, port, kind)
            claims.take_endpoint(kind, addresses)
            return await dial_addresses(addresses, kind, prepare)
    except TimeoutError as late:
        raise LineError(
            f"{url}: no answer within {CONNECT_TIMEOUT_S:g} s — is the meter on, and on this "
            "network?"
        ) from late
    except socket.gaierror as unknown:
        raise LineError(
            f"{url}: the name {url.target!r} is not known — check it, or write the address in "
            "numbers"
        ) from unknown
    except ConnectionRefusedError as error:
        hint = (
            f"is the meter's network access (Modbus, P1) switched on, and {port} its port? one "
            "that serves one client at a time may have another (its app, another program): end "
            "that, or write ?connect=cycle in both"
        )
        raise LineError(f"{url}: connection refused — {hint}") from error
    except OSError as error:
        why = f"cannot connect ({error.strerror or error})"
        remedy = _remedy(error, "check the address and the network")
        raise LineError(f"{url}: {why} — {remedy}") from error


def _remedy(error: OSError, otherwise: str) -> str:
    return _EXHAUSTED if error.errno in (errno.EMFILE, errno.ENFILE) else otherwise


def _notice_dead_peers(connection: socket.socket) -> None:
    """Data unacknowledged for 15 s, or silence and no keepalive, end the connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)


class _Network(msgspec.Struct, frozen=True):
    """What is special about a line on the network. `connect` connects it again."""

    connect: Callable[[], Awaitable[socket.socket]]
    per_round: bool
    """Connected for each round of questions only."""
    datagrams: bool
    """An empty datagram is nothing, not the end."""
    settle_s: float
    """How long a new connection is left alone, as its URL says."""
    intake: Intake = msgspec.field(default_factory=Intake)


class _OpenLine(msgspec.Struct, eq=False):
    """A line over one non-blocking file descriptor, which `release` gives back. While it has let go
    of its connection, `fd` is -1.
    """

    name: str
    fd: int
    release: Callable[[], None]
    framing: Framing
    claims: LineClaims
    port: serial.Serial | None = None
    settings: SerialSettings | None = None
    sent_until_s: float = 0.0
    network: _Network | None = None
    """None for a serial port."""
    turns: Turns = msgspec.field(default_factory=Turns)
    closed: bool = False
    waiter: asyncio.Future[None] | None = None

    @property
    def char_s(self) -> float:
        return self.settings.char_s if self.settings else 0.0

    async def write(self, data: bytes) -> None:
        await self.ready()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + WRITE_TIMEOUT_S
        self.sent_until_s = max(loop.time(), self.sent_until_s) + len(data) * self.char_s
        rest = memoryview(data)
        while rest:
            self._check_open()
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                if loop.time() >= deadline_s:
                    raise LineError(
                        f"{self.name}: takes no bytes for {WRITE_TIMEOUT_S:g} s — {self._remedy}"
                    ) from None
                await self._wait(loop.add_writer, loop.remove_writer, deadline_s)
            except OSError as error:
                raise self._gone(error) from error

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(
            0
        )  # a line that always has something must not keep the loop from the others
        while not (data := self._take()):
            if loop.time() >= deadline_s:
                return b""
            await self._wait(loop.add_reader, loop.remove_reader, deadline_s)
        return data

    def drain(self) -> int:
        count = 0
        while count < DRAIN_BYTES and (data := self._take()):
            self.turns.drained = (self.turns.drained if count else b"")[-DRAINED_BYTES:] + data
            count += len(data)
        if count:
            self.turns.drained = self.turns.drained[-DRAINED_BYTES:]
        return count

    async def configure(self, settings: SerialSettings) -> None:
        self._check_open()
        if self.port is None or settings == self.settings:
            return
        # The kernel's own way to wait for this (tcdrain) would hold the loop.
        await asyncio.sleep(self.sent_until_s - asyncio.get_running_loop().time())
        self._check_open()
        path = str(self.port.port)
        try:
            self.port.apply_settings(_port_settings(path, settings))
        except (OSError, ValueError, termios.error) as error:
            raise LineError(f"{self.name}: {_why_not_open(path, error)}") from error
        self.settings = settings
        self.turns.quiet_until_s = max(
            self.turns.quiet_until_s, asyncio.get_running_loop().time() + SETTLE_S
        )

    async def ready(self) -> None:
        self._check_open()
        if self.fd < 0 and self.network is not None:
            connection = await self.network.connect()
            self.fd, self.release = connection.fileno(), connection.close
            self.turns.unread = b""
            self.note_connection()
        if self.network is not None and (self.network.settle_s or self.turns.settle_s):
            await self._settle(max(self.network.settle_s, self.turns.settle_s))

    def note_connection(self) -> None:
        """A connection has come about."""
        if self.network is not None and not self.network.datagrams:
            self.turns.connected_s = asyncio.get_running_loop().time()

    async def _settle(self, settle_s: float) -> None:
        """Leave a new connection alone for so long: some devices are deaf until then."""
        wait_s = self.turns.connected_s + settle_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def rest(self) -> None:
        if self.network is not None and self.network.per_round:
            self.renew()

    def renew(self) -> None:
        if self.network is not None and self.fd >= 0 and not self.closed:
            self._wake()
            self.fd = -1
            self.release()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._wake()
        if self.fd >= 0:
            with contextlib.suppress(
                OSError, termios.error
            ):  # else closing a stuck port waits 30 s for bytes that cannot leave
                if os.isatty(self.fd):
                    termios.tcflush(self.fd, termios.TCOFLUSH)
            with contextlib.suppress(
                OSError
            ):  # an unplugged port may complain; it is given back all the same
                self.release()
        self.claims.close()

    def _check_open(self) -> None:
        if self.closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")

    def _take(self) -> bytes:
        """What the kernel holds, or b"" if it holds nothing."""
        self._check_open()
        if self.fd < 0:
            return b""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data and not (self.network is not None and self.network.datagrams):
            raise self._gone(None)
        if self.network is not None:
            self._note(self.network.intake, len(data))
        return data

    def _note(self, intake: Intake, size: int) -> None:
        """So many bytes have come. Raises LineFlooded. A serial port cannot flood: its baud rate
        bounds it.
        """
        intake.take(size, asyncio.get_running_loop().time())
        if intake.came_bytes > MAX_BYTES:
            raise LineFlooded(
                f"{self.name}: floods us, with {intake} — is this a meter? check what listens at "
                "that address, and switch it off and on"
            )

    async def _wait(
        self, watch: Callable[..., Any], unwatch: Callable[[int], Any], deadline_s: float
    ) -> None:
        """Until the descriptor is ready or the deadline has come."""
        loop = asyncio.get_running_loop()
        fd = self.fd
        self.waiter = loop.create_future()
        if fd >= 0:
            watch(fd, self._wake)
        timer = loop.call_at(deadline_s, self._wake)
        try:
            await self.waiter
        finally:
            timer.cancel()
            if fd >= 0:
                unwatch(fd)
            self.waiter = None

    def _wake(self) -> None:
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    @property
    def _remedy(self) -> str:
        return (
            "check the plug and the cable"
            if self.port is not None
            else "check the meter, its power and the network"
        )

    def _gone(self, error: OSError | None) -> LineError:
        cause = f" ({error.strerror})" if error and error.strerror else ""
        if self.port is not None:
            return LineError(f"{self.name}: the port has vanished{cause} — {self._remedy}")
        if isinstance(error, ConnectionRefusedError):
            return LineError(f"{self.name}: nobody listens there{cause} — {self._remedy}")
        return closed_by_peer(self.name, cause)
