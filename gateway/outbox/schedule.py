"""What goes next to one destination, and what follows from how it went. Pure.

1. Live slots, the newest first.
2. What the destination still settles: what loses that next goes first.
3. The rest, in batches as big as the format makes them, oldest first.

`outbox.urgency` has the order in full. Every look asks anew for what goes before the rest.

After a failure the first batch carries one item, the next ones 8, 64, 512 and then all: a batch
that is too much for the destination costs little and does not come back unchanged.

A batch that is rejected for a number in it is halved until the bad number is alone.

What is refused, and may be meant so or not (`refusals.py`), waits for its next try without holding
up anything else: one item, or the stream where more than one item of it is refused.

A stream (a subject's measurements, or its forecasts) that fails while the rest is well goes last,
and one item at a time: such as an asset that the user may not send for. While everything fails the
streams take turns, so that one such stream at the front cannot hide that the rest would go.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import Literal, Protocol

import msgspec

from gateway.outbox.format import Accepted, Format, Outcome, Rejected, Retry, Sent
from gateway.outbox.held_back import HeldBack
from gateway.outbox.item import Item, Subject
from gateway.outbox.owed import Owed, live_since_s, urgency
from gateway.outbox.silence import Stream

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

_WELL = (False, 0)
"""The rank of a stream that nothing is wrong with."""


class Due(Protocol):
    """The outbox's answer to what may be sent now."""

    def __call__(self, *, since_s: int | None, limit: int) -> Sequence[Owed]:
        """Pending items whose window is open, oldest slot first, of each slot the newest revision
        only; with `since_s` only slots that start then or later.
        """


class Portion(msgspec.Struct, frozen=True):
    """Items that go in one batch, and when the first of their windows closes (Unix time; None:
    never).
    """

    items: tuple[Item, ...]
    closes_s: float | None
    refused_s: tuple[float | None, ...] = ()
    """Since when each item is refused (Unix time; None: it is not). Empty: none is."""

    @property
    def refused_since_s(self) -> float | None:
        """Since when all of its items are refused; None where one of them is not."""
        found = [at_s for at_s in self.refused_s if at_s is not None]
        return max(found) if found and len(found) == len(self.items) else None

    @property
    def stream(self) -> Stream:
        """What its first item belongs to."""
        return _stream(self.items[0])

    @property
    def streams(self) -> set[Stream]:
        """What its items belong to."""
        return {_stream(item) for item in self.items}

    def part(self, start: int, stop: int | None) -> "Portion":
        """Some of its items."""
        return Portion(self.items[start:stop], self.closes_s, self.refused_s[start:stop])

    def without(self, newest: Mapping[Hashable, int]) -> "Portion":
        """Less what has an older revision than these, by what they are numbers of."""
        kept = [n for n, i in enumerate(self.items) if i.revision >= newest.get(_number(i), 0)]
        if len(kept) == len(self.items):
            return self
        items, refused_s = self.items, self.refused_s
        return Portion(
            tuple(items[n] for n in kept),
            self.closes_s,
            tuple(refused_s[n] for n in kept) if refused_s else (),
        )

    def closed(self, now_s: float) -> bool:
        """Whether it is too late for one of its items."""
        return self.closes_s is not None and self.closes_s <= now_s


class Doubted(msgspec.Struct, frozen=True):
    """The receiver refuses the items, and it is not proved that it means them: keep them, and try
    again.
    """

    reason: str
    whole: bool = False
    """As `Rejected` has it."""


