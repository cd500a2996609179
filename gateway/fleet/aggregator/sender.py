"""Sends what is owed: claims assets, sends their numbers in one request, and writes down what came
of it. Shell.

What is refused is divided until the bad number is alone, so that it holds up no others; it waits
for its next try by itself (`table.note_refused`). What gets no answer may still arrive: its assets
are left alone until it cannot any more.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Never
from uuid import uuid4

from msgspec.structs import replace

from gateway.delivery.http_transport import HttpTransport
from gateway.delivery.patience import Patience
from gateway.fleet.aggregator import table
from gateway.fleet.aggregator.binding import Binding
from gateway.fleet.aggregator.health import AggregatorHealth, State
from gateway.fleet.aggregator.numbers import Claim, Number, Size, Windows, parts_of
from gateway.fleet.aggregator.settings import ExchangeSettings
from gateway.fleet.aggregator.table import Rules
from gateway.fleet.database import Connection
from gateway.outbox.exchange.batch import Dialect
from gateway.outbox.format import REFUSED, Accepted, Outcome, Rejected, Retry, Sent
from gateway.outbox.owed import live_since_s

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Where nothing was owed: gateways send their slots spread over half a minute."""
REST_EVERY_S = 5.0
"""Between two looks at what is not of live slots, while there is nothing of it."""
MAX_REJECTIONS_IN_A_ROW = 30
"""Twice as many as it takes to find one bad number of all: what refuses so many refuses all."""
LEAST_S = 0.1
"""A request with less time than this before a forecast's slot begins goes without it."""


@dataclass(slots=True)
class _Course:
    """How it has gone since the start."""

    is_met: bool = False
    """The exchange has let us in."""
    rejections: int = 0
    """In a row."""
    refuses_since_s: float | None = None
    """Since when it refuses everything, by the loop's clock."""
    first_rejection_s: float = 0.0
    rest_at_s: float = 0.0
    """When it is looked again at what is not of live slots, by the loop's clock."""


