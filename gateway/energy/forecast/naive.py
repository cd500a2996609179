"""Forecasts that take an earlier slot as it was. Pure."""

from collections.abc import Callable
from typing import Literal

Naive = Literal["last_slot", "yesterday", "last_week", "none"]
Method = Literal["auto", "last_slot", "yesterday", "last_week", "none"]
"""How the next slots are forecast. auto: learned from the asset itself. none: not at all."""

NAIVE: tuple[Naive, ...] = ("last_slot", "yesterday", "last_week")
"""Those that forecast something, in the order of the scores."""

DAYS_BACK = {"yesterday": 1, "last_week": 7}
_DAY_S = 86_400


def naive_uwh(
    method: Naive, target_s: int, last_uwh: int, known: Callable[[int], int | None]
) -> int | None:
    """Energy (µWh) expected of the slot starting at `target_s`; None for no forecast.

    `last_uwh` is the newest closed slot's energy, `known(start_s)` that of an earlier slot. A day
    or week without one falls back to the last slot.
    """
    if method == "none":
        return None
    back = DAYS_BACK.get(method)
    earlier = known(target_s - back * _DAY_S) if back else None
    return max(last_uwh if earlier is None else earlier, 0)