class Schedule:
    """What goes next to one destination. Ask `next`, send that, and tell `settle` how it went.

    It keeps no more than the portions of one look at the outbox: what counts is there.
    """

    def __init__(self, form: Format, slot_s: int, settlement_s: float) -> None:
        """`settlement_s` is how long after a slot's start the destination settles
        deviations.
        """
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
        self._held = HeldBack(slot_s)
        self._doubted: dict[Stream, Item] = {}
        """What was refused last by itself of each stream, since something of it was taken."""
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
        settled_since_s = int(now_s - self._settlement_s)
        if first := self._well(self._first_due(due, now_s, settled_since_s)):
            return self._first_of(first)
        return self._next_of_backlog(due, now_s)

    def forget(self) -> None:
        """A person has decided about items: look anew at all of them."""
        self._plan.clear()
        self._halves.clear()
        self._held.release_all()
        self._held.silence.wake()

    def next_s(self, now_s: float) -> float | None:
        """When something that was refused may be tried again; None where nothing waits for it."""
        return self._held.next_s(now_s)

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
        """What goes first comes first. What is held back does not come at all, and of what no word
        comes on only one item.
        """
        found = sorted(
            (owed for owed in due if not self._held.holds(owed.item, now_s)),
            key=lambda owed: (
                self._rank(_stream(owed.item)),
                self._held.times(owed.item),
                urgency(owed, now_s, self._slot_s, self._settlement_s),
                owed.item,
            ),
        )
        return self._one_of_silent(found) if self._held.silence else found

    def _one_of_silent(self, due: Iterable[Owed]) -> list[Owed]:
        """Of each silent stream the first item only."""
        found, seen = [], set()
        for owed in due:
            stream = _stream(owed.item)
            if stream not in self._held.silence or stream not in seen:
                found.append(owed)
            seen.add(stream)
        return found

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

        silence = self._held.silence
        if not self._halves and not self._plan:
            if silence.rests(now_s):
                return None
            found = due(since_s=None, limit=BACKLOG_ITEMS)
            everything = self._in_order(found, now_s)
            if not everything and all(_stream(owed.item) in silence for owed in found):
                silence.rest(now_s)
            self._plan.extend(self._portions(everything))

        queue = self._halves or self._plan
        return self._sized(queue[0]) if queue else None

    def _first_of(self, due: Sequence[Owed]) -> Portion:
        return self._sized(self._portions(due)[0])

    def _portions(self, due: Sequence[Owed]) -> list[Portion]:
        """What is due, divided as the format divides it into batches. What was refused by itself
        goes by itself: others would be refused with it.
        """
        found = {owed.item: owed for owed in due}
        alone = [item for item in found if self._held.times(item)]
        together = [item for item in found if not self._held.times(item)]

        groups = [together, *([item] for item in alone)]
        batches = [batch for group in groups for batch in self._format.encode(group, "")]
        return [portion_of([found[item] for item in batch.items]) for batch in batches]

    def _sized(self, portion: Portion) -> Portion:
        """As much of it as may go now."""
        alone = portion.stream in self._failing_streams
        return portion.part(0, 1 if alone else self._max_items)

    # --- how it went ------------------------------------------------------------------------------

    @property
    def rejects_everything(self) -> bool:
        """Whether so many batches in a row were rejected that it is to be given time."""
        return self.rejections >= MAX_REJECTIONS_IN_A_ROW

    def miss_words(self, streams: set[Stream], now_s: float) -> set[Stream]:
        """No word came on what was sent of these, and it should have. Returns those of which that
        is new.
        """
        self._plan.clear()
        self._halves = deque(half for half in self._halves if not half.streams & streams)
        return self._held.silence.begin(streams, now_s)

    def hear(self, streams: set[Stream]) -> set[Stream]:
        """A word came on these. Returns those of which none came before."""
        self._held.silence.wake()
        again = {stream for stream in streams if self._held.silence.end(stream)}
        if again:
            self._plan.clear()  # the rest of them may go
        return again

    def try_anew(self, subjects: Set[Subject]) -> None:
        """Where these go has changed."""
        self._held.silence.try_anew(subjects)
        self._plan.clear()

    def settle(self, portion: Portion, outcome: Outcome | Doubted, now_s: float) -> None:
        """What became of what `next` had said."""
        self._held.silence.wake()
        if isinstance(outcome, Sent):
            self._held.silence.tried(portion.items, now_s)
        match outcome:
            case Accepted() | Sent():
                self.rejections = 0
                self._dequeue(portion)
                self._drop_replaced(portion)
                self._revive(portion, is_taken=isinstance(outcome, Accepted))
                self._go_well()
            case Doubted():
                self._dequeue(portion)
                self._hold_back(portion, outcome, now_s)
            case Rejected():
                self.rejections += 1
                self._dequeue(portion)
                if halves(portion, outcome):
                    middle = len(portion.items) // 2
                    parts = portion.part(middle, None), portion.part(0, middle)
                    self._halves.extendleft(parts)
                else:
                    self._let_go(portion, outcome)
                if self.rejects_everything:
                    self.start_small()
                else:
                    self._go_well()
            case Retry():
                if outcome.answered:
                    self._mark_failing(portion.stream)
                self.start_small()

    def _revive(self, portion: Portion, *, is_taken: bool) -> None:
        """Its stream is well; `is_taken`: by the destination's own word."""
        was_failing = portion.stream in self._failing_streams
        if was_failing:
            self._failing_streams.remove(portion.stream)
            self._plan.clear()  # for the reason that `_go_well` has
        if not is_taken:
            return

        self._doubted.pop(portion.stream, None)
        self._held.release(portion.stream)
        for item in portion.items:
            self._held.release(item)
        if was_failing and portion.refused_s:
            # These it had refused, and takes them now: so it may with all else that it refused.
            self._held.release_all()

    def _let_go(self, portion: Portion, outcome: Rejected) -> None:
        """It is refused for good."""
        for item in portion.items:
            self._held.release(item)
        if outcome.whole:
            # The rest of the stream will fare alike: then in as few batches as there may be.
            self._failing_streams.discard(portion.stream)
            self._held.release(portion.stream)

    def _hold_back(self, portion: Portion, outcome: Doubted, now_s: float) -> None:
        """It waits for its next try; the whole stream does where it is not one number only."""
        stream, item = portion.stream, portion.items[0]
        self._plan.clear()
        is_known = self._held.times(item) > 0
        if len(portion.items) == 1:
            self._held.hold(item, now_s)
        if (
            not outcome.whole
            and stream not in self._failing_streams
            and (is_known or self._doubted.setdefault(stream, item) == item)
        ):
            return
        self._held.hold(stream, now_s)
        self._failing_streams.add(stream)
        self._turns[stream] = self._turns.get(stream, 0) + 1
        self._halves = deque(half for half in self._halves if half.stream != stream)

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

    def _drop_replaced(self, portion: Portion) -> None:
        """What was taken may be written anew since the queues were filled: the number before, sent
        after it, would stand in its place.
        """
        newest = {_number(item): item.revision for item in portion.items if item.revision}
        if not newest:
            return
        self._halves, self._plan = (
            deque(left for each in queue if (left := each.without(newest)).items)
            for queue in (self._halves, self._plan)
        )


def halves(portion: Portion, outcome: Rejected) -> bool:
    """Whether a rejected portion is tried again in halves, since one bad number fails them all;
    else its items are rejected for good.
    """
    return len(portion.items) > 1 and not outcome.whole


def portion_of(owed: Sequence[Owed]) -> Portion:
    """Items as one portion."""
    closes_s = min((each.closes_s for each in owed if each.closes_s is not None), default=None)
    refused_s = tuple(each.refused_s for each in owed)
    is_refused = any(at_s is not None for at_s in refused_s)
    return Portion(tuple(each.item for each in owed), closes_s, refused_s if is_refused else ())


def _stream(item: Item) -> Stream:
    return item.subject, item.kind


def _number(item: Item) -> Hashable:
    """What it is one revision of."""
    return item.subject, item.kind, item.slot_s
