"""What a meter's power is off by, learnt from its register: gain, offset, delay. Pure.

*Gain and offset*: over half an hour or more the register must have moved by (1 + gain) · ∫ power
+ offset · time. A Kalman filter holds the gain, the offset while power is shown, and the offset
while it is shown as 0 (a dead band).

*Delay*: power that is shown late has a register that is ahead of it, by the delay times what power
has changed by. Only steps of the register at which power is steady, before and after, are compared:
where it changes, a step is likelier to be seen after a larger part of the change than of chance,
and where it pulses samples before and after a step are not of the same kind. A register that is
refreshed late is a delay with the other sign.

*Mean*: power that is the mean since the last sample looks late by half an interval, and no delay
explains it as well as the mean does.

Powers are in W, energies in Wh, times in s.
"""

from collections.abc import Sequence
from math import copysign, exp, sqrt

import msgspec
from msgspec.structs import replace

from gateway.energy.delay_search import FINE_S
from gateway.energy.power_line import HOURS_PER_S, rounded

MOST_GAIN = 0.05
"""As in `calibration`: two meters of class A at odds."""

MOST_OFFSET_W = 30.0
"""An offset that is larger is another line's power."""

MOST_DELAY_S = 10.0

MOST_INTERVALS = 6
"""A delay is not longer than so many samples, which are kept until it is over."""

PRIOR = (0.02, 3.0, 5.0)
"""How far gain, offset and idle offset are from 0 before anything is known: standard deviations."""

EXACT = 10.0
"""So many meters show power without an offset for one that has some (tried on the grid, three seeds
of each home, with 3, 10 and 30).
"""

LEAST_VARIANCE = 1e-9
"""An offset is not known better than that, in W²."""

DRIFT_PER_DAY = (0.004, 0.5, 1.0)
"""How far they wander in a day."""

LONG_S = 1800.0
"""So long a time is looked at for gain and offset: over a shorter one power's own noise makes the
gain too small and the offset too large.
"""

VERY_LONG_S = 4 * 3600.0
"""After so long it is looked at however uncertain power is."""

LEAST_CHANGE_W = 200.0
"""Smaller changes of power say too little of a delay."""

MEMORY = 0.998
"""What is left of the knowledge of the delay with each comparison."""

PAIRS = 8
"""Comparisons before a delay is believed."""

SURE = 3.0
"""A delay that is so many standard deviations from none is believed; at two it is forgotten."""

TOO_GOOD = (0.4, 0.65)
"""Power that changes at a random moment between two samples looks early or late by chance. Where
all changes look so by the same, they come at the samples' own time: what looks like a delay is
none. It scatters by less than the first of these parts of what chance makes; one that was never
believed by less than the second.
"""

CHANCE_SHARE = 0.025
"""How much the last comparison counts for that."""

LATE_S = 2.0
"""A power that is late is so by this, give or take as much: a standard deviation."""

PUNCTUAL = 10.0
"""So many meters are not late for one that is."""

LEAST_SCATTER = 0.25
"""Comparisons are not taken to be better than this part of the variance that is foretold."""

MEAN_LIKE = 0.2
"""A mean looks late by half an interval, give or take this part of one."""

MEAN_PAIRS = 40
"""Comparisons before power is believed to be a mean."""

Three = tuple[float, float, float]


