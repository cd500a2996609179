"""The energy at a boundary from the register's steps alone. Pure.

A step is dated in the middle of the two readings between which it was seen. Where several steps in
a row can lie on one straight line, the boundary lies on it: what flows is constant, and all of them
together know better when each one was than two readings do.

Else nobody knows what happened between the step before the boundary and the one after it. Three
courses are weighed by how likely each one makes the time between the two:

- the pace was even,
- the pace of the step before gave way to that of the step after, once,
- the pace of the step before came to an end, that of the step after began later, and less flowed in
  between: when, nobody knows.

Where the step after the boundary is not seen yet, the pace of the step before came to an end at
some time, early enough for no further step to have come since. So it is with a load that is
switched off: the straight line to the step that comes an hour later would be wrong all along.

Energies are in Wh, times in s, paces in Wh/s. What was chosen was tried with six seeds of six
homes, read every 10 and every 60 s.
"""

from collections.abc import Iterator
from math import exp, log, pi
from typing import NamedTuple

import msgspec

KEPT = 6
"""Steps that are kept before a boundary, and the first one after it."""

WANTED = 3
"""Steps after a boundary that tell of it."""

ENOUGH = 2
"""Without power nobody waits for more: the third one says next to nothing (tried on the grid)."""

LINE = 4
"""So many steps on a straight line are no chance."""

LINE_INTERVALS = 6.1
LINE_S = 300.0
"""A line is looked for where a step is no longer than so many intervals, and no farther than that:
longer ones are dated well enough, and nothing is constant for long.
"""

LINE_SLACK = 0.84
"""How far from the line a step may be, as a part of the time that it may have been off by."""

CHANGES_PER_S = 1 / 800
"""How often what flows changes for good, as far as steps can tell."""

EVEN_SD = 0.5
"""By how much the paces of steps differ while nothing changes, as a logarithm."""

LEAST_CHANGE = 0.75
"""A pace that changes by less than this part is taken to change by as much."""

LOWER = ((0.87, 0.3), (0.15, 0.09))
"""What flows meanwhile, as parts of the lowest pace, and how likely that is."""

STOPPED = 0.25
"""While no step comes, nothing flows any more so often; else what mostly does."""

UNCHANGED_S = 300.0
"""The longer a step is waited for, the less likely did nothing change: 37 % after so long."""

SLOWER = 0.75
"""The next step has not come yet: what flows is at most this part of what would have brought it."""

PARTS = 4
"""So many moments stand for all at which less began to flow."""

STRAY_EVEN = 0.12
STRAY_CHANGED = 0.08
STRAY_UNSEEN = 0.2
STRAY_MANY = 0.25
"""What passed inside of a step is off by so much of it, as a standard deviation: as if its pace was
even; as if it changed; where the step after it is not seen yet; and of several steps at once, as
nobody saw the pace in between.
"""

MANY = 1.5
"""More steps than this are several."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One step of the register."""

    at_s: float
    wh: float
    half_s: float = 0.0
    """It was so much earlier or later, at most; 0: it is no step, but the first reading."""


class AtPace(msgspec.Struct, frozen=True, array_like=True):
    """What the steps say of a boundary."""

    wh: float
    variance: float


class Paced(msgspec.Struct, frozen=True, array_like=True):
    """The steps around a boundary, in order, until enough of them have come."""

    end_s: float
    steps: tuple[Step, ...] = ()
    """Empty: none has come since; or enough have."""
    found: AtPace | None = None
    """What they said, once enough had come."""

    def and_then(
        self, step: Step, steps: tuple[Step, ...], register: tuple[float, float], *, pulses: bool
    ) -> "Paced":
        """One more step; `steps` are the last ones, that one included. The others are as for
        `at_pace`.
        """
        if self.found is not None:
            return self
        if self.steps:
            steps = (*self.steps, step)
        elif step.at_s <= self.end_s:
            return self
        new = Paced(self.end_s, steps)
        if not new.has(WANTED):
            return new
        return Paced(self.end_s, (), at_pace(new, steps, register, step.at_s, pulses=pulses))

    def has(self, many: int) -> bool:
        """Whether so many steps after the boundary have been seen: `WANTED` or fewer."""
        if self.found is not None:
            return True
        return len(self.steps) >= many and self.steps[-many].at_s > self.end_s


class _Course(NamedTuple):
    """One way in which the energy may have come to what it was, since the step before."""

    likelihood: float
    wh: float
    stray: float
    """As a part of the step: a standard deviation."""
    variance: float = 0.0
    """Because nobody knows when the pace changed."""


