"""The demo: a simulated home, the gateway itself as a process with an ordinary configuration
folder, and a stand-in exchange.

What is simulated is only what cannot be here. The gateway is started as an installer would start
it, and restarted as systemd would: kill it and see.
"""

import asyncio
import contextlib
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from uuid import UUID, uuid4

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from drivers.simulated.home import Household
from drivers.simulated.meters import Home, simulated_home
from gateway.cli.as_service import PACKAGES
from gateway.cli.forecast_account import ALWAYS_S, slots_beside
from gateway.delivery.simulated.behaviour import Behaviour
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.assets import Formula
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.forecast_errors import Sums
from gateway.energy.slot import Slot
from gateway.outbox.item import Subject
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer
from gateway.store.errors import StoreError
from gateway.store.opening import open_for_reading

SLOT_S = 15
LEAD_S = SLOT_S / 60
"""How far the exchange's clock runs ahead."""
OUTAGE_SLOTS = 3
GRACE_S = 75.0
"""How long after the end the last slots may take to be accepted: the uploader's longest wait, and a
little.
"""

ASSETS: Mapping[str, tuple[str, str]] = {
    "House load": ("kind: load", "grid.import - grid.export + pv.export"),
    "PV": ("kind: pv", "pv.export"),
    "Heat pump": ("kind: heat_pump, delivered_as: load", "heat-pump.import"),
}
"""name: (what it is, energy). In a real market the heat pump would be taken out of the load: each
Wh belongs to one asset.
"""

_METERS = {"grid": "grid", "pv": "pv", "heat-pump": "heat_pump"}
"""Name of the device file → name in the simulated home."""

_STEP_WH = {"grid": 2, "pv": 1, "heat-pump": 1}
"""What each meter's registers count in: a P1 meter's total is the sum of two tariff registers of 1
Wh.
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The demo's configuration folder and where its page is."""

    folder: Path
    assets: Mapping[str, UUID]
    page: str

    @property
    def buffer_path(self) -> Path:
        """The gateway's store."""
        return self.folder / "buffer.sqlite"


def write_site(
    folder: Path,
    home: Home,
    exchange: StandInExchange,
    assets: Mapping[str, UUID],
    interval: str = "1s",
    *,
    slot_s: int = SLOT_S,
    dialect: str = "sdk",
    port: int | None = 8080,
) -> Site:
    """An ordinary configuration folder for the simulated home. Where `port` is taken, the page
    gets another one.
    """
    port = free_port(port)
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    credentials = folder / "exchange.credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(f"username: {exchange.username}\npassword: {exchange.password}\n")
    lines = [
        "site: demo-home",
        f"market: {{slot: {slot_s}s, max_gap: 10min}}",
        "exchange:",
        f"  dialect: {dialect}",
        f"  url: {exchange.url}",
        f"  canary_network: {exchange.network}",
        "  credentials: exchange.credentials",
        "assets:",
        *(
            (f"  - {{name: {name}, uuid: {uuid}, {ASSETS[name][0]}, energy: {ASSETS[name][1]}}}")
            for name, uuid in assets.items()
        ),
        "buffer: {path: buffer.sqlite, flush: 5s}",
        f"status: {{port: {port}}}",
        "clock: {trust: assured}   # a demo machine may lack NTP",
    ]
    (folder / "gateway.yaml").write_text("\n".join(lines) + "\n")
    for name, text in home.device_files(interval).items():
        (folder / "devices" / f"{name}.yaml").write_text(text)
    return Site(folder, assets, f"http://127.0.0.1:{port}/")


_DRAWN_PORTS = range(20_000, 32_768)
"""Below those that the kernel gives to connections (Linux: 32768 and more): none of these gets a
port between its drawing and its use.
"""


def free_port(wanted: int | None = None) -> int:
    """That port; where it is taken, or none is wanted, one that is drawn, so that two programs that
    ask at the same moment hardly ever get the same. Raises OSError.
    """
    drawn = SystemRandom().sample(_DRAWN_PORTS, 50)
    for port in drawn if wanted is None else (wanted, *drawn):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free TCP port on this machine")


