"""What the books of one meter hold once steps of its fold are written, as `gateway.ledger` writes
them: but in memory, and of the fold alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from drivers.sample import Sample
from gateway.energy.assets import Direction
from gateway.energy.counter import UWH_PER_WH as WH
from gateway.energy.fold import advance
from gateway.energy.slot import Event, MeterRules, MeterState, Slot, Step, Unallocated
from gateway.ledger.decision import Book, Clash, Revise, Same, decide, write_over
from gateway.store.rows import lean
from tests.gateway.energy.samples import sample

Place = tuple[str | None, Direction, int]


@dataclass
class Written:
    """The books of one meter."""

    state: MeterState | None = None
    slots: dict[Place, Slot] = field(default_factory=dict)
    stated: list[Unallocated] = field(default_factory=list)
    """All that is on record as unallocated."""
    withdrawn: list[Unallocated] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    widest_bytes: int = 0
    """The largest state that was ever stored."""

    def write(self, step: Step) -> None:
        for taken_back in step.taken_back:
            void = [left for left in self.stated if taken_back.voids(left)]
            self.withdrawn += void
            self.stated = [left for left in self.stated if left not in void]
        for slot in step.slots:
            is_anew = any(each.concerns(slot) for each in step.taken_back)
            there = [each for each in self.slots.values() if each.start_s == slot.start_s]
            match (write_over if is_anew else decide)(slot, there):
                case Book(one) | Revise(one):
                    self.slots[one.serial_number, one.direction, one.start_s] = one
                case Clash(left):
                    self.stated.append(left)
                case Same():
                    pass
        self.stated += step.unallocated
        self.events += step.events
        self.state = step.state
        self.widest_bytes = max(self.widest_bytes, len(msgspec.json.encode(lean(step.state))))

    @property
    def unallocated(self) -> list[Unallocated]:
        """What passed and is in no slot."""
        return [left for left in self.stated if left.kind != "start"]

    @property
    def starts(self) -> list[Unallocated]:
        """What the register's first steps say of where metering began."""
        return [left for left in self.stated if left.kind == "start"]

    def booked_wh(self, direction: Direction = "import") -> float:
        """What is in slots, the open one and the one that is looked back at among them."""
        assert self.state is not None
        each = self.state.directions[direction]
        closed = sum(s.energy_uwh or 0 for s in self.slots.values() if s.direction == direction)
        slot = each.slot
        if each.passed is not None and each.passed.said_uwh is None:
            slot = each.passed.slot
        return (closed + each.counter.counter_uwh - slot.begin_uwh) / WH

    def unallocated_wh(self, kind: str | None = None) -> float:
        return sum(u.energy_uwh for u in self.unallocated if kind in (None, u.kind)) / WH

    def kinds(self) -> dict[str, int]:
        """How many events of each kind there are."""
        return dict(Counter(event.kind for event in self.events))

    def check_chain(self, direction: Direction) -> None:
        """From slot to slot the counter goes on, but for what is on record as unallocated."""
        mine = [s for s in self.slots.values() if s.direction == direction]
        mine.sort(key=lambda slot: (slot.begin_uwh, slot.end_uwh, slot.start_s))
        for slot in mine:
            assert (slot.energy_uwh or 0) == slot.end_uwh - slot.begin_uwh >= 0
        for one, other in pairwise(mine):
            between = sum(
                left.energy_uwh
                for left in self.stated
                if left.direction == direction
                and one.end_uwh <= left.begin_uwh
                and left.end_uwh <= other.begin_uwh
            )
            assert other.begin_uwh - one.end_uwh == between, (one, other)


def written(samples: Iterable[Sample], rules: MeterRules) -> Written:
    """The books after these samples."""
    books = Written()
    for each in samples:
        books.write(advance(books.state, each, rules))
    return books


Shows = Callable[[int, int], float | None]
"""What is shown, given the time (s) and what the register truly holds; None: no sample."""


def counting_up(
    shows: Shows,
    *,
    hours: float,
    power_w: float,
    step_wh: int = 1,
    begin_wh: int = 60_000,
    every_s: int = 10,
    tells_power: bool = True,
) -> tuple[list[Sample], float]:
    """Samples of a constant load whose register shows this; and what flowed, in Wh."""
    samples = []
    t_s = 0
    for t_s in range(0, round(hours * 3600) + 1, every_s):
        truly = int(begin_wh + power_w * t_s / 3600) // step_wh * step_wh
        if (shown := shows(t_s, truly)) is not None:
            samples.append(sample(t_s, shown, power_w if tells_power else None))
    return samples, power_w * t_s / 3600


def while_(begin_s: int, end_s: int, shows: Callable[[int], float | None]) -> Shows:
    """Between these times this is shown, given what the register truly holds."""
    return lambda t, wh: shows(wh) if begin_s <= t < end_s else wh
