"""What goes next to one destination, and what follows from how it went. Pure.

1. Live slots, the newest first.
2. What the destination still settles: what loses that next goes first.
3. The rest, in batches as big as the format makes them, oldest first.

`outbox.urgency` has the order in full. Every look asks anew for what goes before the rest.

After a failure the first batch carries one item, the next ones 8, 64, 512 and then all: a batch
that is too much for the destination costs little and does not come back unchanged.

A batch that is rejected for a number in it is halved until the bad number is alone.

A stream (a subject's measurements, or its forecasts) that fails while the rest is well goes last,
and one item at a time: such as an asset that the user may not send for. While everything fails the
streams take turns, so that one such stream at the front cannot hide that the rest would go.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol

from gateway.outbox.format import Accepted, Format, Outcome, Rejected, Retry, Sent
from gateway.outbox.item import Item, Kind, Subject
from gateway.outbox.owed import Owed, live_since_s, urgency

BACKLOG_ITEMS = 16_000
"""Items of one look at the backlog: 1,600 slots of each of ten assets. It takes a few MB while it
is sent.
"""
LIVE_ITEMS = 1_000
"""Items of one look at what goes before the rest."""
GROWTH = 8
"""After a failure, each batch may be so many times as big as the one before."""
MAX_REJECTIONS_IN_A_ROW = 100
"""A destination that rejects so many batches in a row is given time, like one that fails."""

Allowed = Literal["all", "just_closed", "nothing"]
"""What may go now: while a destination is given time, only a slot that has just closed, or
nothing.
"""

Stream = tuple[Subject, Kind]

_WELL = (False, 0)
"""The rank of a stream that nothing is wrong with."""


class Due(Protocol):
    """The outbox's answer to what may be sent now."""

    def __call__(self, *, since_s: int | None, limit: int) -> Sequence[Owed]:
        """Pending items whose window is open, oldest slot first, of each slot the newest revision
        only; with `since_s` only slots that start then or later.
        """


@dataclass(frozen=True, slots=True)
class Portion:
    """Items that go in one batch, and when the first of their windows closes (Unix time; None:
    never).
    """

    items: tuple[Item, ...]
    closes_s: float | None

    @property
    def stream(self) -> Stream:
        """What its first item belongs to."""
        return _stream(self.items[0])

    def part(self, start: int, stop: int | None) -> "Portion":
        """Some of its items."""
        return Portion(self.items[start:stop], self.closes_s)

    def closed(self, now_s: float) -> bool:
        """Whether it is too late for one of its items."""
        return self.closes_s is not None and self.closes_s <= now_s


