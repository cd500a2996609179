"""Whether a refusal is a verdict, or a fault of the destination. Pure.

A server that is being brought up, or a proxy that has lost its application, may answer 400 or 404
to everything. Taken at its word, it would cost every slot of that time. So a refusal is final only

- where others are taken: the destination refused it, took something else, and refuses it again, a
  minute after the first time;
- where there is nobody else to compare with, since it is owed the numbers of one subject only:
  after three refusals alike over an hour;
- where nothing at all is taken: a day after the item was refused first.

A right that we lack is never final: a person may give it at any time. Until then the item is
`Doubted`: it is kept, and asked for again. A person may decide earlier.

What a restart forgets only makes a refusal final later. When an item was refused first is kept
with it, so that a day is a day however often the gateway is restarted in it.
"""

from collections.abc import Iterable
from math import inf

import msgspec

from gateway.outbox.format import Accepted, Outcome, Rejected, Retry
from gateway.outbox.item import Item, Subject
from gateway.outbox.schedule import Doubted, Portion, halves

BESIDE_OTHERS_S = 60.0
"""Refusals of what is refused while others are taken span at least so much (or a slot, where that
is shorter): a server that is replaced answers in turns well and wrongly for a while.
"""
ALIKE = 3
"""So many refusals in a row …"""
ALIKE_S = 3600.0
"""… over so long at least are a verdict on the only subject that there is."""
MOMENT_S = 3.0
"""What refuses everything for so long is a destination with a fault."""
FINAL_AFTER_S = 86_400.0
"""A refusal is final so long after the first one, also where nothing is taken."""


class _Refused(msgspec.Struct):
    """One subject: its refusals alike, in a row. Times are the loop's."""

    cause: str
    since_s: float
    takings: int
    """What the destination had taken by the first of them …"""
    count: int = 0
    last_takings: int = 0
    """… and by the last."""


class _Row(msgspec.Struct):
    """Refusals in a row: since the destination took something, or gave no answer."""

    since_s: float | None = None
    """When the first was (loop's time)."""
    count: int = 0
    lasts_s: float = 0.0
    """How long it is since the first of them."""
    is_new: bool = False
    """Whether something is among them that was not refused before."""


class Refusals:
    """What one destination refuses. `subjects`: of how many it is owed numbers; 0 where that is not
    known.
    """

    def __init__(self, slot_s: int, subjects: int = 0) -> None:
        self._beside_others_s = min(BESIDE_OTHERS_S, float(slot_s))
        self._two_slots_s = 2.0 * slot_s
        """In so long every subject has its turn: who was not seen then has nothing to send."""
        self._alike_s = max(ALIKE_S, self._two_slots_s)
        self._subjects = subjects
        self._seen: set[Subject] = set()
        """Subjects that it gave an answer for."""
        self._refused: dict[Subject, _Refused] = {}
        self._first_s: dict[Item, float] = {}
        """When an item was refused first, since the destination refused everything (Unix time)."""
        self._is_spell = False
        """It has refused everything since it took something."""
        self._takings = 0
        """Batches that were taken since the start."""
        self._taken_s: float | None = None
        """When the last of them was, Unix time."""
        self._row = _Row()

    @property
    def refuses_all(self) -> bool:
        """Whether it refuses whatever it is sent, of every subject and for more than a moment.

        Asking again for what it had refused before it took something proves nothing.
        """
        if self._takings and not self._row.is_new:
            return False
        lately = [each for each in self._refused.values() if each.last_takings == self._takings]
        return (
            self._row.count >= ALIKE
            and self._row.lasts_s >= MOMENT_S
            and (len(lately) >= self._number_of_subjects or self._row.lasts_s >= self._two_slots_s)
        )

    def judge(
        self,
        portion: Portion,
        outcome: Outcome,
        now_s: float,
        loop_s: float,
        sent_loop_s: float = inf,
    ) -> Outcome | Doubted:
        """What came of a portion, in the light of all that came before: a refusal that is not
        proved is doubted. `now_s` is Unix time, `loop_s` a clock that nobody sets. The word may
        be about what was sent a while ago, at `sent_loop_s`.
        """
        subjects = {item.subject for item in portion.items}
        match outcome:
            case Accepted() if self._was_before_refusals(sent_loop_s):
                self._seen |= subjects
            case Accepted():
                self._seen |= subjects
                self._forget(subjects)
                self._forget_spell(portion)
                self._takings += 1
                self._taken_s = now_s
                self._begin_anew()
            case Retry():
                self._forget(subjects)
                self._begin_anew()
            case Rejected() if not halves(portion, outcome):
                self._row.is_new |= portion.refused_since_s is None
                for item in portion.items:
                    self._first_s.setdefault(item, now_s)
                found = self._note(subjects, outcome.cause or outcome.reason, loop_s)
                self._is_spell |= self.refuses_all
                if outcome.is_of_rights or not all(
                    self._is_meant(portion, each, now_s, loop_s) for each in found
                ):
                    return Doubted(outcome.reason, outcome.whole)
        return outcome

    def _was_before_refusals(self, sent_loop_s: float) -> bool:
        """Whether it was sent before something else was refused: that it is taken now says nothing
        of what the destination takes since then.
        """
        began_s = [each.since_s for each in self._refused.values()]
        if self._row.since_s is not None:
            began_s.append(self._row.since_s)
        return any(at_s > sent_loop_s for at_s in began_s)

    @property
    def _number_of_subjects(self) -> int:
        return max(self._subjects, len(self._seen))

    def _forget(self, subjects: Iterable[Subject]) -> None:
        for subject in subjects:
            self._refused.pop(subject, None)

    def _forget_spell(self, portion: Portion) -> None:
        """What was refused while everything was proves nothing beside what is taken now."""
        for item in portion.items:
            self._first_s.pop(item, None)
        if self._is_spell:
            self._refused.clear()
            self._first_s.clear()
            self._is_spell = False

    def _begin_anew(self) -> None:
        self._row = _Row()

    def _note(self, subjects: set[Subject], cause: str, loop_s: float) -> list[_Refused]:
        self._seen |= subjects
        if self._row.since_s is None:
            self._row.since_s = loop_s
        self._row.count += 1
        self._row.lasts_s = loop_s - self._row.since_s

        found = []
        for subject in subjects:
            refused = self._refused.get(subject)
            if refused is None or refused.cause != cause:
                refused = self._refused[subject] = _Refused(cause, loop_s, self._takings)
            refused.count += 1
            refused.last_takings = self._takings
            found.append(refused)
        return found

    def _is_meant(self, portion: Portion, refused: _Refused, now_s: float, loop_s: float) -> bool:
        lasted_s = loop_s - refused.since_s
        if self._takings > refused.takings and lasted_s >= self._beside_others_s:
            return True  # nothing of this subject was taken since, but of another

        first_s = max(self._first_s[item] for item in portion.items)
        if (
            self._taken_s is not None
            and first_s < self._taken_s
            and now_s - first_s >= self._beside_others_s
        ):
            return True  # these numbers are refused, and others are taken, perhaps of this subject

        items_since_s = portion.refused_since_s
        if items_since_s is None or self._row.count < ALIKE or self._row.lasts_s < self._alike_s:
            return False
        items_lasted_s = now_s - items_since_s
        if items_lasted_s >= FINAL_AFTER_S:
            return True
        return (
            self._number_of_subjects == 1
            and refused.count >= ALIKE
            and min(lasted_s, items_lasted_s) >= self._alike_s
        )
