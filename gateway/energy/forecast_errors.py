"""Slots beside what was expected of them when they began, and how far that was off. Pure.

What is judged is what stood, whichever way it came about. Beside it are the naive forecasts as they
could have been sent for the same slot: two slots before it, from what was known then.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from gateway.energy.forecast import NAIVE, Naive, Score, naive_uwh
from gateway.energy.slot import KNOWN, AssetSlot

AHEAD_SLOTS = 2
"""While slot n + 1 runs, slot n is known, and n + 2 is the next one."""

NEEDED_S = 7 * 86_400
"""So much before the first slot that is judged is needed for last week's."""


class Beside(msgspec.Struct, frozen=True):
    """An asset's slot beside what was expected of it. Energies in µWh, never negative: what a
    formula makes of less than nothing is delivered as 0.
    """

    slot: AssetSlot
    energy_uwh: int | None
    """What came; None where that is not known."""
    naive_uwh: Mapping[Naive, int | None]
    """What each naive forecast would have said; None where nothing was known before."""

    @property
    def error_uwh(self) -> int | None:
        """By how much too much was expected; None where one of the two is not known."""
        if self.energy_uwh is None or self.slot.forecast_uwh is None:
            return None
        return self.slot.forecast_uwh - self.energy_uwh

    @property
    def is_inside(self) -> bool | None:
        """Whether it came within the band; None where there is none, as of a dark slot."""
        low_uwh, high_uwh = self.slot.forecast_low_uwh, self.slot.forecast_high_uwh
        if self.energy_uwh is None or low_uwh is None or high_uwh is None or not high_uwh:
            return None
        return low_uwh <= self.energy_uwh <= high_uwh


def beside(slots: Iterable[AssetSlot]) -> Iterator[Beside]:
    """One asset's slots, in their order, with what naive forecasts would have said of each."""
    known: dict[int, int] = {}
    kept: deque[int] = deque()
    not_told: deque[int] = deque()
    last_uwh: int | None = None
    for slot in slots:
        while not_told and not_told[0] <= slot.start_s - AHEAD_SLOTS * slot.length_s:
            last_uwh = known[not_told.popleft()]
        while kept and kept[0] < slot.start_s - NEEDED_S and kept[0] not in not_told:
            del known[kept.popleft()]
        energy_uwh = None
        if slot.quality in KNOWN and slot.energy_uwh is not None:
            energy_uwh = max(slot.energy_uwh, 0)
        said = {
            name: None if last_uwh is None else naive_uwh(name, slot.start_s, last_uwh, known.get)
            for name in NAIVE
        }
        yield Beside(slot, energy_uwh, said)
        if energy_uwh is not None:
            known[slot.start_s] = energy_uwh
            kept.append(slot.start_s)
            not_told.append(slot.start_s)


class Sums(msgspec.Struct):
    """Errors, added up."""

    slots: int = 0
    error_uwh: int = 0
    naive_error_uwh: dict[Naive, int] = msgspec.field(
        default_factory=lambda: dict.fromkeys(NAIVE, 0)
    )
    banded: int = 0
    inside: int = 0
    forecast_uwh: int = 0
    measured_uwh: int = 0

    def add(self, each: Beside) -> None:
        """Judge a slot; one of which something is not known judges nobody."""
        error_uwh, came_uwh = each.error_uwh, each.energy_uwh
        naive = {name: uwh for name, uwh in each.naive_uwh.items() if uwh is not None}
        if error_uwh is None or came_uwh is None or len(naive) < len(NAIVE):
            return
        self.slots += 1
        self.error_uwh += abs(error_uwh)
        for name, uwh in naive.items():
            self.naive_error_uwh[name] += abs(uwh - came_uwh)
        self.forecast_uwh += came_uwh + error_uwh
        self.measured_uwh += came_uwh
        if each.is_inside is not None:
            self.banded += 1
            self.inside += each.is_inside

    @property
    def score(self) -> Score:
        """Their means."""
        count = self.slots
        return Score(
            slots=count,
            mae_uwh=self.error_uwh / count if count else None,
            naive_mae_uwh={
                name: uwh / count if count else None for name, uwh in self.naive_error_uwh.items()
            },
            inside=self.inside / self.banded if self.banded else None,
            bias=self.forecast_uwh / self.measured_uwh - 1.0 if self.measured_uwh else None,
            balanced_bias=None,
        )


class Chosen(msgspec.Struct, frozen=True):
    """Errors of what was sent where that is another quantile than the median, added up; and of the
    median that stood, for the same slots. Energies in µWh.
    """

    slots: int = 0
    sent_error_uwh: int = 0
    median_error_uwh: int = 0
    sent_uwh: int = 0
    median_uwh: int = 0
    measured_uwh: int = 0

    def __add__(self, other: "Chosen") -> "Chosen":
        sums = (getattr(self, name) + getattr(other, name) for name in self.__struct_fields__)
        return Chosen(*sums)

    @property
    def mae_uwh(self) -> float | None:
        """Of what was sent; None where nothing was judged."""
        return self.sent_error_uwh / self.slots if self.slots else None

    @property
    def median_mae_uwh(self) -> float | None:
        """Of the median, for the same slots."""
        return self.median_error_uwh / self.slots if self.slots else None

    @property
    def bias(self) -> float | None:
        """By how much the sum of what was sent is more than what came, as a share of that."""
        return self.sent_uwh / self.measured_uwh - 1.0 if self.measured_uwh else None

    @property
    def median_bias(self) -> float | None:
        """The same of the median."""
        return self.median_uwh / self.measured_uwh - 1.0 if self.measured_uwh else None


def chosen(slots: Iterable[AssetSlot], sent: Mapping[tuple[UUID, int], int]) -> dict[UUID, Chosen]:
    """Of each asset's slots, what was sent of them beside what stood: `sent` has the energy (µWh)
    by asset and start. A slot of which one of the three is not known judges nobody.
    """
    sums: dict[UUID, Chosen] = {}
    for slot in slots:
        sent_uwh = sent.get((slot.asset, slot.start_s))
        if sent_uwh is None or slot.forecast_uwh is None or slot.energy_uwh is None:
            continue
        if slot.quality not in KNOWN:
            continue
        came_uwh = max(slot.energy_uwh, 0)
        one = Chosen(
            1,
            abs(sent_uwh - came_uwh),
            abs(slot.forecast_uwh - came_uwh),
            sent_uwh,
            slot.forecast_uwh,
            came_uwh,
        )
        sums[slot.asset] = sums.get(slot.asset, Chosen()) + one
    return sums


def scores(found: Iterable[Beside], begins_s: Sequence[int]) -> list[Score]:
    """Of the slots that start at each of these times or later."""
    sums = [Sums() for _ in begins_s]
    for each in found:
        for begin_s, of_period in zip(begins_s, sums, strict=True):
            if each.slot.start_s >= begin_s:
                of_period.add(each)
    return [each.score for each in sums]
