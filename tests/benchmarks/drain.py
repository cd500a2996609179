"""A month's backlog of ten assets, from a real buffer through the real uploader to the stand-in exchange."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from gateway.buffer import Buffer, Closing, open_buffer
from gateway.credentials import Credentials
from gateway.exchange import load_dialect
from gateway.exchange.dialect import Dialect, Item
from gateway.exchange.session import Session
from gateway.outbox import Owed
from gateway.sandbox.exchange import StandInExchange
from gateway.slots import MeterState
from gateway.uploader import Uploader
from tests.benchmarks.figure import Figure

TITLE = "30 days of backlog of 10 assets, delivered by the sdk dialect"

SLOT_S = 900
SLOTS = 2880
ASSETS = 10
PATIENCE_S = 120.0


def figures() -> Iterator[Figure]:
    """Takes a few seconds."""
    logging.getLogger("gateway").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        requests, took_s = asyncio.run(_drain(Path(scratch)))
    count = ASSETS * SLOTS
    yield Figure("requests for the backlog", requests, "", 30, "low", f"{count} slots, {count / requests:.0f} a request")
    yield Figure("time for the backlog", took_s, "s", 10, "low", f"{count / took_s:.0f} slots a second")


async def _drain(folder: Path) -> tuple[int, float]:
    network, assets = uuid4(), [uuid4() for _ in range(ASSETS)]
    dialect = load_dialect("sdk", str(network), SLOT_S)
    buffer = open_buffer(folder / "buffer.sqlite", now_s=time.time())
    _owe(buffer, dialect, assets)
    async with StandInExchange(network, {asset: str(asset) for asset in assets}, slot_s=SLOT_S) as exchange:
        session = Session(exchange.url, lambda: Credentials(exchange.username, exchange.password), 10.0)
        uploader = Uploader(buffer, dialect, session, now=time.time, trusted=lambda: True, slot_s=SLOT_S, jitter=lambda: 1.0)
        began_s = time.perf_counter()
        task = asyncio.create_task(uploader.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while buffer.backlog().count:
                    await asyncio.sleep(0.02)
            took_s = time.perf_counter() - began_s
        except TimeoutError:
            raise RuntimeError(f"{buffer.backlog().count} slots are still owed after {PATIENCE_S:.0f} s") from None
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            buffer.close_file()
        if sum(map(len, exchange.measurements.values())) != ASSETS * SLOTS:
            raise RuntimeError("the exchange did not get every slot")
        return exchange.requests.total(), took_s


def _owe(buffer: Buffer, dialect: Dialect, assets: list[UUID]) -> None:
    """Thirty days of slots, the last of them long over."""
    end_s = int(time.time()) // SLOT_S * SLOT_S - 4 * SLOT_S
    owed = []
    for n in range(SLOTS):
        slot_s = end_s - (SLOTS - n) * SLOT_S
        window = dialect.window("measurement", slot_s, 1.0)
        for k, asset in enumerate(assets):
            item = Item(asset, slot_s, "measurement", 0, 125_000_000 + 1_234_567 * k + 7 * n)
            owed.append(Owed(item, SLOT_S, "measured", window.opens_s, window.closes_s))
    buffer.close(Closing("grid", 0, MeterState(None, end_s * 1000, SLOT_S * 1000, {}), (), tuple(owed), ()))
    buffer.flush()
