"""What is owed to the exchange. Plain data; it lives in the buffer."""

from dataclasses import dataclass
from typing import Literal

from gateway.exchange.dialect import Item

State = Literal["pending", "accepted", "rejected", "missed"]


@dataclass(frozen=True, slots=True)
class Owed:
    """One item and what became of it.

    pending: to be sent between `opens_s` and `closes_s` (Unix time; None: at any time). accepted / rejected: the exchange said so.
    missed: our word, with the reason: its window passed, or the slot was not wholly metered.
    """

    item: Item
    length_s: int
    quality: Literal["measured", "estimated", "partial", "missing"]
    opens_s: float
    closes_s: float | None
    state: State = "pending"
    reason: str = ""
    raw_uwh: int | None = None
    """The formula's result where it was negative and 0 is delivered instead."""
    attempts: int = 0
    decided_s: float | None = None
    """When the state became what it is, Unix time."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is still owed."""

    count: int
    oldest_slot_s: int | None
    """Start of the oldest slot, Unix time."""
    next_closes_s: float | None
    """When the next of the items can no longer be delivered, Unix time."""
