"""What becomes of a slot that the fold has closed, given what the books have of its time. Pure.

Where the clock was set back, or the slots' length was changed, a slot may come a second time. What
is closed stays, and the energy of the newcomer is unallocated. Only what is provisional, or what
nothing was known of, is written anew, and a slot by its own revision: that is the one which begins
at the same stand of the counter. So is one that was closed by the clock, and whose end was found to
be elsewhere by a sample that came after all.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from gateway.energy.asset_slots import key
from gateway.energy.slot import Slot, Unallocated

WHOLE = ("measured", "estimated")
"""Qualities of a slot that was metered from its start to its end."""


class Book(msgspec.Struct, frozen=True):
    """The slot has the place to itself, or is there already as it is: it is written."""

    slot: Slot


class Revise(msgspec.Struct, frozen=True):
    """The slot is written over the one that is there."""

    slot: Slot


class Clash(msgspec.Struct, frozen=True):
    """Another slot has that time and keeps it: this one's energy is unallocated."""

    unallocated: Unallocated


class Same(msgspec.Struct, frozen=True):
    """There is nothing to write: the slot says nothing that the books do not have."""


Decision = Book | Revise | Clash | Same


def decide(slot: Slot, booked: Sequence[Slot]) -> Decision:
    """What becomes of `slot`; `booked` is all that the books have at its start, of any meter."""
    there = next((other for other in booked if key(other) == key(slot)), None)

    if there == slot:
        return Book(slot)

    if _another_series_has_it(slot, booked):
        return Clash(_unallocated(slot))

    if there is None:
        return Book(slot)

    if slot.energy_uwh is None:
        # Nothing is known after all of what power alone had claimed.
        return Revise(slot) if there.method == "power" else Same()

    if there.energy_uwh is None and there.length_s == slot.length_s:
        return Revise(replace(slot, revision=max(slot.revision, there.revision + 1)))

    if slot.revision == there.revision and _is_looked_back_at(slot, there):
        return Revise(replace(slot, revision=there.revision + 1))

    if _is_later_energy(slot, there):
        return Clash(_unallocated(slot)) if slot.energy_uwh else Same()

    if slot.revision > there.revision:
        return Revise(slot)

    # It is the same energy again: these samples have been through the fold before.
    return Same()


def write_over(slot: Slot, booked: Sequence[Slot]) -> Decision:
    """What becomes of a slot of a time whose books were taken back: whatever is there of it gives
    way.
    """
    there = next((other for other in booked if key(other) == key(slot)), None)
    if there is None:
        return decide(slot, booked)
    if replace(slot, revision=there.revision) == there:
        return Same()
    return Revise(replace(slot, revision=max(slot.revision, there.revision + 1)))


def _another_series_has_it(slot: Slot, booked: Sequence[Slot]) -> bool:
    """Whether another series of the meter has all of that time: the clock was set back, and the
    meter replaced, in between.
    """
    return slot.quality in WHOLE and any(
        other.quality in WHOLE
        for other in booked
        if (other.device, other.direction) == (slot.device, slot.direction)
        and key(other) != key(slot)
    )


def _is_later_energy(slot: Slot, there: Slot) -> bool:
    """Whether the counter had passed the slot that is there when this one began: the time came
    twice, and each time with energy of its own.
    """
    if slot.begin_uwh < there.end_uwh or there.method == "power":
        return False
    if slot.revision > there.revision and _is_looked_back_at(slot, there):
        return False

    # An empty beginning of a slot is no claim on the time: a revision may fill it.
    empty_start = not there.energy_uwh and there.quality == "partial"
    return not empty_start or slot.revision <= there.revision


def _is_looked_back_at(slot: Slot, there: Slot) -> bool:
    """Whether it is the slot that is there, made of the same samples, whose end is known better."""
    return _made_of(slot) == _made_of(there)


def _made_of(slot: Slot) -> tuple[int, ...]:
    registers = slot.begin_register_uwh, slot.end_register_uwh
    metered = slot.length_s, slot.coverage_permille, slot.quality in WHOLE
    return slot.begin_uwh, *registers, *metered, slot.samples, slot.largest_gap_ms


def _unallocated(slot: Slot) -> Unallocated:
    """The energy of a slot whose time is taken."""
    return Unallocated(
        slot.device,
        slot.serial_number,
        slot.direction,
        "clash",
        from_ms=slot.start_s * 1000,
        to_ms=(slot.start_s + slot.length_s) * 1000,
        begin_uwh=slot.begin_uwh,
        end_uwh=slot.end_uwh,
    )
