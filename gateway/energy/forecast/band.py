"""How far a forecast may be off: quantiles of its error that adapt until as many slots lie beyond
them as should. Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from bisect import bisect_left

from gateway.energy.forecast.learned import BAND, HOURS, QUANTILES

_WIDEST = 30.0
_SIZE_SHARE = 0.08


def size(numbers: array[float], at: int, hour: int, otherwise: float) -> float:
    """How large the error usually is in that hour of the day, in √Wh."""
    found = numbers[at + hour]
    return found if found > 0.0 else otherwise


def quantiles(numbers: array[float], at: int) -> list[float]:
    """The error, in usual ones of its hour, below which each share of QUANTILES lies. Half of all
    lie below the forecast itself.
    """
    # Each adapts by itself, and for a while they may cross.
    values = sorted(numbers[at + HOURS : at + BAND])
    middle = len(values) // 2
    values[:middle] = [value if value < 0.0 else 0.0 for value in values[:middle]]
    values[middle] = 0.0
    values[middle + 1 :] = [value if value > 0.0 else 0.0 for value in values[middle + 1 :]]
    return values


def between(values: list[float], share: float) -> float:
    """Of `quantiles`, that of any share; beyond the outermost ones those count."""
    if share <= QUANTILES[0]:
        return values[0]
    place = bisect_left(QUANTILES, share)
    if place == len(QUANTILES):
        return values[-1]
    low, high = QUANTILES[place - 1], QUANTILES[place]
    part = (share - low) / (high - low)
    return values[place - 1] + part * (values[place] - values[place - 1])


def learn(
    numbers: array[float], at: int, hour: int, mixed: float, scale: float, y: float, step: float
) -> None:
    """Judge what was said of a slot that turned out to be `y`: its forecast was `mixed`, its usual
    error `scale` (√Wh, both).
    """
    error = abs(y - mixed)
    before = numbers[at + hour]
    numbers[at + hour] = error if before <= 0.0 else before + _SIZE_SHARE * (error - before)
    begin, end = at + HOURS, at + BAND
    # Holds where it is cut off at zero, too: nothing that comes is below that.
    beyond = (y - mixed) / scale if scale > 0.0 else _WIDEST
    numbers[begin:end] = array(
        "d",
        [
            value + step * (share - 1.0)
            if value > beyond
            else value + step * share
            if value < _WIDEST
            else value
            for value, share in zip(numbers[begin:end], QUANTILES, strict=True)
        ],
    )