class Daemon:
    """The gateway as a process, restarted when it ends, as systemd restarts it. `words` is what it
    is told to do, `name` what its log is called.
    """

    def __init__(self, folder: Path, *words: str, name: str = "gateway") -> None:
        self._folder = folder
        self._words = words or ("run",)
        self.log_path = folder / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def run(self) -> None:
        """Until cancelled; then the process is asked to stop, and has."""
        with self.log_path.open("ab") as log:
            while True:
                # A session of its own: Ctrl-C in the terminal is ours to handle.
                config = ("--config", str(self._folder))
                arguments = ("-P", "-m", "gateway", *config, *self._words)
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *arguments,
                    stdout=log,
                    stderr=log,
                    stdin=asyncio.subprocess.DEVNULL,
                    env=os.environ | {"PYTHONPATH": str(PACKAGES)},
                    start_new_session=True,
                )
                self.starts += 1
                try:
                    await self.process.wait()
                    await asyncio.sleep(1)
                finally:
                    await self._stop()

    async def _stop(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@dataclass(frozen=True, slots=True)
class Line:
    """One slot, as the table shows it."""

    start_s: int
    meters: str
    quality: str
    delivery: tuple[tuple[str, str], ...]

    @property
    def time(self) -> str:
        """The slot's start."""
        return datetime.fromtimestamp(self.start_s, UTC).strftime("%H:%M:%SZ")


def _lines(buffer: Buffer, names: Mapping[Subject, str], since_s: int) -> list[Line]:
    slots: dict[int, list[Slot]] = {}
    owed: dict[int, list[Owed]] = {}
    for slot in buffer.slots(since_s):
        slots.setdefault(slot.start_s, []).append(slot)
    expected: dict[tuple[int, Subject], int | None]
    expected = {(s.start_s, s.asset): s.forecast_uwh for s in buffer.asset_slots(since_s)}
    for each in buffer.owed(since_s):
        if each.item.kind == "measurement":
            owed.setdefault(each.item.slot_s, []).append(each)
    return [
        _line(start_s, slots[start_s], owed.get(start_s, []), names, expected)
        for start_s in sorted(slots)
    ]


def _line(
    start_s: int,
    slots: list[Slot],
    owed: list[Owed],
    names: Mapping[Subject, str],
    expected_uwh: Mapping[tuple[int, Subject], int | None],
) -> Line:
    meters = "  ".join(
        (
            f"{slot.device} {'→' if slot.direction == 'export' else '←'} "
            f"{slot.energy_uwh / UWH_PER_WH:.2f}"
        )
        for slot in sorted(slots, key=lambda s: (s.device, s.direction), reverse=True)
        if slot.energy_uwh
    )
    qualities = sorted({slot.quality for slot in slots}, reverse=True)
    delivery = tuple(
        (
            f"{names.get(each.item.subject, '?')} {each.item.energy_uwh / UWH_PER_WH:.2f}"
            f"{_beside(expected_uwh.get((start_s, each.item.subject)))}"
            if each.quality != "partial"
            else "",
            each.state,
        )
        for each in sorted(owed, key=lambda o: names.get(o.item.subject, ""))
    )
    return Line(start_s, meters, ", ".join(qualities), delivery)


def _beside(expected_uwh: int | None) -> str:
    """What was expected of a slot when it began, beside what came; empty where nothing was."""
    return "" if expected_uwh is None else f" (expected {expected_uwh / UWH_PER_WH:.2f})"


_COLOURS = {"accepted": "green", "pending": "yellow", "rejected": "red", "missed": "red"}


def _table(lines: list[Line], status: str) -> Group:
    table = Table(
        title="Slots of the last minutes (Wh; ← imported, → exported)", title_justify="left"
    )
    for column in ("slot", "meters", "quality", "delivery"):
        table.add_column(column)
    for line in lines[-12:]:
        delivery = Text("  ").join(
            Text(f"{what} {state}".strip(), _COLOURS[state]) for what, state in line.delivery
        )
        table.add_row(line.time, line.meters, line.quality, delivery)
    return Group(table, Text(status))


async def run_demo(folder: Path | None, for_s: float | None, outage: bool, console: Console) -> int:
    """The whole demo. Returns 0 where the totals of the simulation and of the exchange agree within
    the registers' steps.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="meter-gateway-demo-"))
    assets = {name: uuid4() for name in ASSETS}
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    by_uuid = {uuid: name for name, uuid in assets.items()}
    async with (
        simulated_home() as home,
        StandInExchange(
            uuid4(), by_uuid, slot_s=SLOT_S, behaviour=Behaviour(lead_s=LEAD_S)
        ) as exchange,
    ):
        site = write_site(folder, home, exchange, assets)
        console.print(
            f"Configuration folder: {folder}\nStatus page:          {site.page}\nThe gateway's "
            f"log:    {folder / 'gateway.log'}"
        )
        daemon = Daemon(folder)
        started_s = time.time()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(daemon.run())
            others = [group.create_task(_show(site, daemon, exchange, console))]
            if outage:
                others.append(group.create_task(_take_away(exchange, for_s, console)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    await stop.wait()
            end_s = int(time.time()) // SLOT_S * SLOT_S
            if outage:
                await asyncio.wait(others[1:], timeout=GRACE_S)
            await _settled(exchange, started_s, end_s)
            for task in (*others, running):
                task.cancel()
        found = [
            _compare(name, exchange.books.measurements[uuid], home.truth, started_s, end_s)
            for name, uuid in assets.items()
        ]
        _tell_forecasts(site, console)
        return _tell(found, exchange, daemon, console)


async def _take_away(exchange: StandInExchange, for_s: float | None, console: Console) -> None:
    """Take the exchange away for some slots, from a slot's start on."""
    begin_s = math.ceil((time.time() + max(2 * SLOT_S, (for_s or 0) / 3)) / SLOT_S) * SLOT_S
    await asyncio.sleep(begin_s - time.time())
    console.print(f"[red]The exchange is away for {OUTAGE_SLOTS} slots")
    exchange.mode("down")
    await asyncio.sleep(OUTAGE_SLOTS * SLOT_S)
    exchange.mode("ok")
    console.print("[green]The exchange is back")


async def _show(site: Site, daemon: Daemon, exchange: StandInExchange, console: Console) -> None:
    """A live table in a terminal; elsewhere a line for each slot whenever something about it
    changes.
    """
    names: dict[Subject, str] = {uuid: name for name, uuid in site.assets.items()}
    printed: dict[int, Line] = {}
    with (
        Live(console=console, refresh_per_second=2)
        if console.is_terminal
        else contextlib.nullcontext() as live
    ):
        while True:
            await asyncio.sleep(1)
            with _reading(site.buffer_path) as buffer:
                lines = _lines(buffer, names, int(time.time()) - 20 * SLOT_S) if buffer else []
            pid = daemon.process.pid if daemon.process else 0
            status = (
                f"gateway: process {pid}, started {daemon.starts} time(s)   page: "
                f"{site.page}   accepted: {exchange.requests[200]} requests"
            )
            if live is not None:
                live.update(_table(lines, status))
                continue
            for line in lines:
                if printed.get(line.start_s) != line:
                    printed[line.start_s] = line
                    delivery = ", ".join(f"{what} {state}".strip() for what, state in line.delivery)
                    console.print(
                        f"{line.time}  {line.meters}  [{line.quality}]  {delivery}",
                        markup=False,
                        highlight=False,
                        soft_wrap=True,
                    )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Buffer | None]:
    """The gateway's buffer, read beside it; None until it is there."""
    try:
        buffer = open_for_reading(path)
    except StoreError:
        yield None
        return
    try:
        yield buffer
    finally:
        buffer.close_file()


