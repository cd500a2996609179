"""Hears the engine's verdicts, and notes them in the database. Shell.

Every process listens: which of them has sent a request does not matter, and a verdict may be noted
more than once. One that comes before its request is noted as sent is kept for a moment. Since when
this process has heard everything is noted after what it has heard.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from gateway.delivery.exchange.verdicts import Verdicts
from gateway.fleet.aggregator import table
from gateway.fleet.aggregator.health import AggregatorHealth
from gateway.fleet.aggregator.table import Rules, Word
from gateway.fleet.database import Connection
from gateway.outbox.format import Accepted, Answer, Rejected, Retry
from gateway.outbox.item import Kind

KEPT_S = 60.0
"""So long a verdict waits for its request to be noted: others may have noted it, too."""
MAX_KEPT = 10_000
"""Beyond it the oldest go, and it counts as if nobody had listened until then."""
LETTER_OF: Mapping[Kind, str] = {"measurement": "m", "forecast": "f"}


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    transaction: UUID
    at_s: float
    """By the loop's clock."""


class Listener:
    """Of one aggregator's verdicts. `now` is Unix time."""

    def __init__(
        self,
        verdicts: Verdicts,
        rules: Rules,
        health: AggregatorHealth,
        now: Callable[[], float],
    ) -> None:
        self._verdicts = verdicts
        self._rules = rules
        self._health = health
        self._now = now
        self._kept: deque[_Kept] = deque()
        self._whole_since_s = 0.0
        """Since when none was given up, Unix time."""

    async def run(self) -> None:
        """Hear for ever."""
        async for answer in self._verdicts.answers():
            try:
                transaction = UUID(answer.transaction_id)
            except ValueError:
                continue  # about nothing that was sent
            self._kept.append(_Kept(answer, transaction, _loop_s()))
            if len(self._kept) > MAX_KEPT:
                self._kept.popleft()
                self._whole_since_s = self._now()

    def heard_for_s(self) -> float | None:
        """How long everything was heard until now; None: it is not."""
        since_s = self._verdicts.since_s(UUID(int=0))
        if since_s is None:
            return None
        return max(self._now() - max(since_s, self._whole_since_s), 0.0)

    async def note(self, connection: Connection) -> None:
        """Write down what was heard. Raises DatabaseError; then it is kept."""
        self._health.verdicts = self._verdicts.state
        some = list(self._kept)
        if not some:
            return
        noted = await table.noted_transactions(connection, {each.transaction for each in some})
        words = [word for each in some if each.transaction in noted for word in _words(each)]
        if words:
            next_slot_s = (int(self._now() // self._rules.slot_s) + 1) * self._rules.slot_s
            counts = await table.note_words(connection, words, self._rules, next_slot_s)
            self._health.numbers.update(counts)
        until_s = _loop_s() - KEPT_S
        done = {id(each) for each in some if each.transaction in noted or each.at_s < until_s}
        self._kept = deque(each for each in self._kept if id(each) not in done)


def _words(kept: _Kept) -> Iterator[Word]:
    """Of a batch there is one for each asset and kind."""
    for (subject, kind), outcome in kept.answer.of_streams.items():
        if isinstance(subject, UUID) and not isinstance(outcome, Retry):
            yield _word(kept.transaction, subject, kind, outcome)


def _word(transaction: UUID, asset: UUID, kind: Kind, outcome: Accepted | Rejected) -> Word:
    letter = LETTER_OF[kind]
    if isinstance(outcome, Accepted):
        return Word(transaction, asset, letter, True, False, "")
    return Word(transaction, asset, letter, False, outcome.whole, outcome.reason)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
