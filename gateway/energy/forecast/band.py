"""How far a forecast may be off: quantiles of its error that adapt until as many slots lie beyond
them as should. Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from itertools import pairwise

from gateway.energy.forecast.learned import HOURS, QUANTILES

_WIDEST = 30.0
_SIZE_SHARE = 0.08


def size(numbers: array[float], at: int, hour: int, otherwise: float) -> float:
    """How large the error usually is in that hour of the day, in √Wh."""
    found = numbers[at + hour]
    return found if found > 0.0 else otherwise


def quantile(numbers: array[float], at: int, share: float) -> float:
    """The error, in usual ones of its hour, below which `share` of all lie; between the quantiles
    that are kept it is interpolated, and beyond them the outermost one counts.
    """
    values = numbers[at + HOURS : at + HOURS + len(QUANTILES)]
    if share <= QUANTILES[0]:
        return values[0]
    for (low, high), (below, above) in zip(pairwise(QUANTILES), pairwise(values), strict=True):
        if share <= high:
            # Each adapts by itself, and for a while they may cross.
            return below + (max(above, below) - below) * (share - low) / (high - low)
    return values[-1]


def learn(
    numbers: array[float], at: int, hour: int, mixed: float, scale: float, y: float, step: float
) -> None:
    """Judge what was said of a slot that turned out to be `y`: its forecast was `mixed`, its usual
    error `scale` (√Wh, both).
    """
    error = abs(y - mixed)
    before = numbers[at + hour]
    numbers[at + hour] = error if before <= 0.0 else before + _SIZE_SHARE * (error - before)
    begin = at + HOURS
    for index, share in enumerate(QUANTILES, begin):
        value = numbers[index]
        # What lies below zero is sent as zero, and judged so.
        below = y < max(mixed + value * scale, 0.0)
        moved = value + step * (share - 1.0 if below else share)
        numbers[index] = max(min(moved, _WIDEST), -_WIDEST)
