"""The counter: our continuous estimate of a cumulative energy register between its steps. Pure.

The truth lies within the register's step; power says how far it has come since the last sample, but
for what nobody saw in between. So two bounds are kept around it, which power moves, uncertainty
widens and every step of the register narrows; the counter is their middle:

    low  ← max(low  + ∫ power dt − swing, register) high ← min(high + ∫ power dt + swing, register +
    resolution)        counter ← max(counter, (low + high) / 2)

Power that is off by a few percent is calibrated: over time its integral must be what the register
has moved by.

All energies are integers in µWh (10⁻⁶ Wh), so that sums are exact and a replay gives the same
numbers. The counter lives on an *unwrapped* scale (register + offset): a rollover or a reset
changes the offset, and the counter itself never runs backwards. Times are in ms of a clock that is
never set: how long something lasted decides what can be true.

A reading of the register *vouches* for the counter when it is believed. Others move nothing but the
integral of power:

- one that is absent;
- one that says grossly more than power does, and than the register's own pace was before. It is a
  suspect. When the register goes on from where it was, it was a *glitch*. When the next reading
  agrees with it, both are believed (`AGREEING`);
- one that cannot follow the last one (backwards, or more than the main fuse can carry). Only when
  `CONFIRMATIONS` such readings in a row agree with each other are they believed, and then as what
  they are: a *rollover*, past the register's modulus; a *reset* (backwards), across which nothing
  can be known and nothing is booked; a *jump* (forwards), with which the counter goes along, but
  what the register jumped over is stated as unallocated, to be in no slot;
- the first ones of all: until `CONFIRMATIONS` readings agree, and as long as nothing was booked,
  the counter begins anew with one that cannot follow (`begins_anew`);
- one that stands still while more passes than its step can hold: the register *pauses*, and will
  catch up. After `MOST_PAUSE_MS` it is believed, and power is not.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

CONFIRMATIONS = 3
"""Readings that must agree before anything but a normal step is believed."""

AGREEING = 2
"""Readings that must agree before a step is believed that the fuse can carry, and for which nothing
else speaks.
"""

FUSE_TOLERANCE = 1.25
"""A main fuse carries more than its rating for a while."""

DOUBT_MS = 15 * 60_000
"""Of a meter that is read more rarely no reading is doubted for saying more than power does: the
next one would come too late.
"""

DOUBT_W = 1000.0
"""What may have been switched on and off in between, unseen, without making anybody doubt."""

MOST_PAUSE_MS = 2 * 3_600_000
"""A register that stands still for longer is believed, whatever power says."""

MOST_GAIN_PPM = 50_000
"""Power is taken to be off by 5 % at most."""

PRIOR_STEPS = 20
"""So many steps of the register are counted as if power had been right, before what is found
counts.
"""

MEMORY_STEPS = 500
"""What is known of the gain is half forgotten after so many steps: a meter's error changes with its
load and temperature.
"""

UWH_PER_WH = 1_000_000
_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of one register. `float32` marks one that travels as a 32-bit float, in kWh or
    Wh.
    """

    resolution_uwh: int
    modulus_uwh: int | None
    float32: bool
    max_power_w: float

    def step_uwh(self, register_uwh: int) -> int:
        """The step of the register at this value: its resolution, or the spacing of float32 there,
        whichever is larger.
        """
        return max(self.resolution_uwh, self._spacing_uwh(register_uwh))

    def exact_uwh(self, raw_uwh: int) -> int:
        """What the meter counted, where a float32 has rounded it: the multiple of the resolution
        that it can only have been.

        A value that is no rounded multiple (a meter that counts finer than its papers say) stays as
        it is.
        """
        spacing_uwh = self._spacing_uwh(raw_uwh)
        if not 0 < spacing_uwh <= self.resolution_uwh:
            return raw_uwh
        multiple_uwh = (
            (raw_uwh + self.resolution_uwh // 2) // self.resolution_uwh * self.resolution_uwh
        )
        return multiple_uwh if abs(raw_uwh - multiple_uwh) <= spacing_uwh // 2 + 1 else raw_uwh

    def _spacing_uwh(self, register_uwh: int) -> int:
        """The distance between two neighbouring float32 numbers in kWh at this value; 0 for a
        register that is no float.

        In Wh it is 0.51 or 1.02 times as much, near enough for a bound: 1000 is almost 2¹⁰.
        """
        if not self.float32 or register_uwh <= 0:
            return 0
        kwh = register_uwh / (1000 * UWH_PER_WH)
        # IEEE 754 binary32: 24 bits of significand. frexp gives kwh = m·2^e with 0.5 ≤ m < 1.
        return round(math.ldexp(1.0, math.frexp(kwh)[1] - 24) * 1000 * UWH_PER_WH)

    def most_uwh(self, elapsed_ms: int, register_uwh: int) -> int:
        """The most the register can have moved in that time."""
        return round(
            self.max_power_w * FUSE_TOLERANCE * max(elapsed_ms, 0) / 3.6
        ) + 2 * self.step_uwh(register_uwh)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Readings in a row that do not follow the believed one but do follow each other."""

    first_raw_uwh: int
    last_raw_uwh: int
    last_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What power is found to be off by: over the same times the counter moved by `counter_uwh` and
    power's integral was `power_uwh`.
    """

    counter_uwh: int = 0
    power_uwh: int = 0
    ppm: int = _PPM
    """What power is multiplied with, in millionths."""

    def applied(self, power_uwh: int) -> int:
        """The integral of power, as it would be if power were right."""
        return power_uwh * self.ppm // _PPM

    def learnt(self, counter_uwh: int, power_uwh: int, step_uwh: int) -> "Gain":
        """After the counter has moved by this while power said that."""
        if not power_uwh and not counter_uwh:
            return self
        counter_uwh += self.counter_uwh
        power_uwh += self.power_uwh
        prior_uwh = PRIOR_STEPS * step_uwh
        ppm = (counter_uwh + prior_uwh) * _PPM // (power_uwh + prior_uwh)
        if max(power_uwh, counter_uwh) > MEMORY_STEPS * step_uwh:
            counter_uwh //= 2
            power_uwh //= 2
        return Gain(
            counter_uwh, power_uwh, min(max(ppm, _PPM - MOST_GAIN_PPM), _PPM + MOST_GAIN_PPM)
        )

    def credible(self, step_uwh: int) -> bool:
        """Whether power has to do with this register at all: where it says far more than the
        register, it is not this register's power.
        """
        return 3 * self.power_uwh <= 4 * (self.counter_uwh + PRIOR_STEPS * step_uwh)


@dataclass(frozen=True, slots=True)
class Since:
    """What power says of the time since the register vouched for the counter."""

    power_uwh: int = 0
    """The integral of power, as the meter shows it."""
    swing_uwh: int = 0
    """What that is uncertain by, because nobody saw when power changed between two samples: a
    quarter of the change times the time, which is the mean error; the largest is twice as much.
    """
    dark_ms: int = 0
    """The part of the time over which power is not known."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One direction of one meter, as of `at_ms`, when its register last vouched for it."""

    at_ms: int
    counter_uwh: int
    register_uwh: int
    """The register as of `at_ms`, unwrapped."""
    offset_uwh: int
    """Unwrapped register = what the meter shows + this."""
    power_w: float | None
    """The last power that is known."""
    suspects: Suspects | None = None
    seen_ms: int | None = None
    """The last sample, whatever was in it; None: `at_ms`."""
    power_ms: int | None = None
    """When that power was shown; None: `at_ms`."""
    low_uwh: int | None = None
    high_uwh: int | None = None
    """Bounds of the truth as of `at_ms`; None: the counter itself."""
    since: Since = Since()
    still_uwh: int = 0
    """What at least passed, by power, since the register last moved; −1 where it was believed
    nevertheless.
    """
    pace_w: float = 0.0
    """What the register's last move was, as power."""
    gain: Gain = Gain()
    agreed: int = CONFIRMATIONS
    """How many readings speak for the series, up to `CONFIRMATIONS`. While fewer do, one that
    cannot follow is as good as they are.
    """


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a register."""

    kind: Literal["glitch", "rollover", "reset", "jump"]
    unallocated_uwh: int
    """What the counter has moved by and no slot may have."""
    text: str


def start(at_ms: int, raw_uwh: int, power_w: float | None, rules: Rules) -> Counter:
    """The counter at its first reading: in the middle of the register's step, on the meter's own
    scale.
    """
    step_uwh = rules.step_uwh(raw_uwh)
    counter_uwh = raw_uwh + step_uwh // 2
    return Counter(
        at_ms,
        counter_uwh,
        raw_uwh,
        0,
        power_w,
        low_uwh=raw_uwh,
        high_uwh=raw_uwh + step_uwh,
        agreed=1,
    )


def begins_anew(counter: Counter, rules: Rules, raw_uwh: int) -> bool:
    """Whether the sample that power was integrated up to is where the counter should have begun
    (`start`).

    So it is where too few readings speak for the series yet, and this one cannot follow: the very
    first may have been a wrong one.
    """
    if counter.agreed >= CONFIRMATIONS:
        return False
    assert counter.seen_ms is not None
    delta_uwh = raw_uwh + counter.offset_uwh - counter.register_uwh
    return not 0 <= delta_uwh <= rules.most_uwh(counter.seen_ms - counter.at_ms, raw_uwh)


def integrate(
    counter: Counter, rules: Rules, *, at_ms: int, power_w: float | None, stale_ms: int
) -> Counter:
    """Power up to a sample at `at_ms`, which must be after the last one. `power_w` (≥ 0, in this
    direction) is what it shows, if it does.

    Between two samples power is taken to be the mean of both (the trapezoidal rule). One that shows
    none is taken to show the last one again, for `stale_ms` after that was shown; time beyond is
    dark.
    """
    seen_ms = counter.at_ms if counter.seen_ms is None else counter.seen_ms
    shown_ms = counter.at_ms if counter.power_ms is None else counter.power_ms
    before_w = counter.power_w if at_ms - shown_ms <= stale_ms else None
    if power_w is not None and 0 <= power_w <= rules.max_power_w * FUSE_TOLERANCE:
        shown_ms = at_ms
    else:
        power_w = before_w
    since, still_uwh = counter.since, counter.still_uwh
    if before_w is None or power_w is None:
        since = Since(since.power_uwh, since.swing_uwh, since.dark_ms + at_ms - seen_ms)
    else:
        # W · ms / 3.6 = µWh.
        energy_uwh = round((before_w + power_w) * (at_ms - seen_ms) / 7.2)
        swing_uwh = round(abs(before_w - power_w) * (at_ms - seen_ms) / 14.4)
        since = Since(since.power_uwh + energy_uwh, since.swing_uwh + swing_uwh, since.dark_ms)
        if still_uwh >= 0:
            still_uwh += max(energy_uwh - 2 * swing_uwh, 0)
    return Counter(
        counter.at_ms,
        counter.counter_uwh,
        counter.register_uwh,
        counter.offset_uwh,
        power_w,
        counter.suspects,
        at_ms,
        shown_ms,
        counter.low_uwh,
        counter.high_uwh,
        since,
        still_uwh,
        counter.pace_w,
        counter.gain,
        counter.agreed,
    )


def read(
    counter: Counter, rules: Rules, raw_uwh: int | None, *, stale_ms: int
) -> tuple[Counter, Finding | None]:
    """What the meter shows at the sample that power was integrated up to; None: the register is not
    in it. A time that is dark for longer than `stale_ms` is one that nobody saw.

    The counter that comes back is as of that sample (its `at_ms` tells), or still as of before
    where the register does not vouch for it.
    """
    if raw_uwh is None:
        return counter, None
    assert counter.seen_ms is not None
    at_ms = counter.seen_ms
    delta = raw_uwh + counter.offset_uwh - counter.register_uwh
    elapsed_ms = at_ms - counter.at_ms
    suspects = counter.suspects
    follows = suspects is not None and 0 <= raw_uwh - suspects.last_raw_uwh <= rules.most_uwh(
        at_ms - suspects.last_ms, raw_uwh
    )
    possible = 0 <= delta <= rules.most_uwh(elapsed_ms, raw_uwh)
    if possible and not _doubtful(counter, rules, delta, elapsed_ms, stale_ms):
        if delta == 0 and _pauses(counter, rules, elapsed_ms):
            return counter, None
        finding = None
        if suspects and not (follows and raw_uwh - suspects.last_raw_uwh < delta):
            finding = Finding(
                "glitch",
                0,
                f"{suspects.count} reading(s) not believed, {_wh(suspects.last_raw_uwh)} shown",
            )
        return _vouched(counter, rules, delta), finding
    if suspects and follows:
        suspects = Suspects(suspects.first_raw_uwh, raw_uwh, at_ms, suspects.count + 1)
    else:
        suspects = Suspects(raw_uwh, raw_uwh, at_ms, 1)
    if possible and suspects.count >= AGREEING:
        return _vouched(counter, rules, delta), None
    if suspects.count < CONFIRMATIONS:
        return replace(counter, suspects=suspects), None
    return _rebase(counter, rules, suspects)


def _doubtful(
    counter: Counter, rules: Rules, delta_uwh: int, elapsed_ms: int, stale_ms: int
) -> bool:
    """Whether a reading says grossly more than power, and than the register's own pace."""
    since = counter.since
    if elapsed_ms > DOUBT_MS and since.dark_ms <= stale_ms:
        return False
    expected_uwh = max(
        since.power_uwh + 2 * since.swing_uwh, round(counter.pace_w * elapsed_ms / 3.6)
    )
    unseen_uwh = round(DOUBT_W * elapsed_ms / 3.6)
    return delta_uwh > 3 * expected_uwh + unseen_uwh + 4 * rules.step_uwh(
        counter.register_uwh - counter.offset_uwh
    )


def _pauses(counter: Counter, rules: Rules, elapsed_ms: int) -> bool:
    """Whether more has passed than the register's step can hold, by a clear margin, while it stands
    still.
    """
    step_uwh = rules.step_uwh(counter.register_uwh - counter.offset_uwh)
    too_much = counter.still_uwh * (_PPM - MOST_GAIN_PPM) > 2 * step_uwh * _PPM
    return too_much and elapsed_ms <= MOST_PAUSE_MS and counter.gain.credible(step_uwh)


def _vouched(counter: Counter, rules: Rules, delta_uwh: int) -> Counter:
    """The register has moved by this (≥ 0) since it last vouched for the counter."""
    at_ms, since, gain = counter.seen_ms, counter.since, counter.gain
    assert at_ms is not None
    register_uwh = counter.register_uwh + delta_uwh
    step_uwh = rules.step_uwh(register_uwh - counter.offset_uwh)
    top_uwh = register_uwh + step_uwh
    low_uwh, high_uwh = register_uwh, top_uwh
    # Over a time that nobody saw, a register that moved says where the truth is; one that stands
    # still says that nothing passed.
    if not since.dark_ms or not delta_uwh:
        before_low_uwh = counter.counter_uwh if counter.low_uwh is None else counter.low_uwh
        before_high_uwh = counter.counter_uwh if counter.high_uwh is None else counter.high_uwh
        passed_uwh = gain.applied(since.power_uwh)
        low_uwh = max(before_low_uwh + passed_uwh - since.swing_uwh, register_uwh)
        high_uwh = min(before_high_uwh + passed_uwh + since.swing_uwh, top_uwh)
        if low_uwh > high_uwh:
            # Power was wrong: the truth is at that end of the step which it would have left.
            low_uwh = high_uwh = min(max((low_uwh + high_uwh) // 2, register_uwh), top_uwh)
    counter_uwh = max(counter.counter_uwh, (low_uwh + high_uwh) // 2)
    if not since.dark_ms:
        # The counter and not the register: within a step it moves as power does, which teaches
        # nothing, and at its edges as the register.
        gain = gain.learnt(counter_uwh - counter.counter_uwh, since.power_uwh, step_uwh)
    pace_w = delta_uwh * 3.6 / (at_ms - counter.at_ms)
    disproved = counter.still_uwh < 0 or at_ms - counter.at_ms > MOST_PAUSE_MS
    return Counter(
        at_ms,
        counter_uwh,
        register_uwh,
        counter.offset_uwh,
        counter.power_w,
        None,
        None,
        None if counter.power_ms == at_ms else counter.power_ms,
        low_uwh,
        high_uwh,
        _NOTHING,
        0 if delta_uwh else -1 if disproved else counter.still_uwh,
        pace_w,
        gain,
        min(counter.agreed + 1, CONFIRMATIONS),
    )


_NOTHING = Since()


def _rebase(counter: Counter, rules: Rules, suspects: Suspects) -> tuple[Counter, Finding]:
    """The suspects are right: decide what happened, and go on from there."""
    shown = counter.register_uwh - counter.offset_uwh
    text = f"{_wh(shown)} was followed by {_wh(suspects.first_raw_uwh)}, {suspects.count} times"
    modulus = rules.modulus_uwh
    rolled_uwh = suspects.last_raw_uwh + (modulus or 0) - shown
    if modulus and 0 <= rolled_uwh <= rules.most_uwh(suspects.last_ms - counter.at_ms, shown):
        counter = _vouched(
            replace(counter, offset_uwh=counter.offset_uwh + modulus), rules, rolled_uwh
        )
        return counter, Finding("rollover", 0, f"the register started again from 0: {text}")
    step_uwh = rules.step_uwh(suspects.first_raw_uwh)
    if suspects.first_raw_uwh < shown:
        # The new scale begins so that the counter is in the middle of the register's step, or
        # further: nothing is booked for that.
        begin_uwh = max(counter.register_uwh, counter.counter_uwh - step_uwh // 2)
        counter = replace(
            counter,
            register_uwh=begin_uwh,
            offset_uwh=begin_uwh - suspects.first_raw_uwh,
            low_uwh=begin_uwh,
            high_uwh=max(begin_uwh + step_uwh, counter.counter_uwh),
        )
        unallocated_uwh = 0
        finding = Finding("reset", 0, f"the register went back: {text}; nothing is booked across")
    else:
        begin_uwh = suspects.first_raw_uwh + counter.offset_uwh
        # As far into the new step as it was into the old one: what it was uncertain by is neither
        # lost nor booked twice.
        into_uwh = min(counter.counter_uwh - counter.register_uwh, step_uwh)
        unallocated_uwh = max(begin_uwh + into_uwh - counter.counter_uwh, 0)
        counter_uwh = counter.counter_uwh + unallocated_uwh
        counter = replace(
            counter,
            counter_uwh=counter_uwh,
            register_uwh=begin_uwh,
            low_uwh=begin_uwh,
            high_uwh=begin_uwh + step_uwh,
        )
        text = f"more than the main fuse carries: {text}; {_wh(unallocated_uwh)} unallocated"
        finding = Finding("jump", unallocated_uwh, text)
    # What the suspects counted among themselves is booked; what power says of the time before them
    # may be theirs or not.
    counter = replace(counter, since=replace(counter.since, dark_ms=max(counter.since.dark_ms, 1)))
    return _vouched(counter, rules, suspects.last_raw_uwh - suspects.first_raw_uwh), finding


def _wh(uwh: int) -> str:
    return f"{uwh / UWH_PER_WH:.3f} Wh"
