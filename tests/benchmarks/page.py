"""What it costs that somebody looks: each answer over a store of 400 days, how late meters are read
while everybody asks. `daemon` has the memory.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import date
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import UUID, uuid4

from drivers.simulated.meters import simulated_home
from gateway.cli.demo_home import free_port
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.history.api import PREFIX, Api
from gateway.history.history import History
from gateway.history.live import Live
from gateway.history.opening import open_history
from gateway.monitoring.asked import LatePages
from gateway.monitoring.server import MAX_CONNECTIONS, StatusServer
from gateway.site.settings import StatusSettings
from gateway.store.opening import open_for_reading
from tests.benchmarks.daemon import cost
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import daemon, write_site
from tests.gateway.history.rig import HOUSE, NOW_S, SLOT_S, fill, report, write_home

TITLE = "the page and its API: 400 days, three meters; 16 clients and 6 streams"

DAYS = 400
SAMPLE_DAYS = 30.0
LARGE_DAYS = 35
"""A month needs no more; and thirty meters fill a disk."""
ROUNDS = 7
"""The fastest counts: what else the machine did is not ours."""
STREAMS = 6
QUIET_S = LOUD_S = 20.0
LATE_MS = 50.0
PATHS = {
    "now": "now",
    "a day": "days/2026-03-28",
    "a month": "months/2026-02",
    "a slot": f"slots/House load/{NOW_S - 2 * SLOT_S}".replace(" ", "%20"),
    "meters": "meters",
    "a meter": "meters/pv",
    "the exchange": "exchange",
    "events": "events",
}


def figures() -> Iterator[Figure]:
    """Takes three minutes, and 200 MB of disk."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "home"
        progress(f"page: a store of {DAYS} days")
        settings = write_home(folder)
        path = folder / "buffer.sqlite"
        fill(path, DAYS, sample_days=SAMPLE_DAYS, forecasts=True)
        size_mb = path.stat().st_size / 1e6
        history = open_history(settings, path, lambda: report(settings), frozenset())
        api = Api(history, Live(history, lambda: report(settings)))
        took = asyncio.run(_asked(api))
    for name, (took_s, size) in took.items():
        beside = f"{size:,} bytes packed; a store of {size_mb:.0f} MB"
        yield Figure(f"{name}, over HTTP, CPU", took_s * 1000, "ms", 100, "low", beside)
    yield from _thirty()
    quiet_ms, loud_ms, answers, rss_mb = asyncio.run(_turns())
    yield Figure(
        "the latest turn of a meter, 16 clients and 6 streams",
        max(loud_ms) - min(quiet_ms),
        "ms",
        LATE_MS,
        "low",
        f"{answers / LOUD_S:.0f} answers a second; with nobody asking "
        f"{max(quiet_ms) - min(quiet_ms):.0f} ms; memory (RSS) afterwards {rss_mb:.1f} MB",
    )