async def _settled(exchange: StandInExchange, started_s: float, end_s: int) -> None:
    """Wait until the exchange has the last slot of every asset, or for as long as is bearable."""
    if end_s - SLOT_S < started_s:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            measured = exchange.books.measurements.values()
            while not all(_complete(booked, end_s) for booked in measured):  # noqa: ASYNC110 — a dict tells nobody
                await asyncio.sleep(0.2)


def _complete(booked: Mapping[int, int], end_s: int) -> bool:
    return bool(booked) and all(start_s in booked for start_s in range(min(booked), end_s, SLOT_S))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one asset did in truth, and what the exchange accepted of it."""

    name: str
    slots: int
    missing: int
    is_late: bool
    true_wh: float
    accepted_wh: float
    allowed_wh: int

    @property
    def difference_wh(self) -> float:
        """By how much too much was accepted."""
        return self.accepted_wh - self.true_wh

    @property
    def verdict(self) -> str:
        """In a word or two; `agree` where all is well."""
        if not self.slots:
            return "no slot"
        if self.is_late:
            return "first slot late"
        if self.missing:
            return f"{self.missing} missing"
        return "agree" if abs(self.difference_wh) <= self.allowed_wh else "DIFFER"

    @property
    def agrees(self) -> bool:
        """Whether the exchange has every slot, and the right energy."""
        return self.verdict == "agree"


def _compare(
    name: str, booked: Mapping[int, int], truth: Household, started_s: float, end_s: int
) -> Comparison:
    """One asset, from its first slot to `end_s`; `booked` is what the exchange accepted, in µWh."""
    accepted = {start_s: uwh for start_s, uwh in booked.items() if start_s < end_s}
    first_s = min(accepted, default=end_s)
    energy = ASSETS[name][1]

    return Comparison(
        name=name,
        slots=len(accepted),
        missing=len(range(first_s, end_s, SLOT_S)) - len(accepted),
        # The first slot that can be whole is the one that begins after the gateway has started;
        # give it one more.
        is_late=first_s > started_s + 3 * SLOT_S,
        true_wh=_true_wh(truth, energy, first_s, end_s),
        accepted_wh=sum(accepted.values()) / UWH_PER_WH,
        # The counter is inside the register's step at the first boundary and at the last one.
        allowed_wh=2 * sum(_STEP_WH[term.device] for term in Formula.parse(energy).terms),
    )


def _tell_forecasts(site: Site, console: Console) -> None:
    """Print what was expected of each asset's slots beside what was measured."""
    table = Table(title="What was expected, and what was measured", title_justify="left")
    for column in ("asset", "slots", "expected Wh", "measured Wh", "mean error", "last slot's"):
        table.add_column(column, justify="left" if column == "asset" else "right", no_wrap=True)
    with _reading(site.buffer_path) as buffer:
        for name, uuid in site.assets.items():
            sums = Sums()
            for each in slots_beside(buffer, uuid, 0, ALWAYS_S) if buffer else ():
                sums.add(each)
            score = sums.score
            table.add_row(
                name,
                str(score.slots),
                f"{sums.forecast_uwh / UWH_PER_WH:.2f}",
                f"{sums.measured_uwh / UWH_PER_WH:.2f}",
                _wh_text(score.mae_uwh),
                _wh_text(score.naive_mae_uwh["last_slot"]),
            )
    console.print(table)


