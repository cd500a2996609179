"""Servers that tests set up beside what they test."""

import asyncio
import gc
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from drivers.net.serving import Handler, Server


async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """A handler that does."""


@asynccontextmanager
async def serving(
    handler: Handler, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Gives each connection to `handler`, and the port at which it listens. A connection ends when
    its handler returns; in the end all of them do, and nothing of them is left.

    That the other side hangs up is no error of a handler. Any other one is raised in the end,
    whatever else went wrong: that may well be its consequence.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await handler(reader, writer)

    failures: list[BaseException] = []
    server = Server(handle, tls=tls, failed=failures.append)
    await server.listen(host, port)
    try:
        yield server.port
    finally:
        await server.close()
        for failure in failures:
            raise failure


async def connected(port: int) -> socket.socket:
    """A client's side, as it is: it does not block, and says nothing."""
    client = socket.socket()
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    except OSError:
        client.close()
        raise
    return client


def nothing_is_left() -> None:
    """That no socket and no transport is collected open, and no task goes on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    assert [str(each.message) for each in caught] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
