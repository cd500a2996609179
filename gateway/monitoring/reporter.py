"""Makes the report of everything, when asked: collects what the parts say of themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Protocol

from gateway import __version__
from gateway.energy.counter import UWH_PER_WH
from gateway.energy.cross_check import CrossChecks
from gateway.energy.disbelief import Disbelief
from gateway.energy.slot import MeterState
from gateway.monitoring.asset_report import DAY_S, asset_reports
from gateway.monitoring.forecast_report import Forecasts, forecast_reports
from gateway.monitoring.report import (
    AssetReport,
    BufferReport,
    ClockReport,
    DestinationReport,
    GridOperatorReport,
    LineReport,
    MeterReport,
    Part,
    Report,
    masked_report,
)
from gateway.monitoring.sent_forecasts import SentForecasts
from gateway.monitoring.sleep import Sleeper, asleep, excused
from gateway.outbox.item import EXCHANGE
from gateway.site.settings import Settings
from gateway.store.buffer import ALWAYS_S, Buffer
from gateway.store.health import StoreHealth
from gateway.timing.clock import Clock

_WARMED_UP_S = 60
"""Before it has run for so long, nobody can say what the daemon writes in a day."""


ASSETS_S = 60.0
"""How often the summary looks at the assets: a day of what they are owed is read for that."""


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


class Operator(Protocol):
    """The grid operator's agent."""

    def snapshot(self) -> GridOperatorReport:
        """How it is."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is asked."""

    lines: Sequence[MeteredLine]
    glitches: Mapping[str, int]
    cross_checks: CrossChecks
    destinations: Sequence[Destination]
    publisher: Publisher | None
    fold_of: Callable[[str], MeterState | None]
    """How a meter's fold stands, as of its last sample."""
    disbelief_of: Callable[[str], Disbelief | None]
    """What of a meter is not believed at the moment."""
    grid_operator: Operator | None = None
    forecasts: Forecasts | None = None


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
        self._zone = settings.timezone.zone
        forecasts = parts.forecasts
        self._sent_forecasts = SentForecasts(buffer, forecasts.chosen if forecasts else {})
        self._last_assets: list[AssetReport] = []
        self._assets_up_s = -inf
        """How long the daemon had been running when these were looked at."""
        self._sleepers = {
            device.name: Sleeper(device.name, device.seasonal, device.max_power_w)
            for device in settings.devices
            if device.may_sleep
        }

    def summary(self) -> str:
        """How it all is, in one line. It may be asked often: what became of the last slots is up to
        a minute old.
        """
        return self.lately().summary()

    def lately(self) -> Report:
        """The same as `report`, with assets that are up to a minute old: it may be asked often."""
        up_s = self._up_s
        if up_s - self._assets_up_s >= ASSETS_S:
            self._assets_up_s = up_s
            self._last_assets = self._asset_reports(self._clock.now_s())
        return self._report(self._last_assets)

    def report(self) -> Report:
        """Everything a person or a monitor wants to know, now."""
        return self._report(self._asset_reports(self._clock.now_s()))

    def _report(self, assets: list[AssetReport]) -> Report:
        """Without the secrets that others may have repeated."""
        return masked_report(self._gathered(assets), self._settings.secrets.masked)

    def _gathered(self, assets: list[AssetReport]) -> Report:
        now_s = self._clock.now_s()
        publisher = self._parts.publisher
        meters = self._meters(now_s)
        return Report(
            version=__version__,
            site=self._settings.site,
            zone=str(self._settings.timezone.name),
            now_s=now_s,
            started_s=now_s - self._up_s,
            slot_length_s=int(self._settings.market.slot),  # JSON knows plain numbers only
            lines=[_with_its_meters(line.report(), meters) for line in self._parts.lines],
            meters=meters,
            assets=assets,
            destinations=self._health.ask(lambda: self._destinations(now_s, meters), []),
            clock=clock_report(self._clock),
            buffer=self._buffer_report(),
            mqtt=publisher.snapshot() if publisher else None,
            grid_operator=operator.snapshot() if (operator := self._parts.grid_operator) else None,
            warnings=self._settings.warnings(),
        )

    @property
    def _up_s(self) -> float:
        """How long this daemon has been running; it may have begun with a clock that was wrong by
        years.
        """
        return self._clock.boottime_s() - self._started_boottime_s

    def _meters(self, now_s: float) -> list[MeterReport]:
        glitches = self._parts.glitches
        return [
            self._completed(meter, now_s)
            for line in self._parts.lines
            for meter in line.meter_reports(glitches)
        ]

    def _completed(self, meter: MeterReport, now_s: float) -> MeterReport:
        """What a line says of its meter, with what the ledger knows of it."""
        disbelief = self._parts.disbelief_of(meter.name)
        asleep = ""
        if disbelief or meter.is_awaited or not meter.healthy(now_s, now_s - self._up_s):
            asleep = self._asleep(meter.name, now_s)
        if asleep and meter.last_success_s and meter.healthy(now_s, now_s):
            asleep = f"{asleep}, answers without a register" if disbelief else ""
        believed = disbelief is None or bool(asleep)
        return replace(
            meter,
            cross_check_wh=self._parts.cross_checks.of(meter.name),
            asleep=asleep,
            unbelieved=0 if disbelief is None else disbelief.readings,
            unbelieved_why="" if believed or disbelief is None else disbelief.why,
        )

    def _asleep(self, name: str, now_s: float) -> str:
        """Why the silence of this meter is no fault; empty where it is one."""
        sleeper = self._sleepers.get(name)
        if sleeper is None:
            return ""
        slot_s = int(self._settings.market.slot)
        state = self._parts.fold_of(name)
        return self._health.ask(
            lambda: asleep(sleeper, state, now_s, slot_s, self._buffer.slots_at), ""
        )

    def _asset_reports(self, now_s: float) -> list[AssetReport]:
        return self._health.ask(lambda: self._assets(now_s), [])

    def _assets(self, now_s: float) -> list[AssetReport]:
        # A clock that was ahead may have dated slots that have not begun.
        until_s = int(now_s) + 1 if self._clock.trusted else ALWAYS_S
        day = self._buffer.owed(int(now_s) - DAY_S, until_s, destination=EXCHANGE)
        slot_s = int(self._settings.market.slot)  # JSON knows plain numbers only
        uuids = [asset.uuid for asset in self._settings.assets]
        self._sent_forecasts.look(now_s)
        forecasts = forecast_reports(
            self._parts.forecasts,
            uuids,
            slot_s,
            now_s,
            self._zone,
            lambda asset, days: self._sent_forecasts.over(asset, days, now_s),
        )
        return asset_reports(self._settings.assets, day, self._buffer.asset_slot, forecasts)

    def _destinations(self, now_s: float, meters: Sequence[MeterReport]) -> list[DestinationReport]:
        snapshots = [destination.snapshot(now_s) for destination in self._parts.destinations]
        started_s = now_s - self._up_s
        return [
            each if each.healthy(now_s, started_s) else excused(each, meters) for each in snapshots
        ]

    def _buffer_report(self) -> BufferReport:
        buffer, health = self._buffer, self._health
        up_s = self._up_s
        written = _bytes_written() if up_s > _WARMED_UP_S else None
        per_day = None if written is None else round(written / up_s * DAY_S)
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


def _with_its_meters(line: LineReport, meters: Sequence[MeterReport]) -> LineReport:
    """A line, whose silence is no fault where all that are silent on it are asleep."""
    mine = [meter for meter in meters if meter.line == line.name]
    sleeping = [meter for meter in mine if meter.asleep]
    return replace(line, asleep="asleep") if mine and len(sleeping) == len(mine) else line


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
        overdue=clock.is_overdue,
    )


def _bytes_written() -> int | None:
    """What this process has caused to be written to block devices since its start (proc(5),
    /proc/pid/io); None where that cannot be read now.
    """
    try:
        text = Path("/proc/self/io").read_text()
    except OSError:
        return None
    return int(text.partition("\nwrite_bytes: ")[2].partition("\n")[0])
