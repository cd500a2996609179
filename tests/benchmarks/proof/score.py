"""What an estimate of slots is worth, beside the truth."""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.proof.meters import Numbers


@dataclass(frozen=True, slots=True)
class Score:
    """Of the errors of many slots, in Wh."""

    slots: int
    rms: float
    p99: float
    """The error that one slot in a hundred exceeds, whichever its sign."""
    worst: float
    bias: float
    """The mean error: what a month would be off by, per slot."""


def score(found_wh: Numbers, true_wh: Numbers) -> Score:
    """The estimates of slots beside their truth."""
    errors = found_wh - true_wh
    sizes = np.abs(errors)
    return Score(
        slots=len(errors),
        rms=float(np.sqrt(np.mean(errors**2))),
        p99=float(np.quantile(sizes, 0.99)),
        worst=float(sizes.max()),
        bias=float(errors.mean()),
    )


def held(found_wh: Numbers, true_wh: Numbers, uncertainty_wh: Numbers) -> float:
    """The part of the slots whose truth lies within what they say they are uncertain by."""
    return float(np.mean(np.abs(found_wh - true_wh) <= uncertainty_wh))
