"""One meter on a line, and how it has been doing. Pure."""

import math
from collections.abc import Callable

import msgspec

from drivers.profile import Driver, FollowingDriver
from drivers.sample import METER_UTC, Reading, Sample
from gateway.collect.failures import Failures
from gateway.collect.turns import Due
from gateway.monitoring.report import MeterReport
from gateway.site.devices import Device
from gateway.timing.backoff import Backoff

METER_CAP_S = 60.0
"""Longest wait before a silent meter is asked again."""

MISSED_READS = 4
MIN_MAX_AGE_S = 30.0
"""A meter is not well once so many reads in a row have brought nothing, and not within this time.
"""


class Meter(msgspec.Struct):
    """One meter on the line."""

    device: Device
    line: str
    """The name of its line."""
    due: Due
    failures: Failures
    driver: Driver | None = None
    last: Sample | None = None
    values: dict[str, float] = msgspec.field(default_factory=dict)
    """What it said last of each quantity."""
    last_success_s: float | None = None
    heard: Reading | None = None
    """Its last reading, for what that tells beside the values."""
    samples: int = 0
    damage_logged_s: float = -math.inf
    """When the log last spoke of damage on the way (event loop time)."""

    @property
    def name(self) -> str:
        """What the installer calls it."""
        return self.device.name

    @property
    def max_age_s(self) -> float:
        """How old its last reading may be."""
        return max(MISSED_READS * self.device.interval_s, MIN_MAX_AGE_S)

    def read_with(self, driver: Driver) -> None:
        """Its line was opened, maybe anew: the driver knows of it what the one before knew."""
        before, self.driver = self.driver, driver
        if before is not None and isinstance(driver, FollowingDriver):
            driver.follow(before)

    def keep(self, sample: Sample, *, everything: bool) -> None:
        """Note what it said."""
        same_meter = self.last is not None and self.last.serial_number == sample.serial_number
        known = self.values if same_meter and not everything else {}
        self.values = {**known, **sample.values}
        self.values.pop(METER_UTC, None)  # shown as what it is off by
        self.samples += 1
        self.last = sample

    def report(self, glitches: int, now_s: float) -> MeterReport:
        """What the status page says of it."""
        silent, heard = self.last_success_s is None, self.heard
        return MeterReport(
            name=self.name,
            state="retrying" if self.failures.in_a_row else "waiting" if silent else "ok",
            last_success_s=self.last_success_s,
            max_age_s=self.max_age_s,
            errors=self.failures.count,
            errors_last_hour=self.failures.within_hour(now_s),
            last_error=self.failures.last,
            last_error_s=self.failures.last_s,
            line=self.line,
            profile=self.device.profile.id,
            serial_number=self.last.serial_number if self.last else None,
            samples=self.samples,
            glitches=glitches,
            values=dict(self.values),
            clock_offset_s=self.last.meter_clock_offset_s if self.last else None,
            dialect=heard.dialect if heard else "",
            checksum=heard.checksum if heard else "",
            unused=list(heard.unused) if heard else [],
        )


def meter_of(device: Device, line: str, slot_s: int, jitter: Callable[[], float]) -> Meter:
    """A meter that has not been read yet."""
    cap_s = max(METER_CAP_S, device.interval_s)
    backoff = Backoff(device.interval_s, cap_s, jitter)
    return Meter(device, line, Due(device.interval_s, slot_s), Failures(backoff))
