"""What is expected of an asset's slot that has not begun, as destinations are told it. Pure."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from gateway.energy.forecast import Method
from gateway.energy.slot import ForecastBy
from gateway.outbox.quantiles import MEDIAN, Share


class Said(msgspec.Struct, frozen=True):
    """One forecast. Energies in µWh, never negative."""

    energy_uwh: int
    low_uwh: int | None
    """In 10 % of slots it is less; this and the next: None where nobody knows."""
    high_uwh: int | None
    """In 10 % of slots it is more."""
    by: ForecastBy

    @property
    def half_width_uwh(self) -> int:
        """By how much it may well be off."""
        if self.low_uwh is None or self.high_uwh is None:
            return 0
        return (self.high_uwh - self.low_uwh) // 2


class Wish(msgspec.Struct, frozen=True):
    """How somebody wants to have an asset forecast."""

    method: Method
    share: Share = MEDIAN
    """Of what is learned: a naive forecast has no quantiles."""


class Foreseen(msgspec.Struct, frozen=True):
    """What is expected of an asset's slot."""

    asset: UUID
    slot_s: int
    """Its start, Unix time."""
    said: Callable[[Wish], Said | None]
    """None: there is no such forecast. May raise StoreError."""
    is_better: bool = False
    """Most of the slot before it is known by now: it replaces what was forecast before where it
    says something else.
    """
