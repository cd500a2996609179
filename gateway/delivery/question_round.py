"""Whom to ask for in a slot, and in which order. Pure.

Times with `loop_s` are the loop's, all others Unix time.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import inf

from gateway.outbox.item import Item, Subject

RARELY_S = 86_400.0
"""How long a subject that cannot be asked for is left alone at most."""
MAX_SILENCE_S = 3600.0
LATER_PART = 0.1
"""Part of a slot that is left to deliveries before anything is asked."""
MIN_TIME_S = 0.5
"""With less time before the slot's end, nothing is asked any more."""


class QuestionRound:
    """One round per slot, with one question for each subject. `after_s` is the time from the begin
    of each slot that belongs to others.
    """

    def __init__(self, slot_s: int, after_s: float) -> None:
        self._slot_s = slot_s
        self._after_s = after_s + LATER_PART * slot_s
        self._begun_s: int | None = None
        """The slot in which a round was begun last."""
        self._waiting: deque[list[Item]] = deque()
        """What is still to be asked for in this round, by subject."""
        self._asked_loop_s: dict[Subject, float] = {}
        """When each subject was asked for last: the next round begins with another one, so that one
        that fails does not hide the others.
        """
        self._left_alone_until_loop_s: dict[Subject, float] = {}
        self._in_vain: Counter[Subject] = Counter()
        """How often in a row each subject could not be asked for."""
        self._silent_until_loop_s = -inf

    def __bool__(self) -> bool:
        """Whether there is something left to ask."""
        return bool(self._waiting)

    def slot_at(self, now_s: float) -> int:
        """The slot that the questions of now belong to."""
        return int((now_s - self._after_s) // self._slot_s) * self._slot_s

    def next_s(self, now_s: float) -> float:
        """When the next round may begin."""
        return self.slot_at(now_s) + self._slot_s + self._after_s

    def left_s(self, now_s: float) -> float:
        """How long a question may take."""
        return self._slot_s - now_s % self._slot_s

    def may_ask(self, now_s: float, loop_s: float) -> bool:
        """Whether this is the time for questions."""
        into_s = now_s % self._slot_s
        in_time = self._after_s <= into_s <= self._slot_s - MIN_TIME_S
        return in_time and loop_s >= self._silent_until_loop_s

    def is_due(self, now_s: float) -> bool:
        """Whether a round is to be begun in this slot; says so once."""
        slot_s = self.slot_at(now_s)
        if self._waiting or slot_s == self._begun_s:
            return False
        self._begun_s = slot_s
        return True

    def begin(self, items: Iterable[Item], loop_s: float) -> None:
        """Ask for these, but for those that are left alone."""
        by_subject: dict[Subject, list[Item]] = {}
        for item in items:
            if loop_s >= self._left_alone_until_loop_s.get(item.subject, -inf):
                by_subject.setdefault(item.subject, []).append(item)
        subjects = sorted(by_subject, key=lambda subject: self._asked_loop_s.get(subject, -inf))
        self._waiting.extend(by_subject[subject] for subject in subjects)

    def ask(self, loop_s: float) -> Sequence[Item]:
        """What to ask for now; `done` takes it off."""
        items = self._waiting[0]
        self._asked_loop_s[items[0].subject] = loop_s
        return items

    def done(self) -> None:
        """The question got its answer, or will get none."""
        if self._waiting:
            self._waiting.popleft()

    def leave_alone(self, subjects: Iterable[Subject], loop_s: float) -> None:
        """Do not ask for these until tomorrow."""
        self._left_alone_until_loop_s.update(dict.fromkeys(subjects, loop_s + RARELY_S))

    def asked_in_vain(self, subject: Subject, loop_s: float) -> None:
        """What came was no answer, and the next will hardly be one: ask in the next slot, and leave
        it alone twice as long each time, a day at last. A server that is being brought up says the
        same for a while as one that never tells.
        """
        wait_s = min(RARELY_S, (2.0 ** self._in_vain[subject] - 0.5) * self._slot_s)
        self._in_vain[subject] = min(self._in_vain[subject] + 1, 32)
        self._left_alone_until_loop_s[subject] = loop_s + wait_s

    def answered(self, subject: Subject) -> None:
        """It can be asked for."""
        del self._in_vain[subject]

    def stop(self, loop_s: float, after_s: float | None) -> None:
        """Ask nothing more in this slot, nor within `after_s`."""
        self._waiting.clear()
        if after_s is not None:
            self._silent_until_loop_s = loop_s + min(after_s, MAX_SILENCE_S)