class Correction(msgspec.Struct, frozen=True, array_like=True):
    """Gain and offsets, and how far they are known."""

    values: Three = (0.0, 0.0, 0.0)
    covariance: tuple[Three, Three, Three] = (
        (PRIOR[0] ** 2, 0.0, 0.0),
        (0.0, PRIOR[1] ** 2, 0.0),
        (0.0, 0.0, PRIOR[2] ** 2),
    )
    applies: Three | None = None
    """What is applied of the values (`_likely`); None: all, as by the version that stored it."""

    def applied(self, wh: float, shown_s: float, idle_s: float) -> float:
        """What passed, when power says so much, over these times at which it was shown and 0."""
        gain, offset_w, idle_w = self.applies or self.values
        extra_wh = (offset_w * shown_s + idle_w * idle_s) * HOURS_PER_S
        return max(wh * (1 + gain) + extra_wh, 0.0)

    def variance(self, causes: Three) -> float:
        """By how much what is applied may be off, squared, in Wh²; `causes` as for `learnt`."""
        a, b, c = causes
        (aa, ab, ac), (ba, bb, bc), (ca, cb, cc) = self.covariance
        by_gain = a * aa * a + a * ab * b + a * ac * c
        return by_gain + b * ba * a + b * bb * b + b * bc * c + c * ca * a + c * cb * b + c * cc * c

    def learnt(self, causes: Three, beyond_wh: float, variance: float, days: float) -> "Correction":
        """After the register moved by so much more than power says. `causes` are what gain and
        offsets are multiplied with.
        """
        spread = [list(row) for row in self.covariance]
        for n in range(3):
            spread[n][n] = min(spread[n][n] + DRIFT_PER_DAY[n] ** 2 * days, PRIOR[n] ** 2)
        gains = [sum(a * b for a, b in zip(row, causes, strict=True)) for row in spread]
        total = sum(a * b for a, b in zip(gains, causes, strict=True)) + variance
        foretold_wh = sum(a * b for a, b in zip(self.values, causes, strict=True))
        off_wh = beyond_wh - foretold_wh
        most_wh = 4 * sqrt(total)
        if abs(off_wh) > most_wh:
            off_wh = copysign(most_wh, off_wh)

        most = (MOST_GAIN, MOST_OFFSET_W, MOST_OFFSET_W)
        values = [
            rounded(min(max(value + gain * off_wh / total, -limit), limit), 1e6)
            for value, gain, limit in zip(self.values, gains, most, strict=True)
        ]
        rows = [
            tuple(rounded(spread[i][j] - gains[i] * gains[j] / total, 1e9) for j in range(3))
            for i in range(3)
        ]
        return msgspec.convert((values, rows, _likely(values, rows)), Correction)


def _likely(values: Sequence[float], covariance: Sequence[Sequence[float]]) -> Sequence[float]:
    """What is applied of a gain and offsets that were found. Most meters have no offset: how likely
    is it, by what was compared, that this one has? What is not applied of one was in the gain.
    """
    likely = list(values)
    for n in (1, 2):
        found_w, variance = values[n], max(covariance[n][n], LEAST_VARIANCE)
        none = EXACT * PRIOR[n] / sqrt(variance) * exp(-found_w * found_w / (2 * variance))
        likely[n] = rounded(found_w / (1 + none), 1e6)
        likely[0] -= (found_w - likely[n]) * covariance[0][n] / variance
    likely[0] = rounded(min(max(likely[0], -MOST_GAIN), MOST_GAIN), 1e6)
    return likely


NWH_PER_WH = 1_000_000_000


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """What has passed since the series began, by power. A difference of two tells of the time in
    between. In whole nWh, so that it is exact however long the series is, and takes little room
    where it is stored.
    """

    nwh: int = 0
    corrected_nwh: int = 0
    variance: float = 0.0
    """In Wh²."""
    idle_s: float = 0.0
    slope_nwh: int = 0
    """As if power were of the moment, and not late: up to the sample itself."""
    stair_nwh: int = 0
    """As if power were a mean."""


class Crossing(msgspec.Struct, frozen=True, array_like=True):
    """A step of the register, and power then."""

    at_s: float
    wh: float
    variance: float
    power_w: float
    sums: Sums


class Delay(msgspec.Struct, frozen=True, array_like=True):
    """By how much power is late; negative: by how much the register is."""

    now_s: float = 0.0
    """What is applied: it comes nearer to its aim slowly, so that nothing jumps."""
    aim_s: float = 0.0
    along: float = 0.0
    weight: float = 0.0
    pairs: int = 0
    scatter: float = 1.0
    """How much more the comparisons scatter than was foretold."""
    chance: float = 1.0
    """The same, where nothing is foretold but chance: the register's step, and when between two
    samples power changed.
    """

    told_s: float = 0.0
    """What it is on average, where a profile says how often the register is refreshed: then it is
    there for certain, and only how long it is must be learnt. 0: nobody says.
    """

    @property
    def variance_s2(self) -> float:
        """What is not known of it, in s²."""
        scatter = max(self.scatter, LEAST_SCATTER)
        if self.told_s:
            # Anything from none to twice what was told is as likely.
            return 1 / (self.weight / scatter + 3 / self.told_s**2)
        left_s2 = 1 / (self.weight / scatter + 1 / LATE_S**2)
        if self.aim_s:
            return left_s2
        # Most meters are not late at all. How likely is it, by what was compared, that this one is?
        looks_s = self.along / scatter * left_s2
        punctual = PUNCTUAL * LATE_S / sqrt(left_s2) * exp(-looks_s * looks_s / (2 * left_s2))
        return (left_s2 + looks_s * looks_s) / (1 + punctual)


