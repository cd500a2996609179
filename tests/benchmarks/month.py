"""Thirty days without the exchange, ten meters every 10 s, then it is back: the real gateway under
virtual time, in a process of its own.

Samples are put in where the collectors put them, so that the month takes minutes; ledger, buffer,
uploader and housekeeping are as always.
"""

import asyncio
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import UUID

from drivers.line import Line, LineUrl, SerialSettings
from drivers.sample import Sample
from gateway.app import Gateway
from gateway.delivery import kinds
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.timing.clock import Clock, Sources
from tests.benchmarks.figure import Figure, progress
from tests.simulation.network import Network
from tests.simulation.virtual_time import VirtualLoop

TITLE = "30 days offline with ten meters at 10 s, then the backlog"
SLOW = "takes ten minutes"

DAYS = 30
METERS = 10
INTERVAL_S = 10
SLOT_S = 900
START_S = 1_780_000_200
"""A slot's start; the exchange goes away two hours later."""
DAY_S = 86_400
_BOOT = "month"


def figures() -> Iterator[Figure]:
    """In a process of its own, whose memory is nobody else's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first, last, requests, drained_s, live_s, count = pool.apply(_month)
    grown_mb, at_last = (last - first) / 1e6, f"{last / 1e6:.1f} MB at last"
    yield Figure(
        "memory after 30 days offline, beside that after a day", grown_mb, "MB", 5, "low", at_last
    )
    yield Figure(
        "time of the exchange to take the backlog",
        drained_s,
        "s",
        10,
        "low",
        f"{count} slots in {requests} requests",
    )
    yield Figure(
        "live slots, to the exchange, while it drains",
        live_s,
        "s",
        10,
        "low",
        "after their end, the margin of 1 s included",
    )


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _month() -> tuple[int, int, int, float, float, int]:
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        return runner.run(_live(Path(folder)))


async def _never(url: LineUrl, settings: SerialSettings) -> Line:
    """No line opens: samples come by another way."""
    await asyncio.Event().wait()
    raise AssertionError


async def _live(folder: Path) -> tuple[int, int, int, float, float, int]:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    ids = Random(1)

    def now_s() -> float:
        return START_S + loop.time() - began_s

    assets = [UUID(int=ids.getrandbits(128), version=4) for _ in range(METERS)]
    exchange = StandInExchange(
        UUID(int=ids.getrandbits(128), version=4),
        {each: f"m{n}" for n, each in enumerate(assets)},
        now=now_s,
    )
    _write_folder(folder, exchange, assets)
    network = Network(exchange)
    clock = Clock(
        "assured", Sources(now_s, lambda: loop.time() - began_s, lambda: True, lambda: _BOOT)
    )
    gateway = Gateway(
        kinds.load(folder), clock, open_a_line=_never, transport=network, rng=Random(2)
    )
    running = loop.create_task(gateway.run())
    await asyncio.sleep(INTERVAL_S)
    loop.call_later(2 * 3600, setattr, network, "outage", "refused")
    first = last = 0
    for day in range(DAYS + 1):
        await _feed(gateway, DAY_S if day else DAY_S - 2 * INTERVAL_S)
        last = _rss_bytes()
        first = first or last
        progress(f"month: day {day + 1}, {last / 1e6:.1f} MB")
    waiting = gateway.buffer.outbox("exchange").backlog().count
    back_s, requests = now_s(), exchange.requests.total()
    network.outage = ""
    feeding = loop.create_task(_feed(gateway, 2 * SLOT_S))
    drained_s = await _drained(gateway, exchange, back_s)
    requests = exchange.requests.total() - requests
    await feeding
    await asyncio.sleep(SLOT_S // 2)
    running.cancel()
    await asyncio.wait([running])
    measured = [
        booking
        for booking in exchange.books.history
        if booking.what == "measurement" and booking.at_s >= back_s
    ]
    live = [b.at_s - b.slot_s - SLOT_S for b in measured if b.slot_s + SLOT_S > back_s]
    if len(live) < METERS:
        raise RuntimeError("no live slot arrived while the backlog drained")
    return first, last, requests, drained_s, max(live), waiting


async def _drained(gateway: Gateway, exchange: StandInExchange, back_s: float) -> float:
    """How long the exchange was kept busy: from the first number of the backlog that it took to the
    last.
    """
    while True:
        await asyncio.sleep(0.5)
        due = gateway.buffer.outbox("exchange").due(back_s, since_s=None, limit=1)
        if not due:
            taken = [
                b.at_s
                for b in exchange.books.history
                if b.what == "measurement" and b.at_s >= back_s and b.slot_s + SLOT_S <= back_s
            ]
            return max(taken) - min(taken)


async def _feed(gateway: Gateway, for_s: float) -> None:
    """Samples of all meters, at aligned instants."""
    for _ in range(round(for_s / INTERVAL_S)):
        at_s = gateway.clock.now_s()
        for n in range(METERS):
            energy_wh = 1_000_000.0 + (at_s - START_S) * (100 + 50 * n) / 3600 // 1
            values = {
                "energy_import_wh": energy_wh,
                "energy_export_wh": 0.0,
                "power_w": 100.0 + 50 * n,
            }
            boottime_ms, utc_ms = gateway.clock.date(0.0)
            gateway.housekeeping.take(Sample(f"m{n}", f"{n}", _BOOT, boottime_ms, utc_ms, values))
        await asyncio.sleep(INTERVAL_S - gateway.clock.now_s() % INTERVAL_S)


def _write_folder(folder: Path, exchange: StandInExchange, assets: list[UUID]) -> None:
    (folder / "devices").mkdir()
    credentials = folder / "exchange.credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")
    lines = [
        "site: month",
        "exchange: {dialect: sdk, url: 'http://127.0.0.1:9', canary_network: "
        f"{exchange.network}, credentials: exchange.credentials, "
        "spread: 0s, verdicts: off}",
        "assets:",
        *(
            f"  - {{name: m{n}, uuid: {uuid}, kind: load, energy: m{n}.import}}"
            for n, uuid in enumerate(assets)
        ),
        "buffer: {path: buffer.sqlite}",
        "status: {port: 0}",
        "clock: {trust: assured}",
    ]
    (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
    for n in range(METERS):
        text = f"profile: eastron/sdm630\nline: tcp:192.0.2.{n + 1}:502\ninterval: {INTERVAL_S}s\n"
        (folder / "devices" / f"m{n}.yaml").write_text(text)
