"""What is owed goes out: live slots first, then what the exchange still settles, then the rest,
each verdict on disk before anything else. Shell.

Nothing is sent at the begin of a slot until `quiet_s` has passed, which differs from site to site.
Of dated measurements the newest slots go first, then those whose settlement passes next, then the
rest in big batches, oldest first (`outbox.urgency`). Every request looks anew for what goes before
the rest.

One request is under way at a time. There is no queue here beyond the requests of one look at the
outbox: what counts is in the buffer.

When the exchange fails, its next try waits for a random part of 1, 2, 4 … 60 seconds; when it said
how long to wait, for that long. The first request after a failure carries one item, the next ones
8, 64, 512 and then all, so that a request that is too much for the exchange costs little and does
not come back unchanged. A slot that has just closed is tried at once, whatever the waiting.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Protocol
from uuid import uuid4

from gateway.delivery.http_session import ExchangeError, LoginError, Unreachable
from gateway.delivery.read_back import Asker, Books, ReadBack
from gateway.monitoring.report import DestinationReport
from gateway.outbox.dialect import Dialect, Reply, Verdict
from gateway.outbox.item import Item, Kind, Subject
from gateway.outbox.owed import LIVE_SLOTS, Backlog, Owed, State, live_since_s, urgency
from gateway.store.errors import StoreError

BACKLOG_ITEMS = 16_000
"""Items of one look at the backlog: 1,600 slots of each of ten assets. It takes a few MB while it
is sent.
"""
LIVE_ITEMS = 1_000
"""Items of one look at what goes before the rest."""
SETTLEMENT_S = 3600.0
"""How long after a slot's end the exchange settles deviations, where nobody says otherwise."""
BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 3600.0
MIN_SLEEP_S = 0.001
MAX_SLEEP_S = 30.0
"""The wall clock may step while the loop's does not: look at it this often."""
LEAST_S = 0.1
"""A request with less time than this before its window closes is not begun: it could only be lost,
and hide why the ones before it were.
"""
REJECTIONS_AT_ONCE = 100
"""An exchange that rejects so many requests in a row is given time, like one that fails."""
GROWTH = 8
"""After a failure, each request may be so many times as big as the one before."""
UNTRUSTED_SLEEP_S = 5.0

_log = logging.getLogger(__name__)

_Stream = tuple[Subject, Kind]
_WELL = (False, 0)


class Outbox(Books, Protocol):
    """Where it is written what is owed, and what became of it. Each method may raise StoreError."""

    @property
    def changed_elsewhere(self) -> bool:
        """Whether a person's command has written since this was asked last."""

    def due(self, now_s: float, *, since_s: int | None, limit: int) -> list[Owed]:
        """Pending items whose window is open, oldest slot first, of each slot the newest revision
        only; with `since_s` only slots that start then or later.
        """

    def next_change_s(self, now_s: float) -> float | None:
        """When the next window of a pending item opens or closes, Unix time."""

    def record(self, items: Sequence[Item], state: State, reason: str, now_s: float) -> None:
        """Write down what became of items; `pending` means: try again later."""

    def expire(self, now_s: float, cause: str) -> list[Item]:
        """Pending items whose window has closed become missed; `cause` is the reason of those that
        were never tried.
        """

    def backlog(self) -> Backlog:
        """What is still owed."""


class Sender(Asker, Protocol):
    """The way to the exchange: `exchange.session.Session`, or a simulation of it."""

    url: str
    timeout_s: float
    """How long one answer may take."""

    async def post(
        self, path: str, body: Mapping[str, object], within_s: float | None = None
    ) -> Reply:
        """POST JSON to a path below the URL, giving up after `within_s`. Raises ExchangeError."""

    async def aclose(self) -> None:
        """Close its connection."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items that ride in one request, and when the first of their windows closes."""

    items: tuple[Item, ...]
    closes_s: float | None

    @property
    def stream(self) -> _Stream:
        return _stream(self.items[0])

    def part(self, start: int, stop: int | None) -> "_Batch":
        return _Batch(self.items[start:stop], self.closes_s)