def _wh_text(energy_uwh: float | None) -> str:
    return "–" if energy_uwh is None else f"{energy_uwh / UWH_PER_WH:.2f}"


def _tell(
    found: list[Comparison], exchange: StandInExchange, daemon: Daemon, console: Console
) -> int:
    """Print for each asset what was true and what was accepted; 0 where they agree."""
    table = Table(title="What the home did, and what the exchange accepted", title_justify="left")
    for column in ("asset", "slots", "true Wh", "accepted Wh", "difference", "allowed", ""):
        is_text = column in ("asset", "")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)

    for each in found:
        table.add_row(
            each.name,
            str(each.slots),
            f"{each.true_wh:.3f}",
            f"{each.accepted_wh:.3f}",
            f"{each.difference_wh:+.3f}",
            f"±{each.allowed_wh}",
            Text(each.verdict, "green" if each.agrees else "red"),
        )
    console.print(table)

    again = sum(
        count - 1 for (what, _, _), count in exchange.books.booked.items() if what == "measurement"
    )
    console.print(
        f"Slots sent more than once (harmless, the same value replaces itself): {again}. Starts "
        f"of the gateway: {daemon.starts}."
    )

    if all(each.agrees for each in found):
        return 0
    console.print(f"[red]The totals do not agree.[/red] See {daemon.log_path}")
    return 1


def _true_wh(truth: Household, energy: str, since_s: int, until_s: int) -> float:
    return sum(
        term.sign * truth.energy_wh(_METERS[term.device], term.direction, since_s, until_s)
        for term in Formula.parse(energy).terms
    )
