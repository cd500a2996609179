"""Waits until bytes have come to an end of a simulated wire: a busy machine takes its time."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios

PATIENCE_S = 20.0
_LOOK_S = 0.001


async def arrived(path: str, size: int) -> None:
    """Until so many bytes wait at that port for whoever reads it. Raises TimeoutError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while _waiting(fd) < size:
                await asyncio.sleep(_LOOK_S)
    finally:
        os.close(fd)


async def heard(fd: int, size: int) -> bytes:
    """So many bytes, once they have come to a port that does not block. Raises TimeoutError."""
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        while len(data) < size:
            with contextlib.suppress(BlockingIOError):
                data += os.read(fd, size - len(data))
            await asyncio.sleep(_LOOK_S)
    return data


def _waiting(fd: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return int(count)
