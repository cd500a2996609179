"""One task per line: its meters take turns, and what they say becomes samples.

Reads are aligned to the UTC clock, so that one falls on every slot boundary. At each the energy
registers and power are read; everything else the meter has once a minute, and not on a boundary
where meters share the line. A meter that fails loses only its own turns: it is asked again after
growing waits, and after the others. A line that fails is closed and opened again.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from drivers.line import AnyLine, LineError, LineFlooded, LineUrl, MeterError, SerialSettings
from drivers.line import Turns as FrameTurns
from drivers.profile import Driver, EnergyDriver
from drivers.sample import METER_UTC, Reading, Sample
from gateway.collect.failures import Failures
from gateway.collect.line_load import Load, load_of
from gateway.collect.line_use import LineUse
from gateway.collect.meter import METER_CAP_S, Meter, meter_of
from gateway.collect.turns import Turns
from gateway.monitoring.report import LineReport, MeterReport
from gateway.site.devices import Device
from gateway.timing.backoff import Backoff
from gateway.timing.clock import Clock

log = logging.getLogger(__name__)

REOPEN_AFTER = 3
"""Failures in a row, of all meters of a line together, after which the line itself is opened anew
(half-open TCP, stuck adapter).
"""

LINE_FIRST_S = 0.5
LINE_CAP_S = 4.0
"""Shortest and longest wait before a line is opened again: a plugged-in adapter is found within
5 s.
"""

FLOOD_FIRST_S = 4.0
FLOOD_CAP_S = 60.0
"""Shortest and longest wait before a line that floods us is opened again."""

FLOOD_OVER_S = 120.0
"""A line that has not flooded us for so long is well."""

TURN_S = 60.0
"""More than a driver may take for one reading beside its device's own timeout."""

DAMAGE_LINE_S = 3600.0
"""Damage that costs no reading is counted, and logged at most once in this time."""

REST_S = 0.2
"""Where nobody is asked for longer than this, a line that is connected for each round of questions
lets go.
"""

SUSPENDED_S = 1.0
"""The machine was suspended where boot time gained this much on the loop's time, which stands still
meanwhile.
"""

SANE = 1e30
"""No quantity of a meter is this large; what claims to be is left out."""


OpenLine = Callable[[LineUrl, SerialSettings], Awaitable[AnyLine]]
"""How lines are opened (raises LineError): the seam at which a simulation puts its own."""


