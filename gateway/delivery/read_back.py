"""Does the exchange hold what it accepted? It queues what it gets, applies it when its next slot
begins, and may drop it silently. Shell.

Once per slot, and for every asset with one question (the dialect's), it is asked for what it
accepted before that slot began and what is not confirmed yet, newest slot first. What it holds
otherwise is owed once more; the second time it is shown and left to a person.

The lowest priority of all: the uploader asks when nothing is to be sent to an exchange that
answers, and breaks off for what comes up. An exchange that cannot be asked is asked again a day
later; so is one with which nothing has ever agreed, a second delivery or not: what it tells must be
something else. Nothing of this makes deliveries wait or the destination fail.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from math import inf
from typing import Protocol

from gateway.delivery.http_session import ExchangeError, NotAllowed
from gateway.energy.slot import Event
from gateway.outbox.dialect import Dialect, Question, Reply
from gateway.outbox.http_replies import http_verdict
from gateway.outbox.item import Item, Subject
from gateway.outbox.owed import Confirmations, Held
from gateway.store.errors import StoreError

KEPT_S = 89 * 86_400
"""The exchange forgets after 90 days; what is about to be forgotten is not asked for."""
RARELY_S = 86_400.0
"""How long an exchange that cannot be asked is left alone."""
MAX_SILENCE_S = 3600.0
LOOK_ITEMS = 2_000
"""Unconfirmed items of one look, over all assets."""
LATER_PART = 0.1
"""Part of a slot that is left to deliveries before anything is asked."""
MIN_TIME_S = 0.5
"""With less time before the slot's end, nothing is asked any more."""

_TRY_AGAIN = {408, 425, 429}

_log = logging.getLogger(__name__)


class Books(Protocol):
    """Where it is written what was accepted. Each method may raise StoreError."""

    def unconfirmed(self, accepted_before_s: float, *, since_s: int, limit: int) -> list[Item]:
        """Dated measurements accepted before then and not confirmed yet, newest slot first."""

    def confirmations(self, since_s: int) -> Confirmations:
        """How many are still to be asked for, and how many are held otherwise in spite of a second
        delivery.
        """

    def record_held(self, found: Sequence[Held], now_s: float) -> list[Item]:
        """Write down what the exchange holds; returns what is owed again."""

    def note(self, event: Event) -> None:
        """Keep something that a person should know."""


class Asker(Protocol):
    """The way to the exchange: `exchange.session.Session`, or a simulation of it."""

    async def get(self, path: str, within_s: float | None = None) -> Reply:
        """GET a path below the URL, giving up after `within_s`. Raises ExchangeError."""


