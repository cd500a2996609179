"""A mixture of experts, weighted by what each would have saved: polynomially weighted averages with
a learning rate per expert (ML-Poly). Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence
from math import sqrt
from operator import mul

from gateway.energy.forecast.learned import EXPERTS

_ROUNDING = 1e-6
"""What is off by no larger a part than this, or no more √Wh, is right: which sign it has is by
chance.
"""
_TRUST = 2.0
"""The weights of the beginning count as much as an expert whose regret is so many times the root
of the sum of its squares.
"""


def mixed(
    numbers: array[float],
    blocks: Sequence[int],
    default: Sequence[float],
    experts: Sequence[float],
) -> float:
    """What comes of the experts: the mean of what the blocks that begin there make of them. In each
    of those an expert's weight is its regret over the sum of its squares, where that is positive.
    What `default`, the weights of the beginning, make of them counts as one more: the less, the
    more has come.
    """
    first: float = sum(map(mul, default, experts))
    at = blocks[0]
    squares = sum(numbers[at + EXPERTS : at + 2 * EXPERTS])
    if not squares > 0.0:
        return first
    trust = _TRUST / sqrt(squares / EXPERTS)
    total = 0.0
    for at in blocks:
        whole, part = trust, trust * first
        for place, expert in enumerate(experts, at):
            regret = numbers[place]
            if regret > 0.0:
                weight = regret / numbers[place + EXPERTS]
                whole += weight
                part += weight * expert
        total += part / whole
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
    how much it differs. Where nothing was wrong, as in years without any energy, nothing fades.
    """
    off, rounding = mixed - y, _ROUNDING * (1.0 + y)
    slope = weight if off > rounding else -weight if off < -rounding else 0.0
    if not slope:
        return
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
