"""A month's backlog of fifty assets, sent by way of an aggregator to the engine's twin, until the
last verdict is there; and how long a slot that closes meanwhile waits for that.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from gateway.delivery.kinds import load
from gateway.delivery.opening import Opening, open_delivery
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.delivery.uploader import Uploader
from gateway.energy.slot import MeterState
from gateway.outbox.item import Item
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.benchmarks.figure import Figure
from tests.benchmarks.site import write_bare_site
from tests.gateway.delivery.rig import running

TITLE = "30 days of backlog of 50 assets, delivered by way of an aggregator, verdicts and all"

SLOT_S = 900
SLOTS = 2880
ASSETS = 50
TICK_S = 1.0
"""Of the twin's engine: a verdict comes that much later."""
LIVE = 20
PATIENCE_S = 180.0


def figures() -> Iterator[Figure]:
    """Takes a minute."""
    logging.getLogger("gateway").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        requests, took_s, _ = asyncio.run(_drain(Path(scratch), live=0))
    with tempfile.TemporaryDirectory() as scratch:
        _, _, waited_s = asyncio.run(_drain(Path(scratch), live=LIVE))
    with tempfile.TemporaryDirectory() as scratch:
        _, _, without_s = asyncio.run(_drain(Path(scratch), live=LIVE, verdicts="off"))
    count = ASSETS * SLOTS
    beside = f"{count} slots; the registry and the aggregator are among them"
    yield Figure("requests for the backlog of an aggregator", requests, "", 90, "low", beside)
    beside = f"{count / took_s:.0f} slots a second, accepted by the engine's verdict"
    yield Figure("time for the backlog of an aggregator", took_s, "s", 30, "low", beside)
    beside = f"the worst of {len(waited_s)}: {max(waited_s):.2f} s, without {max(without_s):.2f} s"
    yield Figure(
        "a slot that closes meanwhile: later, for the verdicts' sake",
        max(max(waited_s) - max(without_s), 0.0),
        "s",
        1,
        "low",
        beside,
    )


async def _drain(
    folder: Path, *, live: int, verdicts: str = "on"
) -> tuple[int, float, list[float]]:
    """Requests and seconds it took; and how long each of the `live` slots waited that were owed
    meanwhile.
    """
    assets = [uuid4() for _ in range(ASSETS)]
    buffer = open_buffer(folder / "buffer.sqlite", now_s=time.time())
    end_s = int(time.time()) // SLOT_S * SLOT_S - 4 * SLOT_S
    _owe(buffer, assets, [end_s - n * SLOT_S for n in range(1, SLOTS + 1)])
    names = {asset: f"asset {n}" for n, asset in enumerate(assets)}
    async with StandInExchange(uuid4(), names, slot_s=SLOT_S) as exchange:
        exchange.behaviour.tick_s = TICK_S
        uploader = _uploader(folder, exchange, buffer, verdicts)
        outbox = buffer.outbox("exchange")
        owed_s: dict[tuple[UUID, int], float] = {}
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S), running(uploader):
                while (backlog := outbox.backlog()).count or backlog.sent:
                    await asyncio.sleep(0.2)
                    if len(owed_s) < live and backlog.count:
                        asset, slot_s = assets[len(owed_s)], end_s + 2 * SLOT_S
                        _owe(buffer, [asset], [slot_s])
                        uploader.wake()
                        owed_s[asset, slot_s] = time.time()
        except TimeoutError:
            raise RuntimeError(f"{outbox.backlog()} after {PATIENCE_S:.0f} s") from None
        finally:
            buffer.close_file()
        took_s = time.perf_counter() - began_s
        if sum(map(len, exchange.books.measurements.values())) != ASSETS * SLOTS + len(owed_s):
            raise RuntimeError("the exchange did not get every slot")
        sent_s = [at_s for at_s, path, _ in exchange.journal if path.endswith("batch-commands/")]
        waited_s = [min(at_s for at_s in sent_s if at_s >= s) - s for s in owed_s.values()]
        return exchange.requests.total() + exchange.logins, took_s, waited_s


def _uploader(folder: Path, exchange: StandInExchange, buffer: Buffer, verdicts: str) -> Uploader:
    """As the daemon opens it."""
    site = folder / "site"
    keys = f", spread: 0s, aggregator: bench, verdicts: {verdicts}"
    write_bare_site(site, exchange, more=keys)
    settings = load(site)
    opening = Opening(
        name="exchange",
        site=settings,
        buffer=buffer,
        now=time.time,
        trusted=lambda: True,
        jitter=lambda: 1.0,
    )
    uploader = open_delivery(settings.destinations["exchange"], opening)
    assert isinstance(uploader, Uploader)
    return uploader


def _owe(buffer: Buffer, assets: list[UUID], slots_s: list[int]) -> None:
    owed = tuple(
        Owed(
            Item("exchange", asset, slot_s, "measurement", 0, 125_000_000 + slot_s % 7919 + n),
            SLOT_S,
            "measured",
            opens_s=0.0,
            closes_s=None,
        )
        for slot_s in slots_s
        for n, asset in enumerate(assets)
    )
    state = MeterState(None, 0, 0, {})
    buffer.close(Closing("grid", time.monotonic_ns(), state, (), owed, ()))
    buffer.flush()
