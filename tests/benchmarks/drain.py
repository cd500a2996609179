"""A month's backlog of ten assets, from a real buffer through the real uploader to the stand-in
exchange.
"""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from gateway.delivery.destination import Policy
from gateway.delivery.http_session import Session
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.uploader import Uploader
from gateway.energy.slot import MeterState
from gateway.outbox.dialect import Dialect
from gateway.outbox.dialects import load_dialect
from gateway.outbox.format import Margins
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.site.credentials import Credentials
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.benchmarks.figure import Figure
from tests.gateway.delivery.rig import exchange_of

TITLE = "30 days of backlog of 10 assets, delivered by the sdk dialect"

SLOT_S = 900
SLOTS = 2880
ASSETS = 10
LIVE_SLOTS = 2
PATIENCE_S = 120.0


def figures() -> Iterator[Figure]:
    """Takes a few seconds."""
    logging.getLogger("gateway").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        requests, took_s, _ = asyncio.run(_drain(Path(scratch), live=False))
    with tempfile.TemporaryDirectory() as scratch:
        _, _, waited_s = asyncio.run(_drain(Path(scratch), live=True))
    count = ASSETS * SLOTS
    yield Figure(
        "requests for the backlog",
        requests,
        "",
        30,
        "low",
        f"{count} slots, {count / requests:.0f} a request",
    )
    yield Figure(
        "time for the backlog", took_s, "s", 10, "low", f"{count / took_s:.0f} slots a second"
    )
    yield Figure(
        "a slot that closes meanwhile, to the exchange",
        max(waited_s),
        "s",
        1,
        "low",
        f"the worst of {len(waited_s)}",
    )


async def _drain(folder: Path, *, live: bool) -> tuple[int, float, list[float]]:
    """Requests and seconds it took; and where `live` slots are owed meanwhile, how long each of
    them waited.
    """
    network, assets = uuid4(), [uuid4() for _ in range(ASSETS)]
    dialect = load_dialect("sdk", str(network), SLOT_S)
    buffer = open_buffer(folder / "buffer.sqlite", now_s=time.time())
    _owe(buffer, dialect, assets)
    async with StandInExchange(
        network, {asset: str(asset) for asset in assets}, slot_s=SLOT_S
    ) as exchange:
        session = Session(
            exchange.url, lambda: Credentials(exchange.username, exchange.password), 10.0
        )
        uploader = Uploader(
            exchange_of(dialect, session, Policy(slot_s=SLOT_S)),
            buffer.outbox("exchange"),
            now=time.time,
            trusted=lambda: True,
            jitter=lambda: 1.0,
        )
        began_s = time.perf_counter()
        task = asyncio.create_task(uploader.run())
        owed_s: dict[tuple[UUID, int], float] = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while buffer.outbox("exchange").backlog().count:
                    await asyncio.sleep(0.05)
                    if live and len(owed_s) < ASSETS * LIVE_SLOTS:
                        # One asset after the other; the newest two slots are live.
                        asset, slot_s = (
                            assets[len(owed_s) % ASSETS],
                            int(time.time()) // SLOT_S * SLOT_S - SLOT_S,
                        )
                        slot_s -= len(owed_s) // ASSETS * SLOT_S
                        _owe_one(buffer, dialect, asset, slot_s)
                        uploader.wake()
                        owed_s[asset, slot_s] = time.time()
            took_s = time.perf_counter() - began_s
        except TimeoutError:
            left = buffer.outbox("exchange").backlog().count
            raise RuntimeError(f"{left} slots are still owed after {PATIENCE_S:.0f} s") from None
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            buffer.close_file()
        if sum(map(len, exchange.books.measurements.values())) != ASSETS * SLOTS + len(owed_s):
            raise RuntimeError("the exchange did not get every slot")
        booked_s = {
            (booking.asset, booking.slot_s): booking.at_s for booking in exchange.books.history
        }
        return (
            exchange.requests.total(),
            took_s,
            [booked_s[key] - at_s for key, at_s in owed_s.items()],
        )


def _owe_one(buffer: Buffer, dialect: Dialect, asset: UUID, slot_s: int) -> None:
    window = dialect.window("measurement", slot_s, Margins(0.0, 0.0))
    owed = Owed(
        Item("exchange", asset, slot_s, "measurement", 0, 1),
        SLOT_S,
        "measured",
        window.opens_s,
        window.closes_s,
    )
    buffer.close(Closing("grid", 0, MeterState(None, 0, 0, {}), (), (owed,), ()))
    buffer.flush()


def _owe(buffer: Buffer, dialect: Dialect, assets: list[UUID]) -> None:
    """Thirty days of slots, the last of them long over."""
    end_s = int(time.time()) // SLOT_S * SLOT_S - 4 * SLOT_S
    owed = []
    for n in range(SLOTS):
        slot_s = end_s - (SLOTS - n) * SLOT_S
        window = dialect.window("measurement", slot_s, Margins(1.0, 1.0))
        for k, asset in enumerate(assets):
            item = Item(
                "exchange", asset, slot_s, "measurement", 0, 125_000_000 + 1_234_567 * k + 7 * n
            )
            owed.append(Owed(item, SLOT_S, "measured", window.opens_s, window.closes_s))
    buffer.close(
        Closing("grid", 0, MeterState(None, end_s * 1000, SLOT_S * 1000, {}), (), tuple(owed), ())
    )
    buffer.flush()
