"""One number that is owed to a destination: of what, for which slot, of which kind. Pure."""

from functools import lru_cache
from typing import Literal, get_args
from uuid import UUID

import msgspec

from gateway.energy.assets import Direction
from gateway.energy.slot import DIRECTIONS

Kind = Literal["measurement", "forecast"]
KINDS: tuple[Kind, ...] = get_args(Kind)

EXCHANGE = "exchange"
"""The destination that `exchange:` in gateway.yaml stands for; what was owed before there were
others belongs to it.
"""


class SeriesKey(msgspec.Struct, frozen=True, order=True):
    """One direction of one meter."""

    device: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.device}.{self.direction}"


Subject = UUID | SeriesKey
"""What a number is about: an asset, or one direction of a meter. Within one destination it is
always the one or always the other.
"""


@lru_cache(maxsize=256)
def subject_of(text: str) -> Subject:
    """Of its text, which is a UUID or `<device>.<direction>`. Few subjects are in very many rows.

    Raises ValueError where it is neither.
    """
    device, dot, direction = text.partition(".")
    if not dot:
        return UUID(text)
    if direction in DIRECTIONS:
        return SeriesKey(device, direction)
    raise ValueError(f"{text!r} is neither an asset's UUID nor <device>.import or .export")


class Item(msgspec.Struct, frozen=True, order=True):
    """One number owed to a destination: energy in one slot, never negative. Unique by all fields
    but the energy.
    """

    destination: str
    """Its name in the configuration."""
    subject: Subject
    slot_s: int
    """Start of the slot, Unix time in seconds."""
    kind: Kind
    revision: int
    energy_uwh: int
    """Energy in µWh (10⁻⁶ Wh)."""
