"""A mixture of experts, weighted by what each would have saved: polynomially weighted averages with
a learning rate per expert (ML-Poly). Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence
from operator import mul

from gateway.energy.forecast.learned import EXPERTS

_ROUNDING = 1e-6
"""What is off by no larger a part than this is right: which sign it has is by chance."""


def mixed(
    numbers: array[float],
    blocks: Sequence[int],
    default: Sequence[float],
    experts: Sequence[float],
) -> float:
    """What comes of the experts: the mean of what the blocks that begin there make of them. In each
    of those an expert's weight is its regret over the sum of its squares, where that is positive.
    """
    total = 0.0
    for at in blocks:
        whole = part = 0.0
        for place, expert in enumerate(experts, at):
            regret = numbers[place]
            if regret > 0.0:
                weight = regret / numbers[place + EXPERTS]
                whole += weight
                part += weight * expert
        total += part / whole if whole > 0.0 else sum(map(mul, default, experts))
    return total / len(blocks)


def learn(
    numbers: array[float],
    blocks: tuple[int, int],
    experts: Sequence[float],
    mixed: float,
    y: float,
    keep: float,
    weight: float,
) -> None:
    """Give each expert what following it would have saved, near enough: the loss's slope times by
    how much it differs.
    """
    off, rounding = mixed - y, _ROUNDING * y
    slope = weight if off > rounding else -weight if off < -rounding else 0.0
    first, second = blocks
    apart = second - first
    for place, expert in enumerate(experts, first):
        regret = slope * (mixed - expert)
        square = regret * regret
        squares = place + EXPERTS
        numbers[place] = keep * numbers[place] + regret
        numbers[squares] = keep * numbers[squares] + square
        other = place + apart
        squares += apart
        numbers[other] = keep * numbers[other] + regret
        numbers[squares] = keep * numbers[squares] + square
