"""The counter: our continuous estimate of a cumulative energy register between its steps. Pure.

A register moves in steps, of 1, 10 or 100 Wh. The truth lies somewhere between what it shows and
one step more. Power says how far it has come since the last sample, but not what happened between
two samples. So two bounds are kept around the truth. Power moves both of them up. What is uncertain
about power moves them apart. Each step of the register moves them together. The counter is their
middle:

    low     ← max(low  + ∫ power dt − uncertainty, register)
    high    ← min(high + ∫ power dt + uncertainty, register + step)
    counter ← max(counter, (low + high) / 2)

Where metering begins, nobody knows how far into its step the register is (`Beginning`). Up to the
first step the counter moves by power alone, from the lower end of the step. That step says where it
began, and nothing of what passed since: by so much the counter moves, and no slot has it.

Power that is off by a few percent is calibrated first (`calibration`).

All energies are integers in µWh (10⁻⁶ Wh), so that sums are exact and a replay gives the same
numbers. The counter lives on an *unwrapped* scale: what the meter shows, plus an offset. A rollover
or a reset changes the offset, and the counter itself never runs backwards. Times are in ms of a
clock that is never set, because how long something lasted decides what can be true.

Which readings of the register are believed, and so *confirm* the counter, is told by `belief`. One
that is not believed changes nothing: only the integral of power goes on.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

from gateway.energy.calibration import Gain
from gateway.energy.register import Rules

CONFIRMATIONS = 3
"""Readings that must agree before anything but a normal step is believed.

One more than the wrong readings in a row that the simulation has a name for (scenarios
`bogus-zero-twice`, `bogus-zeros-and-a-kill`).
"""

MOST_PAUSE_MS = 2 * 3_600_000
"""A register that stands still for longer is believed, whatever power says.

It is the default of the longest gap (`market.max_gap`), beyond which power closes no slot on its
own either. Registers that are sent hourly stand still for half as long, by design.
"""

JITTERS_MS = 2 * 3_600_000
"""For so long a register that went back by a step or two is one that does so (chosen, not
measured).
"""

UWH_PER_WH = 1_000_000

POWER_DISPROVED = -1
"""What `Counter.still_uwh` holds, in files as well, where power was found to be wrong."""


class Suspects(msgspec.Struct, frozen=True):
    """Readings in a row that do not follow the believed one but do follow each other."""

    first_raw_uwh: int
    last_raw_uwh: int
    last_ms: int
    count: int
    rising: int = 1
    """Readings in a row, up to the last one, each of which is more than the one before, however
    fast they rise. One that is the same is none of them, and breaks nothing.
    """
    refused: int = 1
    """Readings in a row that were not believed, whether they follow each other or not."""

    def lead_to(self, raw_uwh: int, at_ms: int, rules: Rules) -> bool:
        """Whether a reading can follow them."""
        moved_uwh = raw_uwh - self.last_raw_uwh
        return 0 <= moved_uwh <= rules.most_uwh(at_ms - self.last_ms, raw_uwh)

    def and_then(self, raw_uwh: int, at_ms: int, rules: Rules) -> "Suspects":
        """One more that is not believed; where it cannot follow, it is the first of new ones."""
        leads = self.lead_to(raw_uwh, at_ms, rules)
        rising = self.rising if raw_uwh >= self.last_raw_uwh else 0
        return Suspects(
            first_raw_uwh=self.first_raw_uwh if leads else raw_uwh,
            last_raw_uwh=raw_uwh,
            last_ms=at_ms,
            count=self.count + 1 if leads else 1,
            rising=rising + (raw_uwh != self.last_raw_uwh),
            refused=self.refused + 1,
        )


class Since(
    msgspec.Struct,
    frozen=True,
    rename={"power_uncertainty_uwh": "swing_uwh", "power_unknown_ms": "dark_ms"},
):
    """What power says of the time since the register confirmed the counter.

    Files know the second field as `swing_uwh` and the third as `dark_ms`.
    """

    power_uwh: int = 0
    """The integral of power, as the meter shows it."""
    power_uncertainty_uwh: int = 0
    """What that is uncertain by, because nobody saw when power changed between two samples: a
    quarter of the change times the time, which is the mean error; the largest is twice as much.
    """
    power_unknown_ms: int = 0
    """The part of the time over which power is not known."""


class Beginning(msgspec.Struct, frozen=True):
    """How far into its step the register was where metering began is not known yet. Times are in
    UTC.
    """

    series_ms: int | None = None
    """When the series began with it; None: it had begun before."""
    from_ms: int | None = None
    to_ms: int | None = None
    """The silence before, where what passed in it is stated; None: there was none."""
    is_heard: bool = False
    """Whether a reading of 0 since then came with power, or with another register that was not 0:
    then the 0 was a total.
    """


class Counter(msgspec.Struct, frozen=True):
    """One direction of one meter, as of `at_ms`, when its register last confirmed it.

    The names of its fields are keys in files. A field that is None has not changed since `at_ms`;
    the properties below say what it stands for.
    """

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
    """What at least passed, by power, since the register last moved; or `POWER_DISPROVED`."""
    pace_w: float = 0.0
    """What the register's last move was, as power."""
    gain: Gain = Gain()
    wavered_ms: int | None = None
    """When it was last told that the register goes back by a little (`belief`)."""
    jittered_ms: int | None = None
    """When the register last went back by a step or two."""
    leap_uwh: int = 0
    leap_ms: int = 0
    """By how much the register has lately risen for which nothing else spoke, or come back from
    below, and when.
    """
    agreed: int = CONFIRMATIONS
    """How many readings speak for the series, up to `CONFIRMATIONS`. While fewer do, one that
    cannot follow is as good as they are. 0 where the counter has begun anew, and one less for each
    further time in a row that it did, higher each time.
    """
    beginning: Beginning | None = None
    """None once the register has moved since metering began."""

    @property
    def last_sample_ms(self) -> int:
        """When the last sample was taken, whatever was in it."""
        return self.at_ms if self.seen_ms is None else self.seen_ms

    @property
    def power_shown_ms(self) -> int:
        """When the last known power was shown."""
        return self.at_ms if self.power_ms is None else self.power_ms

    @property
    def shown_uwh(self) -> int:
        """The register as of `at_ms`, as the meter shows it."""
        return self.register_uwh - self.offset_uwh

    @property
    def jitters(self) -> bool:
        """Whether the register has lately gone back by a step or two, and may do so again."""
        jittered_ms = self.jittered_ms
        return jittered_ms is not None and self.last_sample_ms - jittered_ms <= JITTERS_MS

    @property
    def power_disproved(self) -> bool:
        """Whether the register stands still, is believed, and power has been found to be wrong."""
        return self.still_uwh < 0