class Collector:
    """The meters of one line."""

    def __init__(
        self,
        devices: Sequence[Device],
        clock: Clock,
        slot_s: int,
        open_line: OpenLine,
        take: Callable[[Sample], None],
        jitter: Callable[[], float],
    ) -> None:
        """`take` is given every sample; it raises nothing that a meter or disk can cause."""
        self._clock = clock
        self._open_line = open_line
        self._take = take
        self.name = str(devices[0].line)
        """The line, as the installer wrote it."""
        self.meters = [meter_of(device, self.name, slot_s, jitter) for device in devices]
        self._turns = Turns([meter.due for meter in self.meters], clock.moved_s)
        self._load = load_of(devices)
        """What the line has to carry; None where its meter pushes by itself."""
        self._use = LineUse()
        self._failures = Failures(Backoff(LINE_FIRST_S, LINE_CAP_S, jitter))
        self._floods = Failures(Backoff(FLOOD_FIRST_S, FLOOD_CAP_S, jitter))
        """Beside the failures: between two floods a meter may well answer."""
        self._spoke: Meter | None = None
        """The meter whose turn was last: the port is set as it needs it."""
        self.turned_s: float | None = None
        """When the last turn ended, whether it went well or not (event loop time)."""

    @property
    def longest_turn_s(self) -> float:
        """No turn, and no wait between two, takes longer."""
        devices = [meter.device for meter in self.meters]
        return max(METER_CAP_S, *(2 * d.interval_s + (d.timeout_s or 0) + TURN_S for d in devices))

    @property
    def rest_s(self) -> float:
        """For how long nobody will be asked; not positive while somebody is."""
        return self._turns.next_s - self._now_s()

    # --- what the status page says ----------------------------------------------------------------

    def report(self) -> LineReport:
        """How the line is: as well as the best of its meters."""
        newest = [m.last_success_s for m in self.meters if m.last_success_s is not None]
        is_open = self._use.opened_s is not None
        load, failures = self._load, self._failures
        return LineReport(
            name=self.name,
            state="open" if is_open else "retrying" if failures.count else "opening",
            last_success_s=max(newest, default=None),
            max_age_s=max(m.max_age_s for m in self.meters),
            errors=failures.count,
            last_error=failures.last,
            last_error_s=failures.last_s,
            needed_ms=load.needed_ms if load else None,
            available_ms=load.available_ms if load else None,
            busy=self._use.busy(asyncio.get_running_loop().time()) if load else None,
            skipped=self._use.skipped,
            strangers=self._use.strangers,
        )

    def meter_reports(self, glitches: Mapping[str, int]) -> list[MeterReport]:
        """How the meters are; `glitches` per meter."""
        now_s = self._clock.now_s()
        return [meter.report(glitches[meter.name], now_s) for meter in self.meters]

    # --- the line ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read the meters for ever."""
        opened_before = False
        while True:
            line = None
            wait_s = 0.0
            try:
                device = self.meters[0].device
                line = await self._open_line(device.line, device.profile.serial)
                if not opened_before and not self._failures.logged:
                    self._log_open()
                opened_before = True
                self._use.opened_s = asyncio.get_running_loop().time()
                await self._take_turns(line)
            except LineFlooded as error:
                wait_s = self._flooded(str(error))
            except LineError as error:
                self._line_failed(str(error))
            finally:
                self._use.opened_s = None
                if line is not None:
                    line.close()
            self.turned_s = asyncio.get_running_loop().time()
            await asyncio.sleep(max(wait_s, self._failures.backoff.fail()))

    def _log_open(self) -> None:
        log.info("%s: open", self.name)
        if (load := self._load) and load.too_much:
            log.warning("%s: cannot keep up: %s; %s", self.name, load, load.hint)

    def _line_failed(self, text: str) -> None:
        """None of its meters can be read. One line in the log until it works again."""
        now_s = self._clock.now_s()
        self._failures.note(text, now_s)
        for meter in self.meters:
            meter.failures.fail(text, now_s)
        if not self._failures.logged:
            log.warning("%s", text)  # it begins with the line's name
        self._failures.logged = True

    def _flooded(self, text: str) -> float:
        """The line brings far more than it should; how long to leave it alone, in seconds."""
        now_s = self._clock.now_s()
        if not self._floods_still:
            self._floods.works()
        wait_s = self._floods.fail(text, now_s)
        self._failures.note(text, now_s)
        for meter in self.meters:
            meter.failures.fail(text, now_s)
        if not self._floods.logged:
            log.warning("%s; it is left alone for a while, again and again", text)
        self._floods.logged = self._failures.logged = True
        return wait_s

    def _line_works(self) -> None:
        """A meter has answered."""
        if self._floods_still:
            self._failures.backoff.succeed()
            return
        if self._failures.logged:
            in_a_row = self._failures.in_a_row + self._floods.in_a_row
            log.info("%s: works again after %d failures", self.name, in_a_row)
        self._failures.works()
        self._floods.works()

    @property
    def _floods_still(self) -> bool:
        """Whether it has flooded us lately: nothing is over then, whatever it answers."""
        last_s = self._floods.last_s
        return last_s is not None and self._clock.now_s() - last_s <= FLOOD_OVER_S

    # --- turns ------------------------------------------------------------------------------------

    async def _take_turns(self, line: AnyLine) -> None:
        """Read whichever meter is due first, until none answers any more. Raises LineError."""
        for meter in self.meters:
            await self._set_port(line, meter)  # the driver plans by the pace of its meter
            meter.read_with(self._driver_of(meter, line))

        self._turns.begin(self._now_s())
        _let_listen(line, self._load, len(self.meters))
        failures = 0
        while failures < REOPEN_AFTER or not all(m.failures.in_a_row for m in self.meters):
            now_s = self._now_s()
            if self._turns.next_s > now_s + REST_S:
                line.rest()

            # At the same instant those that answer go first: a dead one would cost them its
            # timeout.
            meter = min(self.meters, key=lambda m: (m.due.next_s, m.failures.in_a_row > 0))
            answered = await self._read(line, meter)
            self.turned_s = asyncio.get_running_loop().time()
            if isinstance(turns := getattr(line, "turns", None), FrameTurns):
                self._mind_strangers(turns)
            if answered:
                failures = 0
                self._line_works()
            else:
                failures += 1

        # The log has said of each meter that it does not answer; opening the line anew is only a
        # remedy.
        self._failures.note(f"no meter answers; last: {meter.failures.last}", self._now_s())

    def _mind_strangers(self, turns: FrameTurns) -> None:
        """Another master may be on the line: values are read again then, and this is why."""
        if self._use.heard(turns.overheard.strangers, asyncio.get_running_loop().time()):
            log.warning(
                "%s: %d frames came that nobody here has asked for — a second master is on the "
                "bus: take one of the two away; what is read in such a moment is read again, and "
                "more of it is only counted, on the status page",
                self.name,
                self._use.strangers,
            )

    def _driver_of(self, meter: Meter, line: AnyLine) -> Driver:
        """Raises LineError."""
        try:
            return meter.device.profile.open_driver(meter.device.on_line, line)
        except OSError as error:
            # A driver is loaded from the disk when it is first used, which takes a descriptor.
            text = f"{self.name}: the driver of {meter.name} cannot be loaded: {error.strerror}"
            raise LineError(f"{text}; it is tried again") from error

    def _now_s(self) -> float:
        """Unix time, by which reads are planned. Where the clock was set, due times move with
        it.
        """
        now_s = self._clock.now_s()
        self._turns.follow(now_s, self._clock.moved_s)
        return now_s

    async def _set_port(self, line: AnyLine, meter: Meter) -> None:
        """Meters that share a line may differ in their serial settings. One that is alone sets its
        port itself. Raises LineError.
        """
        if len(self.meters) > 1 and self._spoke is not meter:
            self._spoke = meter
            await line.configure(meter.device.line.serial_settings(meter.device.profile.serial))

    async def _read(self, line: AnyLine, meter: Meter) -> bool:
        """One turn of one meter; returns whether it answered. Raises LineError."""
        await self._set_port(line, meter)
        loop = asyncio.get_running_loop()
        now_s = self._now_s()
        planned_s = meter.due.next_s
        due_s = loop.time() + planned_s - now_s
        awake_s = self._clock.boottime_s() - loop.time()
        everything = self._turns.with_everything(meter.due, known=meter.last is not None)

        try:
            reading = await self._ask(meter, due_s, everything=everything)
        except MeterError as error:
            meter.due.put_off_everything()
            self._missed(meter, str(error))
            return False

        self._answered(meter, reading)
        meter.last_success_s = now_s = self._now_s()
        slept_s = self._clock.boottime_s() - loop.time() - awake_s
        if slept_s >= SUSPENDED_S:
            # The loop's time stood still, so the reading may be from before or after: nobody can
            # say when it was taken.
            log.info(
                "%s: the machine was suspended for %.0f s; a reading of then is left out",
                meter.name,
                slept_s,
            )
            meter.due.next_s = now_s
            return True

        sample = self._date(meter.device, reading, loop.time())
        meter.keep(sample, everything=everything)
        self._take(sample)
        if self._load is not None:
            late_s = loop.time() - due_s
            self._use.skipped += max(0, math.floor(late_s / meter.device.interval_s))
        meter.due.answered(planned_s, now_s, everything=everything)
        return True

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
            self._use.used(began_s, loop.time())

    def _missed(self, meter: Meter, text: str) -> None:
        """The meter has not answered. One line in the log until it does again."""
        now_s = self._now_s()
        wait_s = meter.failures.fail(text, now_s)
        if not meter.failures.logged:
            log.warning("%s: %s", meter.name, text)
        meter.failures.logged = True
        meter.due.failed(now_s, wait_s)

    def _answered(self, meter: Meter, reading: Reading) -> None:
        """The meter has answered, be it that what came before could not be used."""
        failures = meter.failures
        meter.heard = reading
        if failures.logged:
            log.info("%s: answers again after %d failures", meter.name, failures.in_a_row)
        failures.works()
        _note_damage(meter, reading, self._clock.now_s())

    def _date(self, device: Device, reading: Reading, loop_s: float) -> Sample:
        """A reading as a sample: when it was taken, and of which boot."""
        boottime_ms, utc_ms = self._clock.date(loop_s - reading.taken_s)
        values = {
            quantity: value
            for quantity, value in reading.values.items()
            if abs(value) < SANE and quantity not in reading.doubts
        }
        if reading.meter_utc_s is not None:
            values[METER_UTC] = reading.meter_utc_s
        return Sample(
            device.name,
            reading.serial_number,
            self._clock.boot_id,
            boottime_ms,
            utc_ms,
            values,
            widened=reading.widened,
        )


def _let_listen(line: AnyLine, load: Load | None, turns: int) -> None:
    """Tell a line how much time there is for what others say on it."""
    frames = getattr(line, "turns", None)
    if load is not None and isinstance(frames, FrameTurns):
        frames.overheard.listen_s = load.listen_s(turns)


def _note_damage(meter: Meter, reading: Reading, now_s: float) -> None:
    """What came before a reading and could not be used, or a value of it that cannot be told yet.
    `now_s`: Unix time.
    """
    text, advice = "; ".join(f"{name}: {why}" for name, why in reading.doubts.items()), ""
    if reading.damaged:
        text = reading.damage
        advice = (
            "; readings go on; more of it is only counted, on the status page; if that "
            "grows, check the cable and its connectors"
        )
    if not text:
        return

    meter.failures.note(text, now_s, reading.damaged)
    loop_s = asyncio.get_running_loop().time()
    if loop_s - meter.damage_logged_s >= DAMAGE_LINE_S:
        meter.damage_logged_s = loop_s
        log.warning("%s: %s%s", meter.name, text, advice)
