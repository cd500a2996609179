"""The grid operator's agent: it follows the exchange's slots, and has each market charge what its
tariff model says. Shell.

    event: slot n + 1 has begun ─▶ statistics of slot n asked ─▶ told ─▶ fee of slot n + 2 decided
                                   (a model that needs none: its fee goes with the question)
        ─▶ on disk ─▶ sent ─▶ answered ─▶ on disk

All of it is one task beside the metering, with errors of its own: whatever goes wrong here is told,
and begun anew. What an exchange does not answer is said again within the slot; what is still open
when the slot begins stays so, with its reason. The time of slots is one that goes on while the
machine is suspended: by the loop's, which stands still, a fee would be sent for a slot long over,
and charged in another.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from gateway.delivery.http_session import ExchangeError
from gateway.monitoring.report import GridOperatorReport
from gateway.operator.connection import Connection
from gateway.operator.desk import Desk, Left
from gateway.operator.fee import UNITS, Fee
from gateway.operator.frames import Finished, Replies, Said, SlotRuns
from gateway.operator.pace import Pace
from gateway.operator.slot_round import Batch, SlotRound
from gateway.operator.stop_order import Order, StopOrder
from gateway.store.errors import StoreError
from gateway.timing.backoff import Backoff
from gateway.timing.utc import utc_seconds

MOST_AT_ONCE = 250
"""Markets in one batch: some 40 kB."""
ANSWER_PART = 0.25
"""After this part of a slot without an answer it is asked again: a rehearsal's tick is a tenth of
its slot, and an answer takes two of them at most.
"""
DECIDE_PART = 0.6
"""When this part of a slot is over, a fee is decided with what is known."""
LOOKS = 900
"""How often in a slot it is looked whether the meters' own slot has closed."""
SILENT_SLOTS = 1.25
"""After so many slots without an event the registry is read again: perhaps the aggregator is gone.
"""
BACKOFF_S, MAX_BACKOFF_S = 1.0, 300.0
SEND_AGAIN_S, MAX_SEND_AGAIN_S = 0.5, 30.0
LEAST_S = 0.05
STORE_AGAIN_S = 1.0
NOT_TOLD = "the exchange told of no slot in which it could have been decided"
ORDER_POLL_S = 2.0
MOST_TOLD = 5
"""Markets in one line of the log."""
FRESH_SLOTS = 3
"""A fee that was taken so many slots ago is no recent success."""

_log = logging.getLogger(__name__)


class Doings(Struct):
    """What the agent has done since its start."""

    taken_s: float | None = None
    """When a fee was last taken, or an event last heard where none is to be sent; before the first,
    when the exchange let us in. Unix time.
    """
    heard_s: float | None = None
    """When an event last came, by the loop's clock."""
    stray_events: int = 0
    """Doubled, or older than what was told."""
    problem: str = ""
    """Of the agent itself, or of the store."""
    problem_s: float | None = None
    errors: int = 0
    is_stopped: bool = False
    lost: str = "this gateway did not run, or had not heard the exchange yet"
    """Why slots may have gone by."""
    has_ended: bool = False
    """The exchange says that its simulation is over."""


