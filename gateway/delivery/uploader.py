"""What is owed goes out: each verdict is on disk before anything else. Shell.

`outbox/schedule.py` says what goes next, `patience.py` when a destination that fails is tried
again. Nothing is sent at the begin of a slot until `quiet_s` has passed, which differs from site to
site. One batch is under way at a time. There is no queue here: what counts is in the buffer.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from math import inf
from typing import Never
from uuid import uuid4

from msgspec.structs import replace

from gateway.delivery.awaited_words import AwaitedWords
from gateway.delivery.destination import Acknowledges, Attends, Destination
from gateway.delivery.journal import Journal
from gateway.delivery.patience import MAX_BACKOFF_S, Patience
from gateway.delivery.read_back import ReadBack
from gateway.delivery.records import Outbox, Shipment, write_down
from gateway.monitoring.report import DestinationReport
from gateway.outbox.format import Accepted, Answer, Outcome, Rejected, Retry, Sent, Terms
from gateway.outbox.owed import LIVE_SLOTS, Owed
from gateway.outbox.refusals import Refusals
from gateway.outbox.schedule import BACKLOG_ITEMS, Doubted, Portion, Schedule, halves
from gateway.store.errors import StoreError

MIN_SLEEP_S = 0.001
MAX_SLEEP_S = 30.0
"""The wall clock may step while the loop's does not: look at it this often."""
LEAST_S = 0.1
"""A batch with less time than this before its window closes is not begun: it could only be lost,
and hide why the ones before it were.
"""
UNTRUSTED_SLEEP_S = 5.0
CONNECTING_SLEEP_S = 0.2
BETWEEN_WORDS_S = 0.02
"""A word may be about thousands of numbers, and several come at a tick: what is to be sent has its
turn in between.
"""


