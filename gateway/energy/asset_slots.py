"""Slots of assets: what the slots of several meters add up to. Pure."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from gateway.energy.assets import Direction, Formula
from gateway.energy.slot import AssetSlot, Quality, Slot

_BEST_FIRST: Sequence[Quality] = ("measured", "estimated", "partial", "missing")


class Part(Protocol):
    """What an asset's slot is made of: a slot of one direction of a meter, fields as in `Slot`."""

    @property
    def device(self) -> str:
        """Its meter."""

    @property
    def direction(self) -> Direction:
        """Of that meter."""

    @property
    def start_s(self) -> int:
        """Unix time."""

    @property
    def length_s(self) -> int:
        """How long it is."""

    @property
    def energy_uwh(self) -> int | None:
        """None where nothing is known."""

    @property
    def uncertainty_uwh(self) -> int | None:
        """None where that, or the energy, is not known."""

    @property
    def quality(self) -> Quality:
        """How it is known."""


P = TypeVar("P", bound=Part)

SlotKey = tuple[str, Direction, str | None]
"""Meter, direction and serial number."""


def key(slot: Slot) -> SlotKey:
    """What tells a slot from the others of its time. Two series of one meter (a swap) may share a
    time.
    """
    return slot.device, slot.direction, slot.serial_number


def once_written(new: Iterable[Slot], booked: Iterable[Slot]) -> list[Slot]:
    """All slots of one time, as they are once the new ones are written over those in the books."""
    newest = {key(slot): slot for slot in new}
    return [*(slot for slot in booked if key(slot) not in newest), *newest.values()]


def parts_of(formula: Formula, slots: Iterable[P]) -> list[P]:
    """The slots of one time that a formula is made of; empty where a meter has not closed its slot
    yet.
    """
    wanted = {(term.device, term.direction) for term in formula.terms}
    parts = [slot for slot in slots if (slot.device, slot.direction) in wanted]
    closed = {(slot.device, slot.direction) for slot in parts}
    return parts if wanted == closed else []


def worst_of(parts: Iterable[P]) -> P:
    """The first of those slots that were metered worst."""
    return max(parts, key=lambda slot: _BEST_FIRST.index(slot.quality))


def energy_of(formula: Formula, parts: Sequence[Part]) -> int | None:
    """What the parts add up to, in µWh, negative where the formula says so; None where one of them
    was not wholly metered.
    """
    if worst_of(parts).quality in ("partial", "missing"):
        return None

    energies = {(slot.device, slot.direction): slot.energy_uwh or 0 for slot in parts}
    return formula.total(energies)


def uncertainty_of(formula: Formula, parts: Sequence[Part]) -> int | None:
    """By how much the parts' sum may be off, in µWh, either way; None where the sum, or that of one
    part, is not known.

    Sizes add: what makes one meter wrong, such as a load that was switched between two samples,
    makes the other one wrong as well.
    """
    if not parts or worst_of(parts).quality in ("partial", "missing"):
        return None

    uncertainties = {(slot.device, slot.direction): slot.uncertainty_uwh for slot in parts}
    found = [uncertainties.get((term.device, term.direction)) for term in formula.terms]
    known = [each for each in found if each is not None]
    return sum(known) if len(known) == len(found) else None


def asset_slot(asset: UUID, formula: Formula, parts: Sequence[Part]) -> AssetSlot:
    """An asset's slot, made of its meters' slots of one time and length."""
    return AssetSlot(
        asset=asset,
        start_s=parts[0].start_s,
        length_s=parts[0].length_s,
        energy_uwh=energy_of(formula, parts),
        uncertainty_uwh=uncertainty_of(formula, parts),
        quality=worst_of(parts).quality,
    )
