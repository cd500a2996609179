"""What the real daemon costs with the demo's three meters: memory, CPU and wake-ups, as the kernel
counts them, and how soon it is ready.
"""

import asyncio
import compileall
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import drivers
import gateway
from drivers.simulated.meters import simulated_home
from gateway.cli.demo_home import free_port
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.history.api import PREFIX
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import daemon, write_site
from tests.gateway.delivery.mosquitto import Broker

TITLE = "the daemon with three meters at 10 s: its start, and a minute in which it delivers"

WARM_UP_S = 60.0
MEASURED_S = 60.0
READY_WITHIN_S = 30.0
STARTS = 3
"""The fastest counts: what else the machine did is not the daemon's."""
SLOT_S = 60
"""Shorter than a market's, so that slots are closed and delivered, and a forecast made, while it is
measured.
"""

MB = 1e6
OPTIONAL = ("rich", "pandas", "sqlite_utils", "click", "trio", "openpyxl", "cryptography", "numpy")
"""What libraries import for themselves where it happens to be installed."""

MEMORY_MB = 40
"""What the daemon may take once it has logged in, delivered and closed slots for a minute."""
VERDICTS_MB = 42.5
"""The same where the engine's verdicts are heard."""
BEFORE_MB = 41.0
"""The same, two minutes after its start and its one page looked at, of the last version that had
one (fea9d52): measured by its own benchmark on the same machine, in the environment of the unit.
"""
LOOKED_AT_MB = MEMORY_MB + 1
"""The same when every page and all of the API have been asked for: 0.5 MB more than `BEFORE_MB`
would be allowed.
"""
MQTT_MB = 43
"""The same with a broker."""
READY_S = 0.6