class Mean(msgspec.Struct, frozen=True, array_like=True):
    """Whether power is the mean since the last sample."""

    is_mean: bool = False
    stair: float = 0.0
    """The mean square of what is not explained if it is."""
    slope: float = 0.0
    """The same if it is not."""
    pairs: int = 0
    before: float = 0.0
    """What was not explained when it was found to be a mean."""


class Faults(msgspec.Struct, frozen=True, array_like=True):
    """All that is known of them, and what is being compared."""

    correction: Correction = Correction()
    delay: Delay = Delay()
    mean: Mean = Mean()
    long: Crossing | None = None
    """Where the time for gain and offset began."""
    steady: Crossing | None = None
    """The last step at which power was steady."""
    candidate: Crossing | None = None
    """A later one, if power stays."""


def crossing_at(
    at_s: float, low_wh: float, wide_wh: float, power_w: float, sums: Sums, overlap_wh: float
) -> Crossing:
    """A step of the register: the energy is up to `wide_wh` above where the step began, which is up
    to `overlap_wh` above `low_wh`. To the µWh, so that it takes little room where it is stored.
    """
    return Crossing(
        at_s,
        rounded(low_wh + (overlap_wh + wide_wh) / 2, 1e6),
        rounded((overlap_wh * overlap_wh + wide_wh * wide_wh) / 12, 1e9),
        rounded(power_w, 1e3),
        sums,
    )


def bare(crossing: Crossing) -> Crossing:
    """Without what tells whether power is a mean: only steady ones are compared for that."""
    sums = crossing.sums
    return replace(crossing, sums=Sums(sums.nwh, sums.corrected_nwh, sums.variance, sums.idle_s))


def is_steady(change_w2: float, power_w: float) -> bool:
    """Whether power changed by so little (its square) that it is the same."""
    return change_w2 <= (0.05 * power_w) ** 2 + 900


def crossed(faults: Faults, crossing: Crossing, step_wh: float) -> Faults:
    """After one more step of the register: gain and offset."""
    last = faults.long
    if last is None:
        return replace(faults, long=bare(crossing))

    elapsed_s = crossing.at_s - last.at_s
    wh = (crossing.sums.nwh - last.sums.nwh) / NWH_PER_WH
    variance = crossing.sums.variance - last.sums.variance
    is_sure = variance <= (0.05 * wh) ** 2 + (0.1 * step_wh) ** 2
    if not (elapsed_s >= LONG_S and is_sure) and elapsed_s <= VERY_LONG_S:
        return faults

    idle_s = crossing.sums.idle_s - last.sums.idle_s
    causes = (wh, (elapsed_s - idle_s) * HOURS_PER_S, idle_s * HOURS_PER_S)
    variance += crossing.variance + last.variance + (0.02 * step_wh) ** 2
    correction = faults.correction.learnt(
        causes, crossing.wh - last.wh - wh, variance, elapsed_s / 86400
    )
    return replace(faults, correction=correction, long=bare(crossing))


def stayed(faults: Faults, interval_s: float, step_wh: float) -> Faults:
    """After power stayed the same beyond the candidate: delay, and mean or not."""
    new, last = faults.candidate, faults.steady
    assert new is not None
    faults = replace(faults, steady=new, candidate=None)
    if last is None:
        return faults

    moved_wh = new.wh - last.wh
    noise = new.variance + last.variance
    corrected_wh = (new.sums.corrected_nwh - last.sums.corrected_nwh) / NWH_PER_WH
    off_wh = moved_wh - corrected_wh
    delay = faults.delay
    if not faults.mean.is_mean and interval_s > FINE_S:
        chance = noise + new.sums.variance - last.sums.variance
        change_w = new.power_w - last.power_w
        elapsed_s = new.at_s - last.at_s
        delay = _delayed(delay, change_w, off_wh, chance, elapsed_s, interval_s, step_wh)

    extra_wh = corrected_wh - (new.sums.nwh - last.sums.nwh) / NWH_PER_WH
    slope_wh = (new.sums.slope_nwh - last.sums.slope_nwh) / NWH_PER_WH + extra_wh
    stair_wh = (new.sums.stair_nwh - last.sums.stair_nwh) / NWH_PER_WH + extra_wh
    slope_off_wh = moved_wh - slope_wh if faults.mean.is_mean else off_wh
    most = (2 * step_wh + 0.1 * moved_wh) ** 2
    stair = min((moved_wh - stair_wh) ** 2, most) - noise
    slope = min(slope_off_wh**2, most) - noise
    mean = faults.mean
    if mean.is_mean or abs(delay.now_s - delay.aim_s) <= 0.5:
        begins = delay.aim_s != 0 and faults.delay.aim_s == 0
        mean, delay = _mean(Mean() if begins else mean, delay, stair, slope, interval_s, step_wh)
    elif delay.aim_s != 0 and faults.delay.aim_s == 0:
        mean = Mean()
    return replace(faults, delay=delay, mean=mean)


