"""One task per line: its meters take turns, and what they say becomes samples.

Reads are aligned to the UTC clock, so that one falls on every slot boundary. At each the energy
registers and power are read; everything else the meter has once a minute, and not on a boundary
where meters share the line. A meter that fails loses only its own turns: it is asked again after
growing waits, and after the others. A line that fails is closed and opened again.

Due times are Unix times, because slots are; where the clock is set, they move with it, and reads go
on at their pace.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from drivers.line import Line, LineError, LineUrl, MeterError, SerialSettings
from drivers.profile import Driver, EnergyDriver
from drivers.sample import METER_UTC, Reading, Sample
from gateway.collect.line_load import EVERYTHING_S, Load, load_of
from gateway.monitoring.report import LineReport, MeterReport
from gateway.site.devices import Device
from gateway.timing.backoff import Backoff
from gateway.timing.clock import Clock

log = logging.getLogger(__name__)

REOPEN_AFTER = 3
"""Failures in a row, of all meters of a line together, after which the line itself is opened anew
(half-open TCP, stuck adapter).
"""

LINE_CAP_S = 4.0
"""Longest wait before a line is opened again: a plugged-in adapter is found within 5 s."""

METER_CAP_S = 60.0
"""Longest wait before a silent meter is asked again."""

TURN_S = 60.0
"""More than a driver may take for one reading beside its device's own timeout."""

DAMAGE_LINE_S = 3600.0
"""Damage that costs no reading is counted, and told at most once in this time."""

REST_S = 0.2
"""Where nobody is asked for longer than this, a line that is connected for each round of questions
lets go.
"""

BUSY_S = 60.0
"""Time over which it is counted how busy a line is."""

STEP_S = 0.5
"""The clock has been set where it moved by this much between two looks: due times are aligned anew.
"""

SUSPENDED_S = 1.0
"""The machine was suspended where boot time gained this much on the loop's time, which stands still
meanwhile.
"""

SANE = 1e30
"""No quantity of a meter is this large; what claims to be is left out."""


OpenLine = Callable[[LineUrl, SerialSettings], Awaitable[Line]]
"""How lines are opened (raises LineError): the seam at which a simulation puts its own."""


def next_due_s(after_s: float, interval_s: float, slot_s: int) -> float:
    """The first instant later than `after_s` (Unix time) at which a meter is read: every interval,
    and on every slot boundary.
    """
    # A product can come out as the time it was made from, where an interval such as 0.1 s is not
    # exact in binary: so two steps are tried.
    turns = (
        (math.floor(after_s / step) + n) * step for step in (interval_s, slot_s) for n in (1, 2)
    )
    return min(due_s for due_s in turns if due_s > after_s)


@dataclass(slots=True)
class Meter:
    """One meter on the line, and how it has been doing."""

    device: Device
    line: str
    """The name of its line."""
    backoff: Backoff
    max_age_s: float
    due_utc_s: float = 0.0
    everything_due_utc_s: float = 0.0
    """From when on all of its quantities are read again (Unix time)."""
    driver: Driver | None = None
    last: Sample | None = None
    values: dict[str, float] = field(default_factory=dict)
    """What it said last of each quantity."""
    last_success_s: float | None = None
    samples: int = 0
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    told: bool = False
    """Whether the log has said that it does not answer."""
    damage_told_s: float = -math.inf
    """When the log last told of damage on the way (event loop time)."""

    def fail(self, text: str, now_s: float) -> float:
        """Note a failure; how long to wait before it is asked again, in seconds."""
        self.errors += 1
        self.last_error, self.last_error_s = text, now_s
        return self.backoff.fail()

    def keep(self, sample: Sample, *, everything: bool) -> None:
        """Note what it said."""
        known = (
            {}
            if everything or self.last is None or self.last.serial_number != sample.serial_number
            else self.values
        )
        self.values = {**known, **sample.values}
        self.values.pop(METER_UTC, None)  # told as what it is off by
        self.last = sample

    def report(self, glitches: int) -> MeterReport:
        """What the status page says of it."""
        silent = self.last_success_s is None
        return MeterReport(
            name=self.device.name,
            state="retrying" if self.backoff.failures else "waiting" if silent else "ok",
            last_success_s=self.last_success_s,
            max_age_s=self.max_age_s,
            errors=self.errors,
            last_error=self.last_error,
            last_error_s=self.last_error_s,
            line=self.line,
            profile=self.device.profile.id,
            serial_number=self.last.serial_number if self.last else None,
            samples=self.samples,
            glitches=glitches,
            values=dict(self.values),
            clock_offset_s=self.last.meter_clock_offset_s if self.last else None,
        )


