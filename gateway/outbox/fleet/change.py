"""What a gateway keeps of what it owes to a fleet. Pure."""

from typing import Literal, NamedTuple

Deliver = Literal["direct", "fleet"]
"""Who delivers a slot to the exchange: the gateway, or the fleet's aggregator."""

Span = tuple[int, int]
"""From, to: both belong to it."""


class Change(NamedTuple):
    """A slot that closed, or was written anew. `seq` is its number."""

    seq: int
    slot_s: int
    deliver: Deliver = "direct"