def _delayed(
    delay: Delay,
    change_w: float,
    off_wh: float,
    chance: float,
    elapsed_s: float,
    interval_s: float,
    step_wh: float,
) -> Delay:
    """After one more comparison of a change of power with what the register is ahead by. `chance`
    is the variance of that where nothing is wrong.
    """
    change_wh = change_w * HOURS_PER_S
    variance = chance + (0.02 * step_wh) ** 2 + (5 * HOURS_PER_S * elapsed_s) ** 2
    variance += (min(1.5, 0.3 * interval_s) * change_wh) ** 2
    most = 9 * variance * delay.scatter + (10 * change_wh) ** 2
    if abs(change_w) <= LEAST_CHANGE_W or off_wh * off_wh >= most:
        return delay

    along = delay.along * MEMORY + (off_wh + delay.now_s * change_wh) * change_wh / variance
    weight = delay.weight * MEMORY + change_wh * change_wh / variance
    found_s = (along + 0.3 * delay.told_s) / (weight + 0.3)
    left_wh = off_wh - (found_s - delay.now_s) * change_wh
    scatter = delay.scatter + 0.02 * (min(left_wh * left_wh / variance, 9.0) - delay.scatter)
    sd_s = sqrt(max(scatter, 1.0) / weight)
    pairs = delay.pairs + 1
    beside_wh = off_wh - (along / weight - delay.now_s) * change_wh
    of_chance = min(beside_wh * beside_wh / chance, 2.0)
    by_chance = delay.chance + max(1 / pairs, CHANCE_SHARE) * (of_chance - delay.chance)
    aim_s = delay.aim_s
    most_s = min(MOST_DELAY_S, MOST_INTERVALS * interval_s)
    bounded_s = min(max(found_s, -most_s), most_s)
    looks_mean = abs(found_s - interval_s / 2) < MEAN_LIKE * interval_s
    if delay.told_s:
        aim_s = bounded_s
    elif by_chance < TOO_GOOD[not delay.aim_s] and not looks_mean:
        aim_s = 0.0
    elif pairs >= PAIRS and abs(found_s) > SURE * sd_s + 0.3 * min(1.0, interval_s / 3):
        aim_s = bounded_s
    elif abs(found_s) < 2 * sd_s:
        aim_s = 0.0
    elif aim_s:
        aim_s = bounded_s
    return Delay(
        delay.now_s,
        rounded(aim_s, 1e3),
        rounded(along, 1e6),
        rounded(weight, 1e6),
        pairs,
        rounded(scatter, 1e6),
        rounded(by_chance, 1e6),
        delay.told_s,
    )


def _mean(
    mean: Mean, delay: Delay, stair: float, slope: float, interval_s: float, step_wh: float
) -> tuple[Mean, Delay]:
    """Whether power is a mean, after one more comparison of both."""
    pairs = mean.pairs + 1
    share = max(1 / pairs, 0.01)
    stair = rounded(mean.stair + share * (stair - mean.stair), 1e6)
    slope = rounded(mean.slope + share * (slope - mean.slope), 1e6)
    new = Mean(mean.is_mean, stair, slope, pairs, mean.before)
    if pairs <= MEAN_PAIRS:
        return new, delay

    looks_so = abs(delay.now_s - interval_s / 2) < MEAN_LIKE * interval_s
    if not mean.is_mean and looks_so and max(stair, (0.02 * step_wh) ** 2) < 0.5 * slope:
        return Mean(True, stair, slope, pairs, slope), Delay()
    if mean.is_mean and stair > 1.5 * mean.before:
        return Mean(), Delay()
    return new, delay