def at_pace(
    paced: Paced,
    steps: tuple[Step, ...],
    register: tuple[float, float],
    seen_s: float,
    *,
    pulses: bool,
) -> AtPace:
    """The energy at the boundary. `steps` are the last ones; `register` is where the energy is now,
    and `seen_s` is when that was seen. `pulses` says that power is known to go on and off within
    less than a sample: then several steps at once lie on no line, though they look so.
    """
    if paced.found is not None:
        return paced.found
    known = paced.steps or steps
    n = len(known) - 1
    while n > 0 and known[n].at_s > paced.end_s:
        n -= 1
    if n + 1 == len(known):
        return _after_last(known, paced.end_s, register[1], seen_s)

    begin, end = known[n], known[n + 1]
    lasted_s, between_wh = end.at_s - begin.at_s, end.wh - begin.wh
    if lasted_s <= 0 or between_wh <= 0:
        return AtPace(begin.wh, (between_wh / 4) ** 2)
    are_many = between_wh > MANY * (register[1] - register[0])
    line = None if pulses and are_many else _on_line(known, n, paced.end_s)
    if line is not None:
        return line

    pace = between_wh / lasted_s
    before = _pace(known[n - 1], begin) if n and known[n - 1].half_s else pace
    if n + 2 < len(known):
        after = _pace(end, known[n + 2])
    else:
        most = (register[1] - end.wh) / max(seen_s - end.at_s, 1e-9)
        after = max(min((before * pace) ** 0.5, SLOWER * most), 1e-9)
    into_s = max(paced.end_s - begin.at_s, 0.0)
    into = min(into_s / lasted_s, 1.0)
    inside = 4 * into * (1 - into)
    courses = _courses(before, pace, after, lasted_s, into_s)
    least = STRAY_MANY if are_many else 0.0
    found = _weighed(courses, begin.wh, between_wh * inside, least)
    # Nobody knows exactly when the two steps were.
    dated_wh = pace * (begin.half_s + end.half_s) / 2
    dated = min(dated_wh * dated_wh / 3, between_wh * between_wh / 9) * (1 - inside / 2)
    return AtPace(found.wh, found.variance + dated)


def _after_last(known: tuple[Step, ...], end_s: float, high_wh: float, seen_s: float) -> AtPace:
    """The energy at a boundary, after which no step has been seen yet."""
    last = known[-1]
    whole_wh = max(high_wh - last.wh, 0.0)
    waited_s = seen_s - last.at_s
    if len(known) == 1 or not known[-2].half_s or waited_s <= 0:
        return AtPace(last.wh, whole_wh * whole_wh / 12)
    first = next(each for each in known if each.half_s)
    into_s = max(end_s - last.at_s, 0.0)
    courses = _unseen(_pace(known[-2], last), _pace(first, last), whole_wh, waited_s, into_s)
    return _weighed(courses, last.wh, whole_wh * min(2 * into_s / waited_s, 1.0))


def _pace(begin: Step, end: Step) -> float:
    lasted_s = max(end.at_s - begin.at_s, end.half_s, 1e-3)
    return max(end.wh - begin.wh, 1e-9) / lasted_s


def _weighed(
    courses: Iterator[_Course], begin_wh: float, within_wh: float, least_stray: float = 0.0
) -> AtPace:
    """The mean of all, and how far apart they are. Each strays by its part of `within_wh`."""
    weight = wh = square = 0.0
    for each in courses:
        stray_wh = max(each.stray, least_stray) * within_wh
        weight += each.likelihood
        wh += each.likelihood * each.wh
        square += each.likelihood * (each.wh * each.wh + stray_wh * stray_wh + each.variance)
    mean_wh = wh / weight
    return AtPace(begin_wh + mean_wh, max(square / weight - mean_wh * mean_wh, 0.0))


