"""The estimator alone, without a fold around it: what boundaries are, looked back at.

It sees what the fold sees, and settles a slot when its look-back has passed.
"""

import numpy as np

from gateway.energy.estimate import Refined, Seen, advanced, at_boundary, begun, without
from tests.benchmarks.proof.meters import Meter, Numbers, Readings

UNSEEN_S = 15.0
"""So much longer than the look-back a boundary may wait for the line of power to come up to it."""


def estimated(
    readings: Readings, meter: Meter, ends_s: Numbers, look_back_s: float, *, is_export: bool
) -> list[Refined]:
    """The energy at each boundary, and what it is uncertain by."""
    below_wh, above_wh = bounds(readings, meter)
    register_wh = readings.register_wh
    if meter.float32 and below_wh == 0:
        register_wh = np.round(register_wh)
    powers_w: list[float | None] = [None] * len(readings.at_s)
    if readings.power_w is not None:
        signed_w = -readings.power_w if is_export else readings.power_w
        powers_w = list(np.maximum(signed_w, 0).tolist())
    refreshed_s = meter.refresh_s if meter.tells_refresh else 0.0

    waiting = ends_s.tolist()
    found: dict[float, Refined] = {}
    estimate = None
    kept: list[float] = []
    for at_s, wh, power_w in zip(
        readings.at_s.tolist(), register_wh.tolist(), powers_w, strict=True
    ):
        seen = Seen(wh - below_wh, wh + above_wh)
        if estimate is None:
            estimate = begun(at_s, seen, power_w)
            continue
        new = tuple(end_s for end_s in waiting if estimate.at_s < end_s <= at_s)
        waiting = waiting[len(new) :]
        kept += new
        estimate = advanced(estimate, at_s, power_w, seen, new, refreshed_s=refreshed_s)
        while kept and at_s >= kept[0] + look_back_s:
            refined = at_boundary(estimate, kept[0])
            if refined is None:
                break
            found[kept[0]] = refined
            estimate = without(estimate, kept.pop(0))
    assert estimate is not None
    for end_s in kept:
        refined = at_boundary(estimate, end_s)
        assert refined is not None
        found[end_s] = refined
    return [found[end_s] for end_s in ends_s.tolist()]


def bounds(readings: Readings, meter: Meter) -> tuple[float, float]:
    """How far below and above of what the register shows the energy can be."""
    if meter.float32:
        spacing_wh = float(np.min(np.diff(np.unique(readings.register_wh))))
        if spacing_wh > 1.2 * meter.step_wh:
            return spacing_wh / 2, spacing_wh / 2 + meter.step_wh
    half_wh = meter.step_wh / 2
    return (half_wh, half_wh) if meter.nearest else (0.0, meter.step_wh)
