"""Which changes go to a fleet's collector next, and which go again. Pure.

What has just closed goes by itself, some time after the slot's end that differs from home to home.
What is older goes in parcels of which one is under way at a time. What is not acknowledged goes
again: later each time, and never at a fixed time, for ten thousand homes would do the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from math import inf
from typing import Literal

from gateway.outbox.fleet.change import Change, Span
from gateway.outbox.fleet.messages import MAX_SLOTS

LIVE_SLOTS = 2
"""So many of the newest slots are not backlog."""

RESEND_S = (10.0, 300.0)
"""How long an acknowledgement is waited for, at first and at the most."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Changes that go together: of one deliverer."""

    channel: Literal["slots", "backlog"]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """Changes that were sent and are not acknowledged."""

    due_s: float
    """When they go again, by the loop's clock."""
    times: int
    """How often they were sent."""
    channel: Literal["slots", "backlog"]


@dataclass(slots=True)
class Shipping:
    """Of one gateway. `jitter` gives random numbers from 0 to 1."""

    slot_s: int
    spread_s: float
    """What has just closed goes within this time after the slot's end."""
    jitter: Callable[[], float]
    _under_way: dict[int, _UnderWay] = field(default_factory=dict)
    _offset_s: tuple[int, float] = (0, 0.0)
    """Of the newest boundary: when after it what has just closed may go."""

    def next(self, changes: Sequence[Change], now_s: float, loop_s: float) -> Parcel | None:
        """What may go now, of all the changes there are: newest slots first."""
        # What is too old to be kept at all is waited for no more.
        for seq in self._under_way.keys() - {c.seq for c in changes}:
            del self._under_way[seq]
        boundary_s = int(now_s // self.slot_s) * self.slot_s
        if self._offset_s[0] != boundary_s:
            self._offset_s = boundary_s, self.spread_s * self.jitter()
        oldest_live_s = boundary_s - LIVE_SLOTS * self.slot_s
        live = [c for c in changes if c.slot_s >= oldest_live_s and self._is_due(c, loop_s)]
        if live and now_s >= boundary_s + self._offset_s[1]:
            return Parcel("slots", _alike(live))
        if any(u.channel == "backlog" and u.due_s > loop_s for u in self._under_way.values()):
            return None
        old = [c for c in changes if c.slot_s < oldest_live_s and self._is_due(c, loop_s)]
        return Parcel("backlog", _alike(old)) if old else None

    def wait_s(self, now_s: float, loop_s: float) -> float:
        """For how long nothing else will be due, if nothing closes and nothing is acknowledged."""
        # What is due by now and has not gone waits for one of the others, or for the slot's offset.
        waits = [u.due_s - loop_s for u in self._under_way.values() if u.due_s > loop_s]
        until_live_s = self._offset_s[0] + self._offset_s[1] - now_s
        if until_live_s > 0:
            waits.append(until_live_s)
        return max(min(waits, default=inf), 0.0)

    def sent(self, parcel: Parcel, loop_s: float) -> None:
        """These are under way now, and go again together."""
        first_s, most_s = RESEND_S
        before = [self._under_way[c.seq].times for c in parcel.changes if c.seq in self._under_way]
        times = max(before, default=0)
        wait_s = min(first_s * 2 ** min(times, 10), most_s) * (0.5 + self.jitter())
        under_way = _UnderWay(loop_s + wait_s, times + 1, parcel.channel)
        self._under_way |= dict.fromkeys((change.seq for change in parcel.changes), under_way)

    def done(self, spans: Iterable[Span]) -> None:
        """The collector has decided on these."""
        for begin, end in spans:
            for seq in [seq for seq in self._under_way if begin <= seq <= end]:
                del self._under_way[seq]

    def forget(self) -> None:
        """The numbers are another file's from now on."""
        self._under_way.clear()

    def _is_due(self, change: Change, loop_s: float) -> bool:
        under_way = self._under_way.get(change.seq)
        return under_way is None or under_way.due_s <= loop_s


def _alike(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The first ones that have the same deliverer as the first, as many as one message takes."""
    same = takewhile(lambda change: change.deliver == changes[0].deliver, changes)
    return tuple(islice(same, MAX_SLOTS))


def spans_of(seqs: Iterable[int]) -> list[Span]:
    """As few spans as have exactly these numbers."""
    found: list[Span] = []
    for seq in sorted({*seqs}):
        if found and found[-1][1] == seq - 1:
            found[-1] = found[-1][0], seq
        else:
            found.append((seq, seq))
    return found
