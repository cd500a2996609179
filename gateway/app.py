"""The only place where the parts are put together. Everything here is handed over in constructors;
nothing is global.

lines ─▶ collectors ─▶ ledger ─▶ buffer ─▶ uploader ─▶ exchange
              └───────────┴─▶ MQTT        all ─▶ report ─▶ status page, watchdog
"""

import asyncio
import gc
import logging
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.line import open_line
from drivers.sample import Sample
from gateway import __version__
from gateway.collect.collector import Collector, OpenLine
from gateway.delivery.http_session import Session
from gateway.delivery.uploader import Uploader
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.slot import KNOWN, Slot
from gateway.ledger.ledger import Ledger
from gateway.monitoring.report import AssetReport, BufferReport, ClockReport, Report
from gateway.monitoring.server import StatusServer
from gateway.monitoring.watchdog import Watchdog
from gateway.outbox.dialects import load_dialect
from gateway.outbox.item import EXCHANGE, Subject
from gateway.outbox.owed import Owed
from gateway.site.devices import lines_of
from gateway.site.settings import Asset, Settings
from gateway.store.buffer import Buffer, Limits
from gateway.store.errors import StoreError
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock

if TYPE_CHECKING:
    import httpx

    from gateway.delivery.mqtt_publisher import MqttPublisher

T = TypeVar("T")

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 3600
"""Time between two prunings of the buffer."""

GATHER_S = 0.5
"""Time from the first meter that closes a slot to the commit: the others on lines of their own
close theirs within it.
"""

STATUS_S = 60
"""Time between two publications of the status over MQTT."""

DAY_S = 86_400


@dataclass(slots=True)
class StoreHealth:
    """How writing to the buffer has been going."""

    last_success_s: float | None = None
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    failing: bool = False