class Uploader:
    """Delivers the items of one outbox to one destination, for ever.

    `now` is Unix time, and `trusted` says whether it is believed: until then nothing is sent,
    because the windows of what is still owed from before the last boot mean nothing by a wrong
    clock. `jitter` gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        destination: Destination,
        outbox: Outbox,
        *,
        now: Callable[[], float],
        trusted: Callable[[], bool],
        jitter: Callable[[], float],
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._now = now
        self._trusted = trusted
        policy = destination.policy
        self._schedule = Schedule(destination.format, policy.slot_s, policy.settlement_s)
        self._refusals = Refusals(policy.slot_s, policy.subjects)
        self._patience = Patience(jitter)
        self._journal = Journal(destination.name, destination.name_of, outbox.note)
        self._read_back = ReadBack(outbox, destination)
        self._words = AwaitedWords(destination, outbox, self._schedule, self._journal)
        self._news = asyncio.Event()
        self.turned_s: float | None = None
        """When `run` last went round, by the loop's clock: proof that it does not hang."""

    @property
    def name(self) -> str:
        """The destination's, in the configuration."""
        return self._destination.name

    @property
    def terms(self) -> Terms:
        """What the ledger must know of the destination."""
        return self._destination.terms

    def wake(self) -> None:
        """New items are in the outbox."""
        self._news.set()

    async def run(self) -> None:
        """Deliver for ever. What the destination or the disk does ends up in the log and the
        report; only bugs get out.
        """
        async with aclosing(self), asyncio.TaskGroup() as group:
            group.create_task(self._deliver_all())
            if self._destination.acknowledges:
                group.create_task(self._hear(self._destination.acknowledges))
            if self._destination.attends:
                group.create_task(self._attend(self._destination.attends))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._destination.transport.aclose()

    @property
    def longest_turn_s(self) -> float:
        """How long `run` may take to go round once: a request, a login, and the request again; or
        the longest wait.
        """
        return max(3 * self._destination.transport.timeout_s, MAX_BACKOFF_S)

    def snapshot(self, now_s: float) -> DestinationReport:
        """How deliveries go; counts are since the start. Raises StoreError."""
        report = _report(self._destination, self._outbox, self._journal, self._read_back, now_s)
        return replace(report, next_try_s=_next_try_s(self._patience, now_s))

    # --- sending ----------------------------------------------------------------------------------

    async def _deliver_all(self) -> Never:
        while True:
            self.turned_s = _loop_s()
            try:
                portion = self._next() if self._trusted() else None
                if portion is not None:
                    await self._deliver(portion)
                elif self._may_greet():
                    await self._greet()
                elif self._trusted() and self._read_back.wants(self._now()):
                    await self._read_back.ask_until(self._news, self._now())
                else:
                    await self._sleep()
            except StoreError as error:
                # A verdict that is not on disk was not given: the batch goes again. Later,
                # though, for the disk's sake.
                self._fail_for(error)
                await self._sleep_for(self._patience.retry_at_s - _loop_s())

    def _next(self) -> Portion | None:
        """What is to be sent now, if anything is."""
        self._news.clear()
        now_s = self._now()
        cause = self._journal.counts.last_error if self._patience.failures else ""
        self._journal.missed(self._outbox.expire(now_s, cause))
        self._miss_answers(now_s)

        boundary_s = self._destination.policy.boundary_s(now_s)
        if now_s < boundary_s + self._destination.policy.quiet_s:
            return None
        if self._outbox.changed_elsewhere:
            self._schedule.forget()

        def due(*, since_s: int | None, limit: int) -> Sequence[Owed]:
            attends = self._destination.attends
            if attends is None or attends.knows_all:
                return self._outbox.due(now_s, since_s=since_s, limit=limit)
            found = self._outbox.due(now_s, since_s=since_s, limit=BACKLOG_ITEMS)
            return [owed for owed in found if attends.knows(owed.item.subject)][:limit]

        allowed = self._patience.allows(_loop_s(), boundary_s)
        may_wait = allowed == "all" and self._words.is_connecting
        portion = self._schedule.next(due, now_s, "just_closed" if may_wait else allowed)
        if portion is not None and allowed == "just_closed":
            self._patience.spend_the_try(boundary_s)
        return portion

    async def _deliver(self, portion: Portion) -> None:
        """Send one batch and write down what became of it."""
        # After its window an undated number would be booked to a slot it does not belong to: the
        # sending is given up before.
        within_s = None if portion.closes_s is None else portion.closes_s - self._now()
        if within_s is not None and within_s < LEAST_S:
            await self._sleep_for(within_s)
            return

        shipment = Shipment(str(uuid4()), self._now())
        (batch,) = self._destination.format.encode(portion.items, shipment.transaction_id)
        self._journal.counts.requests += 1
        self._words.begin(shipment, _loop_s())
        outcome = await self._destination.transport.send(batch, within_s)

        self._read_back.is_answered = not isinstance(outcome, Retry) or (
            outcome.answered and outcome.after_s is None
        )
        self._conclude(portion, outcome, shipment)
        for answer in self._words.end():
            self._take_in(answer)

    def _conclude(
        self, portion: Portion, outcome: Outcome, shipment: Shipment | None, sent_s: float = inf
    ) -> None:
        """Write down what came of a portion, and go by it; `sent_s`: it is a word on what was sent
        then, by the loop's clock. Raises StoreError.
        """
        judged = self._refusals.judge(portion, outcome, self._now(), _loop_s(), sent_s)
        write_down(self._outbox, portion, judged, shipment, self._now())
        self._settle(portion, judged, sent_s)

    def _settle(self, portion: Portion, outcome: Outcome | Doubted, sent_s: float) -> None:
        """Go by an outcome that is written down."""
        items, now_s = portion.items, self._now()
        self._schedule.settle(portion, outcome, now_s)
        match outcome:
            case Accepted():
                self._journal.accepted(items, now_s)
            case Sent():
                self._journal.sent(items, now_s, is_receipt=outcome.is_receipt)
                if self._journal.refusing_since_s is not None:
                    # Its words refuse everything, whatever its receipts say: one try, and its word.
                    self._patience.wait(_loop_s(), self._destination.policy.answer_within_s)
                elif outcome.is_receipt:
                    self._works(now_s)
                else:
                    self._patience.succeed()
                return  # it may be well or not: its own word tells
            case Rejected() if not halves(portion, outcome):
                self._journal.rejected(items, outcome.reason, now_s)
            case Doubted():
                self._journal.refused(items, outcome.reason, now_s)
            case Retry():
                self._fail(outcome.cause, outcome.reason, outcome.after_s)
                return

        if isinstance(outcome, Rejected | Doubted) and self._refusals.refuses_all:
            self._read_back.is_answered = False
            self._patience.fail(_loop_s())
            self._journal.refuses_all(outcome.reason, now_s)
            return
        if isinstance(outcome, Doubted):
            return
        if isinstance(outcome, Rejected) and self._schedule.rejects_everything:
            reason = (
                f"{self._schedule.rejections} requests in a row were rejected; to the last one it "
                f"{outcome.reason}"
            )
            self._fail("rejections", reason)
            return
        if self._patience.is_answered_by(sent_s):
            self._works(now_s)

    def _works(self, now_s: float) -> None:
        """The destination has given its word."""
        self._journal.recovered(self._patience.failures, now_s)
        self._patience.succeed()

    def _fail(self, cause: str, reason: str, after_s: float | None = None) -> None:
        """Give the destination time."""
        self._patience.fail(_loop_s(), after_s)
        self._journal.failed(cause, reason, self._now())

    def _fail_for(self, error: StoreError) -> None:
        """Give the disk time."""
        self._schedule.start_small()
        self._fail("StoreError", f"the buffer cannot be used: {error}")

    # --- hearing from it before anything is owed ------------------------------------------------

    def _may_greet(self) -> bool:
        """Whether it is to be heard from, and may be tried now. Not while the clock is not trusted:
        no certificate is valid then.
        """
        greets = self._destination.greets
        if greets is None or self._journal.is_met or not self._trusted():
            return False
        boundary_s = self._destination.policy.boundary_s(self._now())
        return self._patience.allows(_loop_s(), boundary_s) == "all"

    async def _greet(self) -> None:
        """See whether it is there and takes who we are."""
        assert self._destination.greets is not None
        problem = await self._destination.greets.greet()
        if problem is not None:
            self._fail(problem.cause, problem.reason, problem.after_s)
            return
        self._journal.greeted(now_s := self._now())
        self._works(now_s)

    # --- its own word on what was sent ------------------------------------------------------------

    async def _hear(self, acknowledges: Acknowledges) -> None:
        async for answer in acknowledges.answers():
            self._news.set()
            try:
                if self._take_in(answer):
                    await asyncio.sleep(BETWEEN_WORDS_S)
            except StoreError as error:
                self._fail_for(error)  # it is not on disk, so it was not said

    async def _attend(self, attends: Attends) -> None:
        async for moved in attends.attend():
            self._news.set()
            try:
                self._words.move(moved, self._now())
            except StoreError as error:
                self._fail_for(error)  # then its word is missed when its time is over

    def _take_in(self, answer: Answer) -> bool:
        """One word of its own; whether it was about anything. Raises StoreError."""
        for portion, outcome in (found := self._words.about(answer)):
            self._conclude(portion, outcome, None, self._words.sent_loop_s(answer))
        return bool(found)

    def _miss_answers(self, now_s: float) -> None:
        """What was sent and is not answered in time is sent again. Raises StoreError."""
        if (within_s := self._destination.policy.answer_within_s) is None:
            return
        if self._destination.listening is not None:
            for portion, outcome in self._words.miss(now_s):
                self._conclude(portion, outcome, None)
            return
        reason = f"gave no answer within {within_s:g} s"
        if self._outbox.owe_unanswered(now_s - within_s, reason):
            self._schedule.start_small()
            self._fail("reply", reason)

    # --- waiting ----------------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Until there may be something to send."""
        if not self._trusted():
            await asyncio.sleep(UNTRUSTED_SLEEP_S)
            return

        now_s, policy = self._now(), self._destination.policy
        waits = [MAX_SLEEP_S]
        quiet_until_s = policy.boundary_s(now_s) + policy.quiet_s
        if now_s < quiet_until_s:
            # What opens or closes meanwhile waits for the quiet's end as well.
            waits.append(quiet_until_s - now_s)
        else:
            if self._patience.retry_at_s > _loop_s():
                waits.append(self._patience.retry_at_s - _loop_s())
            changes_s = self._outbox.next_change_s(now_s), self._schedule.next_s(now_s)
            waits += [change_s - now_s for change_s in changes_s if change_s is not None]
            if self._words.is_connecting:
                waits.append(CONNECTING_SLEEP_S)
            waits += [self._words.next_s() - now_s, self._read_back.next_s(now_s) - now_s]
        await self._sleep_for(min(waits))

    async def _sleep_for(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(MIN_SLEEP_S, seconds)):
                await self._news.wait()