_BARE = (
    "import asyncio, ssl, sqlite3, "
    "sys\nasyncio.run(asyncio.sleep(0))\nprint(flush=True)\nsys.stdin.read()"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the kernel says of a process (proc(5))."""

    rss_mb: float
    cpu_s: float
    wake_ups: int


def cost(pid: int) -> Cost:
    """As of now. All threads together."""
    process = Path(f"/proc/{pid}")
    # The fields after the name, which may hold blanks: utime and stime are the 14th and 15th.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    wake_ups = sum(
        _number(task / "status", "voluntary_ctxt_switches") for task in (process / "task").iterdir()
    )
    return Cost(_number(process / "status", "VmRSS") * 1024 / MB, cpu_s, wake_ups)


def _number(status: Path, key: str) -> int:
    return next(
        int(line.split()[1])
        for line in status.read_text().splitlines()
        if line.startswith(f"{key}:")
    )


def figures() -> Iterator[Figure]:
    """Takes more than four minutes."""
    # As pip installs it. A daemon that has to compile itself keeps some of the memory that this
    # takes.
    for package in (gateway, drivers):
        compileall.compile_dir(package.__path__[0], quiet=1)
    bare_mb = _bare_mb()
    warm, later, end, delivered = asyncio.run(_measure("off"))
    (_, hearing, _, heard), (_, _, published, _) = asyncio.run(_both())
    if not delivered or not heard:
        raise RuntimeError("nothing was delivered in the minute that was measured")
    there = ", ".join(name for name in OPTIONAL if importlib.util.find_spec(name))
    beside = f"{delivered} numbers delivered in it; asyncio + ssl + sqlite3 alone {bare_mb:.1f} MB"
    yield Figure(
        "memory (RSS) after a minute of deliveries", later.rss_mb, "MB", MEMORY_MB, "low", beside
    )
    beside = "a websocket for each of three assets"
    yield Figure(
        "the same, with the engine's verdicts", hearing.rss_mb, "MB", VERDICTS_MB, "low", beside
    )
    beside = (
        f"{end.rss_mb - later.rss_mb:.1f} MB more than before; before there were these, its one "
        f"page looked at: {BEFORE_MB} MB; installed: {there}"
    )
    name = "memory (RSS) when every page and all of the API were looked at"
    yield Figure(name, end.rss_mb, "MB", LOOKED_AT_MB, "low", beside)
    yield Figure("the same, with an MQTT broker", published.rss_mb, "MB", MQTT_MB, "low")
    yield Figure(
        "from its start until it says it is ready",
        min(asyncio.run(_start()) for _ in range(STARTS)),
        "s",
        READY_S,
        "low",
        f"the fastest of {STARTS}",
    )
    yield Figure(
        "CPU",
        (later.cpu_s - warm.cpu_s) / MEASURED_S * 100,
        "% of a core",
        0.5,
        "low",
        "P1 every second, two Modbus meters",
    )
    yield Figure("wake-ups", (later.wake_ups - warm.wake_ups) / MEASURED_S, "a second", 30, "low")


_Measured = tuple[Cost, Cost, Cost, int]
"""After the warm-up, at the end of the measured time, and after its pages have been looked at; and
how many numbers were delivered in the measured time.
"""


async def _both() -> tuple[_Measured, _Measured]:
    """With the engine's verdicts, and with a broker."""
    program = shutil.which("mosquitto")
    if program is None:
        raise RuntimeError("mosquitto is missing: apt install mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(program, Path(folder), free_port())
        await broker.start()
        try:
            mqtt = f"mqtt: {{host: 127.0.0.1, port: {broker.port}, tls: false}}\n"
            return await asyncio.gather(_measure("on"), _measure("off", mqtt))
        finally:
            await broker.stop()


async def _measure(verdicts: str, sections: str = "") -> _Measured:
    async with delivering_site(f", verdicts: {verdicts}") as (folder, port, exchange):
        with (folder / "gateway.yaml").open("a") as file:
            file.write(sections)
        with daemon(folder) as pid:
            progress(f"daemon: warms up for {WARM_UP_S:.0f} s")
            await asyncio.sleep(WARM_UP_S)
            # The first whole slot ends up to two slots after the start.
            async with asyncio.timeout(2 * SLOT_S):
                while not exchange.books.booked.total():
                    await asyncio.sleep(0.1)
            warm, before = cost(pid), exchange.books.booked.total()
            progress(f"daemon: is measured for {MEASURED_S:.0f} s")
            await asyncio.sleep(MEASURED_S)
            later, delivered = cost(pid), exchange.books.booked.total() - before
            # Last, and by us: what a curious person costs is not part of the daemon's own work.
            for page in pages_of(next(iter(exchange.assets))):
                await asyncio.to_thread(_look_at, f"http://127.0.0.1:{port}{page}")
            return warm, later, cost(pid), delivered


async def _start() -> float:
    """How long the daemon takes from its start to READY=1. Raises TimeoutError."""
    async with delivering_site() as (folder, _, _):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            address = folder.parent / "notify"
            notified.bind(str(address))
            notified.setblocking(False)
            began_s = time.monotonic()
            with daemon(folder, NOTIFY_SOCKET=str(address)):
                async with asyncio.timeout(READY_WITHIN_S):
                    while b"READY=1" not in await _message(notified):
                        pass
                return time.monotonic() - began_s


async def _message(notified: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(notified, 4096)


@contextlib.asynccontextmanager
async def delivering_site(more: str = "") -> AsyncIterator[tuple[Path, int, StandInExchange]]:
    """The folder of a running home, the port of the daemon's page, and the exchange."""
    assets = {
        uuid4(): "grid.import - grid.export + pv.export",
        uuid4(): "pv.export",
        uuid4(): "heat-pump.import",
    }
    names = {uuid: str(uuid) for uuid in assets}
    with tempfile.TemporaryDirectory() as scratch:
        async with (
            simulated_home() as home,
            StandInExchange(uuid4(), names, slot_s=SLOT_S) as exchange,
        ):
            folder = Path(scratch) / "site"
            port = free_port()
            slot = f"{SLOT_S}s"
            write_site(
                folder, home, exchange, assets, slot=slot, interval="10s", port=port, more=more
            )
            yield folder, port, exchange


def pages_of(asset: object) -> list[str]:
    """Everything there is to look at, of a slot that has closed."""
    day, slot_s = time.strftime("%Y-%m-%d"), int((time.time() - 10) // SLOT_S - 1) * SLOT_S
    told = ["meters", "meters/pv", "exchange", "events"]
    told += [f"days/{day}", f"months/{day[:7]}", f"slots/{asset}/{slot_s}"]
    return [
        *("/", "/status", "/healthz", "/metrics", "/help", "/technical"),
        *(f"/{each}" for each in told),
        *(f"{PREFIX}{each}" for each in ["now", *told]),
    ]


def _look_at(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()


def _bare_mb() -> float:
    with subprocess.Popen(
        [sys.executable, "-c", _BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return cost(process.pid).rss_mb
