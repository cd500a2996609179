"""Weighted least squares that forget, with a ridge towards what is likely anyway. Pure.

Normal equations are kept and solved now and then by Cholesky's way. (Recursive least squares, which
keep the inverse, explode when they forget: what is dark or absent for weeks is forgotten until
nothing is known of it.)
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Iterator, Sequence
from itertools import repeat
from math import sqrt
from operator import add, itemgetter, mul

from gateway.energy.forecast.learned import FEATURES, TRIANGLE

_ROWS = itemgetter(*(i for i in range(FEATURES) for _ in range(i + 1)))
_COLUMNS = itemgetter(*(j for i in range(FEATURES) for j in range(i + 1)))

RIGHT = TRIANGLE
BETA = RIGHT + FEATURES
SIZE = BETA + FEATURES
SQUARE = SIZE + 1
"""Where the right side, the coefficients, and the error's mean size and square lie in a block."""


def outer(x: Sequence[float]) -> list[float]:
    """The lower half of x·xᵀ, row by row."""
    return list(map(mul, _ROWS(x), _COLUMNS(x)))


def dot(x: Sequence[float], y: Sequence[float]) -> float:
    """Σ x·y, always added up in the same order."""
    products: Iterator[float] = map(mul, x, y)
    return sum(products)


def learn(
    numbers: array[float],
    at: int,
    x: Sequence[float],
    products: Sequence[float],
    y: float,
    weight: float,
    keep: float,
) -> None:
    """Add one observation to the equations that begin at `at`, and let all earlier ones fade by
    `keep`.
    """
    end = at + TRIANGLE
    numbers[at:end] = array(
        "d",
        map(add, map(mul, numbers[at:end], repeat(keep)), map(mul, products, repeat(weight))),
    )
    weighted = weight * y
    numbers[end : end + FEATURES] = array(
        "d",
        [
            keep * b + weighted * each
            for b, each in zip(numbers[end : end + FEATURES], x, strict=True)
        ],
    )


def solve(numbers: array[float], at: int, ridge: float, prior: Sequence[float]) -> None:
    """Write the coefficients anew: (A + ridge·I)β = b + ridge·prior. A ridge of 0 leaves them."""
    if not ridge > 0.0:
        return
    triangle = numbers[at : at + TRIANGLE]
    right = numbers[at + RIGHT : at + RIGHT + FEATURES]
    rows: list[list[float]] = []
    inverse: list[float] = []
    z: list[float] = []
    begin = 0
    for i in range(FEATURES):
        given = triangle[begin : begin + i + 1]
        begin += i + 1
        row: list[float] = []
        for value, above, scale in zip(given, rows, inverse, strict=False):
            row.append((value - sum(map(mul, row, above))) * scale)
        pivot = given[i] + ridge - sum(map(mul, row, row))
        scale = 1.0 / sqrt(max(pivot, ridge * 1e-9))
        z.append((right[i] + ridge * prior[i] - sum(map(mul, row, z))) * scale)
        rows.append(row)
        inverse.append(scale)
    beta = z
    for i in reversed(range(FEATURES)):
        value = beta[i] * inverse[i]
        beta[i] = value
        for j, factor in enumerate(rows[i]):
            beta[j] -= factor * value
    numbers[at + BETA : at + BETA + FEATURES] = array("d", beta)
