"""What is said and counted of one destination's deliveries: one line per change of state, one an
hour of what was delivered, never one per failure. Shell: it logs.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

import msgspec

from gateway.delivery.destination import spoken
from gateway.energy.slot import Event
from gateway.outbox.format import REFUSED
from gateway.outbox.item import EXCHANGE, Item, Kind, Subject
from gateway.outbox.silence import Stream
from gateway.timing.utc import utc_seconds

_FAILING = ("retrying", "refusing")
"""States in which nothing is taken."""
REMINDER_S = 3600.0
"""A destination that refuses everything, or one subject, is in the log so often."""
DELIVERED_S = 3600.0
"""What was delivered is in the log so often, and item by item at the level `debug`."""
NEWS_S = 300.0
"""One that begins anew to refuse everything is, no sooner than this after the last time."""

_MOST_UNSAID = 2000
"""A backlog that drains is said in between."""

_log = logging.getLogger(__name__)


class Counts(msgspec.Struct):
    """Since start."""

    requests: int = 0
    accepted: int = 0
    rejected: int = 0
    refusals: int = 0
    """Refusals that were not believed."""
    missed: int = 0
    errors: int = 0
    last_error: str = ""
    last_error_s: float | None = None
    """Unix time, as the next one."""
    last_success_s: float | None = None
    unheard: dict[tuple[str, Kind], str] = msgspec.field(default_factory=dict)
    """The streams that are taken and never spoken of, by their subject's name, and what is known.
    """
    unheard_items: int = 0
    """Batches' parts of which no word came, though it would have been heard."""
    refuses: dict[str, str] = msgspec.field(default_factory=dict)
    """The subjects whose last word from the destination was a refusal, by name, and why."""


class _Delivered:
    """What was delivered and is not in the log yet: kinds, subjects, and starts of slots."""

    def __init__(self) -> None:
        self._unsaid: dict[tuple[Kind, Subject, int], None] = {}
        self._said_s: float | None = None

    def due(self, items: Iterable[Item], now_s: float) -> Collection[tuple[Kind, Subject, int]]:
        """With these, all that is to be said now. Empty: it is not time yet."""
        self._unsaid |= dict.fromkeys((i.kind, i.subject, i.slot_s) for i in items)
        is_time = self._said_s is None or not 0 <= now_s - self._said_s < DELIVERED_S
        if not is_time and len(self._unsaid) < _MOST_UNSAID:
            return ()
        self._said_s, due, self._unsaid = now_s, self._unsaid, {}
        return due


class _Failing(msgspec.Struct):
    """Deliveries fail, or did last."""

    since_s: float = 0.0
    logged: str = ""
    """The kind of failure that was logged last, since they do."""
    missed: int = 0
    """What could not be delivered in time meanwhile."""


