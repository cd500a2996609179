"""Tells systemd how the daemon is: started, alive, stopping. Without systemd it does nothing.

The protocol is one datagram of `NAME=value` lines to the socket that systemd names in
NOTIFY_SOCKET; see sd_notify(3) and sd_watchdog_enabled(3). It is small enough to need no library.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


MAX_STATUS = 300
"""Characters of a status."""
STATUS_S = 5.0
"""How often it is looked how all is: what happens is shown within this time."""


class Watchdog:
    """Feeds systemd's watchdog only while the daemon's parts make progress, so that a hang is
    restarted as a crash is.

    `progress` returns None while all is well, or words that name the part which stands still. A
    dead meter or exchange is not a standstill: their tasks go on trying.
    """

    def __init__(
        self, progress: Callable[[], str | None], environ: Mapping[str, str] = os.environ
    ) -> None:
        self._progress = progress
        self._address = _address(environ)
        self._feed_every_s = _feed_every_s(environ)
        self._status = ""
        self._standing_still: str | None = None
        self._deaf = False

    @property
    def feed_every_s(self) -> float | None:
        """Seconds between two feedings: a third of the unit's WatchdogSec. None where systemd
        expects none.
        """
        return self._feed_every_s

    @property
    def is_there(self) -> bool:
        """Whether systemd wants to be told, and so would start us again."""
        return self._address is not None

    def starting(self, text: str, within_s: float) -> None:
        """Say why the start takes longer, and that there will be news within this time."""
        self.status(text)
        self.alive()  # it may have been called up before
        self._notify(f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}")

    def ready(self) -> None:
        """Say that the start is over: `systemctl start` returns now."""
        self._notify("READY=1")

    def stopping(self) -> None:
        """Say that the stop is intended and under way."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for people, shown by `systemctl status`. Said only when it changed, and cut
        where it is long.
        """
        line = " ".join(text.split())
        if len(line) > MAX_STATUS:
            line = line[: MAX_STATUS - 1] + "…"
        if line != self._status and self._notify(f"STATUS={line}"):
            self._status = line

    async def tell(self, summary: Callable[[], str]) -> None:
        """Says how all is, until cancelled; returns at once where nobody listens."""
        while self.is_there:
            if self._standing_still is None:
                self.status(summary())
            await asyncio.sleep(STATUS_S)

    def alive(self) -> None:
        """Feed the watchdog, where one is expected."""
        if self._feed_every_s is not None:
            self._notify("WATCHDOG=1")

    async def run(self) -> None:
        """Feeds until cancelled; returns at once where no watchdog is expected."""
        while self._feed_every_s is not None:
            standing_still = self._progress()
            if standing_still is None:
                if self._standing_still is not None:
                    _log.warning("%s goes on; the watchdog is fed again", self._standing_still)
                self._notify("WATCHDOG=1")
            elif standing_still != self._standing_still:
                _log.error(
                    "%s stands still; the watchdog is not fed, so systemd will restart the daemon",
                    standing_still,
                )
                self.status(f"{standing_still} stands still")
            self._standing_still = standing_still
            await asyncio.sleep(self._feed_every_s)

    def _notify(self, message: str) -> bool:
        """Whether systemd has taken the message."""
        if self._address is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
                notifier.setblocking(False)  # a systemd that does not read must not stop us
                notifier.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._deaf:
                _log.warning(
                    "systemd cannot be told %s: %s; it may restart the daemon",
                    message,
                    error.strerror or error,
                )
            self._deaf = True
            return False
        self._deaf = False
        return True


def _address(environ: Mapping[str, str]) -> str | None:
    """NOTIFY_SOCKET as the socket module wants it: `@` begins a name in the abstract namespace.
    Other kinds (vsock) are not for us.
    """
    name = environ.get("NOTIFY_SOCKET", "")
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _feed_every_s(environ: Mapping[str, str]) -> float | None:
    """A third of WATCHDOG_USEC, so that one feeding may be late; None where there is none or it is
    meant for another process.
    """
    interval_us = environ.get("WATCHDOG_USEC", "")
    if (
        not interval_us.isdecimal()
        or int(interval_us) == 0
        or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid())
    ):
        return None
    return int(interval_us) / 3e6
