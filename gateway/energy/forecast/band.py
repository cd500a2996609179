"""How far a forecast may be off: quantiles of its error that adapt until as many slots lie beyond
them as should. Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from bisect import bisect_left

from gateway.energy.forecast.learned import HOURS, QUANTILES

_WIDEST = 30.0
_SIZE_SHARE = 0.08
_STEP = 0.12
_STEPS = tuple((_STEP * (share - 1.0), _STEP * share) for share in QUANTILES)
"""By how much each quantile sinks where a slot lies below it, and rises where one does not."""
_LOW, _HIGH = QUANTILES.index(0.1), QUANTILES.index(0.9)
_MIDDLE = len(QUANTILES) // 2
_MIDDLES = HOURS + len(QUANTILES)
_MIDDLE_STEP = 0.015
_STEEP = 10.0
"""What is off by more than a tenth of the usual error counts by its sign alone."""


def size(numbers: array[float], at: int, hour: int, otherwise: float) -> float:
    """How large the error usually is in that hour of the day, in √Wh."""
    found = numbers[at + hour]
    return found if found > 0.0 else otherwise


def middle(numbers: array[float], at: int, hour: int) -> float:
    """What is to be added in that hour of the day to what the experts say, in √Wh, for half of all
    slots to be above the forecast. (Experts know means, and all hours alike.)
    """
    return numbers[at + _MIDDLES + hour]


def quantiles(numbers: array[float], at: int) -> list[float]:
    """The error, in usual ones of its hour, below which each share of QUANTILES lies. Half of all
    lie below the forecast itself (`between` sees to that).
    """
    # Each adapts by itself, and for a while they may cross.
    return sorted(numbers[at + HOURS : at + _MIDDLES])


def edges(values: list[float]) -> tuple[float, float]:
    """Of `quantiles`, those between which eight slots of ten lie."""
    low, high = values[_LOW], values[_HIGH]
    return low if low < 0.0 else 0.0, high if high > 0.0 else 0.0


def between(values: list[float], share: float) -> float:
    """Of `quantiles`, that of any share; beyond the outermost ones those count."""
    place = bisect_left(QUANTILES, share)
    if place == 0:
        return _own(values, 0)
    if place == len(QUANTILES):
        return _own(values, place - 1)
    high = QUANTILES[place]
    if share == high:
        return _own(values, place)
    low = QUANTILES[place - 1]
    part = (share - low) / (high - low)
    return (1.0 - part) * _own(values, place - 1) + part * _own(values, place)


def _own(values: list[float], place: int) -> float:
    value = values[place]
    if place < _MIDDLE:
        return value if value < 0.0 else 0.0
    if place > _MIDDLE:
        return value if value > 0.0 else 0.0
    return 0.0


def learn(numbers: array[float], at: int, hour: int, root: float, scale: float, y: float) -> None:
    """Judge what was said of a slot that turned out to be `y`: its forecast was `root`, its usual
    error `scale` (√Wh, both).
    """
    error = abs(y - root)
    off = _STEEP * (y - root)
    step = scale if off > scale else off if off > -scale else -scale
    numbers[at + _MIDDLES + hour] += _MIDDLE_STEP * step
    before = numbers[at + hour]
    numbers[at + hour] = error if before <= 0.0 else before + _SIZE_SHARE * (error - before)
    # Holds where it is cut off at zero, too: nothing that comes is below that.
    beyond = (y - root) / scale if scale > 0.0 else _WIDEST
    for place, (down, up) in enumerate(_STEPS, at + HOURS):
        value = numbers[place]
        if value > beyond:
            numbers[place] = value + down
        elif value < _WIDEST:
            numbers[place] = value + up