class Finding(msgspec.Struct, frozen=True):
    """Something a person should know about a register."""

    kind: Literal["glitch", "rollover", "reset", "jump"]
    unallocated_uwh: int
    """What the counter has moved by and no slot may have."""
    text: str


def start(
    at_ms: int, raw_uwh: int, power_w: float | None, rules: Rules, *, utc_ms: int | None = None
) -> Counter:
    """The counter at its first reading: at the lower end of the register's step, on the meter's
    own scale. `utc_ms` is the same moment, where a series begins with it.
    """
    step_uwh = rules.step_uwh(raw_uwh)
    return Counter(
        at_ms=at_ms,
        counter_uwh=raw_uwh,
        register_uwh=raw_uwh,
        offset_uwh=0,
        power_w=power_w,
        low_uwh=raw_uwh,
        high_uwh=raw_uwh + step_uwh,
        agreed=1,
        beginning=Beginning(utc_ms),
    )


def begun(counter: Counter, rules: Rules, beginning: Beginning) -> Counter:
    """The counter where its register now stands, when nobody knows how far into its step it is."""
    register_uwh = counter.register_uwh
    return replace(
        counter,
        counter_uwh=max(counter.counter_uwh, register_uwh),
        low_uwh=register_uwh,
        high_uwh=register_uwh + rules.step_uwh(counter.shown_uwh),
        beginning=beginning,
    )


def integrate(
    counter: Counter, rules: Rules, *, at_ms: int, power_w: float | None, stale_ms: int
) -> Counter:
    """Power up to a sample at `at_ms`, which must be after the last one. `power_w` (≥ 0, in this
    direction) is what it shows, if it does.

    Between two samples power is taken to be the mean of both (the trapezoidal rule). A sample that
    shows no power is taken to show the last one again, for `stale_ms` after that was shown. Over
    the time beyond, power is not known.
    """
    last_ms = counter.at_ms if counter.seen_ms is None else counter.seen_ms
    elapsed_ms = at_ms - last_ms
    shown_ms = counter.at_ms if counter.power_ms is None else counter.power_ms
    before_w = counter.power_w if at_ms - shown_ms <= stale_ms else None

    if power_w is not None and 0 <= power_w <= rules.most_power_w:
        now_w: float | None = power_w
        shown_ms = at_ms
    else:
        now_w = before_w

    since = counter.since
    still_uwh = counter.still_uwh
    if before_w is None or now_w is None:
        since = replace(since, power_unknown_ms=since.power_unknown_ms + elapsed_ms)
    else:
        # W · ms / 3.6 = µWh. The mean of two is half their sum; the uncertainty is a quarter of
        # their difference.
        energy_uwh = round((before_w + now_w) * elapsed_ms / 7.2)
        uncertainty_uwh = round(abs(before_w - now_w) * elapsed_ms / 14.4)
        since = Since(
            since.power_uwh + energy_uwh,
            since.power_uncertainty_uwh + uncertainty_uwh,
            since.power_unknown_ms,
        )
        if still_uwh >= 0 and energy_uwh > 2 * uncertainty_uwh:
            still_uwh += energy_uwh - 2 * uncertainty_uwh

    return replace(
        counter,
        power_w=now_w,
        seen_ms=at_ms,
        power_ms=shown_ms,
        since=since,
        still_uwh=still_uwh,
    )


