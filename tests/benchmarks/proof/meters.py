"""Meters: what of a home's truth a reading shows, and what it hides."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.proof.homes import TICKS_PER_S, Watts

Numbers = NDArray[np.float64]

LIFETIME_WH = 4_321_234.567
"""What a register shows before the first reading: where in a step it begins is nobody's choice."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One direction of one meter."""

    step_wh: float
    """What the register counts in."""
    nearest: bool = False
    """Whether the register is rounded to its nearest step, and not down."""
    float32: bool = False
    """Whether it travels as a 32-bit float in kWh."""
    refresh_s: float = 0
    """How often the register moves; 0: as energy passes."""
    tells_refresh: bool = True
    """Whether the profile knows that."""
    booked_singly: bool = False
    """Whether each phase has a register of its own, and theirs are added."""
    lifetime_wh: float = LIFETIME_WH

    shows_power: bool = True
    factor: float = 1.0
    """What power is multiplied with by a meter that is off."""
    offset_w: float = 0.0
    late_s: float = 0.0
    """How old the power is that is shown."""
    dead_band_w: float = 0.0
    """Power up to here is shown as 0."""
    mean_s: float = 0.0
    """Power is the mean of so many seconds; 0: of this moment."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read of one direction, and what truly passed."""

    at_s: Numbers
    register_wh: Numbers
    power_w: Numbers | None
    """Signed, import positive, as meters show it; None: not shown."""
    step_wh: float


class Truth:
    """The energy of one direction of a home, at any tick."""

    def __init__(self, watts: Watts, direction: Literal["import", "export"], *, singly: bool):
        booked = watts if singly else watts.sum(axis=0, keepdims=True)
        signed = booked if direction == "import" else -booked
        passed_wh = np.maximum(signed, 0).sum(axis=0) / TICKS_PER_S / 3600
        self._so_far_wh = np.concatenate([[0.0], np.cumsum(passed_wh)])

    def energy_wh(self, at_s: Numbers) -> Numbers:
        """What has passed up to then. Times are whole ticks, or are taken as the one before."""
        ticks = np.floor(at_s * TICKS_PER_S + 1e-6).astype(np.int64)
        return self._so_far_wh[np.maximum(ticks, 0)]


def look(meter: Meter, watts: Watts, truth: Truth, at_s: Numbers) -> Readings:
    """What the meter shows at these times, which begin late enough for its power."""
    refreshed_s = at_s
    if meter.refresh_s:
        # In a rhythm of the meter's own.
        own_s = meter.refresh_s * 0.3 + 0.25
        refreshed_s = np.floor((at_s - own_s) / meter.refresh_s) * meter.refresh_s + own_s
    register_wh = shown(meter, truth.energy_wh(refreshed_s))
    power_w = _power(meter, watts.sum(axis=0), at_s) if meter.shows_power else None
    return Readings(at_s, register_wh, power_w, meter.step_wh)


def shown(meter: Meter, energy_wh: Numbers) -> Numbers:
    """The register, when so much has passed."""
    steps = (meter.lifetime_wh + energy_wh) / meter.step_wh
    whole = np.floor(steps + 0.5) if meter.nearest else np.floor(steps)
    register_wh = whole * meter.step_wh
    if meter.float32:
        register_wh = (register_wh / 1000).astype(np.float32).astype(np.float64) * 1000
    return register_wh


def _power(meter: Meter, net_w: Numbers, at_s: Numbers) -> Numbers:
    """The net power of all phases, as it is shown."""
    ticks = np.floor((at_s - meter.late_s) * TICKS_PER_S + 1e-6).astype(np.int64)
    if meter.mean_s:
        sums = np.concatenate([[0.0], np.cumsum(net_w)])
        many = round(meter.mean_s * TICKS_PER_S)
        true_w = (sums[ticks] - sums[ticks - many]) / many
    else:
        # The tick that has just passed: the next one would be news from the future.
        true_w = net_w[ticks - 1]

    shown_w = true_w * meter.factor + meter.offset_w
    shown_w = np.where(np.abs(shown_w) <= meter.dead_band_w, 0.0, shown_w)
    return np.round(shown_w)
