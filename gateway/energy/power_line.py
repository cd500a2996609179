"""Power between samples: what passed, and by how much that may be off. Pure.

Power may be late: then the line is read so much later. It may be the mean since the last sample,
and not of the moment: then it is a stair, and not a slope.

Powers are in W, energies in Wh, times in s.
"""

from math import copysign

import msgspec

HOURS_PER_S = 1 / 3600

CHANGES = 7
"""Changes of power that are remembered. Their median is near 0 for loads that are switched now and
then, and large for pulses that are faster than the samples.
"""

PULSES = 12.0
"""How many times the median change's square the variance of pulses is: samples of pulses are as
good as drawn, and the median is about half of the mean.
"""

NOISE_W2 = 15.0
"""The variance of what a load flickers by between two samples, times 12 s² (tried on the grid with
6 to 30).
"""

IDLE_NOISE_W2 = 1.0
"""The same where no power is shown, neither before nor now: what flows below a dead band flows all
the time, and is an offset (chosen, not measured).
"""

MEAN_CHANGES = 0.02
MEAN_NOISE_W2 = 10.0
"""The same where power is a mean: nothing is missed but what lies inside of a sample."""


def rounded(value: float, parts: float) -> float:
    """To so many parts of one, a power of ten: a state takes little room where it is stored then.
    A fourth of the time that `round` takes for it.
    """
    return round(value * parts) / parts


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """From one sample to the next."""

    begin_s: float
    end_s: float
    begin_w: float
    end_w: float
    variance: float
    """Of the energy, where power is of the moment: what changes all the time."""
    change_variance: float
    """Because nobody knows when power changed from one sample to the next."""
    mean_variance: float
    """The same where it is a mean."""


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """What passed over a while."""

    wh: float = 0.0
    variance: float = 0.0
    idle_s: float = 0.0
    """The part of the time at which power was 0."""


def segment(
    begin_s: float,
    end_s: float,
    begin_w: float,
    end_w: float,
    changes: tuple[float, ...],
    samples: int = 1,
) -> Segment:
    """The time between two samples, or up to the last one of so many. `changes` are the squares of
    the last changes of power, this one included.
    """
    hours = (end_s - begin_s) * HOURS_PER_S
    twelfth = hours * hours / 12 / samples
    median = sorted(changes)[len(changes) // 2] if len(changes) == CHANGES else 0.0
    last = changes[-1]
    noise_w2, mean_noise_w2 = NOISE_W2, MEAN_NOISE_W2
    if begin_w == 0 and end_w == 0:
        noise_w2 = mean_noise_w2 = IDLE_NOISE_W2
    return Segment(
        begin_s,
        end_s,
        begin_w,
        end_w,
        twelfth * (PULSES * median + noise_w2),
        twelfth * last,
        twelfth * (MEAN_CHANGES * last + mean_noise_w2),
    )


def whole(one: Segment, *, is_mean: bool) -> Passed:
    """What passed over all of a segment: as `passed`, and a third of the time."""
    lasted_s = one.end_s - one.begin_s
    if is_mean:
        idle_s = lasted_s if one.end_w == 0 else 0.0
        return Passed(one.end_w * lasted_s * HOURS_PER_S, one.mean_variance, idle_s)
    mean_w = one.begin_w + (one.end_w - one.begin_w) / 2
    idle_s = lasted_s if one.begin_w == 0 and one.end_w == 0 else 0.0
    variance = one.variance + one.change_variance
    return Passed(mean_w * lasted_s * HOURS_PER_S, variance, idle_s)


def passed(segments: tuple[Segment, ...], from_s: float, to_s: float, *, is_mean: bool) -> Passed:
    """What passed between two moments that the segments cover."""
    wh = variance = idle_s = 0.0
    for each in segments:
        begin_s = max(each.begin_s, from_s)
        end_s = min(each.end_s, to_s)
        if end_s <= begin_s:
            continue
        length_s = each.end_s - each.begin_s
        begin = (begin_s - each.begin_s) / length_s
        end = (end_s - each.begin_s) / length_s
        if is_mean:
            wh += each.end_w * (end_s - begin_s) * HOURS_PER_S
            variance += each.mean_variance * (end - begin)
            is_idle = each.end_w == 0
        else:
            rise_w = (each.end_w - each.begin_w) / 2
            mean_w = each.begin_w * (end - begin) + rise_w * (end * end - begin * begin)
            wh += mean_w * length_s * HOURS_PER_S
            variance += each.variance * (end - begin)
            is_whole = begin == 0 and end == 1
            changed = 1.0 if is_whole else _changed(end) - _changed(begin)
            variance += each.change_variance * changed
            is_idle = each.begin_w == 0 and each.end_w == 0
        if is_idle:
            idle_s += end_s - begin_s
    return Passed(wh, variance, idle_s)


def _changed(part: float) -> float:
    """How much of a change's variance comes in this part of the time between two samples. Near to a
    sample hardly anything is uncertain: power is known there.

    Where power changes once, at any time, what has passed after a small part x is uncertain by x³/3
    of the change's square, and what is yet to pass before the end likewise. This is the smoothest
    polynomial that goes with x³ at both ends.
    """
    return part**3 * (10 - 15 * part + 6 * part * part)


def known_later(segments: tuple[Segment, ...], at_s: float) -> tuple[float, float]:
    """By how much less the energy at a moment is uncertain than what has passed up to there
    (`passed`), and varies less with what will have passed at the next sample.

    What passed piece by piece is added up as if each piece was uncertain by itself. But where power
    changed once, when it did tells both. What has passed after a part x of the time is uncertain by
    x³/3 − x⁴/4 of the change's square, and varies with what passes in all by x²/4 − x³/6 of it,
    which itself is uncertain by a twelfth.
    """
    for each in segments:
        if each.begin_s < at_s < each.end_s:
            x = (at_s - each.begin_s) / (each.end_s - each.begin_s)
            passed_part = _changed(x)
            less = passed_part - x * x * x * (4 - 3 * x)
            apart = passed_part - x * x * (3 - 2 * x)
            return each.change_variance * less, each.change_variance * apart
    return 0.0, 0.0


def power_at(segments: tuple[Segment, ...], at_s: float, else_w: float) -> float:
    """Power at a moment; `else_w` where no segment covers it."""
    for each in segments:
        if each.begin_s <= at_s <= each.end_s:
            part = (at_s - each.begin_s) / (each.end_s - each.begin_s)
            return each.begin_w + (each.end_w - each.begin_w) * part
    return else_w


def towards(value: float, aim: float, most: float) -> float:
    """A value that comes nearer to its aim, by so much at most."""
    away = aim - value
    return aim if abs(away) <= most else value + copysign(most, away)