def _courses(
    before: float, pace: float, after: float, lasted_s: float, into_s: float
) -> Iterator[_Course]:
    """What may have passed of a step that lasted so long, with paces before, in and after it."""
    # The likelihood of each is the density of the time that the step lasts.
    apart = log(pace / before) ** 2 + log(pace / after) ** 2
    variance = EVEN_SD * EVEN_SD
    even = exp(-apart / (2 * variance)) / (2 * pi * variance * lasted_s)
    # Never none at all: where no course fits, it was even.
    yield _Course(even + 1e-12, pace * into_s, STRAY_EVEN)

    whole_wh = pace * lasted_s
    change = before - after
    if change:
        until_s = (whole_wh - after * lasted_s) / change
        if 0 < until_s < lasted_s:
            likelihood = CHANGES_PER_S * after / max(abs(change), LEAST_CHANGE * after)
            wh = before * min(into_s, until_s) + after * max(into_s - until_s, 0.0)
            yield _Course(likelihood, wh, STRAY_CHANGED)

    low = min(before, pace, after)
    for part, chance in LOWER:
        meanwhile = part * low
        rest_wh = whole_wh - meanwhile * lasted_s
        most_s = min(rest_wh / (before - meanwhile), lasted_s)
        likelihood = CHANGES_PER_S**2 * chance * most_s / PARTS * after / (after - meanwhile)
        for n in range(PARTS):
            until_s = (n + 0.5) / PARTS * most_s
            again_s = lasted_s - (rest_wh - (before - meanwhile) * until_s) / (after - meanwhile)
            if until_s > again_s:
                continue
            wh = before * min(into_s, until_s) + after * max(into_s - again_s, 0.0)
            wh += meanwhile * min(max(into_s - until_s, 0.0), again_s - until_s)
            yield _Course(likelihood, wh, STRAY_CHANGED)


def _unseen(
    before: float, mean: float, whole_wh: float, waited_s: float, into_s: float
) -> Iterator[_Course]:
    """What may have passed of a step that has not come to its end for so long."""
    if before * waited_s < whole_wh:
        yield _Course(exp(-waited_s / UNCHANGED_S), before * into_s, STRAY_UNSEEN)
    for flow, chance in ((0.0, STOPPED), (mean, 1 - STOPPED)):
        then = min(flow, SLOWER * whole_wh / waited_s)
        most_s = waited_s
        if before > then:
            most_s = min((whole_wh - then * waited_s) / (before - then), waited_s)
        # It changed at any time up to that: the mean time before it, and the mean of its square.
        lasted_s, lasted_s2 = most_s / 2, most_s * most_s / 3
        if into_s < most_s:
            lasted_s = into_s - into_s * into_s / (2 * most_s)
            lasted_s2 = into_s * into_s * (1 - 2 * into_s / (3 * most_s))
        wh = before * lasted_s + then * (into_s - lasted_s)
        variance = (before - then) ** 2 * (lasted_s2 - lasted_s * lasted_s)
        yield _Course(chance, wh, STRAY_UNSEEN, variance)


class _Line(NamedTuple):
    """A straight line: a moment on it, the energy then, and how long a Wh takes."""

    at_s: float
    wh: float
    s_per_wh: float


def _on_line(known: tuple[Step, ...], n: int, end_s: float) -> AtPace | None:
    """The energy at the boundary, which lies after the step `n`, where the steps around it lie on a
    straight line; None: they do not.
    """
    begin, end = known[n], known[n + 1]
    interval_s = 2 * max(begin.half_s, end.half_s)
    if not begin.half_s or end.at_s - begin.at_s > LINE_INTERVALS * interval_s:
        return None
    line = None
    first, last = n, n + 2
    grows = True
    while grows:
        grows = False
        for sooner, later in ((1, 0), (0, 1)):
            if first < sooner or last + later > len(known):
                continue
            longer = _fitted(known[first - sooner : last + later])
            if longer is not None:
                line, grows = longer, True
                first, last = first - sooner, last + later
    if line is None or last - first < LINE:
        return None
    dated_wh = (begin.half_s + end.half_s) / 2 / line.s_per_wh
    return AtPace(line.wh + (end_s - line.at_s) / line.s_per_wh, dated_wh * dated_wh / 3)


def _fitted(steps: tuple[Step, ...]) -> _Line | None:
    """The straight line through steps, by least squares; None: they do not lie on one."""
    from_s, from_wh = steps[0].at_s, steps[0].wh
    if steps[-1].at_s - from_s > LINE_S:
        return None
    weight = s = wh = squares = products = 0.0
    for each in steps:
        if not each.half_s:
            return None
        w = 1 / (each.half_s * each.half_s)
        x, y = each.wh - from_wh, each.at_s - from_s
        weight += w
        wh += w * x
        s += w * y
        squares += w * x * x
        products += w * x * y
    mean_wh, mean_s = wh / weight, s / weight
    along, across = squares - wh * mean_wh, products - s * mean_wh
    if along <= 0 or across <= 0:
        return None
    s_per_wh = across / along
    line = _Line(from_s + mean_s, from_wh + mean_wh, s_per_wh)
    for each in steps:
        if abs(each.at_s - line.at_s - s_per_wh * (each.wh - line.wh)) > LINE_SLACK * each.half_s:
            return None
    return line
