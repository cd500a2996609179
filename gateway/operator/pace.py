"""What time it is to the exchange's engine, by the slots that it tells of. Pure.

This machine's clock is not asked: the engine's leads, and in a rehearsal a quarter of an hour may
go by in ten seconds. What is known is when each slot was told of, in the agent's steady time.

An event that was doubled, or comes after a newer one, or of a slot that cannot have begun yet, says
nothing. Where these alone follow each other for six slots, at a slot's pace, the simulation was
begun anew: events that were late would come between newer ones, or at once. One that comes much
later than its slot began is late, and its slot may soon be over: when a slot begins is known from
those before it.
"""

from collections import deque
from itertools import pairwise

from msgspec import Struct

LATEST = 0.8
"""A fee is sent within this part of a slot. What arrives in its last tick is looked at when the
next one has begun; in a rehearsal a slot has ten ticks, in earnest sixty.
"""

ANEW = 3
"""So many odd events in a row, at least, are of a simulation that was begun anew."""

SPARE_SLOTS = 2
"""An event may be so much further ahead than the time since the last one allows."""

AT_PACE = (0.7, 1.3)
"""From so much of a slot's time to so much of it lie between events that come as slots begin."""

REMEMBERED = 5
"""Events by which the pace is known."""

IN_EARNEST = 0.9
"""Slots that take more of their length than this go by with the clock."""

LEAST_S = 0.5
"""No slot is shorter: events that were held up come at once."""

ANCHOR_SLOTS, ANCHORS = 48, 3
"""The promptest event of so many slots says when later ones begin, where they go by with the clock;
of so many such stretches it is known.
"""

MOST_SLOTS = 96
"""Events that are further apart say nothing of the pace."""

ANEW_AFTER_SLOTS = 6
"""So long nothing newer was told where a simulation was begun anew."""


class Told(Struct, frozen=True):
    """A slot that began, and when that was heard."""

    slot_s: int
    at_s: float
    """By the agent's steady time."""


class Pace:
    """Of one network. `slot_s` is the length of a slot by the market's time."""

    def __init__(self, slot_s: int) -> None:
        self._slot_s = slot_s
        self._told: deque[Told] = deque(maxlen=REMEMBERED)
        self._prompt: dict[int, Told] = {}
        """The event that came soonest after its slot's begin, by stretches of slots."""
        self._odd: list[Told] = []
        """The last events, where they lie before what was told, or too far ahead."""
        self.lasts_s: float = slot_s
        """How long a slot takes by this machine's clock: what the market says, unless slots go by
        faster.
        """

    @property
    def newest_s(self) -> int | None:
        """The newest slot that was told of."""
        return self._told[-1].slot_s if self._told else None

    def _measure(self) -> None:
        """See how long slots take now."""
        each = self._gaps()
        # The median; of an even number the lower one.
        usual_s = each[(len(each) - 1) // 2] if each else self._slot_s
        in_earnest = usual_s > IN_EARNEST * self._slot_s
        self.lasts_s = self._slot_s if in_earnest else max(usual_s, LEAST_S)

    def _gaps(self) -> list[float]:
        """What slots have taken lately, the shortest first; empty where that is not known."""
        return sorted(
            (after.at_s - before.at_s) * self._slot_s / (after.slot_s - before.slot_s)
            for before, after in pairwise(self._told)
            if after.slot_s - before.slot_s <= MOST_SLOTS * self._slot_s
        )

    def hear(self, slot_s: int, now_s: float) -> bool:
        """A slot has begun, by what was just heard. False: that says nothing new."""
        told = Told(slot_s, now_s)
        if self._is_next(told):
            self._odd = []
            self._told.append(told)
            self._measure()
            self._note_prompt(told)
            return True
        if slot_s == self.newest_s:
            return False

        follows = bool(self._odd) and self._follows(self._odd[-1], told)
        self._odd = [*self._odd, told] if follows else [told]
        if len(self._odd) < ANEW or now_s - self._told[-1].at_s < self._anew_after_s():
            return False
        self._told.clear()
        self._told.extend(self._odd[-ANEW:])
        self._measure()
        self._odd, self._prompt = [], {}
        return True

    def _is_next(self, told: Told) -> bool:
        """Whether it is a newer slot, and may have begun by now."""
        if not self._told:
            return True
        newest = self._told[-1]
        slots = (told.slot_s - newest.slot_s) / self._slot_s
        if not self._gaps():
            return 0 < slots <= MOST_SLOTS
        gone_by = (told.at_s - newest.at_s) / self.lasts_s
        return 0 < slots <= 1.5 * gone_by + SPARE_SLOTS

    def _follows(self, before: Told, told: Told) -> bool:
        """Whether it is of the next slot, and came when that should begin."""
        if told.slot_s != before.slot_s + self._slot_s:
            return False
        parts = (told.at_s - before.at_s) / self.lasts_s
        return not self._gaps() or AT_PACE[0] <= parts <= AT_PACE[1]

    def _anew_after_s(self) -> float:
        """How long nothing newer was told where a simulation was begun anew."""
        first, last = self._odd[0], self._odd[-1]
        each_s = max((last.at_s - first.at_s) / (len(self._odd) - 1), LEAST_S)
        return ANEW_AFTER_SLOTS * (self.lasts_s if self._gaps() else each_s)

    def _note_prompt(self, told: Told) -> None:
        stretch = told.slot_s // (ANCHOR_SLOTS * self._slot_s)
        before = self._prompt.get(stretch, told)
        if told.at_s - told.slot_s <= before.at_s - before.slot_s:
            self._prompt[stretch] = told
        while len(self._prompt) > ANCHORS:
            del self._prompt[min(self._prompt)]

    def began_s(self) -> float:
        """When the newest slot began at the latest, in steady time."""
        newest, lasts_s = self._told[-1], self.lasts_s
        known = [*self._told]
        if lasts_s == self._slot_s:
            known += self._prompt.values()
        return min(
            each.at_s + (newest.slot_s - each.slot_s) / self._slot_s * lasts_s for each in known
        )

    def deadline_s(self) -> float:
        """Until when a fee for the slot after the newest one is sent, in steady time."""
        return self.began_s() + LATEST * self.lasts_s