def _thirty() -> Iterator[Figure]:
    """A site with thirty meters, whose month is asked for in portions."""
    pumps = [f"heat-pump-{n:02}" for n in range(28)]
    meters = {"grid": "eastron/sdm630", "pv": "eastron/sdm120"}
    meters |= dict.fromkeys(pumps, "eastron/sdm630")
    assets = {
        "House load": (HOUSE, "load", "grid.import - grid.export + pv.export"),
        **{name: (uuid4(), "heat_pump", f"{name}.import") for name in pumps},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "home"
        progress(f"page: a store of {LARGE_DAYS} days of thirty meters")
        settings = write_home(folder, assets, meters)
        path = folder / "buffer.sqlite"
        fill(path, LARGE_DAYS, sample_days=0.01, assets=assets, meters=meters)
        history = open_history(settings, path, lambda: report(settings), frozenset())
        first_s, again_s = asyncio.run(_month(history))
    first = f"{first_s * 1000:.0f} ms the first time, in ten questions"
    yield Figure("a month of thirty meters, CPU", again_s * 1000, "ms", 100, "low", first)


async def _month(history: History) -> tuple[float, float]:
    """What the first look at a month costs, and the fastest of those after it, in seconds."""
    took_s = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        await history.month(date(2026, 3, 1))
        took_s.append(time.process_time() - began_s)
    return took_s[0], min(took_s[1:])


# --- each answer ----------------------------------------------------------------------------------


async def _asked(api: Api) -> dict[str, tuple[float, int]]:
    """Of each its fastest time in seconds, and its size as it is sent."""
    server = StatusServer(
        StatusSettings(port=0),
        lambda: (_ for _ in ()).throw(RuntimeError("nobody asks for the report")),
        pages=lambda _: [LatePages("/api/", lambda: api)],
    )
    serving = asyncio.create_task(server.run())
    await server.listening.wait()
    port = int(server.url.rpartition(":")[2])
    found = {}
    for name, path in PATHS.items():
        progress(f"page: {name}")
        tries = [await _once(port, PREFIX + path) for _ in range(ROUNDS)]
        found[name] = min(took_s for took_s, _ in tries), tries[0][1]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    return found


async def _once(port: int, path: str) -> tuple[float, int]:
    """What this process computed meanwhile, in seconds: the machine may be busy with others. And
    the size of the answer.
    """
    began_s = time.process_time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    reply = await reader.read()
    took_s = time.process_time() - began_s
    writer.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(f"{path}: {head[:100]!r}")
    return took_s, len(body)


# --- how late meters are read ---------------------------------------------------------------------


async def _turns() -> tuple[list[float], list[float], int, float]:
    """By how many ms after the whole second each sample of a meter on the network was taken, while
    nobody asks, and while everybody does; how many answers there were; and the MB of the daemon
    afterwards.
    """
    assets = {
        uuid4(): "grid.import - grid.export + pv.export",
        uuid4(): "pv.export",
        uuid4(): "heat-pump.import",
    }
    names = {uuid: str(uuid) for uuid in assets}
    async with _running(assets, names) as (folder, port, pid):
        progress("page: the daemon, while nobody asks")
        await _until_listening(port)
        await _once(port, "/metrics")
        await asyncio.sleep(60)  # slots are closed and delivered
        began_s = time.time()
        await asyncio.sleep(QUIET_S)
        quiet_s = time.time()
        progress("page: the daemon, while everybody asks")
        loud_s = time.time()
        answers = await _loud(port, next(iter(assets)))
        ended_s, rss_mb = time.time(), cost(pid).rss_mb
        await asyncio.sleep(60)  # until the samples are on disk
        buffer = open_for_reading(folder / "buffer.sqlite")
        late: dict[bool, list[float]] = {False: [], True: []}
        for _, sample in buffer.tables.samples.read(0, int(began_s * 1000), int(ended_s * 1000)):
            if sample.device != "heat-pump" or sample.utc_ms is None:
                continue
            if not quiet_s <= sample.utc_ms / 1000 < loud_s:
                late[sample.utc_ms >= loud_s * 1000].append(float(sample.utc_ms % 1000))
        buffer.close_file()
        return late[False], late[True], answers, rss_mb


@contextlib.asynccontextmanager
async def _running(
    assets: dict[UUID, str], names: dict[UUID, str]
) -> AsyncIterator[tuple[Path, int, int]]:
    with tempfile.TemporaryDirectory() as scratch:
        async with simulated_home() as home, StandInExchange(uuid4(), names, slot_s=60) as exchange:
            folder = Path(scratch) / "site"
            port = free_port()
            write_site(folder, home, exchange, assets, slot="60s", interval="1s", port=port)
            with daemon(folder) as pid:
                yield folder, port, pid


async def _until_listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                await _once(port, "/metrics")
                return
            await asyncio.sleep(0.1)


async def _loud(port: int, asset: UUID) -> int:
    """As many clients as there are connections, in a process of their own: meters are in ours."""
    context = get_context("spawn")
    stop, answers = context.Event(), context.Queue()
    process = context.Process(target=_crowd, args=(port, str(asset), stop, answers))
    process.start()
    await asyncio.sleep(LOUD_S)
    stop.set()
    count: int = await asyncio.to_thread(answers.get, timeout=30)
    await asyncio.to_thread(process.join)
    return count


def _crowd(port: int, asset: str, stop: Event, answers: object) -> None:
    """What the other process does."""
    asyncio.run(_asking(port, asset, stop, answers.put))  # type: ignore[attr-defined]


def _paths(asset: object) -> list[str]:
    """One of each kind, of a slot that has closed."""
    day = time.strftime("%Y-%m-%d")
    start_s = int((time.time() - 10) // 60 - 1) * 60
    said = ["now", f"days/{day}", f"months/{day[:7]}", f"slots/{asset}/{start_s}", "meters"]
    return [PREFIX + path for path in (*said, "meters/pv", "exchange", "events")]


async def _asking(port: int, asset: str, stop: Event, told: Callable[[int], object]) -> None:
    paths = _paths(asset)
    count = 0

    async def ask(number: int) -> None:
        nonlocal count
        while not stop.is_set():
            number += 1
            with contextlib.suppress(OSError, RuntimeError):
                await _once(port, paths[number % len(paths)])
                count += 1

    async def listen() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {PREFIX}live HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                async with asyncio.timeout(2):
                    while await reader.read(4096):
                        pass
                writer.close()

    asking: list[Awaitable[None]] = [ask(n) for n in range(MAX_CONNECTIONS - STREAMS)]
    await asyncio.gather(*asking, *(listen() for _ in range(STREAMS)))
    told(count)
