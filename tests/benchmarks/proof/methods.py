"""Four simpler ways to the energy of a slot. None sees a later reading than ours does: the first
one at or after a boundary, or at or after its look-back.

Each gives the energy so far, in Wh, at the boundaries; a slot is the difference of two.
"""

from collections.abc import Callable, Mapping

import numpy as np

from tests.benchmarks.proof.meters import Numbers, Readings

LOOK_BACK_S = 300.0
"""How long after a boundary our slots are open for what later readings say of it."""


def last_reading(readings: Readings, ends_s: Numbers) -> Numbers:
    """The register as it was last seen."""
    return readings.register_wh[np.searchsorted(readings.at_s, ends_s, side="right") - 1]


def linear(readings: Readings, ends_s: Numbers) -> Numbers:
    """A straight line between the readings beside the boundary."""
    return np.interp(ends_s, readings.at_s, readings.register_wh)


def between_steps(readings: Readings, ends_s: Numbers, look_back_s: float = LOOK_BACK_S) -> Numbers:
    """Straight lines between the readings at which the register was seen to step.

    Where the next step is not seen yet, the line before goes on, as far as a step.
    """
    at_s, register_wh = readings.at_s, readings.register_wh
    moved = np.concatenate([[0], np.flatnonzero(np.diff(register_wh) > 0) + 1])
    step_s, step_wh = at_s[moved], register_wh[moved]
    found: list[float] = []
    for end_s in ends_s:
        seen_s = at_s[min(np.searchsorted(at_s, end_s + look_back_s), len(at_s) - 1)]
        n = int(np.searchsorted(step_s, end_s, side="right")) - 1
        is_next_seen = n + 1 < len(moved) and step_s[n + 1] <= seen_s
        if is_next_seen:
            pace = (step_wh[n + 1] - step_wh[n]) / (step_s[n + 1] - step_s[n])
        elif n > 0:
            pace = (step_wh[n] - step_wh[n - 1]) / (step_s[n] - step_s[n - 1])
        else:
            pace = 0.0
        gone_wh = pace * (end_s - step_s[n])
        found.append(step_wh[n] + (gone_wh if is_next_seen else min(gone_wh, readings.step_wh)))
    return np.array(found)


def power_alone(readings: Readings, ends_s: Numbers, *, is_export: bool) -> Numbers | None:
    """The integral of power in this direction (trapezoidal rule); None where it is not shown."""
    if readings.power_w is None:
        return None
    power_w = np.maximum(-readings.power_w if is_export else readings.power_w, 0)
    between_wh = (power_w[1:] + power_w[:-1]) / 2 * np.diff(readings.at_s) / 3600
    return np.interp(ends_s, readings.at_s, np.concatenate([[0.0], np.cumsum(between_wh)]))


REGISTER_METHODS: Mapping[str, Callable[[Readings, Numbers], Numbers]] = {
    "last": last_reading,
    "linear": linear,
    "steps": between_steps,
}
"""Those that need the register alone, by the names that the table shows."""


def simpler(readings: Readings, ends_s: Numbers, *, is_export: bool) -> dict[str, Numbers | None]:
    """What each method takes the energy of every slot to be, in Wh."""
    ends: dict[str, Numbers | None] = {
        name: method(readings, ends_s) for name, method in REGISTER_METHODS.items()
    }
    ends["power"] = power_alone(readings, ends_s, is_export=is_export)
    return {name: None if at is None else np.diff(at) for name, at in ends.items()}