class Sender:
    """Of one exchange, by way of one aggregator. `now` is Unix time, `jitter` gives random numbers
    from 0 to 1.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        transport: HttpTransport,
        dialect: Dialect,
        rules: Rules,
        health: AggregatorHealth,
        *,
        binding: Binding,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._dialect = dialect
        self._rules = rules
        self._health = health
        self._binding = binding
        self._now = now
        self._patience = Patience(jitter)
        self._size = Size()
        self._course = _Course()

    async def run(self, connection: Connection) -> Never:
        """For ever. Raises DatabaseError."""
        self._health.batch_assets = self._size.assets
        while True:
            if (wait_s := self._patience.retry_at_s - _loop_s()) > 0:
                await asyncio.sleep(min(wait_s, LOOK_EVERY_S))
            elif not self._course.is_met:
                await self._greet()
            elif not await self._turn(connection):
                await asyncio.sleep(LOOK_EVERY_S)

    async def _greet(self) -> None:
        problem = await self._transport.greet()
        if problem is None:
            self._course.is_met = True
            self._become("connected", "")
        else:
            self._fail(problem)

    async def _turn(self, connection: Connection) -> bool:
        """Send once; whether there was anything. Raises DatabaseError."""
        if not self._binding.aggregator:
            return False
        claim = await self._claim(connection)
        if not claim.numbers:
            return False
        # Where this is ended in the middle, time lets go of what is claimed.
        under_way = await self._deliver(connection, claim)
        await table.let_go(connection, claim, under_way)
        return True

    async def _claim(self, connection: Connection) -> Claim:
        """What goes next: live slots, then what is still settled, then the rest."""
        now_s, slot_s = self._now(), int(self._settings.slot)
        bounds: list[float | None] = [live_since_s(now_s, slot_s)]
        if _loop_s() >= self._course.rest_at_s:
            bounds += [now_s - self._settings.settlement, None]
        for since_s in bounds:
            windows = Windows.at(now_s, self._dialect, slot_s, self._settings.kept, since_s)
            claim = await table.claim(connection, windows, self._rules, self._size.assets)
            if claim.numbers:
                return claim
        if len(bounds) > 1:
            self._course.rest_at_s = _loop_s() + REST_EVERY_S
        return Claim(uuid4())

    async def _deliver(self, connection: Connection, claim: Claim) -> Sequence[Number]:
        """Send it, in halves where it is refused. Returns the numbers of which nobody knows whether
        they are still on their way. Raises DatabaseError.
        """
        waiting = deque([claim.numbers])
        while waiting:
            part = waiting.popleft()
            if not await table.hold(connection, claim, self._rules):
                return ()
            transaction = uuid4()
            outcome = await self._send(part, str(transaction))
            match outcome:
                case Accepted() | Sent():
                    is_accepted = isinstance(outcome, Accepted)
                    await table.note_sent(
                        connection,
                        part,
                        transaction,
                        is_accepted=is_accepted,
                        reason=outcome.answer,
                    )
                    if (since_s := self._course.refuses_since_s) is not None:
                        await table.forget_refusals(connection, _loop_s() - since_s)
                    self._works(part, is_accepted=is_accepted)
                case Rejected(whole=False) if len(part) > 1:
                    self._health.requests["refused"] += 1
                    waiting.extendleft(reversed(parts_of(part)))
                    if self._refuses_all(outcome):
                        return ()
                case Rejected():
                    self._health.requests["refused"] += 1
                    if not outcome.whole:
                        await self._refuse(connection, part[0], outcome.reason)
                    if outcome.whole or self._refuses_all(outcome):
                        self._refuse_all(outcome)
                        return ()
                case Retry(cause="time"):
                    await asyncio.sleep(LEAST_S)
                case Retry():
                    self._fail(outcome)
                    return part if outcome.sent and not outcome.answered else ()
        return ()

    async def _send(self, numbers: Sequence[Number], transaction_id: str) -> Outcome:
        now_s, kept = self._now(), self._settings.kept
        items = [each.item for each in numbers]
        (batch,) = self._dialect.encode(items, transaction_id)
        closes_s = [
            closes
            for item in items
            if (closes := self._dialect.window(item.kind, item.slot_s, kept).closes_s) is not None
        ]
        within_s = min([self._transport.timeout_s, *(each - now_s for each in closes_s)])
        if within_s < LEAST_S:
            return Retry("a forecast's slot begins", sent=False, answered=False, cause="time")
        payload = {"aggregator_uuid": self._binding.aggregator, **batch.payload}
        return await self._transport.send(replace(batch, payload=payload), within_s)

    # --- how it goes ------------------------------------------------------------------------------

    def _works(self, numbers: Sequence[Number], *, is_accepted: bool) -> None:
        now_s = self._now()
        self._course.rejections, self._course.refuses_since_s = 0, None
        self._patience.succeed()
        self._size.taken()
        self._health.batch_assets = self._size.assets
        self._health.requests["taken"] += 1
        self._health.numbers["accepted" if is_accepted else "sent"] += len(numbers)
        self._health.last_success_s = now_s
        self._become("connected", "")

    async def _refuse(self, connection: Connection, number: Number, reason: str) -> None:
        is_final = await table.note_refused(connection, number, reason, self._rules)
        self._health.numbers["rejected" if is_final else "refused"] += 1
        _log.warning(
            "the exchange refuses asset %s, slot %d, revision %d: %s%s",
            number.uuid,
            number.slot_s,
            number.revision,
            reason,
            "; that is final" if is_final else "; it is tried again",
        )

    def _refuses_all(self, outcome: Rejected) -> bool:
        """Whether it has refused so much in a row that it is given time."""
        if not self._course.rejections:
            self._course.first_rejection_s = _loop_s()
        self._course.rejections += 1
        if self._course.rejections < MAX_REJECTIONS_IN_A_ROW:
            return False
        self._refuse_all(outcome)
        return True

    def _refuse_all(self, outcome: Rejected) -> None:
        self._patience.fail(_loop_s())
        self._size.failed()
        if self._course.refuses_since_s is None:
            self._course.refuses_since_s = self._course.first_rejection_s or _loop_s()
        if outcome.whole and not outcome.is_of_rights:
            self._binding.doubt()
        self._become("refuses", outcome.reason)

    def _fail(self, outcome: Retry) -> None:
        self._health.requests["failed"] += 1
        self._patience.fail(_loop_s(), outcome.after_s)
        self._size.failed()
        self._health.batch_assets = self._size.assets
        state: State = "refuses" if outcome.cause == REFUSED else "away"
        self._become(state, outcome.reason)

    def _become(self, state: State, reason: str) -> None:
        if not self._health.become(state, reason, self._now()):
            return
        if state == "connected":
            _log.info("the exchange is there")
        else:
            _log.warning(
                "the exchange %s: %s; nothing is lost, and it is tried again", state, reason
            )


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
