"""The clock of the simulated exchange's engine: it runs ahead of the right time, and works in
ticks. Pure.
"""

import math
from collections.abc import Callable

from gateway.delivery.simulated.behaviour import Behaviour

TICKS_PER_SLOT = 60


class EngineClock:
    """`now` is the right time. All times here are the engine's, Unix seconds."""

    def __init__(self, now: Callable[[], float], slot_s: int, behaviour: Behaviour) -> None:
        self._now = now
        self._behaviour = behaviour
        self.slot_s = slot_s

    @property
    def tick_s(self) -> float:
        """How often it looks at what has arrived."""
        return self._behaviour.tick_s or self.slot_s / TICKS_PER_SLOT

    def now_s(self) -> float:
        """What time it is to the engine."""
        return self._now() + self._behaviour.lead_s

    def right_s(self, engine_s: float) -> float:
        """The right time at a time of the engine's."""
        return engine_s - self._behaviour.lead_s

    def slot_at(self, engine_s: float) -> int:
        """The slot that runs then."""
        return math.floor(engine_s / self.slot_s) * self.slot_s

    def next_slot_s(self) -> int:
        """The slot that comes next."""
        return self.slot_at(self.now_s()) + self.slot_s

    def next_tick_s(self) -> float:
        """When it will look at what arrives now."""
        return (math.floor(self.now_s() / self.tick_s) + 1) * self.tick_s

    def taken_before_s(self) -> int:
        """The begin of the slot before which it applies what arrives now. What comes in a slot's
        last tick is looked at after the edge, and so applied a slot later.
        """
        return self.slot_at(self.next_tick_s()) + self.slot_s
