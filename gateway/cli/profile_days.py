"""Which days of an asset can be said to the exchange in a profile file, and which would lie. Pure.

The exchange's reader fills what a file leaves open with the value before it: a file with one slot
of 0.125 kWh reads as 0.125 kWh in every later slot. So a file has whole days, one after the other,
with every slot of them, delivered or not. A day in which the energy of one slot is not known has no
place in a file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.energy.slot import KNOWN
from gateway.outbox.owed import Owed

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Day:
    """A day of UTC, of one asset."""

    start_s: int
    undelivered: Counter[str]
    """How many slots the exchange lacks although their energy is known, by state."""
    open_s: Sequence[int]
    """The starts of slots whose energy is not known."""


def day_of(start_s: int, slots: Mapping[int, Owed], slot_s: int) -> tuple[Day, list[Owed]]:
    """The day that starts then, and what is known of it in the order of time. `slots` are the
    newest revisions by the slot's start; where there is none, one of `slot_s` is open.
    """
    known: list[Owed] = []
    open_s: list[int] = []
    at_s = start_s
    while at_s < start_s + DAY_S:
        owed = slots.get(at_s)
        if owed is not None and owed.quality in KNOWN:
            known.append(owed)
        else:
            open_s.append(at_s)
        at_s += slot_s if owed is None else owed.length_s

    states = Counter(owed.state for owed in known if owed.state != "accepted")
    return Day(start_s, Counter(states), open_s), known


def runs(days: Iterable[Day]) -> Iterator[list[Day]]:
    """The days that are whole, in runs without a day between them that is not: one file each. A run
    begins and ends with a day of which something is undelivered.
    """
    run: list[Day] = []
    for day in days:
        follows = bool(run) and day.start_s == run[-1].start_s + DAY_S
        if run and (day.open_s or not follows):
            yield from _trimmed(run)
            run = []
        if not day.open_s:
            run.append(day)
    yield from _trimmed(run)


def _trimmed(run: list[Day]) -> Iterator[list[Day]]:
    wanted = [n for n, day in enumerate(run) if day.undelivered]
    if wanted:
        yield run[wanted[0] : wanted[-1] + 1]
