"""The socket on which systemd hears what a service says of itself (sd_notify)."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """The socket at that path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.setblocking(False)
        yield ear


def heard(ear: socket.socket) -> list[str]:
    """What was said since the last look."""
    found = []
    try:
        while True:
            found.append(ear.recv(4096).decode())
    except BlockingIOError:
        return found
