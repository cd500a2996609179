"""What is settled for assets, and what destinations are owed, when slots are closed or written
anew. Pure: what is known already is asked for through callables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from msgspec.structs import replace

from gateway.energy.asset_slots import asset_slot, once_written, parts_of
from gateway.energy.assets import Formula
from gateway.energy.slot import KNOWN, AssetSlot, Slot
from gateway.outbox.foreseen import Said
from gateway.outbox.format import Closed, Number, Terms
from gateway.outbox.item import Item, Kind, Subject
from gateway.outbox.owed import Owed

SlotsAt = Callable[[int], Iterable[Slot]]
"""All slots in the books that start then (Unix time)."""

AssetSlotAt = Callable[[UUID, int], AssetSlot | None]
"""An asset's slot that is in the books already."""

NewestOwed = Callable[[str, Subject, int, Kind], Owed | None]
"""The newest revision of what a destination is owed already for a subject and slot."""

ForetoldAt = Callable[[UUID, int], Said | None]
"""What is expected of an asset's slot."""


def asset_slots_for(
    new: Sequence[Slot],
    formulas: Mapping[UUID, Formula],
    slot_s: int,
    slots_at: SlotsAt,
    booked: AssetSlotAt,
    foretold: ForetoldAt,
) -> Iterator[AssetSlot]:
    """The slots of every asset whose meters have all closed theirs, once `new` is written, with
    what was expected of them. Slots of another length than the market's (`slot_s`) make none.
    """
    new = [slot for slot in new if slot.length_s == slot_s]
    devices = {slot.device for slot in new}
    touched = {asset: f for asset, f in formulas.items() if f.devices & devices}
    if not touched:
        return

    for start_s in sorted({slot.start_s for slot in new}):
        known = once_written(
            (slot for slot in new if slot.start_s == start_s),
            (slot for slot in slots_at(start_s) if slot.length_s == slot_s),
        )
        for asset, formula in touched.items():
            if parts := parts_of(formula, known):
                settled = asset_slot(asset, formula, parts)
                before = booked(asset, start_s)
                if before is None:
                    yield _beside(settled, foretold(asset, start_s))
                else:
                    yield _next_revision(settled, before)


def _beside(settled: AssetSlot, said: Said | None) -> AssetSlot:
    """The slot, and what was expected of it."""
    if said is None:
        return settled
    return replace(
        settled,
        forecast_uwh=said.energy_uwh,
        forecast_low_uwh=said.low_uwh,
        forecast_high_uwh=said.high_uwh,
        forecast_by=said.by,
    )


def _next_revision(settled: AssetSlot, before: AssetSlot) -> AssetSlot:
    """The asset's slot with the revision that it has where something is there already. What was
    expected of it stays.
    """
    settled = replace(
        settled,
        revision=before.revision,
        forecast_uwh=before.forecast_uwh,
        forecast_low_uwh=before.forecast_low_uwh,
        forecast_high_uwh=before.forecast_high_uwh,
        forecast_by=before.forecast_by,
    )
    return before if settled == before else replace(settled, revision=before.revision + 1)


def deliverables_for(
    terms: Iterable[Terms], closed: Closed, newest: NewestOwed, slot_s: int, now_s: float
) -> Iterator[Owed]:
    """What each destination is owed once this is written.

    What is written anew is owed again, as the next revision, where the destination's numbers name
    their slots and this is another number than is owed already. Where they do not, what is owed
    once stays as it is. A forecast is owed once, and anew where a better one says something else,
    as long as it can be sent: it takes the place of the one before, with a time or without.
    """
    for each in terms:
        for number in each.selects.numbers(closed, now_s):
            if number.kind not in each.format.kinds:
                continue

            owed = _owed(each, number, slot_s, now_s)
            if number.kind == "measurement" and not number.revised:
                yield owed
                continue

            before = newest(each.destination, number.subject, number.slot_s, number.kind)
            if number.kind == "forecast":
                yield from _forecast(owed, before, number.beyond_uwh, now_s)
                continue
            if before is None:
                yield owed
            elif each.format.dated and not number.undeliverable and not _same(before, owed):
                yield owed.revised(before.item.revision + 1)


def _forecast(
    owed: Owed, before: Owed | None, beyond_uwh: int | None, now_s: float
) -> Iterator[Owed]:
    if before is None:
        yield owed
        return
    can_be_sent = owed.closes_s is None or now_s < owed.closes_s
    differs_by_uwh = abs(owed.item.energy_uwh - before.item.energy_uwh)
    if beyond_uwh is not None and can_be_sent and differs_by_uwh > beyond_uwh:
        yield owed.revised(before.item.revision + 1)


def _owed(terms: Terms, number: Number, slot_s: int, now_s: float) -> Owed:
    """A number as the first revision of what is owed."""
    window = terms.format.window(number.kind, number.slot_s, terms.kept)
    delivered_uwh = max(number.energy_uwh, 0)
    return Owed(
        item=Item(terms.destination, number.subject, number.slot_s, number.kind, 0, delivered_uwh),
        length_s=slot_s,
        quality=number.quality,
        opens_s=window.opens_s,
        closes_s=window.closes_s,
        state="missed" if number.undeliverable else "pending",
        reason=number.undeliverable,
        raw_uwh=number.energy_uwh if number.energy_uwh < 0 else None,
        decided_s=now_s if number.undeliverable else None,
    )


def _same(before: Owed, after: Owed) -> bool:
    """Whether the number that is owed already, or was sent, is this very one, of the same sum."""
    known = before.quality in KNOWN and before.state in ("pending", "sent", "accepted")
    return known and (before.item.energy_uwh, before.raw_uwh) == (
        after.item.energy_uwh,
        after.raw_uwh,
    )
