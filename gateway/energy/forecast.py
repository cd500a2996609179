"""What the next slot of an asset is expected to be. Pure."""

from collections.abc import Callable
from typing import Literal

Forecast = Literal["last_slot", "yesterday", "last_week", "none"]

Method = Literal["auto", "last_slot", "yesterday", "last_week", "none"]
"""How the next slots are forecast. auto: learned from the asset itself. none: not at all."""

_BACK_S = {"yesterday": 86_400, "last_week": 7 * 86_400}


def forecast_uwh(
    method: Forecast, target_s: int, last_uwh: int, known: Callable[[int], int | None]
) -> int | None:
    """Energy (µWh) expected of the slot starting at `target_s`; None for no forecast.

    `last_uwh` is the newest closed slot's energy, `known(start_s)` that of an earlier slot. A day
    or week without one falls back to the last slot.
    """
    if method == "none":
        return None
    earlier = known(target_s - _BACK_S[method]) if method in _BACK_S else None
    return max(last_uwh if earlier is None else earlier, 0)
