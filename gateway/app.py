"""The only place where the parts are put together. Everything here is handed over in constructors;
nothing is global.

lines ─▶ collectors ─▶ ledger ─▶ buffer ─▶ deliveries ─▶ exchange, other destinations
              └───────────┴─▶ MQTT        all ─▶ report ─▶ status page, watchdog
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import cache, partial
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from drivers.line import open_any_line
from drivers.sample import Sample
from gateway.collect.collector import Collector, OpenLine
from gateway.delivery.destination import Delivery, spoken
from gateway.delivery.opening import Opening, name_in, open_delivery
from gateway.ledger.housekeeping import Housekeeping
from gateway.ledger.ledger import Committed, Ledger
from gateway.monitoring.asked import LatePages
from gateway.monitoring.exhaustion import Exhaustion
from gateway.monitoring.report import Report
from gateway.monitoring.reporter import Parts, Reporter
from gateway.monitoring.server import StatusServer
from gateway.monitoring.standstill import Turns, standstill
from gateway.monitoring.watchdog import Watchdog
from gateway.outbox.format import Terms
from gateway.outbox.item import Item
from gateway.outbox.kept_assets import KeptAsset
from gateway.site.devices import lines_of
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer, Limits
from gateway.store.health import StoreHealth
from gateway.store.moved_assets import follow_assets
from gateway.store.newest import Newest, newest
from gateway.store.opening import open_buffer
from gateway.timing.clock import Clock

if TYPE_CHECKING:
    import httpx

    from gateway.delivery.mqtt_publisher import MqttPublisher
    from gateway.delivery.mqtt_session import Connects
    from gateway.history.answers import Problem
    from gateway.history.api import Api
    from gateway.history.history import History
    from gateway.monitoring.door import Door
    from gateway.operator.agent import Agent
    from gateway.page.served import ServedPages

log = logging.getLogger(__name__)

STATUS_S = 60
"""Time between two publications of the status over MQTT."""
MARKETS_S = 1.0
"""What changes of markets within so long is published once."""


class Reloads(Protocol):
    """What may replace the configuration while the gateway runs."""

    def told(self, summary: str) -> str:
        """The status line, with what there is to say of the last reload."""

    async def accepted(self, rest_s: Callable[[], float]) -> None:
        """Returns once there is another configuration, between two readings."""


class Gateway:
    """One gateway, from its settings. `run` it once."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        open_a_line: OpenLine | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        mqtt: "Connects | None" = None,
        rng: Random | None = None,
    ) -> None:
        """All but `settings` and `rng` are the seams at which a simulation puts its own world."""
        jitter = (rng or Random()).random  # noqa: S311 — jitter, not a secret
        says = f"the daemon of site {settings.site}"
        open_a_line = open_a_line or partial(open_any_line, says=says)
        started_boottime_s = clock.boottime_s()
        self.clock = clock
        self.buffer: Buffer = open_buffer(
            settings.buffer_path, _limits(settings), now_s=clock.now_s(), says=says
        )
        self.health = health = StoreHealth(self.buffer.path, clock.now_s)
        if refusal := self.buffer.database.access.refusal:
            health.failed(refusal)
        _take_up(self.buffer, settings, clock, health)

        told = partial(self._condition, settings.market.max_gap)
        self.deliveries = [
            *_deliveries(settings, self.buffer, clock, jitter, (transport, mqtt), told)
        ]
        terms = [delivery.terms for delivery in self.deliveries if delivery.terms]

        self.ledger = Ledger(settings, self.buffer, clock, terms)
        self.housekeeping = Housekeeping(
            self.ledger,
            self.buffer,
            health,
            clock,
            flush_s=settings.buffer.flush,
            on_committed=self._on_committed,
        )
        self.collectors = [
            Collector(devices, clock, settings.market.slot, open_a_line, self._take, jitter)
            for devices in lines_of(settings.devices).values()
        ]
        self.mqtt = _mqtt(settings, clock, jitter) if settings.mqtt else None
        self.agent = _agent(settings, self.buffer, clock, jitter, transport)

        parts = Parts(
            lines=self.collectors,
            glitches=self.ledger.glitches,
            cross_checks=self.ledger.cross_checks,
            destinations=self.deliveries,
            publisher=self.mqtt,
            fold_of=self.ledger.state_of,
            disbelief_of=self.ledger.beliefs.of,
            grid_operator=self.agent,
            forecasts=self.ledger.forecasting,
        )
        self.reporter = Reporter(settings, clock, self.buffer, health, parts, started_boottime_s)
        self.status = _status(settings, self.reporter, self.buffer.path, _undated(terms))
        self.watchdog = Watchdog(self._standstill)

    async def run(self, reload: Reloads | None = None) -> bool:
        """Work until SIGTERM or SIGINT, or until `reload` has another configuration; then write
        what waits and leave. Returns whether it is the latter. An unexpected error ends it loudly.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(Exhaustion().handle)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            async with asyncio.TaskGroup() as group:
                told = reload.told if reload else str
                tasks = [group.create_task(work) for work in self._works(told)]
                self.watchdog.ready()
                stopping = group.create_task(stop.wait())
                ends = [stopping]
                if reload:
                    ends.append(group.create_task(_true_after(reload.accepted(self._rest_s))))
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                log.info("stopping; samples that are written now: %d", self.buffer.waiting)
                if stop.is_set():
                    self.watchdog.stopping()
                for task in (*tasks, *ends):
                    task.cancel()
        finally:
            for delivery in self.deliveries:
                await delivery.aclose()
            if self.agent:
                await self.agent.aclose()
            self.housekeeping.finish()
        return not stop.is_set()

    def _condition(self, max_gap_s: float) -> "tuple[Report, list[Problem]]":
        """How it all is, and what is wrong, for whoever is told of it elsewhere."""
        from gateway.history.problems import problems_of  # of a fleet's member only

        report = self.reporter.lately()
        undated = _undated([each.terms for each in self.deliveries if each.terms])
        return report, problems_of(report, max_gap_s, undated)

    def _rest_s(self) -> float:
        """For how long no meter will be asked."""
        return min((each.rest_s for each in self.collectors), default=inf)

    def _works(self, told: Callable[[str], str]) -> Iterator[Coroutine[Any, Any, None]]:
        yield self.housekeeping.run()
        for collector in self.collectors:
            yield collector.run()
        for delivery in self.deliveries:
            yield delivery.run()
        if self.mqtt:
            yield self.mqtt.run()
            yield self._publish_status(self.mqtt)
        if self.agent:
            yield self.agent.run()
        if self.agent and self.mqtt:
            yield _publish_markets(self.agent, self.mqtt)
        yield self.status.run()
        yield self.watchdog.run()
        yield self.watchdog.tell(lambda: told(self.reporter.summary()))

    def _take(self, sample: Sample) -> None:
        """A meter has been read."""
        self.housekeeping.take(sample)
        if self.mqtt:
            self.mqtt.sample(sample)

    def _on_committed(self, committed: Committed) -> None:
        """Slots and what is owed for them have been written."""
        for delivery in self.deliveries:
            delivery.wake()
        if self.mqtt:
            for slot in committed.slots:
                self.mqtt.slot(slot)
            for item in committed.owed:
                self.mqtt.owed(item, self._uncertainty_uwh(item.item))

    def _uncertainty_uwh(self, item: Item) -> int | None:
        """By how much a measured number of an asset may be off; None where that is not known."""
        asset = item.subject
        if item.kind != "measurement" or not isinstance(asset, UUID):
            return None
        booked = self.health.ask(lambda: self.buffer.asset_slot(asset, item.slot_s), None)
        return booked.uncertainty_uwh if booked else None

    async def _publish_status(self, mqtt: "MqttPublisher") -> None:
        while True:
            mqtt.status(self.reporter.report())
            await asyncio.sleep(STATUS_S)

    def _standstill(self) -> str | None:
        """Which part stands still."""
        if self.health.misfits:
            return "the buffer"
        parts = [Turns(c.name, c.turned_s, c.longest_turn_s) for c in self.collectors]
        keeping = self.housekeeping
        parts.append(Turns("the buffer", keeping.turned_s, keeping.longest_turn_s))
        for delivery in self.deliveries:
            name = f"delivery to {spoken(delivery.name)}"
            parts.append(Turns(name, delivery.turned_s, delivery.longest_turn_s))
        return standstill(parts, asyncio.get_running_loop().time())


async def _true_after(work: Coroutine[Any, Any, None]) -> Literal[True]:
    await work
    return True


def _take_up(buffer: Buffer, settings: Settings, clock: Clock, health: StoreHealth) -> None:
    """Go on from what is stored: no time before it is right, and its assets are those of now."""
    slot_s = int(settings.market.slot)
    known = health.ask(lambda: newest(buffer.tables, clock.boot_id, slot_s), Newest(0.0, 0.0))
    clock.know(known.at_s, earlier_boot_s=known.earlier_boot_s)
    buffer.tables.outbox.marks.this_boot = clock.boot_id

    kept = {a.name: KeptAsset(a.uuid, a.kind, str(a.energy)) for a in settings.assets}
    follow_assets(buffer, kept, clock.now_s())

    if not any(getattr(each, "is_fleet", False) for each in settings.destinations.values()):
        health.ask(buffer.tables.changes.leave, None)


def _limits(settings: Settings) -> Limits:
    buffer = settings.buffer
    slot_s = int(settings.market.slot)
    return Limits(buffer.keep_samples, buffer.keep_slots, int(buffer.max_size), slot_s)


def _deliveries(
    settings: Settings,
    buffer: Buffer,
    clock: Clock,
    jitter: Callable[[], float],
    seams: "tuple[httpx.AsyncBaseTransport | None, Connects | None]",
    condition: "Callable[[], tuple[Report, list[Problem]]]",
) -> Iterator[Delivery]:
    http, mqtt = seams
    handover = None
    if any(getattr(each, "is_fleet", False) for each in settings.destinations.values()):
        from gateway.delivery.handover import Handover

        slot_s = int(settings.market.slot)
        handover = Handover(buffer, clock.now_s, slot_s, partial(name_in, settings))
    for name, its_settings in settings.destinations.items():
        opening = Opening(
            name=name,
            site=settings,
            buffer=buffer,
            now=clock.now_s,
            trusted=lambda: clock.trusted,
            jitter=jitter,
            handover=handover,
            condition=condition,
            mqtt=mqtt,
            http=http,
        )
        yield open_delivery(its_settings, opening)


def _status(
    settings: Settings, reporter: Reporter, path: Path, undated: frozenset[str]
) -> StatusServer:
    @cache
    def history() -> "History":
        from gateway.history.opening import open_history  # memory that is needed once somebody asks

        return open_history(settings, path, reporter.report, undated)

    def api() -> "Api":
        from gateway.history.api import Api
        from gateway.history.live import Live

        return Api(history(), Live(history(), reporter.lately))

    def problems(report: Report) -> dict[str, object]:
        from gateway.history.problems import problems_of
        from gateway.page.banners import spoken
        from gateway.page.words import words_for

        words = words_for("en", settings.timezone.zone, report.now_s, report.slot_length_s)
        # Not by way of `history`, which is 0.4 MB: the status is asked for without a page, too.
        found = problems_of(report, settings.market.max_gap, undated)
        return {"problems": spoken(found, words)}

    def pages(door: "Door") -> "ServedPages":
        from gateway.page.served import About, ServedPages

        about = About(
            title=settings.about.title or settings.site,
            zone=settings.timezone.zone,
            language=settings.about.language,
            contact=settings.about.contact,
        )
        return ServedPages(history(), reporter.lately, about, door)

    return StatusServer(
        settings.status,
        reporter.report,
        settings.page_token(),
        open_to_all=settings.page_access == "open",
        pages=lambda door: [
            LatePages("/api/", api),
            LatePages("/", lambda: pages(door), posts=("/login",)),
        ],
        more=problems,
    )


def _undated(terms: Sequence[Terms]) -> frozenset[str]:
    """The destinations at which a measured number can be too late."""
    return frozenset(
        each.destination
        for each in terms
        if "measurement" in each.format.kinds
        and each.format.window("measurement", 0, each.kept).closes_s is not None
    )


async def _publish_markets(agent: "Agent", mqtt: "MqttPublisher") -> None:
    """As soon as they are otherwise."""
    while True:
        await agent.news.wait()
        agent.news.clear()
        mqtt.markets(agent.snapshot())
        await asyncio.sleep(MARKETS_S)


def _mqtt(settings: Settings, clock: Clock, jitter: Callable[[], float]) -> "MqttPublisher":
    from gateway.delivery.mqtt_publisher import MqttPublisher

    assert settings.mqtt is not None
    return MqttPublisher(
        settings.mqtt, settings.site, settings.credentials, now=clock.now_s, jitter=jitter
    )


def _agent(
    settings: Settings,
    buffer: Buffer,
    clock: Clock,
    jitter: Callable[[], float],
    http: "httpx.AsyncBaseTransport | None",
) -> "Agent | None":
    if settings.grid_operator is None:
        return None
    from gateway.operator.opening import open_agent

    return open_agent(
        settings, buffer, now=clock.now_s, steady=clock.boottime_s, jitter=jitter, http=http
    )
