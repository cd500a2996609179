"""Whether this machine's clock is synchronised, asked of whoever may be asked.

The service may not call adjtimex(2): a filter that lets it read lets it set as well. Then systemd
is asked over D-Bus: `NTPSynchronized` of org.freedesktop.timedate1 is what adjtimex says to it
(org.freedesktop.timedate1(5)), whichever time service runs. Where there is no D-Bus,
systemd-timesyncd leaves a file once it has put the clock right (systemd-timesyncd.service(8)).

One property is read, so the little of D-Bus that this needs is here (D-Bus Specification, "Message
Protocol" and "Authentication Protocol"): a library would cost the daemon more than the question.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUS = "/run/dbus/system_bus_socket"
TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")

WITHIN_S = 2.0
"""How long the bus may take for all of it: it may have to start timedated first."""
ASK_AGAIN_S = 10.0
"""The clock asks at each reading; the bus is asked so often at most."""
ASK_AGAIN_IN_VAIN_S = 60.0
"""Where nobody answers."""

MOST_REPLY_BYTES = 64 << 10
_METHOD_CALL, _METHOD_RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
)


@dataclass(slots=True)
class TimeService:
    """Asks the kernel; where that is refused, systemd. Call it: whether the clock is synchronised.
    Raises OSError where nobody may be asked, with what each of them said.
    """

    kernel: Callable[[], bool]
    """adjtimex(2); raises OSError where it is refused."""
    bus: str = BUS
    """The socket of the system's D-Bus."""
    mark: Path = TIMESYNCD_MARK
    monotonic_s: Callable[[], float] = time.monotonic
    _answer: bool | OSError = field(default=False, init=False)
    _ask_at_s: float = field(default=float("-inf"), init=False)

    def __call__(self) -> bool:
        """As said above."""
        try:
            return self.kernel()
        except OSError as error:
            refusal = f"adjtimex: {error.strerror or error}"
        now_s = self.monotonic_s()
        if now_s >= self._ask_at_s:
            self._answer = self._ask(refusal)
            in_vain = isinstance(self._answer, OSError)
            self._ask_at_s = now_s + (ASK_AGAIN_IN_VAIN_S if in_vain else ASK_AGAIN_S)
        if isinstance(self._answer, OSError):
            raise self._answer
        return self._answer

    def _ask(self, refusal: str) -> bool | OSError:
        try:
            return ntp_synchronised(self.bus)
        except OSError as error:
            if self.mark.exists():
                return True
            said = f"{refusal}; org.freedesktop.timedate1: {error.strerror or error}"
            return OSError(errno.EPERM, said)


def ntp_synchronised(bus: str, within_s: float = WITHIN_S) -> bool:
    """The property NTPSynchronized of timedated. Raises OSError, also for what cannot be
    understood.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(within_s)
        until_s = time.monotonic() + within_s
        connection.connect(bus)
        _authenticate(connection)
        connection.sendall(
            _call(
                1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"
            )
            + _call(
                2,
                "org.freedesktop.timedate1",
                "/org/freedesktop/timedate1",
                "org.freedesktop.DBus.Properties",
                "Get",
                "org.freedesktop.timedate1",
                "NTPSynchronized",
            )
        )
        while True:
            connection.settimeout(max(until_s - time.monotonic(), 0.01))
            kind, fields, body = _message(connection)
            if fields.get(_REPLY_SERIAL) != 2:
                continue  # the answer to Hello, and signals
            if kind == _METHOD_RETURN and body[:4] == b"\x01b\0\0" and len(body) == 8:
                return body[4:] != bytes(4)
            name = fields.get(_ERROR_NAME, "an answer that is no boolean")
            raise OSError(errno.EPROTO, f"{name}")


def _authenticate(connection: socket.socket) -> None:
    """By what the kernel says of this process: EXTERNAL."""
    uid = str(os.getuid()).encode().hex()
    connection.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\n")
    line = b""
    while not line.endswith(b"\r\n"):
        received = connection.recv(256)
        line += received
        if not received or len(line) > MOST_REPLY_BYTES:
            raise OSError(errno.EPROTO, "the bus closed the connection")
    if not line.startswith(b"OK "):
        raise OSError(errno.EACCES, "the bus refuses this user")
    connection.sendall(b"BEGIN\r\n")


def _call(
    serial: int, destination: str, path: str, interface: str, member: str, *words: str
) -> bytes:
    """A method call in little-endian, whose arguments are strings."""
    body = b""
    for word in words:
        body = _aligned(body, 4) + _string(word)
    header = [(_PATH, b"o", path), (_INTERFACE, b"s", interface), (_MEMBER, b"s", member)]
    header.append((_DESTINATION, b"s", destination))
    fields = b""
    for code, kind, text in header:
        fields = _aligned(fields, 8) + bytes((code, 1)) + kind + b"\0" + _string(text)
    if words:
        signature = b"s" * len(words)
        start = bytes((_SIGNATURE, 1)) + b"g\0" + bytes((len(signature),))
        fields = _aligned(fields, 8) + start + signature + b"\0"
    fixed = struct.pack("<cBBBIII", b"l", _METHOD_CALL, 0, 1, len(body), serial, len(fields))
    return _aligned(fixed + fields, 8) + body


def _string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode() + b"\0"


def _aligned(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def _message(connection: socket.socket) -> tuple[int, Mapping[int, int | str], bytes]:
    """The next message: its kind, those of its header fields that are text or numbers, its body."""
    start = _exactly(connection, 16)
    order = {b"l": "<", b"B": ">"}.get(start[:1])
    if order is None:
        raise OSError(errno.EPROTO, "what the bus said is no message")
    body_bytes, _, fields_bytes = struct.unpack(order + "III", start[4:])
    fields = _exactly(connection, fields_bytes + -fields_bytes % 8)[:fields_bytes]
    body = _exactly(connection, body_bytes)
    try:
        return start[1], _fields(fields, order), body
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise OSError(errno.EPROTO, "what the bus said is no message") from error


def _fields(data: bytes, order: str) -> Mapping[int, int | str]:
    """The header fields; those of other kinds than these end it: none of ours comes after them."""
    found: dict[int, int | str] = {}
    at = 0
    while at < len(data):
        code, kind = data[at], data[at + 2 : at + 3]
        at += 4
        if kind == b"u":
            found[code] = struct.unpack_from(order + "I", data, at)[0]
            at += 4
        elif kind in (b"s", b"o"):
            length = struct.unpack_from(order + "I", data, at)[0]
            found[code] = data[at + 4 : at + 4 + length].decode()
            at += 4 + length + 1
        elif kind == b"g":
            at += 1 + data[at] + 1
        else:
            break
        at += -at % 8
    return found


def _exactly(connection: socket.socket, count: int) -> bytes:
    if count > MOST_REPLY_BYTES:
        raise OSError(errno.EMSGSIZE, "the bus said too much")
    data = b""
    while len(data) < count:
        received = connection.recv(count - len(data))
        if not received:
            raise OSError(errno.EPROTO, "the bus closed the connection")
        data += received
    return data
