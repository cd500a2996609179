"""A running site: a simulated home, a strict exchange, and the daemon as a process of its own with
an ordinary configuration folder.

Test files cannot import this one; they get `start_site` as a fixture, and the rest hangs on the
`RunningSite` it gives.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from drivers.simulated.meters import Home, simulated_home
from gateway.cli.demo_home import ASSETS, Daemon, Site, write_site
from gateway.delivery.simulated.http_server import StandInExchange
from gateway.energy.assets import Formula
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import Slot
from gateway.monitoring.report import MeterReport, Part, Report
from gateway.outbox.owed import Owed
from gateway.store.buffer import Buffer
from gateway.store.opening import open_for_reading

SLOT_S = 5
PATIENCE_S = 100.0
"""Far more than anything here takes: a slow machine makes these tests slow, not red."""

STEP_WH = {"grid": 2, "pv": 1, "heat-pump": 1}
"""What each meter's registers count in: a P1 meter's total is the sum of two tariff registers of 1
Wh.
"""


@dataclass
class RunningSite:
    """The whole site; ask it what the page, the log, the exchange and the buffer say. It can be
    asked after it has ended, too.
    """

    site: Site
    home: Home
    exchange: StandInExchange
    daemon: Daemon
    page: httpx.AsyncClient
    runs: asyncio.Task[None]
    """Keeps the daemon running; cancelled, it is not started again."""
    slot_s: int = SLOT_S

    async def report(self) -> Report:
        """What the daemon says of itself, as soon as it listens."""
        return await self.until(lambda _: True, "the daemon listens")

    async def until(self, condition: Callable[[Report], bool], what: str) -> Report:
        """The first report of which this is true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        report = Report.from_json((await self.page.get("/status")).content)
                        if condition(report):
                            return report
                    await asyncio.sleep(0.1)
        except TimeoutError:
            log = "\n".join(self.log()[-20:])
            raise AssertionError(f"never: {what}; the log ends with\n{log}") from None

    async def until_booked(
        self, what: str, condition: Callable[[dict[int, int]], bool], *, dated: bool = True
    ) -> None:
        """Wait until of every asset's booked slots (start → µWh) this is true."""
        booked = self.exchange.books.measurements if dated else self.exchange.books.undated
        await self.until(lambda _: all(map(condition, booked.values())), what)

    def log(self, *about: str, since: int = 0) -> list[str]:
        """The lines of the daemon's log that contain one of these texts (or all of them), from a
        line on.
        """
        lines = self.daemon.log_path.read_text(errors="replace").splitlines()[since:]
        return [line for line in lines if not about or any(text in line for text in about)]

    @contextlib.contextmanager
    def buffer(self) -> Iterator[Buffer]:
        """The buffer, read beside the daemon."""
        buffer = open_for_reading(self.site.buffer_path)
        try:
            yield buffer
        finally:
            buffer.close_file()

    def owed(self, asset: str) -> list[Owed]:
        """The measurements that are and were owed for an asset, in the order of time."""
        with self.buffer() as buffer:
            return [
                o
                for o in buffer.owed()
                if o.item.subject == self.site.assets[asset] and o.item.kind == "measurement"
            ]

    def series(self) -> dict[tuple[str, str], list[Slot]]:
        """All slots in the buffer by meter and direction, in the order of time."""
        found: dict[tuple[str, str], list[Slot]] = {}
        with self.buffer() as buffer:
            for slot in buffer.slots():
                found.setdefault((slot.device, slot.direction), []).append(slot)
        return found

    def difference_wh(self, asset: str) -> float:
        """Accepted less true energy, over all slots from the first to the last accepted one; there
        must be no hole between them.
        """
        booked = self.exchange.books.measurements[self.site.assets[asset]]
        begin_s, end_s = min(booked), max(booked) + SLOT_S
        assert sorted(booked) == list(range(begin_s, end_s, SLOT_S)), f"{asset}: slots are missing"
        terms = Formula.parse(ASSETS[asset][1]).terms
        truth = self.home.truth
        true_wh = sum(
            t.sign * truth.energy_wh(t.device.replace("-", "_"), t.direction, begin_s, end_s)
            for t in terms
        )
        return sum(booked.values()) / UWH_PER_WH - true_wh

    def allowed_wh(self, asset: str) -> float:
        """The counter is inside the register's step at the first boundary and at the last one."""
        return 2 * sum(STEP_WH[term.device] for term in Formula.parse(ASSETS[asset][1]).terms)

    def holds_what_it_accepted(self, asset: str) -> None:
        """Raises AssertionError unless the exchange has exactly what the buffer says: of each slot
        the newest number that it took. Only the verdicts on the last delivery may not have come
        before the stop.
        """
        owed = [o for o in self.owed(asset) if o.state in ("accepted", "sent")]
        by_revision = sorted(owed, key=lambda o: o.item.revision)
        taken = {o.item.slot_s: o.item.energy_uwh for o in by_revision}
        assert taken == self.exchange.books.measurements[self.site.assets[asset]]
        last = max(owed, key=lambda o: o.last_sent_s or 0.0)
        unanswered = {o.transaction_id for o in owed if o.state == "sent"}
        assert unanswered <= {last.transaction_id}

    @staticmethod
    def meter(report: Report, name: str) -> MeterReport:
        """What a report says of one meter."""
        return next(m for m in report.meters if m.name == name)

    @staticmethod
    def line_of(report: Report, name: str) -> Part:
        """What a report says of a meter's line."""
        return next(
            line for line in report.lines if line.name == RunningSite.meter(report, name).line
        )


StartSite = Callable[..., AbstractAsyncContextManager[RunningSite]]


@pytest.fixture(scope="session")
def start_site() -> StartSite:
    """Starts sites: `async with start_site(folder, dialect=…, home=…, prepare=…) as site`."""
    return _running_site


@contextlib.asynccontextmanager
async def _running_site(
    folder: Path,
    *,
    dialect: str = "sdk",
    home: Home | None = None,
    prepare: Callable[[Site], None] = lambda _: None,
) -> AsyncIterator[RunningSite]:
    """Slots of 5 s, samples every second. `prepare` may change the folder before the daemon
    starts.
    """
    assets = {name: uuid4() for name in ASSETS}
    async with contextlib.AsyncExitStack() as stack:
        home = home or await stack.enter_async_context(simulated_home())
        by_uuid = {uuid: name for name, uuid in assets.items()}
        exchange = await stack.enter_async_context(StandInExchange(uuid4(), by_uuid, slot_s=SLOT_S))
        site = write_site(folder, home, exchange, assets, slot_s=SLOT_S, dialect=dialect, port=None)
        prepare(site)
        page = await stack.enter_async_context(httpx.AsyncClient(base_url=site.page, timeout=30))
        daemon = Daemon(folder)
        task = asyncio.create_task(daemon.run())
        try:
            yield RunningSite(site, home, exchange, daemon, page, task)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
