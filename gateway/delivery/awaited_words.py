"""The words that a destination says later on what it was sent: which items each is about, and what
follows where none comes. Shell.

A word counts by its transaction id, also where it comes before the reply to the request, after its
time, or in the next run of the daemon. An id that nobody here has used is passed over, and costs
nothing.

Where a destination says how it is listened to (`Listening`), a missing word means one of two
things. Somebody listened all the time: the stream is *silent*, and one item of it goes in each slot
until a word comes (`outbox/silence.py`). Nobody did: the word was lost, and the items are sent
again once somebody listens, which replaces them by the same.
"""

from collections.abc import Iterator, Set
from math import inf

from gateway.delivery.destination import Destination
from gateway.delivery.journal import Journal
from gateway.delivery.records import Outbox, Shipment
from gateway.outbox.format import Accepted, Answer, Outcome
from gateway.outbox.item import Subject
from gateway.outbox.owed import NO_VERDICT, TAKEN_BY_HTTP, Owed, Unanswered
from gateway.outbox.schedule import Portion, Schedule, portion_of
from gateway.outbox.silence import Stream

MAX_SHIPMENTS = 2_000
"""So many batches are remembered by their ids."""

_JUST_AFTER_S = 0.01
"""Sums of times are rounded: a look at the very moment might see nothing, and would be the last."""

_LOST = "its verdict was lost: nobody listened then"
_MOVED = "it was sent to where the exchange had the asset before"
_NEVER_KNOWN = (
    "it was sent in time, and whether it was taken is not known: its verdict was lost, since "
    "nobody listened then"
)


