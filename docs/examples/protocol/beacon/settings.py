"""The `beacon:` section of a profile, and the datagram it is about. Pure.

"BCN1"   serial number (4 bytes)   import, export (8 each, Wh)   power (4, W, signed)
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

_DATAGRAM = struct.Struct(">4sIQQi")
_NAMES = ("energy_import_wh", "energy_export_wh", "power_w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `beacon:` section."""

    period_s: Annotated[
        float, Meta(gt=0, le=60, description="how often the meter sends, in seconds")
    ] = 1.0

    def quantities(self) -> frozenset[str]:
        """The quantities a reading may hold."""
        return frozenset(_NAMES)

    @property
    def takes_number(self) -> bool:
        """Several meters may send to one group: the device file says which one is meant."""
        return True

    def check(self) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
        """There is nothing that would not fit together."""
        return ()


def read_datagram(data: bytes) -> tuple[dict[str, float], str] | None:
    """The quantities, and the serial number; None where this is another one's datagram."""
    if len(data) != _DATAGRAM.size or not data.startswith(b"BCN1"):
        return None
    _, serial, *numbers = _DATAGRAM.unpack(data)
    return dict(zip(_NAMES, map(float, numbers), strict=True)), str(serial)
