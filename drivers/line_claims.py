"""What of this machine and its network one line has for itself: its port, or its endpoint.

A port is known by its device number and an endpoint by its addresses, so that it does not matter
by which name somebody opens them.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from drivers.claim import Claim, Held, Holder, claim, locker_of
from drivers.line_protocol import LineHeld
from drivers.line_url import LineUrl


class LineClaims(msgspec.Struct):
    """The claims of one line. `says` is what we are to those who want it meanwhile."""

    url: LineUrl
    says: str
    taken: dict[str, Claim] = msgspec.field(default_factory=dict)

    def take_port(self, path: str) -> None:
        """Have a serial port. Raises LineHeld."""
        self._take(_port_names(path))

    def take_endpoint(
        self,
        kind: socket.SocketKind,
        addresses: Iterable[tuple[socket.AddressFamily, Any]],
    ) -> None:
        """Have an endpoint, at all of its addresses. Raises LineHeld."""
        self._take(_endpoint_names(kind, addresses))

    def _take(self, wanted: Iterable[str]) -> None:
        """These, and none of those from before. Raises LineHeld, and has nothing then."""
        names = [*dict.fromkeys(wanted)]
        try:
            for name in names:
                if name not in self.taken:
                    self.taken[name] = claim(name, self.says)
        except Held as error:
            self.close()
            raise LineHeld(self.url, error.holder) from error

        for name in self.taken.keys() - set(names):
            self.taken.pop(name).close()

    def close(self) -> None:
        """Give everything back. May be called twice."""
        while self.taken:
            self.taken.popitem()[1].close()


def port_user(path: str) -> Holder:
    """Who has a port open for itself, where that can be seen."""
    with contextlib.suppress(OSError):
        return locker_of([Path(path).stat()]) or Holder()
    return Holder()


def _port_names(path: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        found = Path(path).stat()
        if stat.S_ISCHR(found.st_mode):
            # A container has pseudo-terminals of its own, with the same numbers.
            where = f" of {found.st_dev}" if os.path.realpath(path).startswith("/dev/pts/") else ""
            yield f"port {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}{where}"


def _endpoint_names(
    kind: socket.SocketKind, addresses: Iterable[tuple[socket.AddressFamily, Any]]
) -> Iterator[str]:
    for _, (host, port, *more) in addresses:
        scope = more[1] if len(more) > 1 else 0
        yield f"{kind.name} {host}%{scope} {port}"
