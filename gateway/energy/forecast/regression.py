"""Weighted least squares that forget, with a ridge towards what is likely anyway. Pure.

Normal equations are kept, and solved now and then by Cholesky's way. (Recursive least squares,
which keep the inverse, explode when they forget: what is dark or absent for weeks is forgotten
until nothing is known of it.)
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence
from itertools import repeat
from math import sqrt
from operator import mul

from gateway.energy.forecast.learned import (
    FEATURES,
    MATRIX,
    OBSERVATION,
    QUARTERS,
    ROW,
    SHARED,
    TRIANGLE,
)

RIGHT = MATRIX
BETA = RIGHT + FEATURES
SIZE = BETA + FEATURES
SQUARE = SIZE + 1
"""Where the right side, the coefficients, and the error's mean size and square lie in a block."""

_NOTHING = (0.0,) * ROW


def says(numbers: array[float], at: int, x: Sequence[float], quarter: int) -> float:
    """What the regression that begins at `at` makes of features `x`."""
    beta = at + BETA
    shared: float = sum(map(mul, numbers[beta : beta + SHARED], x))
    return shared + numbers[beta + SHARED + quarter] * x[SHARED]


def fold(numbers: array[float], at: int, rows: array[float], which: int, keep: float) -> None:
    """Let all that is in the equations at `at` fade by `keep`, and add what waits in `rows` for
    that regression; it waits no more.
    """
    place = ROW + 2 + which
    waiting = rows.tolist()
    weights = waiting[place::OBSERVATION]
    end = at + BETA
    if not any(weights):
        numbers[at:end] = array("d", map(mul, numbers[at:end], repeat(keep)))
        return
    rows[place::OBSERVATION] = array("f", bytes(4 * len(weights)))
    shared = [waiting[each::OBSERVATION] for each in range(SHARED)]
    own = list(map(mul, weights, waiting[SHARED::OBSERVATION]))
    quarters, came = waiting[ROW::OBSERVATION], waiting[ROW + 1 :: OBSERVATION]
    new: list[float] = []
    right: list[float] = []
    for i, column in enumerate(shared, 1):
        weighted = list(map(mul, weights, column))
        new += [sum(map(mul, weighted, other)) for other in shared[:i]]
        right.append(sum(map(mul, weighted, came)))
    for quarter in range(QUARTERS):
        if quarter not in quarters:
            new += _NOTHING
            right.append(0.0)
            continue
        weighted = [each if q == quarter else 0.0 for each, q in zip(own, quarters, strict=True)]
        new += [sum(map(mul, weighted, other)) for other in shared]
        new.append(sum(map(mul, weighted, waiting[SHARED::OBSERVATION])))
        right.append(sum(map(mul, weighted, came)))
    new += right
    numbers[at:end] = array(
        "d", [keep * old + each for old, each in zip(numbers[at:end], new, strict=True)]
    )


def solve(numbers: array[float], at: int, ridge: float, prior: Sequence[float]) -> None:
    """Write the coefficients anew: (A + ridge·I)β = b + ridge·prior. A ridge of 0 leaves them."""
    if not ridge > 0.0:
        return
    # The quarters come first: no slot lies in two of them, so between them nothing is to be done.
    half = numbers[at : at + MATRIX].tolist()
    right = numbers[at + RIGHT : at + BETA].tolist()
    factors: list[list[float]] = [[0.0] * quarter for quarter in range(QUARTERS)]
    inverse = [
        1.0 / sqrt(max(half[end] + ridge, ridge * 1e-9))
        for end in range(TRIANGLE + SHARED, MATRIX, ROW)
    ]
    z = [(right[i] + ridge * prior[i]) * scale for i, scale in enumerate(inverse, SHARED)]
    begin = 0
    for i in range(SHARED):
        factor = [
            value * scale for value, scale in zip(half[TRIANGLE + i :: ROW], inverse, strict=False)
        ]
        for value, above, scale in zip(
            half[begin : begin + i], factors[QUARTERS:], inverse[QUARTERS:], strict=True
        ):
            factor.append((value - sum(map(mul, factor, above))) * scale)
        begin += i + 1
        pivot = half[begin - 1] + ridge - sum(map(mul, factor, factor))
        scale = 1.0 / sqrt(max(pivot, ridge * 1e-9))
        z.append((right[i] + ridge * prior[i] - sum(map(mul, factor, z))) * scale)
        factors.append(factor)
        inverse.append(scale)
    for i in reversed(range(FEATURES)):
        value = z[i] * inverse[i]
        z[i] = value
        z[:i] = [each - factor * value for each, factor in zip(z, factors[i], strict=False)]
    numbers[at + BETA : at + BETA + FEATURES] = array("d", z[QUARTERS:] + z[:QUARTERS])