@dataclass(slots=True)
class Collector:
    """The meters of one line."""

    devices: Sequence[Device]
    clock: Clock
    slot_s: int
    open_line: OpenLine
    take: Callable[[Sample], None]
    """Is given every sample; raises nothing that a meter or disk can cause."""
    jitter: Callable[[], float]
    meters: list[Meter] = field(init=False)
    load: Load | None = field(init=False)
    """What the line has to carry; None where its meter pushes by itself."""
    turned_s: float | None = None
    """When the last turn ended, whether it went well or not (event loop time)."""
    _backoff: Backoff = field(init=False)
    _open: bool = False
    _opened_s: float = 0.0
    _turns: deque[tuple[float, float]] = field(default_factory=deque)
    """When each turn of the last `BUSY_S` ended (event loop time), and how long it took."""
    _skipped: int = 0
    """Turns that fell out because the line was not free in time."""
    _spoke: Meter | None = None
    """The meter whose turn was last: the port is set as it needs it."""
    _everything_utc_s: float = 0.0
    _everything_read: int = 0
    """How many meters were read with everything at that instant."""
    _moved_s: float = 0.0
    """The steps of the clock that the due times have moved with."""
    _told: bool = False
    """Whether the log has said that the line fails."""
    _errors: int = 0
    _last_error: str = ""
    _last_error_s: float | None = None

    def __post_init__(self) -> None:
        self._backoff = Backoff(0.5, LINE_CAP_S, self.jitter)
        self.meters = [
            Meter(
                device,
                self.name,
                Backoff(device.interval_s, max(METER_CAP_S, device.interval_s), self.jitter),
                max(4 * device.interval_s, 30.0),
            )
            for device in self.devices
        ]
        self.load = load_of(self.devices)
        self._moved_s = self.clock.moved_s

    @property
    def name(self) -> str:
        """The line, as the installer wrote it."""
        return str(self.devices[0].line)

    @property
    def longest_turn_s(self) -> float:
        """No turn, and no wait between two, takes longer."""
        return max(
            METER_CAP_S, *(2 * d.interval_s + (d.timeout_s or 0) + TURN_S for d in self.devices)
        )

    def report(self) -> LineReport:
        """What the status page says of the line: it is as well as the best of its meters."""
        newest = max(
            (m.last_success_s for m in self.meters if m.last_success_s is not None), default=None
        )
        return LineReport(
            name=self.name,
            state="open" if self._open else "retrying" if self._errors else "opening",
            last_success_s=newest,
            max_age_s=max(m.max_age_s for m in self.meters),
            errors=self._errors,
            last_error=self._last_error,
            last_error_s=self._last_error_s,
            needed_ms=self.load.needed_ms if self.load else None,
            available_ms=self.load.available_ms if self.load else None,
            busy=self._busy(),
            skipped=self._skipped,
        )

    def _busy(self) -> float | None:
        """The share of the last minute in which the line was in use; None where nobody takes turns,
        or before that is known.
        """
        now_s = asyncio.get_running_loop().time()
        since_s = max(now_s - BUSY_S, self._opened_s)
        if self.load is None or not self._open or now_s <= since_s:
            return None
        return min(
            1.0,
            sum(min(took_s, end_s - since_s) for end_s, took_s in self._turns if end_s > since_s)
            / (now_s - since_s),
        )

    async def run(self) -> None:
        """Read the meters for ever."""
        opened_before = False
        while True:
            line = None
            try:
                device = self.devices[0]
                line = await self.open_line(device.line, device.profile.serial)
                if not opened_before and not self._told:
                    log.info("%s: open", self.name)
                    if self.load and self.load.too_much:
                        log.warning(
                            "%s: cannot keep up: %s; %s", self.name, self.load, self.load.hint
                        )
                self._open = opened_before = True
                self._opened_s = asyncio.get_running_loop().time()
                await self._take_turns(line)
            except LineError as error:
                self._failed(str(error))
            finally:
                self._open = False
                if line is not None:
                    line.close()
            self.turned_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self._backoff.fail())

    def _failed(self, text: str) -> None:
        """The line is gone, and none of its meters can be read. One line in the log until it works
        again.
        """
        now_s = self.clock.now_s()
        self._errors += 1
        self._last_error, self._last_error_s = text, now_s
        for meter in self.meters:
            meter.fail(text, now_s)
        if not self._told:
            log.warning("%s", text)  # it begins with the line's name
        self._told = True

    def _works(self) -> None:
        """A meter has answered."""
        if self._told:
            log.info("%s: works again after %d failures", self.name, self._backoff.failures)
        self._told = False
        self._backoff.succeed()

    async def _take_turns(self, line: Line) -> None:
        """Read whichever meter is due first, until none answers any more. Raises LineError."""
        for meter in self.meters:
            await self._set_port(line, meter)  # the driver plans by the pace of its meter
            meter.driver = meter.device.profile.open_driver(meter.device.on_line, line)
        # The first read comes at once, with everything; from then on at the aligned instants.
        now_s = self._now_s()
        for meter in self.meters:
            meter.due_utc_s = meter.everything_due_utc_s = now_s
        self._everything_utc_s = now_s
        failures = 0
        while True:
            now_s = self._now_s()
            if min(m.due_utc_s for m in self.meters) > now_s + REST_S:
                line.rest()
            # At the same instant those that answer go first: a dead one would cost them its
            # timeout.
            meter = min(self.meters, key=lambda m: (m.due_utc_s, m.backoff.failures > 0))
            answered = await self._read(line, meter)
            self.turned_s = asyncio.get_running_loop().time()
            if answered:
                failures = 0
                self._works()
            else:
                failures += 1
                if failures >= REOPEN_AFTER and all(m.backoff.failures for m in self.meters):
                    # The log has said of each meter that it does not answer; opening the line anew
                    # is only a remedy.
                    self._errors += 1
                    self._last_error, self._last_error_s = (
                        f"no meter answers; last: {meter.last_error}",
                        self.clock.now_s(),
                    )
                    return

    def _now_s(self) -> float:
        """Unix time, by which reads are planned. Where the clock was set, each meter is due when it
        was, at the next aligned instant.
        """
        now_s = self.clock.now_s()
        shift_s = self.clock.moved_s - self._moved_s
        self._moved_s = self.clock.moved_s
        if abs(shift_s) >= STEP_S:
            self._everything_utc_s = 0.0
            for meter in self.meters:
                interval_s = meter.device.interval_s
                meter.due_utc_s = next_due_s(
                    max(meter.due_utc_s + shift_s - interval_s, now_s), interval_s, self.slot_s
                )
                meter.everything_due_utc_s += shift_s
        return now_s

    async def _set_port(self, line: Line, meter: Meter) -> None:
        """Meters that share a line may differ in their serial settings. One that is alone sets its
        port itself. Raises LineError.
        """
        if len(self.meters) > 1 and self._spoke is not meter:
            self._spoke = meter
            await line.configure(meter.device.line.serial_settings(meter.device.profile.serial))

    async def _ask(self, meter: Meter, due_s: float, *, everything: bool) -> Reading:
        """One reading, taken when it is due (loop time). Raises MeterError or LineError."""
        assert meter.driver is not None
        loop = asyncio.get_running_loop()
        began_s = max(due_s, loop.time())
        try:
            if not everything and isinstance(meter.driver, EnergyDriver):
                return await meter.driver.read_energy(due_s)
            return await meter.driver.read(due_s)
        finally:
            ended_s = loop.time()
            if ended_s > began_s:
                self._turns.append((ended_s, ended_s - began_s))
                while self._turns[0][0] < ended_s - BUSY_S:
                    self._turns.popleft()

    def _everything(self, meter: Meter) -> bool:
        """Whether this turn of a meter is for all of its quantities. What a line has to carry for
        that is spread over the minute.
        """
        due_s = meter.due_utc_s
        if due_s < meter.everything_due_utc_s:
            return False
        if due_s != self._everything_utc_s:
            self._everything_utc_s, self._everything_read = due_s, 0
        shared = len(self.meters) > 1 and meter.last is not None
        at_once = math.ceil(len(self.meters) * meter.device.interval_s / EVERYTHING_S)
        if shared and (due_s % self.slot_s == 0 or self._everything_read >= at_once):
            return False
        self._everything_read += 1
        return True

    async def _read(self, line: Line, meter: Meter) -> bool:
        """One turn of one meter. Raises LineError."""
        await self._set_port(line, meter)
        loop = asyncio.get_running_loop()
        now_s = self._now_s()
        planned_utc_s = meter.due_utc_s
        due_s = loop.time() + planned_utc_s - now_s
        awake_s = self.clock.boottime_s() - loop.time()
        everything = self._everything(meter)
        try:
            reading = await self._ask(meter, due_s, everything=everything)
        except MeterError as error:
            # Should it be one of the others that fails, energy and power are read all the same.
            meter.everything_due_utc_s = max(
                meter.everything_due_utc_s, meter.due_utc_s + EVERYTHING_S
            )
            self._missed(meter, str(error))
            return False
        if meter.told:
            log.info(
                "%s: answers again after %d failures", meter.device.name, meter.backoff.failures
            )
        meter.told = False
        meter.backoff.succeed()
        if reading.damaged:
            self._damaged(meter, reading)
        meter.last_success_s = now_s = self._now_s()
        if (slept_s := self.clock.boottime_s() - loop.time() - awake_s) >= SUSPENDED_S:
            # The loop's time stood still, so the reading may be from before or after: nobody can
            # say when it was taken.
            log.info(
                "%s: the machine was suspended for %.0f s; a reading of then is left out",
                meter.device.name,
                slept_s,
            )
            meter.due_utc_s = now_s
            return True
        meter.samples += 1
        sample = self._date(meter.device, reading, loop.time())
        meter.keep(sample, everything=everything)
        self.take(sample)
        if everything:
            meter.everything_due_utc_s = meter.due_utc_s + EVERYTHING_S
        if self.load is not None:
            self._skipped += max(0, math.floor((loop.time() - due_s) / meter.device.interval_s))
        if (
            meter.due_utc_s == planned_utc_s
        ):  # else the clock was set meanwhile, and it is the next one already
            meter.due_utc_s = next_due_s(
                max(planned_utc_s, now_s), meter.device.interval_s, self.slot_s
            )
        return True

    def _missed(self, meter: Meter, text: str) -> None:
        now_s = self._now_s()
        wait_s = meter.fail(text, now_s)
        if not meter.told:
            log.warning("%s: %s", meter.device.name, text)
        meter.told = True
        # Asked again at an aligned instant: the first retry at the next one, then after growing
        # waits.
        meter.due_utc_s = next_due_s(
            now_s + wait_s - meter.device.interval_s, meter.device.interval_s, self.slot_s
        )
        meter.due_utc_s = max(
            meter.due_utc_s, next_due_s(now_s, meter.device.interval_s, self.slot_s)
        )

    def _damaged(self, meter: Meter, reading: Reading) -> None:
        """What came before this reading could not be used; the reading itself is good."""
        now_s = asyncio.get_running_loop().time()
        meter.errors += reading.damaged
        meter.last_error, meter.last_error_s = reading.damage, self.clock.now_s()
        if now_s - meter.damage_told_s >= DAMAGE_LINE_S:
            meter.damage_told_s = now_s
            advice = (
                "readings go on; more of it is only counted, on the status page; if that "
                "grows, check the cable and its connectors"
            )
            log.warning("%s: %s; %s", meter.device.name, reading.damage, advice)

    def _date(self, device: Device, reading: Reading, loop_s: float) -> Sample:
        boottime_ms, utc_ms = self.clock.date(loop_s - reading.taken_s)
        values = {
            quantity: value for quantity, value in reading.values.items() if abs(value) < SANE
        }
        if reading.meter_utc_s is not None:
            values[METER_UTC] = reading.meter_utc_s
        return Sample(
            device.name, reading.serial_number, self.clock.boot_id, boottime_ms, utc_ms, values
        )
