"""When each meter of a line is read, and when with everything. Pure.

Due times are Unix times, because slots are: one read falls on every slot boundary. Where the clock
is set, they move with it, and reads go on at their pace.
"""

import math
from collections.abc import Sequence

import msgspec

from gateway.collect.line_load import EVERYTHING_S

STEP_S = 0.5
"""The clock has been set where it moved by this much between two looks: due times are aligned anew.
"""


def next_due_s(after_s: float, interval_s: float, slot_s: int) -> float:
    """The first instant later than `after_s` (Unix time) at which a meter is read: every interval,
    and on every slot boundary.
    """
    # A product can come out as the time it was made from, where an interval such as 0.1 s is not
    # exact in binary: so two steps are tried.
    turns = (
        (math.floor(after_s / step) + n) * step for step in (interval_s, slot_s) for n in (1, 2)
    )
    return min(due_s for due_s in turns if due_s > after_s)


class Due(msgspec.Struct):
    """When one meter is read next. Unix times, in seconds."""

    interval_s: float
    slot_s: int
    next_s: float = 0.0
    everything_s: float = 0.0
    """From when on all of its quantities are read again."""

    def begin(self, now_s: float) -> None:
        """Read it at once, with everything; from then on at the aligned instants."""
        self.next_s = self.everything_s = now_s

    def answered(self, planned_s: float, now_s: float, *, everything: bool) -> None:
        """It was read as planned."""
        if everything:
            self.everything_s = self.next_s + EVERYTHING_S
        # Else the clock was set meanwhile, and it is the next one already.
        if self.next_s == planned_s:
            self.next_s = self._after(max(planned_s, now_s))

    def put_off_everything(self) -> None:
        """It was not read. Should it be one of the other quantities that fails, energy and power
        are read all the same.
        """
        self.everything_s = max(self.everything_s, self.next_s + EVERYTHING_S)

    def failed(self, now_s: float, wait_s: float) -> None:
        """Ask again at an aligned instant: the first retry at the next one, then after growing
        waits.
        """
        self.next_s = max(self._after(now_s + wait_s - self.interval_s), self._after(now_s))

    def clock_set(self, by_s: float, now_s: float) -> None:
        """It is due when it was, at the next aligned instant."""
        self.next_s = self._after(max(self.next_s + by_s - self.interval_s, now_s))
        self.everything_s += by_s

    def _after(self, at_s: float) -> float:
        return next_due_s(at_s, self.interval_s, self.slot_s)


class Turns:
    """The due times of all meters of one line."""

    def __init__(self, dues: Sequence[Due], moved_s: float) -> None:
        """`moved_s`: the sum of the steps that the clock has made so far."""
        self._dues = dues
        self._moved_s = moved_s
        self._everything_s = 0.0
        self._everything_read = 0
        """How many meters were read with everything at that instant."""

    @property
    def next_s(self) -> float:
        """When the first meter is due."""
        return min(due.next_s for due in self._dues)

    def begin(self, now_s: float) -> None:
        """Read all meters at once."""
        for due in self._dues:
            due.begin(now_s)
        self._everything_s = now_s

    def follow(self, now_s: float, moved_s: float) -> None:
        """Move with the clock, which has made steps of `moved_s` in all."""
        by_s = moved_s - self._moved_s
        self._moved_s = moved_s
        if abs(by_s) < STEP_S:
            return

        self._everything_s = 0.0
        for due in self._dues:
            due.clock_set(by_s, now_s)

    def with_everything(self, due: Due, *, known: bool) -> bool:
        """Whether a meter's turn is for all of its quantities. What a shared line has to carry for
        that is spread over the minute, and not done on a slot's boundary. `known`: whether the
        meter has been read before.
        """
        if due.next_s < due.everything_s:
            return False

        if due.next_s != self._everything_s:
            self._everything_s, self._everything_read = due.next_s, 0

        if len(self._dues) > 1 and known:
            at_once = math.ceil(len(self._dues) * due.interval_s / EVERYTHING_S)
            if due.next_s % due.slot_s == 0 or self._everything_read >= at_once:
                return False

        self._everything_read += 1
        return True
