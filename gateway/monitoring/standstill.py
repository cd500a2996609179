"""Whether a part of the daemon stands still. Pure."""

from collections.abc import Iterable

import msgspec

GRACE_S = 60.0


class Turns(msgspec.Struct, frozen=True):
    """How a part goes round: by the event loop's time, in seconds."""

    name: str
    turned_s: float | None
    """When it last ended a turn, whether that went well or not; None where it has not begun."""
    longest_turn_s: float
    """No turn takes longer, with the wait before it."""


def standstill(parts: Iterable[Turns], now_s: float) -> str | None:
    """Which part has made no progress for so long that a restart is the remedy. Trying in vain is
    progress.
    """
    for part in parts:
        longest_s = 2 * part.longest_turn_s + GRACE_S
        if part.turned_s is not None and now_s - part.turned_s > longest_s:
            return part.name
    return None