class Uploader:
    """Delivers the items of one outbox to one exchange, for ever.

    `now` is Unix time, and `trusted` says whether it is believed: until then nothing is sent,
    because the windows of what is still owed from before the last boot mean nothing by a wrong
    clock. `jitter` gives random numbers from 0 to 1. `name_of` names an asset in the log. `quiet_s`
    is the time from each slot's begin in which nothing is sent, and less than the slot; `margin_s`
    how far clocks may differ.
    """

    def __init__(
        self,
        outbox: Outbox,
        dialect: Dialect,
        session: Sender,
        *,
        now: Callable[[], float],
        trusted: Callable[[], bool],
        slot_s: int,
        jitter: Callable[[], float],
        name_of: Callable[[Subject], str] = str,
        settlement_s: float = SETTLEMENT_S,
        quiet_s: float = 0.0,
        margin_s: float = 1.0,
    ) -> None:
        self._outbox = outbox
        self._dialect = dialect
        self._session = session
        self._now = now
        self._slot_s = slot_s
        self._trusted = trusted
        self._jitter = jitter
        self._name_of = name_of
        self._settlement_s = settlement_s
        self._quiet_s = quiet_s
        self._read_back = ReadBack(
            outbox,
            dialect,
            session,
            slot_s=slot_s,
            margin_s=margin_s,
            after_s=max(quiet_s, margin_s),
            name_of=name_of,
        )
        self._news = asyncio.Event()
        self.turned_s: float | None = None
        """When `run` last went round, by the loop's clock: proof that it does not hang."""

        self._plan: deque[_Batch] = deque()
        self._halves: deque[_Batch] = deque()
        """Parts of a rejected batch, until the bad item is alone."""

        # Of the destination as a whole.
        self._failures = 0
        """In a row."""
        self._retry_at_s = -inf
        self._asked_until_s = -inf
        """The exchange asked for silence until then; this and the time above are the loop's."""
        self._tried_boundary_s = 0
        """The slot boundary after which a just closed slot was tried in spite of the waiting."""
        self._answers = True
        """Whether it may be asked what it holds: its last answer was one, and it did not ask for
        silence.
        """
        self._batch_items = BACKLOG_ITEMS

        # Of its parts. What fails by itself while the rest is well (an asset the user may not send
        # for) goes last and one by one; and while the destination fails, its streams take turns, so
        # that one such asset at the front cannot hide that the rest would go.
        self._troubled: set[_Stream] = set()
        self._turns: dict[_Stream, int] = {}

        self._state = "waiting"
        self._cause = ""
        self._failing_since_s = 0.0
        self._missed_meanwhile = 0
        self._last_success_s: float | None = None
        self._last_error = ""
        self._last_error_s: float | None = None
        self._last_rejection = ""
        self._rejected_in_a_row = 0
        self._errors = self._requests = self._accepted = self._rejected = self._missed = 0

    def wake(self) -> None:
        """New items are in the outbox."""
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever. What the exchange or the disk does ends up in the log and the status;
        only bugs get out.
        """
        async with aclosing(self._session):
            while True:
                self.turned_s = self._loop_s()
                try:
                    batch = self._next_batch() if self._trusted() else None
                    if batch is not None:
                        await self._deliver(batch)
                    elif self._answers and self._trusted() and self._read_back.wants(self._now()):
                        await self._look()
                    else:
                        await self._sleep()
                except StoreError as error:
                    # A verdict that is not on disk was not given: the request goes again. Later,
                    # though, for the disk's sake.
                    self._fail("StoreError", f"the buffer cannot be used: {error}")
                    await self._sleep_for(self._retry_at_s - self._loop_s())

    @property
    def longest_turn_s(self) -> float:
        """How long `run` may take to go round once: a request, a login, and the request again; or
        the longest wait.
        """
        return max(3 * self._session.timeout_s, MAX_BACKOFF_S)

    def snapshot(self, now_s: float) -> DestinationReport:
        """How deliveries go. Counts are since start; the backlog is the outbox's. Raises
        StoreError.
        """
        backlog = self._outbox.backlog()
        confirmations = self._read_back.counts(now_s)
        return DestinationReport(
            name="exchange",
            state=self._state,
            last_success_s=self._last_success_s,
            # Every slot brings something to deliver: no success for longer than two of them means
            # that something is wrong.
            max_age_s=LIVE_SLOTS * self._slot_s + MAX_BACKOFF_S,
            errors=self._errors,
            last_error=self._last_error,
            last_error_s=self._last_error_s,
            url=self._session.url,
            dialect=type(self._dialect).__module__.rpartition(".")[2],
            backlog=backlog.count,
            oldest_undelivered_s=backlog.oldest_slot_s,
            next_deadline_s=backlog.next_closes_s,
            requests=self._requests,
            accepted=self._accepted,
            rejected=self._rejected,
            missed=self._missed,
            read_back=self._read_back.state,
            confirmed=self._read_back.confirmed,
            disagreements=self._read_back.disagreements,
            unconfirmed=confirmations.unconfirmed,
            disputed=confirmations.disputed,
        )

    # --- what is next -----------------------------------------------------------------------------

    def _next_batch(self) -> _Batch | None:
        """What is to be sent now, if anything is."""
        self._news.clear()
        now_s = self._now()
        self._expire(now_s)
        boundary_s = int(now_s // self._slot_s) * self._slot_s
        if now_s < boundary_s + self._quiet_s:
            return None
        if self._outbox.changed_elsewhere:
            self._plan.clear()
            self._halves.clear()
        if not self._outbox.due(now_s, since_s=None, limit=1):
            return None
        live = self._first_due(now_s, live_since_s(now_s, self._slot_s))
        if self._loop_s() < self._retry_at_s:
            if not self._just_closed(live, boundary_s):
                return None
            self._tried_boundary_s = boundary_s
            return self._sized(self._batches(live)[0])
        # What failed waits for its turn in the backlog, or it would always come before what others
        # have there.
        for since_s in (
            live_since_s(now_s, self._slot_s),
            int(now_s - self._settlement_s) - self._slot_s,
        ):
            if first := [
                owed
                for owed in self._first_due(now_s, since_s)
                if self._rank(_stream(owed.item)) == _WELL
            ]:
                return self._sized(self._batches(first)[0])
        return self._next_of_backlog(now_s)

    def _first_due(self, now_s: float, since_s: int) -> list[Owed]:
        """What is due of slots from then on, in the order of sending."""
        held = {item for half in self._halves for item in half.items}
        due = self._outbox.due(now_s, since_s=since_s, limit=LIVE_ITEMS)
        return self._in_order((owed for owed in due if owed.item not in held), now_s)

    def _in_order(self, due: Iterable[Owed], now_s: float) -> list[Owed]:
        """What goes first comes first."""
        return sorted(
            due,
            key=lambda o: (
                self._rank(_stream(o.item)),
                urgency(o, now_s, self._slot_s, self._settlement_s),
                o.item,
            ),
        )

    def _expire(self, now_s: float) -> None:
        missed = self._outbox.expire(now_s, self._last_error if self._failures else "")
        if missed:
            self._missed += len(missed)
            # While deliveries fail, the first loss is told, and the rest when they go again.
            if self._state != "retrying" or not self._missed_meanwhile:
                _log.warning(
                    "%s can no longer be delivered: the time for it has passed", self._say(missed)
                )
            self._missed_meanwhile += len(missed)

    def _just_closed(self, live: Iterable[Owed], boundary_s: int) -> bool:
        """Whether a slot has closed that may be tried at once although the destination is given
        time: once per slot.
        """
        if self._loop_s() < self._asked_until_s or self._tried_boundary_s >= boundary_s:
            return False
        return any(
            owed.item.kind == "measurement" and owed.item.slot_s + self._slot_s == boundary_s
            for owed in live
        )

    def _next_of_backlog(self, now_s: float) -> _Batch | None:
        for queue in (self._halves, self._plan):
            while queue and _closed(queue[0], now_s):
                queue.popleft()
        if not self._halves and not self._plan:
            due = self._in_order(self._outbox.due(now_s, since_s=None, limit=BACKLOG_ITEMS), now_s)
            self._plan.extend(self._batches(due))
        queue = self._halves or self._plan
        return self._sized(queue[0]) if queue else None

    def _strike(self, batch: _Batch) -> None:
        """Take a batch that got its verdict off the head of the queue it came from, if it came from
        one.
        """
        count = len(batch.items)
        for queue in (self._halves, self._plan):
            if queue and queue[0].items[:count] == batch.items:
                head = queue.popleft()
                if len(head.items) > count:
                    queue.appendleft(head.part(count, None))
                return

    def _rank(self, stream: _Stream) -> tuple[bool, int]:
        """Streams of a lower rank go first."""
        return stream in self._troubled, self._turns.get(stream, 0)

    def _batches(self, due: Sequence[Owed]) -> list[_Batch]:
        """What is due, divided as the dialect divides it into requests."""
        closes_s = {owed.item: inf if owed.closes_s is None else owed.closes_s for owed in due}
        batches = []
        for request in self._dialect.encode([owed.item for owed in due], ""):
            first_s = min(closes_s[item] for item in request.items)
            batches.append(_Batch(request.items, None if first_s == inf else first_s))
        return batches

    def _sized(self, batch: _Batch) -> _Batch:
        """As much of a batch as may go now."""
        return batch.part(0, 1 if batch.stream in self._troubled else self._batch_items)

    # --- sending it -------------------------------------------------------------------------------

    async def _deliver(self, batch: _Batch) -> None:
        """Send one request and write down what became of it."""
        # After its window an undated number would be booked to a slot it does not belong to: the
        # request is given up before.
        within_s = None if batch.closes_s is None else batch.closes_s - self._now()
        if within_s is not None and within_s < LEAST_S:
            await self._sleep_for(within_s)
            return
        # A part of what rode in one request rides in one request.
        (request,) = self._dialect.encode(batch.items, str(uuid4()))
        self._requests += 1
        cause, sent, answered = "reply", True, True
        try:
            verdict = self._dialect.judge(
                await self._session.post(request.path, request.body, within_s)
            )
        except ExchangeError as error:
            cause = type(error).__name__
            sent, answered = (
                not isinstance(error, LoginError),
                not isinstance(error, (LoginError, Unreachable)),
            )
            verdict = Verdict("unknown", str(error), error.retry_after_s)
        self._answers = answered and verdict.retry_after_s is None
        if verdict.outcome == "accepted":
            self._accept(batch)
        elif verdict.outcome == "rejected":
            self._reject(batch, verdict)
        else:
            if sent:
                self._outbox.record(batch.items, "pending", verdict.reason, self._now())
            if answered:
                self._blame(batch.stream)
            self._fail(cause, verdict.reason, verdict.retry_after_s)

    def _accept(self, batch: _Batch) -> None:
        now_s = self._now()
        self._outbox.record(batch.items, "accepted", "", now_s)
        self._accepted += len(batch.items)
        self._last_success_s = now_s
        self._rejected_in_a_row = 0
        self._strike(batch)
        if self._turns or batch.stream in self._troubled:
            self._plan.clear()  # made when live slots of what failed had to wait there
        self._troubled.discard(batch.stream)
        _log.info("delivered %s", self._say(batch.items))
        self._recover(now_s)

    def _reject(self, batch: _Batch, verdict: Verdict) -> None:
        """What is rejected stays rejected; of several items each half is tried by itself, since one
        bad number fails them all.
        """
        now_s = self._now()
        self._rejected_in_a_row += 1
        if len(batch.items) > 1 and not verdict.whole:
            middle = len(batch.items) // 2
            self._strike(batch)
            self._halves.extendleft((batch.part(middle, None), batch.part(0, middle)))
        else:
            self._outbox.record(batch.items, "rejected", verdict.reason, now_s)
            self._strike(batch)
            self._rejected += len(batch.items)
            self._errors += 1
            self._last_error, self._last_error_s = verdict.reason, now_s
            if verdict.reason != self._last_rejection:
                self._last_rejection = verdict.reason
                _log.warning(
                    "rejected %s: the exchange %s; it is kept, and not sent again",
                    self._say(batch.items),
                    verdict.reason,
                )
        if self._rejected_in_a_row >= REJECTIONS_AT_ONCE:
            self._fail(
                "rejections",
                f"{self._rejected_in_a_row} requests in a row were rejected; to the last one it "
                f"{verdict.reason}",
            )
        else:
            self._recover(now_s)

    def _blame(self, stream: _Stream) -> None:
        """The exchange answered, and not with a verdict."""
        if not self._failures:
            self._troubled.add(stream)
        self._turns[stream] = self._turns.get(stream, 0) + 1
        self._halves.clear()
        self._plan = deque(sorted(self._plan, key=lambda batch: self._rank(batch.stream)))

    def _fail(self, cause: str, reason: str, retry_after_s: float | None = None) -> None:
        """Give the destination time. Reasons differ from try to try; a line is logged when the
        cause is another one.
        """
        self._failures += 1
        self._errors += 1
        self._last_error, self._last_error_s = reason, self._now()
        self._batch_items = 1
        wait_s = self._jitter() * min(MAX_BACKOFF_S, BACKOFF_S * 2 ** min(self._failures - 1, 10))
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
            self._asked_until_s = self._loop_s() + wait_s
        self._retry_at_s = self._loop_s() + wait_s
        if self._state != "retrying":
            self._state, self._failing_since_s, self._cause, self._missed_meanwhile = (
                "retrying",
                self._now(),
                "",
                0,
            )
        if cause != self._cause:
            self._cause = cause
            who = "the exchange " if cause == "reply" else ""
            _log.warning("deliveries fail: %s%s; what is owed is kept and tried again", who, reason)

    def _recover(self, now_s: float) -> None:
        """The exchange gave a verdict."""
        if self._state == "retrying":
            missed = (
                f"; missed meanwhile: {self._missed_meanwhile}" if self._missed_meanwhile else ""
            )
            lasted_s = now_s - self._failing_since_s
            _log.info(
                "the exchange takes deliveries again, after %d failures in %.0f s%s",
                self._failures,
                lasted_s,
                missed,
            )
        self._state = "ok"
        self._retry_at_s = self._asked_until_s = -inf
        self._failures = 0
        self._turns.clear()
        self._batch_items = min(self._batch_items * GROWTH, BACKLOG_ITEMS)

    async def _look(self) -> None:
        """Ask what the exchange holds, for as long as nothing is to be sent."""
        asking, news = (
            asyncio.ensure_future(self._read_back.ask(self._now())),
            asyncio.ensure_future(self._news.wait()),
        )
        try:
            await asyncio.wait((asking, news), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            asking.cancel()
            ended = await asyncio.gather(asking, news, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    # --- waiting ----------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Until there may be something to send."""
        if not self._trusted():
            await asyncio.sleep(UNTRUSTED_SLEEP_S)
            return
        now_s = self._now()
        change_s = self._outbox.next_change_s(now_s)
        waits = (
            [MAX_SLEEP_S, self._retry_at_s - self._loop_s()]
            if self._retry_at_s > self._loop_s()
            else [MAX_SLEEP_S]
        )
        if change_s is not None:
            waits.append(change_s - now_s)
        boundary_s = int(now_s // self._slot_s) * self._slot_s
        if now_s < boundary_s + self._quiet_s:
            # What opens or closes meanwhile waits for the quiet's end as well.
            waits = [MAX_SLEEP_S, boundary_s + self._quiet_s - now_s]
        elif self._answers:
            waits.append(self._read_back.next_s(now_s) - now_s)
        await self._sleep_for(min(waits))

    async def _sleep_for(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(MIN_SLEEP_S, seconds)):
                await self._news.wait()

    def _say(self, items: Sequence[Item]) -> str:
        """Items in words: how many, of which asset, from when to when."""
        first, last = (
            datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%d %H:%M:%SZ") for s in _ends(items)
        )
        count = (
            f"{items[0].kind} of one slot"
            if len(items) == 1
            else f"{items[0].kind}s of {len(items)} slots"
        )
        assets = {item.subject for item in items}
        of = (
            f"asset {self._name_of(items[0].subject)}"
            if len(assets) == 1
            else f"{len(assets)} assets"
        )
        return f"{count} of {of}, {first}" + ("" if first == last else f" to {last}")

    def _loop_s(self) -> float:
        return asyncio.get_running_loop().time()


def _stream(item: Item) -> _Stream:
    return item.subject, item.kind


def _closed(batch: _Batch, now_s: float) -> bool:
    return batch.closes_s is not None and batch.closes_s <= now_s


def _ends(items: Sequence[Item]) -> tuple[int, int]:
    starts = [item.slot_s for item in items]
    return min(starts), max(starts)
