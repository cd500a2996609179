"""Log lines as journald keeps them: with fields, by its native protocol
(https://systemd.io/JOURNAL_NATIVE_PROTOCOL), so that a message of several lines stays one, and
`journalctl` finds all of a kind or of a part.

    journalctl -u meter-gateway PART=grid
    journalctl -u meter-gateway -p warning -o verbose

Beside MESSAGE and PRIORITY each has LOGGER, the module; PART, the meter, line or destination it is
about, where it begins with that; and MESSAGE_ID, the same for all that say the same of whatever.
"""

import logging
import os
import socket
import struct
import sys
import uuid

SOCKET = "/run/systemd/journal/socket"
STREAM_VARIABLE = "JOURNAL_STREAM"
IDENTIFIER = "meter-gateway"

_OF_MESSAGES = uuid.UUID("0f0c5a2e-7a0f-5f5b-9d0a-5a4c2a3e8d11")
"""The namespace of MESSAGE_IDs, which are made of what a message says before names are put in."""

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Of levels in syslog's numbers (RFC 5424, section 6.2.1)."""


def is_journal(fd: int, variable: str | None) -> bool:
    """Whether that file is the stream that systemd connected to the journal: JOURNAL_STREAM names
    its device and inode (systemd.exec(5)).
    """
    device, _, inode = (variable or "").partition(":")
    try:
        found = os.fstat(fd)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


class JournalHandler(logging.Handler):
    """Writes to the journal. What it cannot take goes to standard error, which it has as well."""

    def __init__(self, path: str = SOCKET) -> None:
        """Raises OSError where there is no journal."""
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path = path
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send it. Never waits: a journal that is stuck must not hold up a meter."""
        fields, part = fields_of(record), part_of(record)
        text = self.format(record)
        if part and text.startswith(f"{part}: "):  # what was masked is not told here either
            fields["PART"] = part
        data = datagram({"MESSAGE": text, **fields})
        try:
            try:
                self._socket.send(data, socket.MSG_DONTWAIT)
            except (ConnectionError, FileNotFoundError):
                # journald was started anew, and listens at a socket of the same name.
                self._socket.connect(self._path)
                self._socket.send(data, socket.MSG_DONTWAIT)
        except OSError:
            print(f"<{fields['PRIORITY']}>{text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


def part_of(record: logging.LogRecord) -> str:
    """The meter, line or destination that it is about, where it begins with that."""
    args = record.args if isinstance(record.args, tuple) else ()
    return str(args[0]) if str(record.msg).startswith("%s: ") and args else ""


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What is known of a line beside its text. Has to be asked before the text is made."""
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
    return {
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        "MESSAGE_ID": uuid.uuid5(_OF_MESSAGES, str(record.msg)).hex,
    }


def datagram(fields: dict[str, str]) -> bytes:
    """Fields as the protocol has them: `NAME=value` in a line, or with its length where the value
    has several.
    """
    found = bytearray()
    for name, value in fields.items():
        data = value.encode(errors="replace")
        if b"\n" in data:
            found += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            found += name.encode() + b"=" + data + b"\n"
    return bytes(found)
