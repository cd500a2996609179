"""A mixture of experts, weighted by what each would have saved: polynomially weighted averages with
a learning rate per expert (ML-Poly). Pure.
"""

from __future__ import annotations  # array[float] is no class before Python 3.12

from array import array
from collections.abc import Sequence

from gateway.energy.forecast.learned import EXPERTS, MIXTURE


def weights(numbers: array[float], blocks: Sequence[int], default: Sequence[float]) -> list[float]:
    """Each expert's weight: the mean of what the blocks that begin there say; they add up to 1."""
    total: list[float] = []
    share = 1.0 / len(blocks)
    for at in blocks:
        middle = at + EXPERTS
        found = [
            regret / squares if regret > 0.0 else 0.0
            for regret, squares in zip(
                numbers[at:middle], numbers[middle : at + MIXTURE], strict=True
            )
        ]
        whole = sum(found)
        part = share / whole if whole > 0.0 else share
        if whole <= 0.0:
            found = list(default)
        if total:
            total = [old + part * each for old, each in zip(total, found, strict=True)]
        else:
            total = [part * each for each in found]
    return total


def learn(
    numbers: array[float],
    blocks: Sequence[int],
    experts: Sequence[float],
    mixed: float,
    y: float,
    keep: float,
    weight: float,
) -> None:
    """Give each expert what following it would have saved, near enough: the loss's slope times by
    how much it differs.
    """
    slope = weight if mixed > y else -weight if mixed < y else 0.0
    regrets = [slope * (mixed - each) for each in experts]
    new = regrets + [each * each for each in regrets]
    for at in blocks:
        end = at + MIXTURE
        numbers[at:end] = array(
            "d", [keep * old + each for old, each in zip(numbers[at:end], new, strict=True)]
        )
