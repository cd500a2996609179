"""Does a buffer keep the laws? Looks through slots, unallocated energy and what is owed, and says
where they do not agree. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from gateway.energy.slot import KNOWN, Slot, Unallocated
from gateway.outbox.owed import Owed
from gateway.site.settings import Asset
from gateway.timing.utc import utc_minutes

Series = tuple[str, str | None, str]
"""Meter, serial number and direction."""

_UWH = 10**6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    at_s: int
    text: str


REMEDIES = {
    "energy": "the slot's own numbers do not agree: the file was changed by hand, or by damage. "
    "See meter-gateway slots --meters",
    "chain": "slots were lost, or booked otherwise than counted; the total is right again with "
    "the next slot. Tell the community's manager",
    "hole": "slots are not in the buffer: lost with a damaged file (see its event), or the "
    "daemon did not run. Nothing needs to be done",
    "overlap": "two slots hold the same time: the slot length was changed in between. Nothing "
    "needs to be done if it was",
    "owed": "correct if the asset's formula was changed since; otherwise tell the community's "
    "manager, with this line",
}
"""What to do, per kind."""


def audit(
    slots: Iterable[Slot],
    owed: Iterable[Owed],
    open_records: Sequence[Unallocated],
    assets: Sequence[Asset],
) -> Iterator[Finding]:
    """Slots and what is owed come in the order of time; `open_records` are the unallocated
    energy that is in no slot.
    """
    runs: dict[Series, list[_Run]] = {}
    due = _Ahead(owed)
    for start_s, group in groupby(slots, key=lambda slot: slot.start_s):
        now = list(group)
        for slot in now:
            yield from _slot(slot)
            yield from _append(runs.setdefault(_series(slot), []), slot)
        yield from _owed(now, due.at(start_s), assets)

    unallocated: dict[Series, list[Unallocated]] = {}
    for each in open_records:
        unallocated.setdefault((each.device, each.serial_number, each.direction), []).append(each)
    for series, its_runs in runs.items():
        yield from _chain(its_runs, unallocated.get(series, []))


@dataclass(slots=True)
class _Run:
    """Slots of a series, each of which goes on where the one before has ended."""

    first: Slot
    last: Slot


def _series(slot: Slot) -> Series:
    return slot.device, slot.serial_number, slot.direction


def _slot(slot: Slot) -> Iterator[Finding]:
    if slot.energy_uwh is not None and slot.energy_uwh != slot.end_uwh - slot.begin_uwh:
        counted = (slot.end_uwh - slot.begin_uwh) / _UWH
        text = (
            f"{_name(slot)}: {slot.energy_uwh / _UWH:g} Wh are booked, and the counter moved "
            f"by {counted:g} Wh"
        )
        yield Finding("energy", slot.start_s, text)


def _append(runs: list[_Run], slot: Slot) -> Iterator[Finding]:
    """Put the next slot in time to its series' runs."""
    before = runs[-1].last if runs else None
    if before is not None and slot.start_s < before.start_s + before.length_s:
        yield Finding(
            "overlap",
            slot.start_s,
            f"{_name(slot)}: begins before the one of {utc_minutes(before.start_s)} has ended",
        )
        runs[-1].last = slot
    elif before is not None and slot.begin_uwh == before.end_uwh:
        runs[-1].last = slot
    else:
        runs.append(_Run(slot, slot))


def _chain(runs: list[_Run], unallocated: Sequence[Unallocated]) -> Iterator[Finding]:
    """From one run of a series to the next, in the order of its counter: where a clock was set
    back, that is not the order of time.
    """
    runs.sort(key=lambda run: (run.first.begin_uwh, run.last.end_uwh, run.first.start_s))
    for before, after in pairwise(runs):
        yield from _between(before.last, after.first, unallocated)


def _between(before: Slot, slot: Slot, unallocated: Sequence[Unallocated]) -> Iterator[Finding]:
    end_s = before.start_s + before.length_s
    moved_uwh = slot.begin_uwh - before.end_uwh
    stated_uwh = sum(
        each.energy_uwh
        for each in unallocated
        if before.end_uwh <= each.begin_uwh and each.end_uwh <= slot.begin_uwh
    )
    if moved_uwh != stated_uwh:
        stated = (
            f", of which {stated_uwh / _UWH:g} Wh are stated as unallocated"
            if stated_uwh
            else ", stated nowhere"
        )
        text = (
            f"{_name(slot)}: the counter moved by {moved_uwh / _UWH:g} Wh since the slot "
            f"before{stated}"
        )
        yield Finding("chain" if slot.start_s == end_s else "hole", slot.start_s, text)
    elif slot.start_s > end_s and moved_uwh:
        yield Finding(
            "hole", slot.start_s, f"{_name(slot)}: there is no slot from {utc_minutes(end_s)} on"
        )


def _owed(
    slots: Sequence[Slot], owed: Sequence[Owed], assets: Sequence[Asset]
) -> Iterator[Finding]:
    """What was sent against the slots it was made of: the newest revision of each."""
    newest: dict[object, Owed] = {}
    for each in owed:
        if each.item.kind == "measurement" and each.quality in KNOWN:
            known = newest.setdefault(each.item.subject, each)
            if each.item.revision > known.item.revision:
                newest[each.item.subject] = each
    for asset in assets:
        item = newest.get(asset.uuid)
        if item is None:
            continue
        energies: dict[tuple[str, str], int] = {}
        for slot in slots:
            key = slot.device, slot.direction
            energies[key] = energies.get(key, 0) + (slot.energy_uwh or 0)
        wanted = {(term.device, term.direction) for term in asset.energy.terms}
        if wanted - energies.keys():
            continue
        sum_uwh = sum(
            term.sign * energies[term.device, term.direction] for term in asset.energy.terms
        )
        owed_uwh = item.item.energy_uwh if item.raw_uwh is None else item.raw_uwh
        if sum_uwh != owed_uwh:
            start_s = item.item.slot_s
            owed_text = f"{owed_uwh / _UWH:g} Wh are owed ({item.state})"
            yield Finding(
                "owed",
                start_s,
                f"{asset.name}, slot of {utc_minutes(start_s)}: {owed_text}, its meters say "
                f"{sum_uwh / _UWH:g} Wh",
            )


class _Ahead:
    """Reads along in the order of time."""

    def __init__(self, owed: Iterable[Owed]) -> None:
        self._rest = iter(owed)
        self._next = next(self._rest, None)

    def at(self, start_s: int) -> list[Owed]:
        """All of that slot; those of earlier ones are passed over."""
        found = []
        while self._next is not None and self._next.item.slot_s <= start_s:
            if self._next.item.slot_s == start_s:
                found.append(self._next)
            self._next = next(self._rest, None)
        return found


def _name(slot: Slot) -> str:
    serial = f" ({slot.serial_number})" if slot.serial_number else ""
    return f"{slot.device}.{slot.direction}{serial}, slot of {utc_minutes(slot.start_s)}"
