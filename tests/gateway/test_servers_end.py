"""What listens in this package leaves no connection open, whenever it is stopped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest

from drivers.simulated.meters import modbus_tcp
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.monitoring.report import Report
from gateway.monitoring.server import StatusServer
from gateway.site.settings import StatusSettings
from tests.serving import connected, nothing_is_left

pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")
TURNS = 25
"""Of the loop, within which a connection has certainly been answered."""

GET = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
Serves = Callable[[Report], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def page(report: Report) -> AsyncIterator[int]:
    server = StatusServer(StatusSettings(port=0), lambda: report)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    try:
        yield int(server.url.rpartition(":")[2])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def exchange(_: Report) -> AsyncIterator[int]:
    network, asset = (UUID(f"26090dea-0000-4000-8000-{n:012d}") for n in range(2))
    async with StandInExchange(network, {asset: "Load"}) as standing_in:
        yield standing_in.port


def meter(_: Report) -> AbstractAsyncContextManager[int]:
    return modbus_tcp({})


@pytest.mark.parametrize("serves", [page, exchange, meter])
@pytest.mark.parametrize("says", [b"", GET, GET[:9]], ids=["nothing", "a request", "half of one"])
async def test_it_may_be_stopped_at_any_moment(
    serves: Serves, says: bytes, healthy_report: Report
) -> None:
    for turns in range(TURNS):
        async with serves(healthy_report) as port:
            client = await connected(port)
            client.send(says)
            for _ in range(turns):
                await asyncio.sleep(0)
        nothing_is_left()
        client.setblocking(True)
        client.settimeout(5)
        with contextlib.suppress(ConnectionError):  # it is told either way
            while client.recv(4096):
                pass
        client.close()