class Gateway:
    """One gateway, from its settings. `run` it once."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        open_a_line: OpenLine = open_line,
        transport: "httpx.AsyncBaseTransport | None" = None,
        rng: Random | None = None,
    ) -> None:
        """`open_a_line`, `transport` (to the exchange) and the clock's sources are the seams at
        which a simulation puts its own world.
        """
        self.settings = settings
        self.clock = clock
        self._started_boottime_s = clock.boottime_s()
        self._store = StoreHealth()
        limits = Limits(
            settings.buffer.keep_samples,
            settings.buffer.keep_slots,
            int(settings.buffer.max_size),
            int(settings.market.slot),
        )
        self.buffer: Buffer = open_buffer(settings.buffer_path, limits, now_s=clock.now_s())
        exchange = settings.exchange
        dialect = (
            load_dialect(exchange.dialect, str(exchange.canary_network), settings.market.slot)
            if exchange
            else None
        )
        self.ledger = Ledger(settings, self.buffer, clock, dialect)
        self.ledger.closed = self._closed
        self._some_closed = asyncio.Event()
        self.ledger.gather = self._some_closed.set
        self._behind = asyncio.Event()
        self.ledger.behind = self._behind.set
        rng = rng or Random()  # noqa: S311 — jitter, not a secret
        self.uploader: Uploader | None = None
        self._session: Session | None = None
        if exchange and dialect:
            name = exchange.credentials
            names: dict[Subject, str] = {asset.uuid: asset.name for asset in settings.assets}
            self._session = Session(
                exchange.url,
                lambda: settings.credentials(name),
                exchange.timeout,
                transport=transport,
            )
            self.uploader = Uploader(
                self.buffer.outbox(EXCHANGE),
                dialect,
                self._session,
                now=clock.now_s,
                trusted=lambda: clock.trusted,
                slot_s=settings.market.slot,
                jitter=rng.random,
                name_of=lambda asset: names.get(asset, str(asset)),
                settlement_s=exchange.settlement,
                quiet_s=exchange.quiet_s(settings.site, settings.market.slot),
                margin_s=exchange.margin,
            )
        self.collectors = [
            Collector(devices, clock, settings.market.slot, open_a_line, self._take, rng.random)
            for devices in lines_of(settings.devices).values()
        ]
        self.mqtt: MqttPublisher | None = None
        if settings.mqtt:
            from gateway.delivery import mqtt_publisher as mqtt

            self.mqtt = mqtt.MqttPublisher(
                settings.mqtt,
                settings.site,
                settings.credentials,
                now=clock.now_s,
                jitter=rng.random,
            )
        self.watchdog = Watchdog(self._standstill)
        self.status = StatusServer(settings.status, self.report)
        self._housekeeping_s: float | None = None
        self._flushed_s = 0.0

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; then write what waits and leave. An unexpected error ends
        it loudly.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            self._behind.set()
            # What exists now lives as long as the process: the garbage collector need not look at
            # it again.
            gc.collect()
            gc.freeze()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in self._works()]
                self.watchdog.ready()
                await stop.wait()
                log.info("stopping; samples that are written now: %d", self.buffer.waiting)
                self.watchdog.stopping()
                for task in tasks:
                    task.cancel()
        finally:
            if self._session:
                await self._session.aclose()
            self.ledger.checkpoint()
            self._store_does(self.buffer.close_file)

    def _works(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._catch_up()
        for collector in self.collectors:
            yield collector.run()
        if self.uploader:
            yield self.uploader.run()
        if self.mqtt:
            yield self.mqtt.run()
            yield self._tell_status()
        yield self._settle_slots()
        yield self._keep_house()
        yield self.status.run()
        yield self.watchdog.run()

    # --- samples and slots ------------------------------------------------------------------------

    def _take(self, sample: Sample) -> None:
        self._store_does(lambda: self.ledger.take(sample), writes=False)
        if self.mqtt:
            self.mqtt.sample(sample)

    async def _catch_up(self) -> None:
        """Fold what the buffer holds and the fold has not seen, after a start and once the clock is
        trusted: a portion at a time, since it may be weeks, and meters are read meanwhile. Where
        the disk refuses, the next sample has it tried again.
        """
        while True:
            await self._behind.wait()
            if self._ask(self.ledger.catch_up, otherwise=False):
                await asyncio.sleep(0)
            else:
                self._behind.clear()

    async def _settle_slots(self) -> None:
        """Meters close a slot one after the other; what they close within a moment is one
        commit.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._some_closed.wait()
            await asyncio.sleep(GATHER_S)
            self._some_closed.clear()
            if self._store_does(self.ledger.settle):
                self._flushed_s = loop.time()

    def _closed(self, slots: Sequence[Slot], owed: Sequence[Owed]) -> None:
        """Slots and what is owed for them have been committed."""
        if self.uploader:
            self.uploader.wake()
        if self.mqtt:
            for slot in slots:
                self.mqtt.slot(slot)
            for item in owed:
                self.mqtt.owed(item)

    def _store_does(self, work: Callable[[], object], *, writes: bool = True) -> bool:
        """Let the buffer work; where the disk refuses, say so once and go on: what waits is written
        when it can be.

        Only what `writes` proves that it can be: most samples are only kept, and a full disk can
        still be read. Work that returns False had nothing to write.
        """
        store = self._store
        try:
            wrote = work()
        except StoreError as error:
            store.errors += 1
            store.last_error, store.last_error_s = str(error), self.clock.now_s()
            if not store.failing:
                log.error("%s", error)
            store.failing = True
            return False
        if writes and not (wrote is False and store.failing):
            if store.failing:
                log.info("%s: can be written again", self.buffer.path)
            store.failing = False
            store.last_success_s = self.clock.now_s()
        return True

    def _ask(self, question: Callable[[], T], otherwise: T) -> T:
        """What the buffer answers; where it cannot be read, the report says so and goes on
        without.
        """
        answers: list[T] = []
        return (
            answers[0]
            if self._store_does(lambda: answers.append(question()), writes=False)
            else otherwise
        )

    async def _keep_house(self) -> None:
        """Flush in time, prune now and then, and date what was taken before the clock was
        trusted.
        """
        loop = asyncio.get_running_loop()
        pruned_s = -inf
        self._flushed_s = loop.time()
        while True:
            flushed_s = self._flushed_s
            await asyncio.sleep(flushed_s + self.settings.buffer.flush - loop.time())
            self._housekeeping_s = loop.time()
            # The close of a slot writes all that waits: after one, the next flush is due that much
            # later.
            if self._flushed_s == flushed_s:
                self._flushed_s = self._housekeeping_s
                if self._store_does(self.buffer.flush) and self.uploader:
                    self.uploader.wake()
            self._store_does(self.buffer.check_some, writes=False)
            if not self.ledger.caught_up:
                self._behind.set()  # also where no meter has anything to say
            if self._housekeeping_s - pruned_s >= HOUSEKEEPING_S:
                pruned_s = self._housekeeping_s
                self.ledger.checkpoint()
                self._store_does(
                    lambda: self.buffer.prune(self.clock.now_s() if self.ledger.caught_up else None)
                )

    async def _tell_status(self) -> None:
        while True:
            assert self.mqtt is not None
            self.mqtt.status(self.report())
            await asyncio.sleep(STATUS_S)

    def _standstill(self) -> str | None:
        """Which part has made no progress for so long that a restart is the remedy. Trying in vain
        is progress.
        """
        now_s = asyncio.get_running_loop().time()
        parts = [
            (collector.name, collector.turned_s, collector.longest_turn_s)
            for collector in self.collectors
        ]
        parts.append(("the buffer", self._housekeeping_s, self.settings.buffer.flush))
        if self.uploader:
            parts.append(("the uploader", self.uploader.turned_s, self.uploader.longest_turn_s))
        return next(
            (
                name
                for name, at_s, longest_s in parts
                if at_s is not None and now_s - at_s > 2 * longest_s + 60
            ),
            None,
        )

    # --- what the gateway says of itself ----------------------------------------------------------

    def report(self) -> Report:
        """Everything a person or a monitor wants to know, now."""
        now_s = self.clock.now_s()
        meters = [
            replace(
                meter.report(self.ledger.glitches[name]),
                cross_check_wh=self.ledger.cross_checks.of(name),
            )
            for line in self.collectors
            for meter in line.meters
            for name in [meter.device.name]
        ]
        return Report(
            version=__version__,
            site=self.settings.site,
            now_s=now_s,
            started_s=now_s - self._up_s,
            slot_length_s=int(self.settings.market.slot),  # JSON knows plain numbers only
            lines=[collector.report() for collector in self.collectors],
            meters=meters,
            assets=self._ask(lambda: self._asset_reports(now_s), []),
            destinations=self._ask(
                lambda: [self.uploader.snapshot(now_s)] if self.uploader else [], []
            ),
            clock=self._clock_report(),
            buffer=self._buffer_report(),
            mqtt=self.mqtt.snapshot() if self.mqtt else None,
        )

    @property
    def _up_s(self) -> float:
        """How long this daemon has been running; it may have begun with a clock that was wrong by
        years.
        """
        return self.clock.boottime_s() - self._started_boottime_s

    def _clock_report(self) -> ClockReport:
        clock = self.clock
        return ClockReport(
            trusted=clock.trusted,
            why=clock.why,
            boot_id=clock.boot_id,
            trusted_since_s=clock.trusted_since_s,
            step_s=clock.step.by_s if clock.step else None,
            step_at_s=clock.step.at_s if clock.step else None,
        )

    def _asset_reports(self, now_s: float) -> list[AssetReport]:
        """The last day of each asset."""
        recent: dict[Subject, dict[int, Owed]] = {asset.uuid: {} for asset in self.settings.assets}
        for owed in self.buffer.owed(since_s=int(now_s) - DAY_S):
            if owed.item.kind == "measurement" and owed.item.subject in recent:
                recent[owed.item.subject][owed.item.slot_s] = (
                    owed  # of a slot, the newest revision comes last
                )
        return [
            self._asset_report(asset, list(recent[asset.uuid].values()))
            for asset in self.settings.assets
        ]

    def _asset_report(self, asset: Asset, day: Sequence[Owed]) -> AssetReport:
        last = day[-1] if day else None
        states = Counter(owed.state for owed in day)
        known = last is not None and last.quality in KNOWN
        return AssetReport(
            name=asset.name,
            uuid=str(asset.uuid),
            kind=asset.kind,
            formula=str(asset.energy),
            last_slot_s=last.item.slot_s if last else None,
            last_energy_wh=last.item.energy_uwh / UWH_PER_WH if last and known else None,
            last_quality=last.quality if last else "",
            last_delivery=last.state if last else "",
            last_accepted_slot_s=next(
                (owed.item.slot_s for owed in reversed(day) if owed.state == "accepted"), None
            ),
            pending=states["pending"],
            accepted=states["accepted"],
            rejected=states["rejected"],
            missed=states["missed"],
            last_reason=next(
                (owed.reason for owed in reversed(day) if owed.state in ("rejected", "missed")), ""
            ),
        )

    def _buffer_report(self) -> BufferReport:
        store = self._store
        up_s = self._up_s
        unallocated, unallocated_uwh = self._ask(self.buffer.unallocated_total, (0, 0))
        return BufferReport(
            name="buffer",
            state="failing" if store.failing else "ok",
            last_success_s=store.last_success_s,
            max_age_s=max(3 * self.settings.buffer.flush, 60.0),
            errors=store.errors,
            last_error=store.last_error,
            last_error_s=store.last_error_s,
            path=str(self.buffer.path),
            bytes=self._ask(lambda: self.buffer.size_bytes, 0),
            max_bytes=self.buffer.limits.max_bytes,
            samples=self.buffer.sample_count,
            slots=self.buffer.slot_count,
            unflushed=self.buffer.waiting,
            bytes_written_per_day=round(_bytes_written() / up_s * DAY_S) if up_s > 60 else None,
            events=self._ask(self.buffer.latest_events, []),
            unallocated=unallocated,
            unallocated_wh=unallocated_uwh / UWH_PER_WH,
        )


def _bytes_written() -> int:
    """What this process has caused to be written to block devices since its start (proc(5),
    /proc/pid/io).
    """
    text = Path("/proc/self/io").read_text()
    return int(text.partition("\nwrite_bytes: ")[2].partition("\n")[0])
