"""Weighted least squares that forget, with a ridge towards what is likely anyway. Pure.

Normal equations are kept, and solved now and then by Cholesky's way. (Recursive least squares,
which keep the inverse, explode when they forget: what is dark or absent for weeks is forgotten
until nothing is known of it.)
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from math import sqrt
from operator import mul

from gateway.energy.forecast.learned import FEATURES, MATRIX, OBSERVATION, QUARTERS, ROW, SHARED

RIGHT = MATRIX
BETA = RIGHT + FEATURES
SIZE = BETA + FEATURES
SQUARE = SIZE + 1
"""Where the right side, the coefficients, and the error's mean size and square lie in a block."""


def dot(x: Sequence[float], y: Sequence[float]) -> float:
    """Σ x·y, always added up in the same order."""
    products: Iterator[float] = map(mul, x, y)
    return sum(products)


def says(numbers: array[float], at: int, x: Sequence[float], quarter: int) -> float:
    """What the regression that begins at `at` makes of features `x`."""
    beta = at + BETA
    return dot(numbers[beta : beta + SHARED], x) + numbers[beta + SHARED + quarter] * x[SHARED]


def fold(numbers: array[float], at: int, rows: array[float], which: int, keep: float) -> None:
    """Let all that is in the equations at `at` fade by `keep`, and add what waits in `rows` for
    that regression; it waits no more.
    """
    place = ROW + 2 + which
    waiting = [
        rows[begin : begin + OBSERVATION]
        for begin in range(0, len(rows), OBSERVATION)
        if rows[begin + place]
    ]
    for begin in range(0, len(rows), OBSERVATION):
        rows[begin + place] = 0.0
    end = at + BETA
    if not waiting:
        numbers[at:end] = array("d", map(mul, numbers[at:end], repeat(keep)))
        return
    columns = list(zip(*waiting, strict=True))
    shared, last, quarters, came = columns[:SHARED], columns[SHARED], columns[ROW], columns[ROW + 1]
    weights = columns[place]
    new: list[float] = []
    right: list[float] = []
    for i, column in enumerate(shared, 1):
        weighted = list(map(mul, weights, column))
        new += [sum(map(mul, weighted, other)) for other in shared[:i]]
        right.append(sum(map(mul, weighted, came)))
    for quarter in range(QUARTERS):
        if quarter not in quarters:
            new += [0.0] * ROW
            right.append(0.0)
            continue
        own = [each if q == quarter else 0.0 for each, q in zip(last, quarters, strict=True)]
        weighted = list(map(mul, weights, own))
        new += [sum(map(mul, weighted, other)) for other in shared]
        new.append(sum(map(mul, weighted, own)))
        right.append(sum(map(mul, weighted, came)))
    numbers[at:end] = array(
        "d", [keep * old + each for old, each in zip(numbers[at:end], new + right, strict=True)]
    )


def solve(numbers: array[float], at: int, ridge: float, prior: Sequence[float]) -> None:
    """Write the coefficients anew: (A + ridge·I)β = b + ridge·prior. A ridge of 0 leaves them."""
    if not ridge > 0.0:
        return
    right = numbers[at + RIGHT : at + RIGHT + FEATURES]
    rows: list[list[float]] = []
    inverse: list[float] = []
    z: list[float] = []
    for i, given in enumerate(_matrix(numbers[at : at + MATRIX])):
        row: list[float] = []
        for value, above, scale in zip(given, rows, inverse, strict=False):
            row.append((value - sum(map(mul, row, above))) * scale)
        pivot = given[i] + ridge - sum(map(mul, row, row))
        scale = 1.0 / sqrt(max(pivot, ridge * 1e-9))
        z.append((right[i] + ridge * prior[i] - sum(map(mul, row, z))) * scale)
        rows.append(row)
        inverse.append(scale)
    for i in reversed(range(FEATURES)):
        value = z[i] * inverse[i]
        z[i] = value
        row = rows[i]
        z[:i] = [each - factor * value for each, factor in zip(z, row, strict=False)]
    numbers[at + BETA : at + BETA + FEATURES] = array("d", z)


def _matrix(half: array[float]) -> Iterator[Sequence[float]]:
    """Its rows up to the diagonal."""
    begin = 0
    for i in range(SHARED):
        yield half[begin : begin + i + 1]
        begin += i + 1
    for quarter in range(QUARTERS):
        row = half[begin : begin + ROW]
        yield [*row[:SHARED], *(0.0,) * quarter, row[SHARED]]
        begin += ROW