class AwaitedWords:
    """Of one destination. Each method may raise StoreError."""

    def __init__(
        self, destination: Destination, outbox: Outbox, schedule: Schedule, journal: Journal
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._schedule = schedule
        self._journal = journal
        self._within_s = destination.policy.answer_within_s or inf
        self._sent_s: dict[str, float] | None = None
        """When each batch was sent, by its id; None: what the last run has sent is not known yet.
        """
        self._loop_s: dict[str, float] = {}
        """The same by the loop's clock, of those of this run."""
        self._looked_s = -inf
        """When it was looked at last what is overdue, Unix time."""
        self._under_way = ""
        """The batch whose reply is awaited."""
        self._early: list[Answer] = []
        """Words on it that came before its reply."""

    @property
    def is_connecting(self) -> bool:
        """Whether what has no time had better wait until its word can be heard."""
        listening = self._destination.listening
        return listening is not None and listening.is_connecting

    # --- what was sent ----------------------------------------------------------------------------

    def begin(self, shipment: Shipment, loop_s: float) -> None:
        """A batch sets out; `loop_s` is the loop's time."""
        sent_s = self._shipments()
        while len(sent_s) >= MAX_SHIPMENTS:
            oldest = next(iter(sent_s))
            del sent_s[oldest]
            self._loop_s.pop(oldest, None)
        sent_s[shipment.transaction_id] = shipment.sent_s
        self._loop_s[shipment.transaction_id] = loop_s
        self._under_way = shipment.transaction_id
        self._early.clear()

    def end(self) -> list[Answer]:
        """What came of it is written down. Returns the words that came before."""
        self._under_way = ""
        early, self._early = self._early, []
        return early

    def _shipments(self) -> dict[str, float]:
        if self._sent_s is None:
            found = self._outbox.unanswered(inf)
            self._sent_s = {each.transaction_id: each.sent_s for each in found}
        return self._sent_s

    # --- a word came ------------------------------------------------------------------------------

    def about(self, answer: Answer) -> list[tuple[Portion, Outcome]]:
        """The items that the answer is about, and its word on them."""
        sent_s = self._shipments().get(answer.transaction_id)
        if sent_s is None:
            return []
        if answer.transaction_id == self._under_way:
            self._early.append(answer)
            return []
        owed = self._outbox.sent_under(answer.transaction_id, sent_s)
        found = list(_by_outcome(owed, answer))
        heard = {stream for portion, _ in found for stream in portion.streams}
        self._journal.heard(self._schedule.hear(heard))
        return found

    def sent_loop_s(self, answer: Answer) -> float:
        """When that was sent, by the loop's clock; −∞: in an earlier run."""
        return self._loop_s.get(answer.transaction_id, -inf)

    # --- no word came -----------------------------------------------------------------------------

    def next_s(self) -> float:
        """When the next word is overdue, since it was looked at that last; Unix time."""
        if self._destination.listening is None:
            return inf
        within_s = self._within_s + _JUST_AFTER_S
        waiting = (at_s for at_s in self._shipments().values() if at_s + within_s > self._looked_s)
        return min(waiting, default=inf) + within_s

    def miss(self, now_s: float) -> Iterator[tuple[Portion, Outcome]]:
        """Owe what is overdue again. Yields what counts as taken, since no word will come."""
        listening = self._destination.listening
        assert listening is not None
        self._looked_s = now_s
        if not listening.is_awake:
            return
        if not listening.words_come:
            yield from self._taken(self._outbox.unanswered(inf))
            return
        overdue = self._outbox.unanswered(now_s - self._within_s)

        silent: set[Stream] = set()
        for (transaction_id, sent_s), streams in _by_batch(overdue).items():
            since_s = {stream: listening.since_s(stream[0]) for stream in streams}
            heard = {stream: at_s for stream, at_s in since_s.items() if at_s is not None}
            if not heard:
                continue
            quiet = {stream for stream, at_s in heard.items() if at_s <= sent_s}
            owed = self._outbox.sent_under(transaction_id, sent_s)
            self._owe_again(owed, quiet, self._silence_text, now_s)
            self._owe_again(owed, heard.keys() - quiet, _LOST, now_s)
            silent |= quiet
        if silent:
            new = self._schedule.miss_words(silent, now_s)
            self._journal.unheard(silent, new, self._silence_text, now_s)
            if self._destination.attends is not None:
                # Whoever answers well, and never speaks again, may know these by other addresses.
                self._destination.attends.doubt()

    def move(self, subjects: Set[Subject], now_s: float) -> None:
        """These go elsewhere now, so no word will come on what was sent to where they were."""
        if not subjects:
            return
        self._schedule.try_anew(subjects)
        unanswered = [e for e in self._outbox.unanswered(inf) if e.subject in subjects]
        for (transaction_id, sent_s), streams in _by_batch(unanswered).items():
            owed = self._outbox.sent_under(transaction_id, sent_s)
            self._owe_again(owed, streams, _MOVED, now_s)

    @property
    def _silence_text(self) -> str:
        listening = self._destination.listening
        within_s = self._within_s
        return f"{NO_VERDICT} within {within_s:g} s" + (
            f": {listening.why_silent}" if listening else ""
        )

    def _owe_again(self, owed: list[Owed], streams: Set[Stream], reason: str, now_s: float) -> None:
        """What can still be sent is; the rest is missed, and says that nobody knows."""
        of_these = [each for each in owed if (each.item.subject, each.item.kind) in streams]
        late = [e.item for e in of_these if e.closes_s is not None and e.closes_s <= now_s]
        open_ = [e.item for e in of_these if e.closes_s is None or e.closes_s > now_s]
        if late:
            why = _NEVER_KNOWN if reason == _LOST else f"it was sent in time, and {reason}"
            self._outbox.record(late, "missed", why, now_s)
            self._journal.counts.missed += len(late)
        if open_:
            self._outbox.record(open_, "pending", reason, now_s)

    def _taken(self, overdue: list[Unanswered]) -> Iterator[tuple[Portion, Outcome]]:
        for transaction_id, sent_s in _by_batch(overdue):
            owed = self._outbox.sent_under(transaction_id, sent_s)
            if owed:
                yield portion_of(owed), Accepted(TAKEN_BY_HTTP)


def _by_batch(overdue: list[Unanswered]) -> dict[tuple[str, float], set[Stream]]:
    """The streams of each batch, by its id and when it was sent."""
    found: dict[tuple[str, float], set[Stream]] = {}
    for each in overdue:
        key = each.transaction_id, each.sent_s
        found.setdefault(key, set()).add((each.subject, each.kind))
    return found


def _by_outcome(owed: list[Owed], answer: Answer) -> Iterator[tuple[Portion, Outcome]]:
    """The items of one batch, by what is said of them."""
    parts: dict[tuple[Outcome, Stream | None], list[Owed]] = {}
    for each in owed:
        outcome = answer.of(each.item)
        if outcome is None:
            continue
        # Streams that are refused are judged one by one, be it for the same reason.
        is_alone = answer.outcome is None and not isinstance(outcome, Accepted)
        stream = (each.item.subject, each.item.kind) if is_alone else None
        parts.setdefault((outcome, stream), []).append(each)
    for (said, _), these in parts.items():
        yield portion_of(these), said
