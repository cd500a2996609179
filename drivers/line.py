"""A line: one serial port or TCP endpoint, opened by URL.

Nothing is buffered here: what has arrived waits in the kernel (4 KiB on a serial port, the socket's receive buffer on a network)
until somebody reads, at most 4 KiB at a time. When a serial port's buffer is full, what comes next is lost, and checksums tell. The
loop watches the descriptor only while somebody waits in `read`: bytes that arrive while a driver sleeps cost no wake-up.

Errors, as drivers raise them:

    MeterError            this meter did not answer properly; the line is fine
      ├─ NoReply          nothing came in time
      └─ BadReply         something came that is not a proper answer
    LineError             the line itself is gone (unplugged, refused, closed): reopen it
"""

import asyncio
import contextlib
import errno
import grp
import ipaddress
import os
import posixpath
import re
import socket
import termios
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import serial
from msgspec import Meta

from drivers.strict_yaml import nearest

CONNECT_TIMEOUT_S = 5.0
"""How long a TCP connection may take to come about, name look-up included."""

WRITE_TIMEOUT_S = 5.0
"""How long a line may refuse to take bytes before it counts as gone."""

READ_BYTES = 4096
"""The most one `read` returns."""

DRAIN_BYTES = 1 << 20
"""The most one `drain` throws away: a line that babbles for ever must not hold the loop."""

SETTLE_S = 0.02
"""How long a port is left alone after it has been set anew: adapters take their time to follow."""

MODBUS_TCP_PORT = 502

Parity = Literal["none", "even", "odd"]
Framing = Literal["rtu", "tcp"]


class MeterError(Exception):
    """This meter did not answer properly. The text is for a person: what came, what was expected."""


class NoReply(MeterError):
    """Nothing, or only part of an answer, came in time."""


class BadReply(MeterError):
    """What came is not a proper answer: checksum, wrong address, exception, nonsense."""


class LineError(Exception):
    """The line itself is gone. The text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """How a serial port is set."""

    baud: Annotated[int, Meta(ge=300, le=921600, description="bits per second")] = 9600
    parity: Annotated[Parity, Meta(description="parity bit")] = "none"
    data_bits: Annotated[Literal[7, 8], Meta(description="data bits")] = 8
    stop_bits: Annotated[Literal[1, 2], Meta(description="stop bits")] = 1

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire, with start, parity and stop bits."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud


_BAUDS: tuple[int, ...] = (300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 56000, 57600, 76800, 115200, 128000)
_BAUDS += (230400, 250000, 256000, 460800, 500000, 576000, 921600)
_PARITIES: Mapping[str, Parity] = {"none": "none", "even": "even", "odd": "odd", "N": "none", "E": "even", "O": "odd"}
_CHOICES: Mapping[str, Mapping[str, int | str]] = {
    "baud": {str(baud): baud for baud in _BAUDS},
    "parity": _PARITIES,
    "data_bits": {"7": 7, "8": 8},
    "stop_bits": {"1": 1, "2": 2},
}
_EXAMPLES = "such as serial:/dev/ttyUSB0?baud=9600, tcp:192.168.1.20:502 or rtu+tcp:192.168.1.20:4196"


@dataclass(frozen=True, slots=True)
class LineUrl:
    """Where a line is: `serial:/dev/…?baud=9600&parity=even`, `tcp:host:502` or `rtu+tcp:host:4196`.

    `target` is the device's path or the host. A serial setting that is None is the profile's to say.
    """

    scheme: Literal["serial", "tcp", "rtu+tcp"]
    target: str
    port: int | None = None
    baud: int | None = None
    parity: Parity | None = None
    data_bits: Literal[7, 8] | None = None
    stop_bits: Literal[1, 2] | None = None

    json_schema: ClassVar[Mapping[str, Any]] = {
        "type": "string",
        "description": "serial:/dev/…?baud=9600&parity=none|even|odd&data_bits=8&stop_bits=1, tcp:host:502 or rtu+tcp:host:port",
        "pattern": r"^(serial:/.+|tcp:.+|rtu\+tcp:.+:[0-9]+)$",
        "examples": ["serial:/dev/serial/by-id/usb-FTDI_FT232R-if00-port0?baud=9600", "tcp:192.168.1.20:502", "rtu+tcp:192.168.1.20:4196"],
    }

    @classmethod
    def parse(cls, raw: object) -> "LineUrl":
        """Raises ValueError("what is wrong — what to do") where `raw` is not a line."""
        text = raw.strip() if isinstance(raw, str) else ""
        if not text:
            raise ValueError(f"expected a line, found {raw!r} — {_EXAMPLES}")
        scheme, _, rest = text.partition(":")
        if scheme == "serial":
            return _parse_serial(rest)
        if scheme == "tcp":
            return _parse_network("tcp", rest)
        if scheme == "rtu+tcp":
            return _parse_network("rtu+tcp", rest)
        raise ValueError(f"{text!r} does not begin with serial:, tcp: or rtu+tcp: — {_scheme_hint(text, scheme)}")

    @property
    def key(self) -> str:
        """What tells lines apart: two URLs with the same key are one port or endpoint, whatever else they say."""
        return self.target if self.port is None else f"{self.target.lower()}:{self.port}"

    @property
    def framing(self) -> Framing:
        """How Modbus frames travel on it: "rtu" with checksum, "tcp" with the MBAP header."""
        return "tcp" if self.scheme == "tcp" else "rtu"

    def serial_settings(self, defaults: SerialSettings) -> SerialSettings:
        """The URL's own settings, and `defaults` for what it does not say."""
        own = {name: getattr(self, name) for name in _CHOICES}
        return replace(defaults, **{name: value for name, value in own.items() if value is not None})

    def __str__(self) -> str:
        if self.port is not None:
            host = f"[{self.target}]" if ":" in self.target else self.target
            return f"{self.scheme}:{host}:{self.port}"
        own = {name: getattr(self, name) for name in _CHOICES}
        query = "&".join(f"{name}={value}" for name, value in own.items() if value is not None)
        return f"{self.scheme}:{self.target}" + (f"?{query}" if query else "")