def _report(
    destination: Destination, outbox: Outbox, journal: Journal, read_back: ReadBack, now_s: float
) -> DestinationReport:
    """How deliveries go. Raises StoreError."""
    backlog = outbox.backlog()
    confirmations = read_back.confirmations(now_s)
    counts = journal.counts
    return DestinationReport(
        name=destination.name,
        state=journal.state,
        last_success_s=counts.last_success_s,
        # Every slot brings something to deliver: no success for longer than two of them means
        # that something is wrong.
        max_age_s=LIVE_SLOTS * destination.policy.slot_s + MAX_BACKOFF_S,
        errors=counts.errors,
        last_error=counts.last_error,
        last_error_s=counts.last_error_s,
        refused=journal.is_refused,
        greets=destination.greets is not None,
        url=destination.transport.url,
        dialect=destination.kind,
        backlog=backlog.count,
        oldest_undelivered_s=backlog.oldest_slot_s,
        next_deadline_s=backlog.next_closes_s,
        sent=backlog.sent,
        requests=counts.requests,
        accepted=counts.accepted,
        rejected=counts.rejected,
        missed=counts.missed,
        refusals=counts.refusals,
        refusing_since_s=journal.refusing_since_s,
        refuses=dict(counts.refuses),
        read_back=read_back.state,
        verdicts="" if destination.listening is None else destination.listening.state,
        unheard={name: why for (name, _), why in counts.unheard.items()},
        unheard_items=counts.unheard_items,
        registry={} if destination.attends is None else dict(destination.attends.told),
        confirmed=read_back.confirmed,
        disagreements=read_back.disagreements,
        unconfirmed=confirmations.unconfirmed,
        disputed=confirmations.disputed,
    )


def _next_try_s(patience: Patience, now_s: float) -> float | None:
    """When what fails is tried again, Unix time."""
    wait_s = patience.retry_at_s - _loop_s() if patience.failures else 0.0
    return now_s + wait_s if wait_s > 0 else None


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
