"""What a protocol says of how its meters are found: `drivers/<protocol>/search.py` may have

- `HEARD`: how meters that push, or that are read out as text, are listened to;
- `BUS`: how the addresses of a bus are asked, in the protocol that the bus is named after;
- `find(profiles, line, address, url) -> list[Found]`: in another protocol of that bus, what is at
  an address.

`drivers.scan` does the rest, for all protocols alike.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from drivers.found import Found
from drivers.line import Line, LineUrl, SerialSettings
from drivers.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """By which profile, with which setting, a meter is listened to that has the line for itself."""

    profile: str
    serial: SerialSettings
    order: int
    """Of all protocols' the lowest is tried first: what is most common, and what tells itself from
    others for certain.
    """
    asked: bool = False
    """It speaks only when asked: tried where nobody speaks. To other meters the question is noise.
    """


Find = Callable[[Line, int, LineUrl], Awaitable[list[Found]]]
"""What is at an address of a line: the parts of one device. Raises LineError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """How a bus is searched."""

    protocol: str
    """Of that name, as the bus itself."""
    common_addresses: tuple[int, ...]
    """Where meters are found most: as they leave the factory, and as installers count on."""
    all_addresses: tuple[int, ...]
    """The common ones first."""
    fast_addresses: tuple[int, ...]
    """On a serial line, where time is short."""
    itself: tuple[int, ...]
    """By which a device on a network is asked itself, not a meter behind it: where nobody was found
    at the common addresses.
    """
    questions: int
    """Asked of each address, until one is answered."""
    settings: Callable[[Sequence[Profile], bool], list[SerialSettings]]
    """The serial settings to try, most likely first: for these profiles, and whether in haste."""
    answers: Callable[[Line, int, float], Awaitable[bool]]
    """Whether anybody answers at that address within so many seconds. Raises LineError."""
    identify: Callable[
        [Line, int, Sequence[Profile], LineUrl, Sequence[Find]], Awaitable[list[Found]]
    ]
    """What is at an address that answers, by these profiles of the bus's own protocol, or by what
    the others find. Raises LineError.
    """
