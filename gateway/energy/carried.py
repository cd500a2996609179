"""Where a slot is booked to end, once its beginning is known better than it was booked. Pure.

A slot begins where the one before it was booked to end, for good. Later readings say better where
the truth was then: by so much is the counter off, as is known now. Were the end booked where the
truth is taken to be, all of that would land in the one slot between. So the end is booked off by
nearly as much, and the slot gets what passed in it. A part of what is off is made good in each
slot, and the register's step is never left.

Energies are in Wh.
"""

from typing import NamedTuple

REPAID = 0.2
"""So much of what is off is made good in one slot. With less of it a slot is nearer to what passed
in it, until the counter comes to the edge of the register's step, and all of it is made good at
once (tried on the grid, three seeds of each home, with 0 to 0.3).
"""

MOST_OF_ENERGY = 0.1
"""No more than this part of what passed in it: a slot in which nothing flowed makes nothing good.
"""


class End(NamedTuple):
    """Where a slot is booked to end."""

    wh: float
    off_wh: float
    """By how much that lies above where the truth is taken to be."""
    repaid_wh: float
    """By how much the slot's energy is less than what is taken to have passed in it."""


def end_of(begin_wh: float, began_wh: float, end_wh: float, within_wh: tuple[float, float]) -> End:
    """The end of a slot that begins at `begin_wh`, as was booked. The truth is taken now to have
    been at `began_wh` then, and at `end_wh` at its end. `within_wh` is what the register leaves
    open there.
    """
    off_wh = begin_wh - began_wh
    most_wh = MOST_OF_ENERGY * max(end_wh - began_wh, 0.0)
    repaid_wh = min(max(REPAID * off_wh, -most_wh), most_wh)
    low_wh, high_wh = within_wh
    wh = min(max(end_wh + off_wh - repaid_wh, low_wh, begin_wh), high_wh)
    return End(wh, wh - end_wh, end_wh + off_wh - wh)