class Journal:
    """Of one destination. `name_of` names a subject, and `note` keeps what a person should know.
    Times are Unix seconds.
    """

    def __init__(
        self,
        destination: str,
        name_of: Callable[[Subject], str],
        note: Callable[[Event], None],
    ) -> None:
        self._destination = destination
        self._note = note
        self._name_of = name_of
        self.counts = Counts()
        self.state = "waiting"
        """For people: waiting (nothing was tried yet), ok, retrying or refusing."""
        self.refusing_since_s: float | None = None
        """Since when the destination refuses everything; None: it does not."""
        self._refusals_logged_s: dict[Subject | None, float] = {}
        """When refusals of a subject were logged last, and (None) of everything."""
        self.is_met = False
        """Whether the destination has given a verdict, or taken our login, since the start."""
        self._failing = _Failing()
        self._rejection_logged = ""
        self._delivered = _Delivered()

    def accepted(self, items: Sequence[Item], now_s: float) -> None:
        """The destination has these, by its own word."""
        self.counts.accepted += len(items)
        self.counts.last_success_s = now_s
        if self.counts.refuses:
            for subject in {item.subject for item in items}:
                self.counts.refuses.pop(self._name_of(subject), None)
        _log.debug("%sdelivered %s", self._prefix, self.say(items))
        if due := self._delivered.due(items, now_s):
            _log.info("%sdelivered %s", self._prefix, self._say(due))

    def sent(self, items: Sequence[Item], now_s: float, *, is_receipt: bool) -> None:
        """These are on their way, or the destination has taken them: its own word follows, which
        has a line of its own then.
        """
        if is_receipt and self.refusing_since_s is None:
            self.counts.last_success_s = now_s
        level = logging.DEBUG if is_receipt else logging.INFO
        _log.log(level, "%ssent %s; its answer is awaited", self._prefix, self.say(items))

    def greeted(self, now_s: float) -> None:
        """The destination is there, and takes who we are."""
        self.counts.last_success_s = now_s
        _log.info("%s answers and takes our login", self._who)

    @property
    def is_refused(self) -> bool:
        """Whether the destination does not take who we are."""
        return self.state == "retrying" and self._failing.logged == REFUSED

    def rejected(self, items: Sequence[Item], reason: str, now_s: float) -> None:
        """The destination will never take these. A line is logged when the reason is another
        one.
        """
        self.counts.rejected += len(items)
        self.counts.errors += 1
        self._note_refused(items, reason)
        self.counts.last_error, self.counts.last_error_s = reason, now_s
        if reason == self._rejection_logged:
            return
        self._rejection_logged = reason
        _log.warning(
            "%srejected %s: %s %s; it is kept, and not sent again",
            self._prefix,
            self.say(items),
            self._who,
            reason,
        )

    def refused(self, items: Sequence[Item], reason: str, now_s: float) -> None:
        """The destination refuses these, and may not mean it. A line an hour is logged of each
        subject.
        """
        self.counts.refusals += 1
        self.counts.errors += 1
        self._note_refused(items, reason)
        self.counts.last_error, self.counts.last_error_s = reason, now_s

        if not self._is_time_to_say(items[0].subject, now_s, REMINDER_S):
            return
        _log.warning(
            "%srefused %s: %s %s; it is kept, and asked for again: one refusal is no verdict",
            self._prefix,
            self.say(items),
            self._who,
            reason,
        )

    def unheard(
        self, streams: Iterable[Stream], new: Iterable[Stream], reason: str, now_s: float
    ) -> None:
        """Of these the destination takes numbers, and never says a word. A line is logged, and an
        event noted, of those that are `new`.
        """
        for subject, kind in streams:
            self.counts.unheard_items += 1
            self.counts.unheard[self._name_of(subject), kind] = reason
        told = sorted({f"{kind}s of {self._name_of(subject)}" for subject, kind in new})
        if told:
            text = f"{', '.join(told)}: {self._who} takes them and {reason}"
            _log.warning("%s%s; they are kept, and one is tried in each slot", self._prefix, text)
            self._note(Event(int(now_s * 1000), self._destination, "unheard", text))

    def heard(self, streams: Iterable[Stream]) -> None:
        """Of these there were no words, and now there are."""
        for subject, kind in streams:
            name = self._name_of(subject)
            self.counts.unheard.pop((name, kind), None)
            _log.info("%sits verdicts on %ss of %s come again", self._prefix, kind, name)

    def refuses_all(self, reason: str, now_s: float) -> None:
        """The destination refuses whatever it is sent. A line is logged now and once an hour, and
        an event noted.
        """
        is_news = self.refusing_since_s is None
        if is_news:
            self.refusing_since_s = now_s
        if self.state not in _FAILING:
            self._begin_to_fail(now_s)
        self.state = "refusing"
        if not self._is_time_to_say(None, now_s, NEWS_S if is_news else REMINDER_S):
            return

        since = utc_seconds(int(self.refusing_since_s or now_s))
        text = (
            f"{self._who} refuses everything since {since}: it {reason}; what is owed is kept and "
            "tried again. Ask its operator, and check canary_network and the assets' UUIDs"
        )
        _log.error("%s%s", self._prefix, text)
        if is_news:
            self._note(Event(int(now_s * 1000), self._destination, "refused", text))

    def missed(self, items: Sequence[Item]) -> None:
        """The time for these has passed. While deliveries fail, the first loss is logged, and the
        rest when they go again.
        """
        if not items:
            return
        self.counts.missed += len(items)
        # Of what no word comes on, that was said.
        items = [i for i in items if (self._name_of(i.subject), i.kind) not in self.counts.unheard]
        if not items:
            return
        if self.state not in _FAILING or not self._failing.missed:
            _log.warning(
                "%s%s can no longer be delivered: the time for it has passed",
                self._prefix,
                self.say(items),
            )
        self._failing.missed += len(items)

    def failed(self, cause: str, reason: str, now_s: float) -> None:
        """A try came to nothing. Reasons differ from try to try; a line is logged when the cause is
        another one.
        """
        self.counts.errors += 1
        self.counts.last_error, self.counts.last_error_s = reason, now_s
        if self.state not in _FAILING:
            self._begin_to_fail(now_s)
        self.state = "retrying"
        self.refusing_since_s = None

        if cause == self._failing.logged:
            return
        self._failing.logged = cause
        who = f"{self._who} " if cause == "reply" else ""
        _log.warning(
            "%sdeliveries fail: %s%s; what is owed is kept and tried again",
            self._prefix,
            who,
            reason,
        )

    def recovered(self, failures: int, now_s: float) -> None:
        """The destination gave a verdict, after so many failures in a row."""
        self.is_met = True
        self.refusing_since_s = None
        if self.state in _FAILING:
            missed = self._failing.missed
            _log.info(
                "%s takes deliveries again, after %d failures in %.0f s%s",
                self._who,
                failures,
                now_s - self._failing.since_s,
                f"; missed meanwhile: {missed}" if missed else "",
            )
        self.state = "ok"

    @property
    def _who(self) -> str:
        return spoken(self._destination)

    @property
    def _prefix(self) -> str:
        return "" if self._destination == EXCHANGE else f"{self._destination}: "

    def _note_refused(self, items: Sequence[Item], reason: str) -> None:
        for subject in {item.subject for item in items}:
            self.counts.refuses[self._name_of(subject)] = reason

    def _is_time_to_say(self, of: Subject | None, now_s: float, every_s: float) -> bool:
        """Whether refusals of it are to be logged now, which is noted."""
        logged_s = self._refusals_logged_s.get(of)
        if logged_s is not None and 0 <= now_s - logged_s < every_s:
            return False
        self._refusals_logged_s[of] = now_s
        return True

    def _begin_to_fail(self, now_s: float) -> None:
        self._failing = _Failing(now_s)

    def say(self, items: Sequence[Item]) -> str:
        """Items in words: how many, of which subject, from when to when."""
        return self._say([(item.kind, item.subject, item.slot_s) for item in items])

    def _say(self, items: Collection[tuple[Kind, Subject, int]]) -> str:
        kinds, subjects, starts_s = map(set, zip(*items, strict=True))
        kind = next(iter(kinds)) if len(kinds) == 1 else "number"
        slots = "one slot" if len(starts_s) == 1 else f"{len(starts_s)} slots"
        first, last = (utc_seconds(at_s) for at_s in (min(starts_s), max(starts_s)))
        span = first if first == last else f"{first} to {last}"
        plural = "s" if len(items) > 1 else ""
        return f"{kind}{plural} of {slots} of {self._subjects(subjects)}, {span}"

    def _subjects(self, subjects: Collection[Subject]) -> str:
        are_assets = isinstance(next(iter(subjects)), UUID)
        if len(subjects) > 1:
            return f"{len(subjects)} {'assets' if are_assets else 'series'}"
        return f"{'asset ' if are_assets else ''}{self._name_of(next(iter(subjects)))}"
