"""Streams that a receiver takes, and never says a word about. Pure.

An exchange answers 200 to numbers for an asset that takes none, and forgets them: its live data is
switched off, or it is of another kind. Only the missing word tells. Such a stream is kept, and one
item of it goes in each slot, so that it is noticed when that changes. Then the rest follows.
"""

from collections.abc import Iterable

from gateway.outbox.item import Item, Kind, Subject

Stream = tuple[Subject, Kind]

_NEVER = -1
"""No slot has this number."""


class Silence:
    """Of one destination. Times are Unix seconds."""

    def __init__(self, slot_s: int) -> None:
        self._slot_s = slot_s
        self._tried_in: dict[Stream, int] = {}
        """The slot in which each silent stream was tried last."""
        self._rests_in: int | None = None
        """The slot in which nothing but silent streams was found to be due."""

    def begin(self, streams: Iterable[Stream], now_s: float) -> set[Stream]:
        """No word came on these. Returns those that were not silent before."""
        new = {stream for stream in streams if stream not in self._tried_in}
        self._tried_in |= dict.fromkeys(new, self._slot_of(now_s))
        return new

    def end(self, stream: Stream) -> bool:
        """A word came. Returns whether it was silent before."""
        return self._tried_in.pop(stream, None) is not None

    def try_anew(self, subjects: Iterable[Subject]) -> None:
        """Something has changed for these: what is silent of them is tried at once."""
        wanted = set(subjects)
        for stream in self._tried_in:
            if stream[0] in wanted:
                self._tried_in[stream] = _NEVER
        self.wake()

    def tried(self, items: Iterable[Item], now_s: float) -> None:
        """These have been sent."""
        for item in items:
            stream = item.subject, item.kind
            if stream in self._tried_in:
                self._tried_in[stream] = self._slot_of(now_s)

    def holds(self, item: Item, now_s: float) -> bool:
        """Whether it waits for the next slot."""
        # Not "before": where the clock is set back, it is tried once more.
        return self._tried_in.get((item.subject, item.kind)) == self._slot_of(now_s)

    def rest(self, now_s: float) -> None:
        """All that is due is of silent streams, and has been tried: there is no need to look
        through it again in this slot. It may be the slots of a year.
        """
        if self:
            self._rests_in = self._slot_of(now_s)

    def rests(self, now_s: float) -> bool:
        """Whether that is so."""
        return self._rests_in == self._slot_of(now_s)

    def wake(self) -> None:
        """Something has changed."""
        self._rests_in = None

    def __contains__(self, stream: Stream) -> bool:
        return stream in self._tried_in

    def __bool__(self) -> bool:
        return bool(self._tried_in)

    def _slot_of(self, now_s: float) -> int:
        return int(now_s // self._slot_s)