def _scheme_hint(text: str, scheme: str) -> str:
    if text.startswith("/"):
        return f"write serial:{text}"
    if "." in scheme or text.rpartition(":")[2].isdigit() or scheme == "localhost":
        return f"write tcp:{text} (Modbus TCP) or rtu+tcp:{text} (an RS485 adapter that passes bytes on)"
    hint = nearest(scheme, ("serial", "tcp", "rtu+tcp"))
    return hint if hint.startswith("did") else _EXAMPLES


def _parse_serial(rest: str) -> LineUrl:
    path, question, query = rest.partition("?")
    if not path.startswith("/") or path.startswith("//") or path == "/":
        hint = f"write serial:/dev/{path.strip('/').removeprefix('dev/') or 'ttyUSB0'}"
        raise ValueError(f"{path!r} is not the full path of a serial port — {hint}")
    found: dict[str, Any] = {}
    for part in query.split("&") if question else ():
        name, equals, word = part.partition("=")
        if name not in _CHOICES:
            raise ValueError(f"{name!r} is not a setting of a serial line — {nearest(name, _CHOICES)}")
        if name in found:
            raise ValueError(f"{name} appears twice — keep one of them")
        if not equals or word not in _CHOICES[name]:
            raise ValueError(f"{name} of a serial line cannot be {word!r} — {nearest(word, _CHOICES[name])}")
        found[name] = _CHOICES[name][word]
    return LineUrl("serial", posixpath.normpath(path), **found)


def _parse_network(scheme: Literal["tcp", "rtu+tcp"], rest: str) -> LineUrl:
    example = f"{scheme}:192.168.1.20:{MODBUS_TCP_PORT if scheme == 'tcp' else 4196}"
    if rest.startswith("//"):
        raise ValueError(f"there are no slashes in a network line — write {scheme}:{rest.strip('/')}")
    if "?" in rest:
        raise ValueError(f"a network line has no settings after '?' — write {scheme}:{rest.partition('?')[0]}; baud is set at the adapter")
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::([^:]*))?", rest)
    if match is None:
        bracket_hint = f"IPv6 addresses go in brackets, such as {scheme}:[fd00::20]:{MODBUS_TCP_PORT}"
        hint = bracket_hint if rest.count(":") > 1 else f"such as {example}"
        raise ValueError(f"{rest!r} is not host:port — {hint}")
    bracketed, host, port = match.groups()
    if bracketed is not None:
        host = bracketed
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{host!r} is not an IPv6 address — names and IPv4 addresses go without brackets") from None
    elif not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", host):
        raise ValueError(f"{host!r} is not the name or address of a host — such as {example}")
    if port is None and scheme == "rtu+tcp":
        raise ValueError(f"rtu+tcp: needs the adapter's port — such as {scheme}:{rest}:4196")
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= 65535):
        raise ValueError(f"{port!r} is not a port — a number from 1 to 65535, such as {example}")
    return LineUrl(scheme, host, int(port) if port is not None else MODBUS_TCP_PORT)


