"""A simulated serial wire: two pseudo-terminals joined back to back, on which bytes travel at the
pace of a real one.

Each end is an ordinary device path, so whoever opens it (pyserial, a pymodbus server, the gateway
itself) cannot tell it from a port. As on a real wire, what nobody picks up is lost once the
receiver's kernel buffer (4 KiB) is full.
"""

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator

_CHUNK_S = 0.008
"""Bytes are handed over in bundles of about this long: 115200 baud costs 125 wake-ups a second
instead of 11,520.
"""

_READ_BYTES = 4096
_MAX_WAITING_BYTES = 64 * 1024
"""More than this waiting to go out, and the sender is held back, as a full transmit buffer would.
"""


class Wire:
    """Two joined ends. `gateway_end` and `meter_end` are the paths to open; they may be closed and
    opened again at will.
    """

    def __init__(self, char_s: float) -> None:
        """Raises OSError where the system has no pseudo-terminals left. `char_s`: seconds per byte
        in each direction; 0 is instant.
        """
        gateway_fd, self._gateway_slave = _raw_pty()
        meter_fd, self._meter_slave = _raw_pty()
        self.gateway_end = os.ttyname(self._gateway_slave)
        self.meter_end = os.ttyname(self._meter_slave)
        self._ways = (_Way(gateway_fd, meter_fd, char_s), _Way(meter_fd, gateway_fd, char_s))
        self._fds = [gateway_fd, self._gateway_slave, meter_fd, self._meter_slave]

    def unplug(self) -> None:
        """Pull the plug: both paths vanish, and whoever has one open gets an error at the next
        read. May be called twice.
        """
        for way in self._ways:
            way.stop()
        while self._fds:
            os.close(self._fds.pop())


@contextlib.asynccontextmanager
async def paced_line(char_s: float) -> AsyncIterator[Wire]:
    """A wire whose bytes take `char_s` seconds each, there for as long as the context."""
    wire = Wire(char_s)
    try:
        yield wire
    finally:
        wire.unplug()


def _raw_pty() -> tuple[int, int]:
    """Both sides of a pty. We keep the far one open too: else the near one gives EIO whenever
    nobody else has it open.
    """
    near, far = os.openpty()
    tty.setraw(far)
    os.set_blocking(near, False)
    return near, far


class _Way:
    """One direction. Byte k of a burst arrives k × char_s after the wire was free, whatever the
    bundling.
    """

    def __init__(self, source_fd: int, target_fd: int, char_s: float) -> None:
        self._source_fd = source_fd
        self._target_fd = target_fd
        self._char_s = char_s
        self._chunk_bytes = max(1, int(_CHUNK_S / char_s)) if char_s else _MAX_WAITING_BYTES
        self._waiting = bytearray()
        self._sent_until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source_fd, self._take)

    def stop(self) -> None:
        self._loop.remove_reader(self._source_fd)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if not self._waiting:
                self._sent_until_s = max(self._sent_until_s, self._loop.time())
            self._waiting += os.read(self._source_fd, _READ_BYTES)
        if len(self._waiting) > _MAX_WAITING_BYTES:
            self._loop.remove_reader(self._source_fd)
        if self._waiting and self._timer is None:
            self._schedule()

    def _schedule(self) -> None:
        due_s = self._sent_until_s + min(self._chunk_bytes, len(self._waiting)) * self._char_s
        self._timer = self._loop.call_at(due_s, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        held_back = len(self._waiting) > _MAX_WAITING_BYTES
        arrived = len(self._waiting)
        if self._char_s:
            # The loop may call a timer a hair early; the bundle that is due is due all the same.
            elapsed = round((self._loop.time() - self._sent_until_s) / self._char_s)
            arrived = min(arrived, max(elapsed, min(self._chunk_bytes, arrived)))
        with contextlib.suppress(
            BlockingIOError
        ):  # nobody reads at the other end: lost, as on a wire
            os.write(self._target_fd, self._waiting[:arrived])
        del self._waiting[:arrived]
        self._sent_until_s += arrived * self._char_s
        if held_back and len(self._waiting) <= _MAX_WAITING_BYTES:
            self._loop.add_reader(self._source_fd, self._take)
        if self._waiting:
            self._schedule()
