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
from operator import itemgetter, mul

from gateway.energy.forecast.learned import FEATURES, MATRIX, QUARTERS, ROW, SHARED, TRIANGLE

_ROWS = itemgetter(*(i for i in range(ROW) for _ in range(i + 1)))
_COLUMNS = itemgetter(*(j for i in range(ROW) for j in range(i + 1)))

RIGHT = MATRIX
BETA = RIGHT + FEATURES
SIZE = BETA + FEATURES
SQUARE = SIZE + 1
"""Where the right side, the coefficients, and the error's mean size and square lie in a block."""


def outer(x: Sequence[float]) -> list[float]:
    """The lower half of x·xᵀ, row by row. The feature of the quarter is the last one."""
    return list(map(mul, _ROWS(x), _COLUMNS(x)))


def dot(x: Sequence[float], y: Sequence[float]) -> float:
    """Σ x·y, always added up in the same order."""
    products: Iterator[float] = map(mul, x, y)
    return sum(products)


def says(numbers: array[float], at: int, x: Sequence[float], quarter: int) -> float:
    """What the regression that begins at `at` makes of features `x`."""
    beta = at + BETA
    return dot(numbers[beta : beta + SHARED], x) + numbers[beta + SHARED + quarter] * x[SHARED]


def learn(
    numbers: array[float],
    at: int,
    x: Sequence[float],
    products: Sequence[float],
    quarter: int,
    y: float,
    weight: float,
) -> None:
    """Add one observation, with its `outer` products, to the equations that begin at `at`."""
    end = at + TRIANGLE
    numbers[at:end] = array(
        "d", [a + weight * p for a, p in zip(numbers[at:end], products, strict=False)]
    )
    row = end + quarter * ROW
    numbers[row : row + ROW] = array(
        "d",
        [
            a + weight * p
            for a, p in zip(numbers[row : row + ROW], products[TRIANGLE:], strict=True)
        ],
    )
    right = at + RIGHT
    weighted = weight * y
    numbers[right : right + SHARED] = array(
        "d", [b + weighted * p for b, p in zip(numbers[right : right + SHARED], x, strict=False)]
    )
    numbers[right + SHARED + quarter] += weighted * x[SHARED]


def fade(numbers: array[float], at: int, keep: float) -> None:
    """Let all observations so far count less."""
    end = at + BETA
    numbers[at:end] = array("d", map(mul, numbers[at:end], repeat(keep)))


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
