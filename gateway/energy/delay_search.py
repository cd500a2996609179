"""The delay of power where samples are so close together that power is seen to change: the shift at
which it fits the register best. Pure.

Each step of the register is compared with the one before it. In between the register must have
moved by the integral of power, shifted by the delay. That is tried with several delays at once
(least squares). Samples further apart do not show when power changed, and a step is likelier to be
seen after a larger part of a change than of chance: there only steps at steady power are compared
(`power_faults`).

Energies are in Wh, times in s. A delay is positive where power is shown late, and negative where
the register is.
"""

from itertools import pairwise

import msgspec
from msgspec.structs import replace

from gateway.energy.power_line import HOURS_PER_S

FINE_S = 2.5
"""Samples further apart than this are not fine."""

REACH = 6
"""How many samples late or early power may be."""

MEMORY = 0.998
"""What is left of earlier comparisons with each new one."""

LEAST = 12.0
"""So many comparisons are needed."""

SURE = 25.0
"""By so much the squares must be smaller than without a delay, in variances of one comparison."""

STEADY_W = 5.0
"""So much power may be wrong by all the time, which says nothing of a delay."""


class DelaySearch(msgspec.Struct, frozen=True, array_like=True):
    """What has been compared so far."""

    apart_s: float = 0.0
    """Between two samples, and two of the delays that are tried."""
    line: tuple[tuple[float, float], ...] = ()
    """The integral of power at the last samples: when, and how much."""
    step: tuple[float, float] | None = None
    """The step of the register that waits for power to reach it: when, and where to."""
    last_s: float = 0.0
    """When the one before was."""
    lasts_wh: tuple[float, ...] = ()
    """Where the register was beyond power there, at each delay."""
    squares: tuple[float, ...] = ()
    """The squares of what did not fit, at each delay, in variances."""
    count: float = 0.0

    @property
    def found_s(self) -> float | None:
        """The delay; 0: no other one is surely better than none; None: too little was compared."""
        if self.count < LEAST:
            return None
        best = min(range(len(self.squares)), key=lambda n: self.squares[n])
        least = self.squares[best]
        scale = max(least / self.count, 0.1)
        if self.squares[REACH] - least < SURE * scale:
            return 0.0
        at = float(best)
        if 0 < best < len(self.squares) - 1:
            # The lowest point of the parabola through the best one and its neighbours.
            before, after = self.squares[best - 1] - least, self.squares[best + 1] - least
            if before + after > 0:
                at += (before - after) / (2 * (before + after))
        return (at - REACH) * self.apart_s


def searched(search: DelaySearch, at_s: float, wh: float, step_wh: float | None) -> DelaySearch:
    """One sample further. `wh` is the integral of power, and `step_wh` is where the register has
    stepped to, if it has.
    """
    if not search.line:
        return DelaySearch(line=((at_s, wh),))
    apart_s = round(at_s - search.line[-1][0], 1)
    if not 0 < apart_s <= FINE_S:
        return DelaySearch()
    if search.apart_s and not 0.8 < apart_s / search.apart_s < 1.25:
        return DelaySearch(line=((at_s, wh),))

    apart_s = search.apart_s or apart_s
    reach_s = REACH * apart_s
    step = search.step
    if step is None and step_wh is not None:
        step = (at_s, step_wh)
    kept_s = (step[0] if step else at_s) - reach_s - 2 * apart_s
    line = tuple(each for each in search.line if each[0] >= kept_s)
    search = replace(search, apart_s=apart_s, line=(*line, (at_s, wh)), step=step)
    if step is None or at_s < step[0] + reach_s:
        return search
    return _compared(search, step)


def _compared(search: DelaySearch, step: tuple[float, float]) -> DelaySearch:
    """After the step, with power known as far as any delay reaches."""
    apart_s = search.apart_s
    first_s = step[0] - (REACH + 1) * apart_s
    if search.line[0][0] > first_s:
        return replace(search, step=None)

    shifted = _along(search.line, first_s, apart_s, 2 * REACH + 2)
    # The step came at any time since the reading before.
    lasts_wh = tuple(round(step[1] - (a + b) / 2, 6) for a, b in pairwise(shifted))
    after = replace(search, step=None, last_s=step[0], lasts_wh=lasts_wh)
    elapsed_s = step[0] - search.last_s
    if not search.lasts_wh:
        return after

    passed_wh = max(b - a for a, b in pairwise(shifted))
    noise = passed_wh * passed_wh / 6 + (STEADY_W * elapsed_s * HOURS_PER_S) ** 2 + 1e-6
    both = zip(lasts_wh, search.lasts_wh, strict=True)
    off = [(now - before) ** 2 / noise for now, before in both]
    most = 9.0 + min(off)
    old = search.squares or (0.0,) * len(off)
    squares = tuple(
        round(MEMORY * each + min(new, most), 4) for each, new in zip(old, off, strict=True)
    )
    return replace(after, squares=squares, count=round(MEMORY * search.count + 1, 3))


def _along(
    line: tuple[tuple[float, float], ...], first_s: float, apart_s: float, count: int
) -> list[float]:
    """The integral at so many moments, that far apart."""
    found = []
    n = 0
    for index in range(count):
        at_s = first_s + index * apart_s
        while n < len(line) - 2 and line[n + 1][0] < at_s:
            n += 1
        (begin_s, begin_wh), (end_s, end_wh) = line[n], line[n + 1]
        found.append(begin_wh + (end_wh - begin_wh) * (at_s - begin_s) / (end_s - begin_s))
    return found
