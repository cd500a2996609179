"""What time it is to the exchange's engine, by the slots that it tells of. Pure.

This machine's clock is not asked: the engine's leads, and in a rehearsal a quarter of an hour may
go by in ten seconds. What is known is when each slot was told of, in the loop's time.

An event that was doubled, or comes after a newer one, says nothing. Two in a row that do follow
each other, and lie before what was told last, say that the simulation was begun anew. One that
comes much later than its slot began is late, and its slot may soon be over: when a slot begins is
known from those before it.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

LATEST = 0.8
"""A fee is sent within this part of a slot. What arrives in its last tick is looked at when the
next one has begun; in a rehearsal a slot has ten ticks, in earnest sixty.
"""

REMEMBERED = 5
"""Events by which the pace is known."""

IN_EARNEST = 0.9
"""Slots that take more of their length than this go by with the clock."""

ANCHORED_SLOTS = 96
"""So long the promptest event says when later slots begin, where they go by with the clock."""


@dataclass(frozen=True, slots=True)
class Told:
    """A slot that began, and when that was heard."""

    slot_s: int
    at_s: float
    """By the loop's clock."""


class Pace:
    """Of one network. `slot_s` is the length of a slot by the market's time."""

    def __init__(self, slot_s: int) -> None:
        self._slot_s = slot_s
        self._told: deque[Told] = deque(maxlen=REMEMBERED)
        self._prompt: Told | None = None
        """The event that came soonest after its slot's begin, of the last day."""
        self._older: Told | None = None
        """The last event, where it lies before what was told."""

    @property
    def newest_s(self) -> int | None:
        """The newest slot that was told of."""
        return self._told[-1].slot_s if self._told else None

    @property
    def lasts_s(self) -> float:
        """How long a slot takes by this machine's clock: what the market says, unless slots go by
        faster.
        """
        told = list(self._told)
        each = [
            (after.at_s - before.at_s) * self._slot_s / (after.slot_s - before.slot_s)
            for before, after in pairwise(told)
        ]
        usual_s = median(each) if each else self._slot_s
        return self._slot_s if usual_s > IN_EARNEST * self._slot_s else usual_s

    def hear(self, slot_s: int, now_s: float) -> bool:
        """A slot has begun, by what was just heard. False: that says nothing new."""
        told, before = Told(slot_s, now_s), self._older
        self._older = None
        if self.newest_s is None or slot_s > self.newest_s:
            self._told.append(told)
            self._note_prompt(told)
            return True
        if slot_s == self.newest_s:
            return False

        self._older = told
        if before is None or slot_s != before.slot_s + self._slot_s:
            return False
        self._told.clear()
        self._told.extend((before, told))
        self._older, self._prompt = None, None
        return True

    def _note_prompt(self, told: Told) -> None:
        before = self._prompt
        is_old = before is None or told.slot_s - before.slot_s > ANCHORED_SLOTS * self._slot_s
        if before is None or is_old or told.at_s - told.slot_s < before.at_s - before.slot_s:
            self._prompt = told

    def began_s(self) -> float:
        """When the newest slot began at the latest, by the loop's clock."""
        newest, lasts_s = self._told[-1], self.lasts_s
        known = [*self._told]
        if self._prompt is not None and lasts_s == self._slot_s:
            known.append(self._prompt)
        return min(
            each.at_s + (newest.slot_s - each.slot_s) / self._slot_s * lasts_s for each in known
        )

    def deadline_s(self) -> float:
        """Until when a fee for the slot after the newest one is sent, by the loop's clock."""
        return self.began_s() + LATEST * self.lasts_s

    def jumped(self) -> bool:
        """Whether the newest slot is no whole number of slots after the one before."""
        told = list(self._told)[-2:]
        return len(told) == 2 and (told[1].slot_s - told[0].slot_s) % self._slot_s != 0