class Schedule:
    """What goes next to one destination. Ask `next`, send that, and tell `settle` how it went.

    It keeps no more than the portions of one look at the outbox: what counts is there.
    """

    def __init__(self, form: Format, slot_s: int, settlement_s: float) -> None:
        """`settlement_s` is how long after a slot's end the destination settles deviations."""
        self._format = form
        self._slot_s = slot_s
        self._settlement_s = settlement_s
        self._plan: deque[Portion] = deque()
        """The backlog, divided."""
        self._halves: deque[Portion] = deque()
        """Parts of a rejected portion, until the bad item is alone."""
        self._failing_streams: set[Stream] = set()
        """What fails by itself while the rest is well."""
        self._turns: dict[Stream, int] = {}
        """How often each stream has failed since the destination took something."""
        self._max_items = BACKLOG_ITEMS
        """Of the next batch."""
        self._is_failing = False
        """Whether the last batch got no verdict."""
        self.rejections = 0
        """Batches that were rejected in a row."""

    # --- what goes next ---------------------------------------------------------------------------

    def next(self, due: Due, now_s: float, allowed: Allowed) -> Portion | None:
        """What is to be sent now, if anything is. Changes nothing that counts: asked again, it says
        the same.
        """
        if allowed == "nothing" or not due(since_s=None, limit=1):
            return None

        since_s = live_since_s(now_s, self._slot_s)
        live = self._first_due(due, now_s, since_s)
        if allowed == "just_closed":
            return self._first_of(live) if self._has_just_closed(live, now_s) else None

        if first := self._well(live):
            return self._first_of(first)
        settled_since_s = int(now_s - self._settlement_s) - self._slot_s
        if first := self._well(self._first_due(due, now_s, settled_since_s)):
            return self._first_of(first)
        return self._next_of_backlog(due, now_s)

    def forget(self) -> None:
        """A person has decided about items: look anew at all of them."""
        self._plan.clear()
        self._halves.clear()

    def _first_due(self, due: Due, now_s: float, since_s: int) -> list[Owed]:
        """What is due of slots from then on, in the order of sending."""
        halved = {item for half in self._halves for item in half.items}
        found = due(since_s=since_s, limit=LIVE_ITEMS)
        return self._in_order((owed for owed in found if owed.item not in halved), now_s)

    def _well(self, due: Iterable[Owed]) -> list[Owed]:
        """Without what failed. That waits for its turn in the backlog, or it would always come
        before what others have there.
        """
        return [owed for owed in due if self._rank(_stream(owed.item)) == _WELL]

    def _in_order(self, due: Iterable[Owed], now_s: float) -> list[Owed]:
        """What goes first comes first."""
        return sorted(
            due,
            key=lambda owed: (
                self._rank(_stream(owed.item)),
                urgency(owed, now_s, self._slot_s, self._settlement_s),
                owed.item,
            ),
        )

    def _rank(self, stream: Stream) -> tuple[bool, int]:
        """Streams of a lower rank go first."""
        return stream in self._failing_streams, self._turns.get(stream, 0)

    def _has_just_closed(self, live: Iterable[Owed], now_s: float) -> bool:
        boundary_s = int(now_s // self._slot_s) * self._slot_s
        return any(
            owed.item.kind == "measurement" and owed.item.slot_s + self._slot_s == boundary_s
            for owed in live
        )

    def _next_of_backlog(self, due: Due, now_s: float) -> Portion | None:
        for queue in (self._halves, self._plan):
            while queue and queue[0].closed(now_s):
                queue.popleft()

        if not self._halves and not self._plan:
            everything = self._in_order(due(since_s=None, limit=BACKLOG_ITEMS), now_s)
            self._plan.extend(self._portions(everything))

        queue = self._halves or self._plan
        return self._sized(queue[0]) if queue else None

    def _first_of(self, due: Sequence[Owed]) -> Portion:
        return self._sized(self._portions(due)[0])

    def _portions(self, due: Sequence[Owed]) -> list[Portion]:
        """What is due, divided as the format divides it into batches."""
        closes_s = {owed.item: inf if owed.closes_s is None else owed.closes_s for owed in due}
        portions = []
        for batch in self._format.encode([owed.item for owed in due], ""):
            first_s = min(closes_s[item] for item in batch.items)
            portions.append(Portion(batch.items, None if first_s == inf else first_s))
        return portions

    def _sized(self, portion: Portion) -> Portion:
        """As much of it as may go now."""
        alone = portion.stream in self._failing_streams
        return portion.part(0, 1 if alone else self._max_items)

    # --- how it went ------------------------------------------------------------------------------

    @property
    def rejects_everything(self) -> bool:
        """Whether so many batches in a row were rejected that it is to be given time."""
        return self.rejections >= MAX_REJECTIONS_IN_A_ROW

    def settle(self, portion: Portion, outcome: Outcome) -> None:
        """What became of what `next` had said."""
        match outcome:
            case Accepted() | Sent():
                self.rejections = 0
                self._dequeue(portion)
                if portion.stream in self._failing_streams:
                    self._failing_streams.remove(portion.stream)
                    self._plan.clear()  # for the reason that `_go_well` has
                self._go_well()
            case Rejected():
                self.rejections += 1
                self._dequeue(portion)
                if halves(portion, outcome):
                    middle = len(portion.items) // 2
                    parts = portion.part(middle, None), portion.part(0, middle)
                    self._halves.extendleft(parts)
                if self.rejects_everything:
                    self.start_small()
                else:
                    self._go_well()
            case Retry():
                if outcome.answered:
                    self._mark_failing(portion.stream)
                self.start_small()

    def start_small(self) -> None:
        """The next batch carries one item: something failed."""
        self._is_failing = True
        self._max_items = 1

    def _go_well(self) -> None:
        """The destination gave a verdict."""
        self._is_failing = False
        if self._turns:
            # Live slots of what failed had to wait in the plan, and need not any more.
            self._plan.clear()
            self._turns.clear()
        self._max_items = min(self._max_items * GROWTH, BACKLOG_ITEMS)

    def _mark_failing(self, stream: Stream) -> None:
        """The destination answered, and not with a verdict."""
        if not self._is_failing:
            self._failing_streams.add(stream)
        self._turns[stream] = self._turns.get(stream, 0) + 1
        self._halves.clear()
        self._plan = deque(sorted(self._plan, key=lambda portion: self._rank(portion.stream)))

    def _dequeue(self, portion: Portion) -> None:
        """Take what got its verdict off the head of the queue it came from, if it came from one."""
        count = len(portion.items)
        for queue in (self._halves, self._plan):
            if queue and queue[0].items[:count] == portion.items:
                head = queue.popleft()
                if len(head.items) > count:
                    queue.appendleft(head.part(count, None))
                return


def halves(portion: Portion, outcome: Rejected) -> bool:
    """Whether a rejected portion is tried again in halves, since one bad number fails them all;
    else its items are rejected for good.
    """
    return len(portion.items) > 1 and not outcome.whole


def _stream(item: Item) -> Stream:
    return item.subject, item.kind
