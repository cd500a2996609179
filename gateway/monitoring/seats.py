"""Who has a connection to the status page, and who makes room for whom when all are taken. Pure.

Whoever opens connections and says nothing keeps nobody else out:

- One place, which is a machine or a network, has no more than its share. Who comes from a place
  that has fewer connections takes one of the place that has most. This machine is a place of its
  own, so monitoring on it gets in whatever the network does.
- Within a place, one that has not asked yet makes room before one that has, and of those the one
  that is there longest. That happens ten times a second at most: who asks at once has the time to
  be answered, also amid a flood from the same place.
"""

from collections import Counter
from collections.abc import Callable
from math import inf

import msgspec

from drivers.net.addresses import THIS_MACHINE

CHANGE_S = 0.1
"""A connection makes room for another one of its own place no sooner after the last that did."""


class Seat(msgspec.Struct, eq=False):
    """One connection."""

    place: str
    cut_off: Callable[[], None]
    has_asked: bool = False
    """Whether its whole request has come."""


class Seats:
    """So many connections at most. `now` is a clock that never goes back, in seconds."""

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._taken: list[Seat] = []
        """Those there longest come first."""
        self._changed_s = -inf

    def take(self, place: str, cut_off: Callable[[], None]) -> Seat | None:
        """A seat for one more connection, which `cut_off` ends; None where nobody makes room."""
        if len(self._taken) >= self._most:
            leaver = self._leaver(place)
            if leaver is None:
                return None
            self.leave(leaver)
            leaver.cut_off()

        seat = Seat(place, cut_off)
        self._taken.append(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """That connection is over; it may have had to make room before."""
        if seat in self._taken:
            self._taken.remove(seat)

    def _leaver(self, place: str) -> Seat | None:
        counts = Counter(seat.place for seat in self._taken)
        fullest = max(counts, key=lambda each: (counts[each], each != THIS_MACHINE))
        if counts[fullest] > counts[place]:
            return self._first_of(fullest)
        if self._now() - self._changed_s < CHANGE_S:
            return None
        self._changed_s = self._now()
        return self._first_of(place)

    def _first_of(self, place: str) -> Seat:
        seats = [seat for seat in self._taken if seat.place == place]
        return min(seats, key=lambda seat: seat.has_asked)
