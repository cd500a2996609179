"""Makes the report of everything, when asked: collects what the parts say of themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gateway import __version__
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.cross_check import CrossChecks
from gateway.monitoring.asset_report import DAY_S, asset_reports
from gateway.monitoring.report import (
    AssetReport,
    BufferReport,
    ClockReport,
    DestinationReport,
    LineReport,
    MeterReport,
    Part,
    Report,
)
from gateway.outbox.item import EXCHANGE
from gateway.site.settings import Settings
from gateway.store.buffer import Buffer
from gateway.store.health import StoreHealth
from gateway.timing.clock import Clock

_WARMED_UP_S = 60
"""Before it has run for so long, nobody can say what the daemon writes in a day."""


class MeteredLine(Protocol):
    """A line with its meters."""

    def report(self) -> LineReport:
        """How the line is."""

    def meter_reports(self, glitches: Mapping[str, int]) -> list[MeterReport]:
        """How its meters are; `glitches` per meter."""


class Destination(Protocol):
    """Somebody who is owed numbers."""

    def snapshot(self, now_s: float) -> DestinationReport:
        """How deliveries go. Raises StoreError."""


class Publisher(Protocol):
    """Somebody who is told of things as they happen."""

    def snapshot(self) -> Part:
        """How that goes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is asked."""

    lines: Sequence[MeteredLine]
    glitches: Mapping[str, int]
    cross_checks: CrossChecks
    destinations: Sequence[Destination]
    publisher: Publisher | None


class Reporter:
    """Knows whom to ask."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        buffer: Buffer,
        health: StoreHealth,
        parts: Parts,
        started_boottime_s: float,
    ) -> None:
        """`started_boottime_s`: when the daemon began, by the time since boot."""
        self._settings = settings
        self._clock = clock
        self._buffer = buffer
        self._health = health
        self._parts = parts
        self._started_boottime_s = started_boottime_s

    def report(self) -> Report:
        """Everything a person or a monitor wants to know, now."""
        now_s = self._clock.now_s()
        publisher = self._parts.publisher
        return Report(
            version=__version__,
            site=self._settings.site,
            now_s=now_s,
            started_s=now_s - self._up_s,
            slot_length_s=int(self._settings.market.slot),  # JSON knows plain numbers only
            lines=[line.report() for line in self._parts.lines],
            meters=self._meters(),
            assets=self._health.ask(lambda: self._assets(now_s), []),
            destinations=self._health.ask(lambda: self._destinations(now_s), []),
            clock=clock_report(self._clock),
            buffer=self._buffer_report(),
            mqtt=publisher.snapshot() if publisher else None,
        )

    @property
    def _up_s(self) -> float:
        """How long this daemon has been running; it may have begun with a clock that was wrong by
        years.
        """
        return self._clock.boottime_s() - self._started_boottime_s

    def _meters(self) -> list[MeterReport]:
        glitches, cross_checks = self._parts.glitches, self._parts.cross_checks
        return [
            replace(meter, cross_check_wh=cross_checks.of(meter.name))
            for line in self._parts.lines
            for meter in line.meter_reports(glitches)
        ]

    def _assets(self, now_s: float) -> list[AssetReport]:
        day = self._buffer.owed(since_s=int(now_s) - DAY_S, destination=EXCHANGE)
        return asset_reports(self._settings.assets, day)

    def _destinations(self, now_s: float) -> list[DestinationReport]:
        return [destination.snapshot(now_s) for destination in self._parts.destinations]

    def _buffer_report(self) -> BufferReport:
        buffer, health = self._buffer, self._health
        up_s = self._up_s
        per_day = round(_bytes_written() / up_s * DAY_S) if up_s > _WARMED_UP_S else None
        unallocated, unallocated_uwh = health.ask(buffer.unallocated_total, (0, 0))
        return BufferReport(
            name="buffer",
            state="failing" if health.failing else "ok",
            last_success_s=health.last_success_s,
            max_age_s=0.0 if health.is_lost else max(3 * self._settings.buffer.flush, 60.0),
            errors=health.errors,
            last_error=health.last_error,
            last_error_s=health.last_error_s,
            path=str(buffer.path),
            bytes=health.ask(lambda: buffer.size_bytes, 0),
            max_bytes=buffer.limits.max_bytes,
            samples=buffer.sample_count,
            slots=buffer.slot_count,
            unflushed=buffer.waiting,
            bytes_written_per_day=per_day,
            events=health.ask(buffer.latest_events, []),
            unallocated=unallocated,
            unallocated_wh=unallocated_uwh / UWH_PER_WH,
        )


def clock_report(clock: Clock) -> ClockReport:
    """What the status page says of the machine's clock."""
    step = clock.step
    return ClockReport(
        trusted=clock.trusted,
        why=clock.why,
        boot_id=clock.boot_id,
        trusted_since_s=clock.trusted_since_s,
        step_s=step.by_s if step else None,
        step_at_s=step.at_s if step else None,
    )


def _bytes_written() -> int:
    """What this process has caused to be written to block devices since its start (proc(5),
    /proc/pid/io).
    """
    text = Path("/proc/self/io").read_text()
    return int(text.partition("\nwrite_bytes: ")[2].partition("\n")[0])