class Agent:
    """Of one network. `now` is Unix time; `steady` goes on while the machine is suspended."""

    def __init__(
        self,
        connection: Connection,
        desk: Desk,
        order: StopOrder,
        *,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.connection = connection
        self.desk = desk
        self.pace = Pace(desk.plan.slot_s)
        self.doings = Doings()
        self._order = order
        self._now = now
        self._steady_s = steady
        self._jitter = jitter
        self.news = asyncio.Event()
        """Something may be otherwise than it was."""
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._told: dict[str, Fee] = {}
        """The fees that the log has told of."""

    async def run(self) -> None:
        """Work for ever. Nothing but its own end is raised."""
        backoff = Backoff(BACKOFF_S, MAX_BACKOFF_S, self._jitter)
        while True:
            if self._is_stopped():
                await asyncio.sleep(ORDER_POLL_S)
                continue
            try:
                await self.work()
                backoff.succeed()
            except Exception as error:  # noqa: BLE001 — metering goes on, whatever is wrong here
                _log.exception("the grid operator's agent failed, and is begun anew")
                self._note_problem(f"it failed: {type(error).__name__}: {error}")
                await asyncio.sleep(backoff.fail())

    async def work(self) -> None:
        """Set fees, until the markets are left at one because a person said so."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._listen(group)),
                group.create_task(self.connection.watch_registry()),
                group.create_task(self._watch_events()),
            ]
            order = await self._ordered()
            for task in (*tasks, self._task):
                if task is not None:
                    task.cancel()

        left = self.desk.left
        assert left is not None
        await self.connection.let_go()
        self._order.write(replace(order, done_s=self._now(), left_at=str(left.fee)))
        self.doings.lost = "the agent was stopped by fees stop"
        _log.info("the markets are %s", left.why)

    def snapshot(self) -> GridOperatorReport:
        """How it is."""
        connection, doings, plan = self.connection, self.doings, self.desk.plan
        condition = connection.condition
        return GridOperatorReport(
            name="grid operator",
            state=self._state(),
            last_success_s=doings.taken_s,
            max_age_s=FRESH_SLOTS * plan.slot_s,
            errors=doings.errors + condition.errors,
            last_error=condition.problem or doings.problem,
            last_error_s=doings.problem_s,
            asleep="stopped by fees stop" if doings.is_stopped else "",
            url=connection.url,
            aggregator=connection.aggregator,
            unit=UNITS[plan.fee_type],
            dry_run=plan.dry_run,
            connection="heard" if condition.since_s is not None else condition.problem,
            slot_s=self.pace.newest_s,
            markets=[self.desk.report(market) for market in connection.markets],
            left_out=dict(connection.problems),
            stray_events=doings.stray_events,
        )

    def _state(self) -> str:
        """In a word or two."""
        if self.doings.is_stopped:
            return "stopped"
        if self.connection.condition.since_s is None:
            return "not heard" if self.connection.condition.problem else "connecting"
        if self.doings.has_ended:
            return "the simulation is over"
        if not self.connection.markets:
            return "no market"
        if self.pace.newest_s is None:
            return "waiting for a slot"
        return "dry run" if self.desk.plan.dry_run else "ok"

    async def aclose(self) -> None:
        """Close all connections."""
        await self.connection.aclose()

    # --- a person's word --------------------------------------------------------------------------

    def _is_stopped(self) -> bool:
        """Whether a person has said so, and all is done for it."""
        order = self._read_order()
        self.doings.is_stopped = order is not None and order.done_s is not None
        return self.doings.is_stopped

    async def _ordered(self) -> Order:
        """The order, once every market is at its fee."""
        while True:
            order = self._read_order()
            if order is not None and self.desk.is_at_stop:
                return order
            await asyncio.sleep(ORDER_POLL_S)

    def _read_order(self) -> Order | None:
        try:
            order = self._order.read()
        except (OSError, ValueError) as error:
            self._note_problem(f"{self._order.path} cannot be read: {error}")
            return None
        plan, before = self.desk.plan, self.desk.left
        self.desk.left = None if order is None else Left.by(order, plan.fee_type, plan.bounds)
        if order is not None and order.done_s is None and self.desk.left not in (before, None):
            _log.warning("fees stop: the markets are to be %s", self.desk.left.why)
        return order

    # --- what is heard ----------------------------------------------------------------------------

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """For ever."""
        async with aclosing(self.connection.listen()) as heard:
            async for said in heard:
                self._take(said, group)

    def _take(self, said: Said | None, group: asyncio.TaskGroup) -> None:
        match said:
            case SlotRuns():
                self._begin(said, group)
            case Replies():
                self._hear(said)
            case Finished():
                self.doings.has_ended = True
                self.doings.lost = "the exchange says that its simulation is over"
                _log.warning("%s", self.doings.lost)
            case None if problem := self.connection.condition.problem:
                self.doings.lost = f"the exchange was not heard: {problem}"
            case None if self.connection.markets and self.doings.taken_s is None:
                # The first fee is a slot away; that fees can be set is known.
                self.doings.taken_s = self._now()

    def _begin(self, runs: SlotRuns, group: asyncio.TaskGroup) -> None:
        """A slot has begun: the fees of the next one are due."""
        if not self.pace.hear(runs.slot_s, self._steady_s() - runs.part * self.pace.lasts_s):
            self.doings.stray_events += 1
            return
        self.doings.heard_s, self.doings.has_ended = asyncio.get_running_loop().time(), False
        if self._task is not None:
            self._task.cancel()
        self._changed.clear()
        self._task = group.create_task(self._set_fees_after(runs))

    def _hear(self, replies: Replies) -> None:
        current = self.desk.current
        before = current.taken() if current else {}
        try:
            is_ours = self.desk.hear(replies, self._now())
        except StoreError as error:
            self._note_problem(str(error))
            return
        if not is_ours or current is None:
            return
        if current.unknown:
            self.connection.doubt()
        taken = {name: fee for name, fee in current.taken().items() if name not in before}
        if taken:
            self.doings.taken_s = self._now()
            self._tell(current.slot_s, taken)
        self._changed.set()
        self.news.set()

    def _tell(self, slot_s: int, taken: dict[str, Fee]) -> None:
        """A line where fees are others than they were."""
        news = {name: fee for name, fee in taken.items() if self._told.get(name) != fee}
        if not news:
            return
        self._told |= news
        named = ", ".join(f"{name} {fee}" for name, fee in sorted(news.items())[:MOST_TOLD])
        more = f" and {len(news) - MOST_TOLD} more" if len(news) > MOST_TOLD else ""
        _log.info("grid fees from %s on, taken: %s%s", utc_seconds(slot_s), named, more)

    async def _watch_events(self) -> None:
        """Where no slot begins any more although the connection is there, the aggregator may have
        gone.
        """
        while True:
            await asyncio.sleep(self.pace.lasts_s / 4)
            since_s = self.connection.condition.since_s
            if since_s is None:
                continue
            silent_s = asyncio.get_running_loop().time() - max(since_s, self.doings.heard_s or 0.0)
            if silent_s >= SILENT_SLOTS * self.pace.lasts_s:
                self.connection.doubt()

    # --- what is said -----------------------------------------------------------------------------

    async def _set_fees_after(self, runs: SlotRuns) -> None:
        """The slot after the one that has begun. Where the disk refuses, it is tried again."""
        lost, self.doings.lost = self.doings.lost, NOT_TOLD
        retry = Backoff(STORE_AGAIN_S, self.pace.lasts_s / 20, self._jitter)
        while True:
            try:
                current = self.desk.begin(runs, self.connection.markets, lost)
                break
            except StoreError as error:
                self._note_problem(str(error))
                self.doings.lost = f"what is decided could not be kept: {error}"
            if self._steady_s() >= self.pace.deadline_s():
                return
            await asyncio.sleep(retry.fail())
        self.doings.lost = NOT_TOLD
        if self.desk.plan.dry_run and current.places:
            self.doings.taken_s = self._now()
        await self._set_fees(current)

    async def _set_fees(self, current: SlotRound) -> None:
        """All that is to be said for one slot, until it is over or nothing is open."""
        retry = Backoff(SEND_AGAIN_S, MAX_SEND_AGAIN_S, self._jitter)
        said_s: float | None = None
        while current.is_open and (now_s := self._steady_s()) < self.pace.deadline_s():
            lasts_s = self.pace.lasts_s
            decide_s = self.pace.began_s() + DECIDE_PART * lasts_s
            self.desk.decide(current, is_last=now_s >= decide_s)
            again_s = (now_s if said_s is None else said_s) + ANSWER_PART * lasts_s
            batch = current.next_batch(MOST_AT_ONCE, again=now_s >= again_s)
            if not batch:
                # Behind again_s there is nothing to be said again: all that was said is answered.
                deadline_s = self.pace.deadline_s()
                until_s = min(again_s, deadline_s) if now_s < again_s else deadline_s
                if current.undecided():
                    until_s = min(until_s, decide_s) if now_s < decide_s else until_s
                    if self.desk.waits_for_load(current):
                        until_s = min(until_s, now_s + lasts_s / LOOKS)
                wait_s = until_s - now_s
            elif await self._send(current, batch):
                said_s = self._steady_s()
                retry.succeed()
                continue
            else:
                wait_s = min(retry.fail(), 0.1 * lasts_s)
            await self._wait(max(wait_s, LEAST_S))
        if self._steady_s() >= self.pace.deadline_s():
            current.end("the slot was about to begin, or its event came too late")
            self._keep(current)
        self.connection.note_slot(was_ignored=current.was_ignored)
        self.news.set()

    async def _wait(self, seconds: float) -> None:
        """So long, or until an answer comes."""
        self.news.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _send(self, current: SlotRound, batch: Batch) -> bool:
        """Keep what is to be sent, and send it. Whether the exchange has it now."""
        transaction_id = str(uuid4())
        current.note_sent(transaction_id, batch, self._now())
        if not self._keep(current):
            current.note_unsent(
                batch, f"it could not be kept, and was not sent: {self.doings.lost}"
            )
            return False
        try:
            await self.connection.send(transaction_id, batch)
        except ExchangeError as error:
            current.note_unsent(batch, f"it could not be sent: {error}")
            return False
        return True

    def _keep(self, current: SlotRound) -> bool:
        try:
            self.desk.keep(current)
        except StoreError as error:
            self._note_problem(str(error))
            return False
        return True

    def _note_problem(self, text: str) -> None:
        if self.doings.problem != text:
            _log.error("grid operator: %s", text)
        self.doings.problem, self.doings.problem_s = text, self._now()
        self.doings.errors += 1
