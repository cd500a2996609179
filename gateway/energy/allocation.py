"""Unallocated energy → slots, by a profile. Pure.

What passed while nobody read is one number over a time. A profile says how it was spread; slots
that lack energy get their share of it, rounded so that the shares add up to the whole, exactly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from gateway.energy.slot import Method, Quality, Slot, Unallocated

DAY_S = 86_400

LACKING = ("partial", "missing")
"""Only slots that were not wholly metered lack energy."""


class CannotAllocate(Exception):
    """Energy cannot be put into slots. The text says why and what to do."""


class Share(msgspec.Struct, frozen=True):
    """One slot of the gap: which part of it (0 to 1) lies in the gap, and how much the profile says
    passed in the whole slot.
    """

    slot: Slot
    part: float
    weight: float


def lacking(record: Unallocated, slots: Iterable[Slot]) -> list[tuple[Slot, float]]:
    """The slots that the gap spans, and which part of each lies in it. `slots` are those of the
    series, one per time at most.

    Raises CannotAllocate where one of them is not there, or lacks nothing.
    """
    if record.to_ms <= record.from_ms:
        raise CannotAllocate(
            "the clock was set back here: there is no time between the two readings that slots "
            "could be given this energy for"
        )
    mine = (slot for slot in slots if _is_of(record, slot))
    found: list[tuple[Slot, float]] = []
    until_ms = record.from_ms
    for slot in sorted(mine, key=lambda slot: slot.start_s):
        start_ms, end_ms = slot.start_s * 1000, (slot.start_s + slot.length_s) * 1000
        inside_ms = min(end_ms, record.to_ms) - max(start_ms, record.from_ms)
        if inside_ms <= 0:
            continue
        if start_ms > until_ms:
            break
        if slot.quality not in LACKING:
            raise CannotAllocate(
                f"the slot of {_utc(slot.start_s)} lacks nothing (it is {slot.quality}), and its "
                "energy stays as it was sent; "
                "this energy can only be settled outside the market"
            )
        found.append((slot, inside_ms / (end_ms - start_ms)))
        until_ms = end_ms
    if until_ms < record.to_ms:
        raise CannotAllocate(
            f"the slot of {_utc(until_ms // 1000)} is not in the buffer: it is still open (try "
            "again when it has ended), or it is older "
            "than what is kept, or the gap is longer than the 31 days of which slots are written "
            "down"
        )
    return found


def linear(found: Sequence[tuple[Slot, float]]) -> list[Share]:
    """The same power all along."""
    return [Share(slot, part, float(slot.length_s)) for slot, part in found]


def as_before(
    found: Sequence[tuple[Slot, float]], days: int, energy_uwh: Callable[[int], int | None]
) -> list[Share]:
    """As it was so many days before. `energy_uwh` knows the energy of the slot that starts then.
    Raises CannotAllocate where it does not.
    """
    shares = []
    for slot, part in found:
        before_uwh = energy_uwh(slot.start_s - days * DAY_S)
        if before_uwh is None:
            day = "the day" if days == 1 else f"{days} days"
            raise CannotAllocate(
                f"the slot of {_utc(slot.start_s)} has no known energy {day} before — choose "
                "another profile, such as linear"
            )
        shares.append(Share(slot, part, float(before_uwh)))
    return shares


def by_table(found: Sequence[tuple[Slot, float]], weights: Mapping[int, float]) -> list[Share]:
    """By numbers for each start of a slot (Unix time), of which only the proportions count. Raises
    CannotAllocate where one is missing.
    """
    for slot, _ in found:
        if slot.start_s not in weights:
            raise CannotAllocate(
                f"the profile has no line for the slot of {_utc(slot.start_s)}; it needs one for "
                "each slot of the gap"
            )
    return [Share(slot, part, weights[slot.start_s]) for slot, part in found]


def allocate(
    record: Unallocated, shares: Sequence[Share], whole: Callable[[Slot], bool]
) -> list[Slot]:
    """The next revision of every slot, with its share. `whole` says whether a slot lacks nothing
    else: it is estimated then, and still partial otherwise.

    Raises CannotAllocate where the profile is nothing but zeros.
    """
    total = sum(share.part * share.weight for share in shares)
    if total <= 0:
        raise CannotAllocate(
            "the profile says that nothing passed in all of this time — choose another one, such "
            "as linear"
        )

    allocated: list[Slot] = []
    so_far = 0.0
    given_uwh = 0
    for n, share in enumerate(shares, 1):
        # Each share ends where the profile has come to; the last one takes what is left, so that
        # nothing is lost by rounding.
        so_far += share.part * share.weight
        if n == len(shares):
            upto_uwh = record.energy_uwh
        else:
            upto_uwh = int(record.energy_uwh * min(so_far / total, 1.0))

        slot = share.slot
        energy_uwh = (slot.energy_uwh or 0) + upto_uwh - given_uwh
        # The counter at a slot's ends: what was metered of it keeps its place, the rest lines up
        # with it.
        begin_uwh = slot.begin_uwh
        if slot.quality == "missing":
            begin_uwh = record.begin_uwh + given_uwh
        elif slot.quality == "partial" and slot.start_s * 1000 > record.from_ms:
            begin_uwh = slot.end_uwh - energy_uwh

        given_uwh = upto_uwh
        allocated.append(
            replace(
                slot,
                energy_uwh=energy_uwh,
                quality="estimated" if whole(slot) else "partial",
                method="register",
                begin_uwh=begin_uwh,
                end_uwh=begin_uwh + energy_uwh,
                revision=slot.revision + 1,
                # Nobody knows how much of it was here.
                uncertainty_uwh=_and_all_of(record, slot),
            )
        )
    return allocated


class SlotBefore(msgspec.Struct, frozen=True):
    """A slot as it was before it was given its share, and the revision that it has with it."""

    start_s: int
    revision: int
    energy_uwh: int | None
    quality: Quality
    method: Method
    begin_uwh: int
    end_uwh: int
    uncertainty_uwh: int | None = None


def before(shares: Sequence[Share], allocated: Sequence[Slot]) -> list[SlotBefore]:
    """What is to be kept of the slots, so that an allocation can be undone."""
    return [
        SlotBefore(
            start_s=was.slot.start_s,
            revision=now.revision,
            energy_uwh=was.slot.energy_uwh,
            quality=was.slot.quality,
            method=was.slot.method,
            begin_uwh=was.slot.begin_uwh,
            end_uwh=was.slot.end_uwh,
            uncertainty_uwh=was.slot.uncertainty_uwh,
        )
        for was, now in zip(shares, allocated, strict=True)
    ]


def undone(record: Unallocated, kept: Sequence[SlotBefore], slots: Iterable[Slot]) -> list[Slot]:
    """The next revision of every slot, as it was before. `slots` are those of the series, one per
    time at most.

    Raises CannotAllocate where one has been written anew since, or is not there any more.
    """
    there = {slot.start_s: slot for slot in slots if _is_of(record, slot)}
    restored: list[Slot] = []
    for was in kept:
        slot = there.get(was.start_s)
        if slot is None:
            raise CannotAllocate(f"the slot of {_utc(was.start_s)} is not in the buffer any more")
        if slot.revision != was.revision:
            raise CannotAllocate(
                f"the slot of {_utc(was.start_s)} has been written anew since: undo what was "
                "allocated to it later first"
            )
        restored.append(
            replace(
                slot,
                energy_uwh=was.energy_uwh,
                quality=was.quality,
                method=was.method,
                begin_uwh=was.begin_uwh,
                end_uwh=was.end_uwh,
                uncertainty_uwh=was.uncertainty_uwh,
                revision=slot.revision + 1,
            )
        )
    return restored


def with_shares(
    slot: Slot, there: Slot, placed: Iterable[tuple[Unallocated, Sequence[SlotBefore]]]
) -> Slot:
    """A slot that is booked anew with what a person has put into the one that is `there`: that
    energy is of another time than what was metered. `placed` are the records that a person has
    allocated, each with the slots as they were before, but for those that are void.
    """
    found = [
        (was, record)
        for record, kept in placed
        if _is_of(record, slot)
        for was in kept
        if was.start_s == slot.start_s
    ]
    found.sort(key=lambda each: each[0].revision)
    if not found or found[-1][0].revision != there.revision:
        return slot

    stood_uwh = [*(was.energy_uwh or 0 for was, _ in found), there.energy_uwh or 0]
    share_uwh = stood_uwh[-1] - stood_uwh[0]
    uncertain_uwh = slot.uncertainty_uwh
    if uncertain_uwh is not None:
        uncertain_uwh += sum(record.energy_uwh for _, record in found)
    return replace(
        slot,
        energy_uwh=(slot.energy_uwh or 0) + share_uwh,
        quality=there.quality if slot.quality in LACKING else slot.quality,
        method="register",
        begin_uwh=slot.begin_uwh - share_uwh,
        uncertainty_uwh=uncertain_uwh,
    )


def _is_of(record: Unallocated, slot: Slot) -> bool:
    return (slot.device, slot.serial_number, slot.direction) == (
        record.device,
        record.serial_number,
        record.direction,
    )


def _and_all_of(record: Unallocated, slot: Slot) -> int | None:
    """The uncertainty of a slot that has a share of the record."""
    if slot.energy_uwh is None:
        return record.energy_uwh
    return None if slot.uncertainty_uwh is None else slot.uncertainty_uwh + record.energy_uwh


def table(lines: Iterable[str]) -> dict[int, float]:
    """A profile from CSV: start of the slot (ISO 8601, UTC unless it says otherwise) and a number
    of any unit, 0 or more; a header may be there. Raises CannotAllocate with the line.
    """
    weights: dict[int, float] = {}
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split(",")]
        if not any(cells):
            continue
        try:
            at = datetime.fromisoformat(cells[0])
            weight = float(cells[1])
            if not 0 <= weight < float("inf"):
                raise ValueError(cells[1])
        except (ValueError, IndexError) as error:
            if number == 1:
                continue  # the header
            text = (
                f"line {number}: cannot read {line.strip()[:60]!r} — write "
                "2026-03-29T01:00Z,0.125: start of the slot and a number"
            )
            raise CannotAllocate(text) from error
        weights[round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())] = weight
    if not weights:
        raise CannotAllocate(
            "there is no line with a time and a number — write 2026-03-29T01:00Z,0.125 for each "
            "slot"
        )
    return weights


def _utc(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%MZ")