class ReadBack:
    """Asks one exchange for what it accepted. `after_s` is the time from the begin of each slot
    that belongs to others.
    """

    def __init__(
        self,
        books: Books,
        dialect: Dialect,
        session: Asker,
        *,
        slot_s: int,
        margin_s: float,
        after_s: float,
        name_of: Callable[[Subject], str],
    ) -> None:
        self._books = books
        self._dialect = dialect
        self._session = session
        self._slot_s = slot_s
        self._margin_s = margin_s
        self._after_s = after_s + LATER_PART * slot_s
        self._name_of = name_of
        self._cycle_s: int | None = None
        """Begin of the slot in which it was looked last what is to be asked."""
        self._round: deque[Question] = deque()
        self._found: list[Held] = []
        self._asked_s: dict[Subject, float] = {}
        """When each asset was asked for last: the next round begins with another one, so that one
        that fails does not hide the others.
        """
        self._left_alone_s: dict[Subject, float] = {}
        """Until when assets that cannot be asked for are left alone; these and the next are the
        loop's time.
        """
        self._silent_until_s = -inf
        self._disagreed = False
        """Whether the last round found something held otherwise."""
        self.state = ""
        """For people: ok, or why the exchange cannot be asked. Empty before the first answer."""
        self.confirmed = self.disagreements = 0
        """Since start."""

    def next_s(self, now_s: float) -> float:
        """When to look again, Unix time."""
        return self._cycle(now_s) + self._slot_s + self._after_s

    def wants(self, now_s: float) -> bool:
        """Whether there is something to ask now. Looks into the books once per slot."""
        into_s = now_s % self._slot_s
        if (
            self._loop_s() < self._silent_until_s
            or not self._after_s <= into_s <= self._slot_s - MIN_TIME_S
        ):
            return False
        cycle_s = self._cycle(now_s)
        if not self._round and cycle_s != self._cycle_s:
            self._cycle_s = cycle_s
            try:
                self._begin(cycle_s, now_s)
            except StoreError as error:
                self._stop(f"the buffer cannot be read: {error}", None)
        return bool(self._round)

    def counts(self, now_s: float) -> Confirmations:
        """What is still to be asked for, and what is held otherwise. Raises StoreError."""
        return self._books.confirmations(int(now_s) - KEPT_S)

    async def ask(self, now_s: float) -> None:
        """Ask one question, and write down the answers once the last of them is there. It may be
        cancelled, and is asked again then.
        """
        question = self._round[0]
        self._asked_s[question.items[0].subject] = self._loop_s()
        try:
            reply = await self._session.get(question.path, self._slot_s - now_s % self._slot_s)
        except NotAllowed as error:
            self._leave_alone({question.items[0].subject}, str(error))
        except ExchangeError as error:
            self._stop(str(error), error.retry_after_s)
        else:
            self._hear(question, reply)
        if self._round:
            self._round.popleft()
        if not self._round:
            self._write(now_s)

    def _cycle(self, now_s: float) -> int:
        return int((now_s - self._after_s) // self._slot_s) * self._slot_s

    def _begin(self, cycle_s: int, now_s: float) -> None:
        items = self._books.unconfirmed(
            cycle_s - self._margin_s, since_s=int(now_s) - KEPT_S, limit=LOOK_ITEMS
        )
        by_asset: dict[Subject, list[Item]] = {}
        for item in items:
            if self._loop_s() >= self._left_alone_s.get(item.subject, -inf):
                by_asset.setdefault(item.subject, []).append(item)
        assets = sorted(by_asset, key=lambda asset: self._asked_s.get(asset, -inf))
        self._round.extend(
            question for asset in assets if (question := self._dialect.ask(by_asset[asset]))
        )

    def _hear(self, question: Question, reply: Reply) -> None:
        held: Mapping[int, int] | None = self._dialect.held(reply)
        if held is not None:
            self.state = "ok"
            self._found += [Held(item, held.get(item.slot_s)) for item in question.items]
        elif reply.status >= 500 or reply.status in _TRY_AGAIN:
            verdict = http_verdict(reply)
            self._stop(verdict.reason, verdict.retry_after_s)
        else:
            reason = (
                http_verdict(reply).reason
                or f"answered {reply.status} with something that does not say what it holds"
            )
            self._leave_alone({question.items[0].subject}, f"the exchange {reason}")

    def _leave_alone(self, assets: Set[Subject], reason: str) -> None:
        """It cannot tell, and will not in a minute."""
        self._left_alone_s.update(dict.fromkeys(assets, self._loop_s() + RARELY_S))
        if self.state in ("", "ok"):
            _log.warning(
                "what the exchange holds cannot be read back: %s; it is asked again in a day, "
                "and deliveries go on",
                reason,
            )
        self.state = f"cannot be asked: {reason}"

    def _stop(self, reason: str, retry_after_s: float | None) -> None:
        """Nothing more is asked in this slot."""
        _log.debug("not read back in this slot: %s", reason)
        self._round.clear()
        if retry_after_s is not None:
            self._silent_until_s = self._loop_s() + min(retry_after_s, MAX_SILENCE_S)

    def _write(self, now_s: float) -> None:
        found, self._found = self._found, []
        others = [held for held in found if not held.agrees]
        if not found:
            return
        try:
            again = self._books.record_held(found, now_s)
        except StoreError:
            # it is still unconfirmed and asked for again; the buffer's own trouble is told by those
            # who write more
            return
        self.confirmed += len(found) - len(others)
        self.disagreements += len(others)
        # Told once, and again after a round in which all was well: an exchange that forgets
        # everything is one piece of news.
        if others and not self._disagreed:
            text = self._say(others, len(found), len(again))
            _log.warning("%s", text)
            self._books.note(Event(int(now_s * 1000), "exchange", "disagreement", text))
        self._disagreed = bool(others)
        if not self.confirmed and len(again) < len(others):
            self._leave_alone(
                {held.item.subject for held in others},
                "nothing that the exchange tells agrees with what it accepted",
            )

    def _say(self, others: Sequence[Held], asked: int, again: int) -> str:
        first = others[0]
        at = datetime.fromtimestamp(first.item.slot_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        held = "nothing" if first.energy_uwh is None else f"{first.energy_uwh / 10**6:g} Wh"
        owed = f"{first.item.energy_uwh / 10**6:g} Wh"
        return (
            f"the exchange holds {held} where it accepted {owed} "
            f"({self._name_of(first.item.subject)}, {at}), "
            f"and so for {len(others)} of {asked} slots; sent once more: {again}"
        )

    def _loop_s(self) -> float:
        return asyncio.get_running_loop().time()
