"""What was refused waits for its next try, and holds up nothing else meanwhile. Pure.

A stream, or one item, waits for 1, 2, 4 … 60 s, and not beyond the end of the running slot: with
the next slot it gets its turn. Times are Unix seconds.
"""

from gateway.outbox.item import Item
from gateway.outbox.silence import Silence, Stream

MAX_WAIT_S = 60.0
_FORGOTTEN_AFTER_S = 3600.0
"""A wait that ended so long ago is of an item that is not pending any more."""


class HeldBack:
    """The waits of one destination."""

    def __init__(self, slot_s: int) -> None:
        self._slot_s = slot_s
        self.silence = Silence(slot_s)
        """What no word comes on."""
        self._until_s: dict[Stream | Item, float] = {}
        self._times: dict[Stream | Item, int] = {}
        """How often each was held back in a row."""

    def hold(self, what: Stream | Item, now_s: float) -> None:
        """It was refused once more."""
        times = self._times.get(what, 0)
        boundary_s = (now_s // self._slot_s + 1) * self._slot_s
        wait_s = min(MAX_WAIT_S, float(1 << min(times, 10)))

        self._forget_before(now_s - _FORGOTTEN_AFTER_S)
        self._times[what] = times + 1
        self._until_s[what] = min(now_s + wait_s, boundary_s)

    def release(self, what: Stream | Item) -> None:
        """It was taken, or refused for good."""
        self._until_s.pop(what, None)
        self._times.pop(what, None)

    def release_all(self) -> None:
        """What was refused is tried again at once."""
        self._until_s.clear()
        self._times.clear()

    def holds(self, item: Item, now_s: float) -> bool:
        """Whether its time has not come yet."""
        if self.silence.holds(item, now_s):
            return True
        if not self._until_s:
            return False
        return self._waits(item, now_s) or self._waits((item.subject, item.kind), now_s)

    def times(self, item: Item) -> int:
        """How often it was held back by itself, in a row."""
        return self._times.get(item, 0)

    def next_s(self, now_s: float) -> float | None:
        """When the next wait ends."""
        return min((at_s for at_s in self._until_s.values() if at_s > now_s), default=None)

    def _waits(self, what: Stream | Item, now_s: float) -> bool:
        # A wait beyond the longest is of a clock that was set back meanwhile.
        return 0.0 < self._until_s.get(what, now_s) - now_s <= MAX_WAIT_S

    def _forget_before(self, at_s: float) -> None:
        for what in [what for what, until_s in self._until_s.items() if until_s < at_s]:
            self.release(what)
