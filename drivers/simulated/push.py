"""Ways on which a simulated meter pushes its telegrams: a serial port, or a serial server on the
network.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import AsyncIterator, Callable

Clock = Callable[[], float]
"""Unix time in seconds: `time.time`, or another one in tests."""

MAX_UNHEARD_BYTES = 64 * 1024
"""Whoever leaves so much lying hears no more until it has been fetched."""


@contextlib.asynccontextmanager
async def p1_meter(
    path: str, telegram_at: Callable[[int], bytes], now: Clock
) -> AsyncIterator[None]:
    """A P1 port that sends the telegram of each UTC second as that second begins. `path` is the
    meter's end of the line.
    """
    fd = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)

    def send(data: bytes) -> None:
        with contextlib.suppress(
            BlockingIOError
        ):  # the line is jammed: this telegram is lost, the meter does not care
            os.write(fd, data)

    try:
        async with _sending(send, telegram_at, now):
            yield
    finally:
        os.close(fd)


@contextlib.asynccontextmanager
async def p1_server(
    telegram_at: Callable[[int], bytes], now: Clock, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """The same behind a serial server or dongle: everybody who connects hears it. Gives its port.
    Raises OSError where that is taken.
    """
    clients: set[asyncio.Transport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Hearer(clients), host, port)

    def send(data: bytes) -> None:
        for client in clients:
            if client.get_write_buffer_size() < MAX_UNHEARD_BYTES:
                client.write(data)

    try:
        async with _sending(send, telegram_at, now):
            yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for client in tuple(clients):
            client.abort()
        await asyncio.sleep(
            0
        )  # the closed connections let go of their sockets in the loop's next turn


class _Hearer(asyncio.Protocol):
    """One connection to `p1_server`; what it says is not heard."""

    def __init__(self, clients: set[asyncio.Transport]) -> None:
        self._clients = clients

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clients.add(transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._clients.discard(self._transport)


@contextlib.asynccontextmanager
async def _sending(
    send: Callable[[bytes], None], telegram_at: Callable[[int], bytes], now: Clock
) -> AsyncIterator[None]:
    task = asyncio.create_task(_send_telegrams(send, telegram_at, now), name="simulated P1 meter")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _send_telegrams(
    send: Callable[[bytes], None], telegram_at: Callable[[int], bytes], now: Clock
) -> None:
    second = math.floor(now()) + 1
    while True:
        await asyncio.sleep(second - now())
        try:
            send(telegram_at(second))
        except OSError:
            return  # unplugged
        # After a pause of the machine or a step of its clock it goes on with the present.
        second = second + 1 if abs(second + 1 - now()) <= 1.5 else math.floor(now()) + 1