def confirmed(counter: Counter, rules: Rules, moved_uwh: int) -> Counter:
    """The counter after its register has confirmed it, having moved by `moved_uwh` (≥ 0) since it
    last did.
    """
    at_ms = counter.at_ms if counter.seen_ms is None else counter.seen_ms
    elapsed_ms = at_ms - counter.at_ms
    since = counter.since
    gain = counter.gain

    register_uwh = counter.register_uwh + moved_uwh
    step_uwh = rules.step_uwh(register_uwh - counter.offset_uwh)
    # Over a time that nobody saw, a register that moved says where the truth is; one that stands
    # still says that nothing passed.
    if since.power_unknown_ms and moved_uwh:
        low_uwh, high_uwh = register_uwh, register_uwh + step_uwh
    else:
        low_uwh, high_uwh = _bounds(counter, register_uwh, step_uwh)
    counter_uwh = max(counter.counter_uwh, (low_uwh + high_uwh) // 2)
    if counter.beginning is not None and not moved_uwh:
        by_power_uwh = counter.counter_uwh + gain.applied(since.power_uwh)
        counter_uwh = max(counter.counter_uwh, min(by_power_uwh, high_uwh))

    if not since.power_unknown_ms:
        # The counter and not the register: within a step it moves as power does, which teaches
        # nothing, and at its edges as the register.
        passed_uwh = counter_uwh - counter.counter_uwh
        if counter.beginning is not None:
            passed_uwh -= before_beginning_uwh(counter, since, register_uwh, counter_uwh)
        gain = gain.learnt(passed_uwh, since.power_uwh, step_uwh)

    if moved_uwh:
        still_uwh = 0
    elif counter.power_disproved or elapsed_ms > MOST_PAUSE_MS:
        still_uwh = POWER_DISPROVED
    else:
        still_uwh = counter.still_uwh

    agreed = counter.agreed
    return replace(
        counter,
        at_ms=at_ms,
        counter_uwh=counter_uwh,
        register_uwh=register_uwh,
        suspects=None,
        seen_ms=None,
        power_ms=None if counter.power_ms == at_ms else counter.power_ms,
        low_uwh=low_uwh,
        high_uwh=high_uwh,
        since=_NOTHING,
        still_uwh=still_uwh,
        pace_w=moved_uwh * 3.6 / elapsed_ms,
        gain=gain,
        agreed=agreed if agreed == CONFIRMATIONS else min(max(agreed, 0) + 1, CONFIRMATIONS),
        beginning=None if moved_uwh else counter.beginning,
    )


def before_beginning_uwh(before: Counter, since: Since, register_uwh: int, counter_uwh: int) -> int:
    """By how much of the way from the counter `before` to `counter_uwh` the register was already
    into its step when metering began; 0 where that is known, or its register has not moved yet.
    `since` is what power says of the time, and `register_uwh` where the register is after it.
    """
    if before.beginning is None:
        return 0
    moved_uwh = register_uwh - before.register_uwh
    if moved_uwh <= 0:
        return 0
    first_uwh = before.register_uwh if before.high_uwh is None else before.high_uwh
    room_uwh = max(first_uwh - before.counter_uwh, 0)
    is_one_step = moved_uwh <= first_uwh - before.register_uwh and before.agreed > 1
    if since.power_unknown_ms and not is_one_step:
        # It did not stand still before: of the first step, half is of this time, as a mean.
        room_uwh //= 2
    by_power_uwh = before.gain.applied(since.power_uwh)
    unexplained_uwh = counter_uwh - before.counter_uwh - by_power_uwh
    return max(min(unexplained_uwh, room_uwh), 0)


_NOTHING = Since()


def _bounds(counter: Counter, register_uwh: int, step_uwh: int) -> tuple[int, int]:
    """The bounds of the truth, after power has moved them and a register has narrowed them."""
    since = counter.since
    passed_uwh = counter.gain.applied(since.power_uwh)
    uncertain_uwh = since.power_uncertainty_uwh
    low_uwh = counter.counter_uwh if counter.low_uwh is None else counter.low_uwh
    high_uwh = counter.counter_uwh if counter.high_uwh is None else counter.high_uwh

    low_uwh = max(low_uwh + passed_uwh - uncertain_uwh, register_uwh)
    high_uwh = min(high_uwh + passed_uwh + uncertain_uwh, register_uwh + step_uwh)
    if low_uwh > high_uwh:
        # Power was wrong: the truth is at that end of the step which it would have left.
        middle_uwh = (low_uwh + high_uwh) // 2
        low_uwh = high_uwh = min(max(middle_uwh, register_uwh), register_uwh + step_uwh)
    return low_uwh, high_uwh