@dataclass(slots=True)
class Turns:
    """What meters that take turns on a line must know of each other's frames. Times are the event loop's, in seconds."""

    asked_s: float = -1e9
    last_frame_s: float = -1e9
    quiet_until_s: float = -1e9
    requests: int = 0
    unread: bytes = b""


class Line(Protocol):
    """Bytes to and from one open line. One task at a time uses it."""

    @property
    def name(self) -> str:
        """Its URL, for messages."""

    @property
    def settings(self) -> SerialSettings | None:
        """How the serial port is set now; None on a network."""

    @property
    def char_s(self) -> float:
        """Seconds one character takes on the wire; 0 on a network."""

    @property
    def framing(self) -> Framing:
        """How Modbus frames travel on it; nothing to other protocols."""

    @property
    def turns(self) -> Turns:
        """Kept by the protocol for as long as the line is open."""

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises LineError."""

    async def read(self, deadline_s: float) -> bytes:
        """Whatever has arrived, at least one byte; waits for it until `deadline_s` (event loop time), then returns b"".

        Raises LineError where the line is closed or gone.
        """

    def drain(self) -> int:
        """Throw away everything that has arrived, and say how many bytes that was. Raises LineError."""

    async def configure(self, settings: SerialSettings) -> None:
        """Set the serial port anew, once all that was written has had the time to leave; what has arrived stays.

        On a network it does nothing: the adapter there has settings of its own. Raises LineError where the port does not take them.
        """

    def close(self) -> None:
        """Give the line back. May be called twice."""


async def open_line(url: LineUrl, serial_defaults: SerialSettings) -> Line:
    """Open a line. What the URL does not say about a serial port is taken from `serial_defaults` (the profile's).

    Raises LineError with the cause and what to do. A host's *name* is looked up in asyncio's executor thread; an address needs none.
    """
    if url.port is None:
        return _open_serial(url, url.serial_settings(serial_defaults))
    return await _open_network(url, url.port)


def _open_serial(url: LineUrl, settings: SerialSettings) -> "_OpenLine":
    path = url.target
    try:
        port = serial.Serial(
            path,
            **_port_settings(path, settings),
            exclusive=True,
            timeout=0,
            # makes the driver wait for one byte at least (VMIN = 1): only so is "nothing yet" (EAGAIN) told from "unplugged" (0 bytes)
            inter_byte_timeout=0,
        )
    except (OSError, ValueError, termios.error) as error:
        raise LineError(f"{url}: {_why_not_open(path, error)}") from error
    return _OpenLine(str(url), port.fileno(), port.close, url.framing, port, settings)


def _port_settings(path: str, settings: SerialSettings) -> dict[str, Any]:
    """The settings as pyserial names them."""
    # A pty has no wire: Linux gives it 8 data bits only and refuses others. So simulated meters can stand in for 7-bit ones.
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
        group = "dialout"
        with contextlib.suppress(OSError, KeyError):
            group = grp.getgrgid(Path(path).stat().st_gid).gr_name
        return f"no permission to open the port — add the user that runs this to the group {group} (usermod -aG {group} USER)"
    if code in (errno.EBUSY, errno.EAGAIN):
        return "another program has the port open — stop it, or another copy of this one (fuser -v names it)"
    if isinstance(error, ValueError):
        return f"the port does not take these settings ({error}) — check baud, parity, data and stop bits"
    if "configure" in str(error) or isinstance(error, termios.error):
        return "this is not a serial port, or it does not take these settings — check the path, baud, parity, data and stop bits"
    return f"cannot open the port ({os.strerror(code) if code else error}) — unplug the adapter and plug it in again"


def _ports_seen() -> Iterator[str]:
    """Serial ports that are there now, by their lasting names where they have one; eight at most."""
    found = sorted(Path("/dev/serial/by-id").glob("*"))
    for pattern in ("ttyUSB*", "ttyACM*", "ttyAMA*") if not found else ():
        found += sorted(Path("/dev").glob(pattern))
    yield from map(str, found[:8])


async def _open_network(url: LineUrl, port: int) -> "_OpenLine":
    error: Exception = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            for family, address in await _addresses(url.target, port):
                try:
                    connection = await _connect(family, address)
                except OSError as this:
                    error = this
                else:
                    return _OpenLine(str(url), connection.fileno(), connection.close, url.framing)
    except TimeoutError as late:
        raise LineError(f"{url}: no answer within {CONNECT_TIMEOUT_S:g} s — is the meter on, and on this network?") from late
    except socket.gaierror as unknown:
        raise LineError(f"{url}: the name {url.target!r} is not known — check it, or write the address in numbers") from unknown
    if isinstance(error, ConnectionRefusedError):
        raise LineError(f"{url}: connection refused — is Modbus switched on at the meter, and {port} its port?") from error
    raise LineError(f"{url}: cannot connect ({error.strerror or error}) — check the address and the network") from error  # type: ignore[attr-defined]


async def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    return [(socket.AF_INET if literal.version == 4 else socket.AF_INET6, (host, port))]


async def _connect(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A connected socket that notices a dead peer: data unacknowledged for 15 s, or silence and no keepalive, end it."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(slots=True, eq=False)
class _OpenLine:
    """A line over one non-blocking file descriptor, which `release` gives back."""

    name: str
    fd: int
    release: Callable[[], None]
    framing: Framing
    port: serial.Serial | None = None
    settings: SerialSettings | None = None
    sent_until_s: float = 0.0
    turns: Turns = field(default_factory=Turns)
    closed: bool = False
    waiter: asyncio.Future[None] | None = None

    @property
    def char_s(self) -> float:
        return self.settings.char_s if self.settings else 0.0

    async def write(self, data: bytes) -> None:
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
                    raise LineError(f"{self.name}: takes no bytes for {WRITE_TIMEOUT_S:g} s — {self._remedy}") from None
                await self._wait(loop.add_writer, loop.remove_writer, deadline_s)
            except OSError as error:
                raise self._gone(error) from error

    async def read(self, deadline_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # a line that always has something must not keep the loop from the others
        while not (data := self._take()):
            if loop.time() >= deadline_s:
                return b""
            await self._wait(loop.add_reader, loop.remove_reader, deadline_s)
        return data

    def drain(self) -> int:
        count = 0
        while count < DRAIN_BYTES and (data := self._take()):
            count += len(data)
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
        self.turns.quiet_until_s = max(self.turns.quiet_until_s, asyncio.get_running_loop().time() + SETTLE_S)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._wake()
        with contextlib.suppress(OSError, termios.error):  # else closing a stuck port waits 30 s for bytes that cannot leave
            if os.isatty(self.fd):
                termios.tcflush(self.fd, termios.TCOFLUSH)
        with contextlib.suppress(OSError):  # an unplugged port may complain; it is given back all the same
            self.release()

    def _check_open(self) -> None:
        if self.closed:
            raise LineError(f"{self.name}: the line has been closed — open it again")

    def _take(self) -> bytes:
        """What the kernel holds, or b"" if it holds nothing."""
        self._check_open()
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        return data

    async def _wait(self, watch: Callable[..., Any], unwatch: Callable[[int], Any], deadline_s: float) -> None:
        """Until the descriptor is ready or the deadline has come."""
        loop = asyncio.get_running_loop()
        self.waiter = loop.create_future()
        watch(self.fd, self._wake)
        timer = loop.call_at(deadline_s, self._wake)
        try:
            await self.waiter
        finally:
            timer.cancel()
            unwatch(self.fd)
            self.waiter = None

    def _wake(self) -> None:
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    @property
    def _remedy(self) -> str:
        return "check the plug and the cable" if self.name.startswith("serial:") else "check the meter, its power and the network"

    def _gone(self, error: OSError | None) -> LineError:
        cause = f" ({error.strerror})" if error and error.strerror else ""
        what = "the port has vanished" if self.name.startswith("serial:") else "the other end has closed the connection"
        return LineError(f"{self.name}: {what}{cause} — {self._remedy}")
