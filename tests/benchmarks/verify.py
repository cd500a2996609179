"""Ninety days of ten assets in the buffer, beside what the engine's twin tells of them over a
socket: what `meter-gateway verify` does, as a process of its own.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.slot import MeterState
from gateway.outbox.item import Item, Kind
from gateway.outbox.owed import Owed
from gateway.store.opening import open_buffer
from gateway.store.rows import Closing
from tests.benchmarks.figure import Figure
from tests.benchmarks.site import write_bare_site

TITLE = "90 days of ten assets, beside what the exchange holds"

SLOT_S = 900
SLOTS = 90 * 96
ASSETS = 10


def figures() -> Iterator[Figure]:
    """Takes half a minute."""
    with tempfile.TemporaryDirectory() as scratch:
        took_s, out = asyncio.run(_verify(Path(scratch)))
    if f"{ASSETS * (SLOTS - 8)} of {ASSETS * (SLOTS - 8)} slots agree" not in out:
        raise RuntimeError(f"not all of it was compared, or it does not agree:\n{out[-2000:]}")
    beside = f"{ASSETS * (SLOTS - 8)} slots, with a forecast of each"
    yield Figure("90 days of ten assets, verified", took_s, "s", 20, "low", beside)


async def _verify(folder: Path) -> tuple[float, str]:
    """How long it took, and what it printed."""
    assets = [uuid4() for _ in range(ASSETS)]
    names = {asset: f"asset {n}" for n, asset in enumerate(assets)}
    end_s = int(time.time()) // SLOT_S * SLOT_S - 4 * SLOT_S
    slots_s = [end_s - n * SLOT_S for n in range(SLOTS - 8, 0, -1)]
    _owe(folder / "buffer.sqlite", assets, slots_s)

    network = uuid4()
    async with StandInExchange(network, names, slot_s=SLOT_S) as exchange:
        for number, asset in enumerate(assets):
            exchange.books.held[asset] = {at_s: _uwh(number, at_s) for at_s in slots_s}
        write_bare_site(folder, exchange)
        began_s = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "--config", str(folder), "verify"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        return time.perf_counter() - began_s, out.decode()


def _uwh(number: int, slot_s: int) -> int:
    return 125_000_000 + slot_s % 7919 + number


def _owe(path: Path, assets: list[UUID], slots_s: list[int]) -> None:
    """All of it was accepted long ago."""
    kinds: tuple[tuple[Kind, int], ...] = (("measurement", 0), ("forecast", 7))
    owed = tuple(
        Owed(
            Item("exchange", asset, slot_s, kind, 0, _uwh(number, slot_s) + more),
            SLOT_S,
            "measured",
            opens_s=0.0,
            closes_s=slot_s if kind == "forecast" else None,
            state="accepted",
            attempts=1,
            decided_s=slot_s + 960.0,
        )
        for slot_s in slots_s
        for number, asset in enumerate(assets)
        for kind, more in kinds
    )
    buffer = open_buffer(path, now_s=time.time())
    try:
        buffer.close(Closing("grid", 1, MeterState(None, 0, 0, {}), (), owed, ()))
        buffer.flush()
    finally:
        buffer.close_file()
