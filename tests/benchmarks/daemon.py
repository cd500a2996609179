"""What the real daemon costs with the demo's three meters: memory, CPU and wake-ups, as the kernel
counts them.
"""

import asyncio
import compileall
import importlib.util
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import drivers
import gateway
from drivers.simulated.meters import simulated_home
from gateway.delivery.simulated.exchange import StandInExchange
from tests.benchmarks.figure import Figure, progress
from tests.benchmarks.site import daemon, write_site

TITLE = "the daemon with three meters at 10 s, after a minute and over the next"

WARM_UP_S = 60.0
MEASURED_S = 60.0
SLOT_S = 60
"""Shorter than a market's, so that slots are closed and delivered, and a forecast made, while it is
measured.
"""

MB = 1e6
OPTIONAL = ("rich", "pandas", "sqlite_utils", "click", "trio", "openpyxl", "cryptography", "numpy")
"""What libraries import for themselves where it happens to be installed."""

BUSY_MB = 45
"""Our own bound for a daemon that has logged in, delivered and been looked at; the 40 MB are for
one that has run for a minute.
"""

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
    """Takes two minutes."""
    # As pip installs it. A daemon that has to compile itself keeps some of the memory that this
    # takes.
    for package in (gateway, drivers):
        compileall.compile_dir(package.__path__[0], quiet=1)
    bare_mb = _bare_mb()
    warm, later, end, delivered = asyncio.run(_measure())
    there = ", ".join(name for name in OPTIONAL if importlib.util.find_spec(name))
    beside = f"asyncio + ssl + sqlite3 alone {bare_mb:.1f} MB; installed: {there}"
    yield Figure("memory (RSS) after 60 s", warm.rss_mb, "MB", 40, "low", beside)
    beside = f"{delivered} numbers delivered, its page looked at"
    yield Figure("memory (RSS) after 120 s", end.rss_mb, "MB", BUSY_MB, "low", beside)
    yield Figure(
        "CPU",
        (later.cpu_s - warm.cpu_s) / MEASURED_S * 100,
        "% of a core",
        0.5,
        "low",
        "P1 every second, two Modbus meters",
    )
    yield Figure("wake-ups", (later.wake_ups - warm.wake_ups) / MEASURED_S, "a second", 30, "low")


async def _measure() -> tuple[Cost, Cost, Cost, int]:
    """After the warm-up, at the end of the measured time, and after its page has been looked at;
    and what was delivered.
    """
    assets = {
        uuid4(): "grid.import - grid.export + pv.export",
        uuid4(): "pv.export",
        uuid4(): "heat-pump.import",
    }
    names = {uuid: str(uuid) for uuid in assets}
    with tempfile.TemporaryDirectory() as scratch:
        async with (
            simulated_home() as house,
            StandInExchange(uuid4(), names, slot_s=SLOT_S) as exchange,
        ):
            folder = Path(scratch) / "site"
            port = _free_port()
            write_site(
                folder, house, exchange, assets, slot=f"{SLOT_S}s", interval="10s", port=port
            )
            with daemon(folder) as pid:
                progress(f"daemon: warms up for {WARM_UP_S:.0f} s")
                await asyncio.sleep(WARM_UP_S)
                warm = cost(pid)
                progress(f"daemon: is measured for {MEASURED_S:.0f} s")
                await asyncio.sleep(MEASURED_S)
                later = cost(pid)
                # Last, and by us: what a curious person costs is not part of the daemon's own work.
                for page in ("", "status", "healthz", "metrics"):
                    await asyncio.to_thread(_look_at, f"http://127.0.0.1:{port}/{page}")
                return warm, later, cost(pid), exchange.booked.total()


def _look_at(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _bare_mb() -> float:
    with subprocess.Popen(
        [sys.executable, "-c", _BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return cost(process.pid).rss_mb
