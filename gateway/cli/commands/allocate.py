"""`meter-gateway allocate`: energy that is in no slot, and how a person puts it into slots."""

import argparse
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.cli.tables import utc_text, wh_text
from gateway.cli.terminal import Refused, print_table, reading, settings_of
from gateway.energy.slot import KNOWN

if TYPE_CHECKING:
    from gateway.energy.allocation import Share
    from gateway.energy.slot import AssetSlot, Slot, Unallocated
    from gateway.outbox.owed import Owed
    from gateway.site.settings import Settings
    from gateway.store.buffer import Buffer
    from gateway.store.rows import UnallocatedRecord

SUMMARY = "list energy that is in no slot, or put it into slots by a profile"

DAYS_BACK = {"yesterday": 1, "last_week": 7}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = (
        "Lists the energy that passed while nobody read a meter for longer than max_gap, or that "
        "is in no slot for another "
        "reason: it is known as a whole, and a person decides what becomes of it. With --id and "
        "--by it is put into the slots it spans, "
        "which are estimated then, and sent again where the exchange dates its numbers. Works "
        "while the daemon runs; it sends within half "
        "a minute. --undo takes it out again. --real says that a reset or a jump was real: until "
        "then it is taken back, for a day, when the register is where it was before.\n"
        "Profiles: linear (the same power all along), yesterday, last_week (as the meter's slots "
        "were then), or a CSV file of lines such "
        "as 2026-03-29T01:00Z,0.125: the start of each slot of the gap, and a number of which "
        "only the proportion counts.\n"
        "Kinds: gap (nobody read), clock (the clock was set), jump (more than the main fuse "
        "carries), clash (a slot came a second time). With --all also start: how far into its step "
        "a register was when metering began. It passed before, so it is for no slot; where that "
        "was after a gap, it is the rest of the gap's energy, and can be put into its slots."
    )
    parser.epilog = (
        "examples:\n"
        "  meter-gateway allocate\n"
        "  meter-gateway allocate --id 3 --by linear\n"
        "  meter-gateway allocate --id 3 --by last_week\n"
        "  meter-gateway allocate --id 3 --by profile.csv\n"
        "  meter-gateway allocate --id 3 --undo\n"
        "  meter-gateway allocate --real heat-pump"
    )
    parser.add_argument(
        "--id", type=int, metavar="N", dest="number", help="which one; the list has the numbers"
    )
    parser.add_argument(
        "--by", metavar="PROFILE", help="linear, yesterday, last_week, or a CSV file"
    )
    parser.add_argument(
        "--undo",
        action="store_true",
        help="take energy that was allocated out of its slots again; give --id",
    )
    parser.add_argument(
        "--real",
        metavar="METER",
        help="say that what a meter's register was believed to have done, a reset or a jump, was "
        "real: coming back to where it stood before undoes nothing then",
    )
    parser.add_argument("--all", action="store_true", help="also list what has been allocated")


def run(args: argparse.Namespace) -> int:
    """Returns 0. Raises Refused where it cannot be allocated."""
    if args.real is not None:
        if args.undo or args.number is not None or args.by is not None:
            raise Refused("give --real METER alone")
        _confirm(settings_of(args), args.real)
        return 0
    if args.undo and (args.number is None or args.by is not None):
        raise Refused("give --undo with --id (which energy) and without --by")
    if not args.undo and (args.number is None) != (args.by is None):
        raise Refused(
            "give both --id (which energy) and --by (which profile), or neither to list what "
            "there is"
        )
    settings = settings_of(args)
    if args.number is None:
        with reading(settings) as buffer:
            _list(list(buffer.unallocated()), allocated_too=args.all)
    elif args.undo:
        _undo(settings, args.number)
    else:
        _allocate(settings, args.number, args.by)
    return 0


def _list(found: "Sequence[UnallocatedRecord]", *, allocated_too: bool) -> None:
    rows = []
    for record in found:
        is_open = record.placed_s is None and record.what.kind != "start"
        if is_open or allocated_too:
            what = record.what
            allocated = _what_became(record)
            ends = utc_text(what.from_ms // 1000), utc_text(what.to_ms // 1000)
            rows.append(
                [
                    str(record.number),
                    what.device,
                    what.direction,
                    what.kind,
                    *ends,
                    wh_text(what.energy_uwh),
                    allocated,
                ]
            )
    if not rows:
        was_any = any(record.what.kind != "start" for record in found)
        print(
            "no energy is unallocated any more; --all lists what was allocated"
            if was_any and not allocated_too
            else "no energy is unallocated"
        )
        return
    print_table(
        ["id", "meter", "direction", "kind", "from", "to", "Wh", "allocated"],
        rows,
        right=["id", "Wh"],
        spare=["allocated", "kind", "direction"],
    )


def _what_became(record: "UnallocatedRecord") -> str:
    if record.placed_s is None:
        return ""
    at = utc_text(round(record.placed_s))
    return f"withdrawn {at}" if record.is_withdrawn else f"{at} by {record.placed_by}"


def _allocate(settings: "Settings", number: int, by: str) -> None:
    from gateway.energy import allocation
    from gateway.store.opening import open_for_deciding
    from gateway.store.rows import placed_by_text

    buffer = open_for_deciding(settings.buffer_path)
    try:
        record = _record(buffer, number)
        if record.placed_s is not None:
            raise Refused(
                f"{number} was allocated at {utc_text(round(record.placed_s))} by "
                f"{record.placed_by} — take it out again first: meter-gateway allocate --id "
                f"{number} --undo"
            )
        if record.what.kind == "start" and not _is_of_a_gap(buffer, record):
            raise Refused(
                f"{number} passed before metering began at {utc_text(record.what.from_ms // 1000)}"
                ", or nobody can tell when: it is how far into its step the register was. No slot "
                "lacks it, and nothing needs to be done"
            )
        try:
            shares = _shares(buffer, record, by)
            slots = allocation.allocate(record.what, shares, partial(_whole, buffer, record))
        except allocation.CannotAllocate as error:
            raise Refused(f"{number} cannot be allocated by {by}: {error}") from error
        asset_slots, owed = _follows(settings, buffer, slots)
        how = placed_by_text(Path(by).name, allocation.before(shares, slots))
        if not buffer.allocate(record, slots, owed, how, time.time(), asset_slots):
            raise Refused(
                f"{number}: the buffer changed meanwhile — look at the list, and try again"
            )
    finally:
        buffer.close_file()
    whole = sum(slot.quality == "estimated" for slot in slots)
    print(
        f"{number}: {wh_text(record.what.energy_uwh)} Wh put into {len(slots)} slots, of which "
        f"{whole} are complete now"
    )
    print(_delivery(settings, len(owed)))


def _confirm(settings: "Settings", name: str) -> None:
    from gateway.ledger.word import confirm
    from gateway.store.opening import open_for_deciding

    names = [device.name for device in settings.devices]
    if name not in names:
        raise Refused(f"there is no meter {name!r} — there are {', '.join(names)}")
    buffer = open_for_deciding(settings.buffer_path)
    try:
        said = confirm(buffer, name, round(time.time() * 1000))
    finally:
        buffer.close_file()
    if not said:
        raise Refused(
            f"{name}: its registers are not believed to have been reset, or to have jumped, within "
            "the last day: there is nothing that could be taken back — its events say what was "
            "found"
        )
    for text in said:
        print(f"{name}: {text}. Coming back to where it stood before undoes nothing")


def _undo(settings: "Settings", number: int) -> None:
    from gateway.energy import allocation
    from gateway.store.opening import open_for_deciding

    buffer = open_for_deciding(settings.buffer_path)
    try:
        record = _record(buffer, number)
        what = record.what
        if record.placed_s is None:
            raise Refused(f"{number} is not allocated: there is nothing to undo")
        if not record.before:
            raise Refused(
                f"{number} was allocated by an older version, which kept nothing of the slots as "
                "they were: it cannot be undone"
            )
        try:
            slots = allocation.undone(what, record.before, _slots_about(buffer, what))
        except allocation.CannotAllocate as error:
            raise Refused(f"{number} cannot be undone: {error}") from error
        asset_slots, owed = _follows(settings, buffer, slots)
        if not buffer.allocate(record, slots, owed, None, time.time(), asset_slots):
            raise Refused(
                f"{number}: the buffer changed meanwhile — look at the list, and try again"
            )
    finally:
        buffer.close_file()
    print(
        f"{number}: {wh_text(what.energy_uwh)} Wh are out of {len(slots)} slots again, and "
        "unallocated. What the exchange holds of slots that are not complete any more stays as it "
        "was sent, until they are"
    )


def _record(buffer: "Buffer", number: int) -> "UnallocatedRecord":
    """Raises Refused where there is none, or none any more."""
    record = next(buffer.unallocated(number), None)
    if record is None:
        raise Refused(
            f"there is no unallocated energy {number} — meter-gateway allocate lists what there is"
        )
    if record.is_withdrawn:
        raise Refused(
            f"{number} never was: the register came back to where it stood before, and what had "
            "stated this energy was taken back — see the events of the meter"
        )
    return record


def _follows(
    settings: "Settings", buffer: "Buffer", slots: "Sequence[Slot]"
) -> "tuple[Sequence[AssetSlot], Sequence[Owed]]":
    """The assets' slots, and what destinations are owed, once these slots are written."""
    from random import random

    from gateway.delivery.opening import Opening, open_destination
    from gateway.ledger.settling import Settling

    terms = []
    for name, its_settings in settings.destinations.items():
        opening = Opening(
            name=name,
            site=settings,
            buffer=buffer,
            now=time.time,
            trusted=lambda: True,
            jitter=random,
        )
        if (its := open_destination(its_settings, opening).terms) is not None:
            terms.append(its)
    return Settling(settings, buffer, terms).follows(slots, time.time)


def _delivery(settings: "Settings", count: int) -> str:
    from gateway.delivery.kinds.exchange import settings_of
    from gateway.outbox.item import EXCHANGE

    if not settings.destinations:
        return "no exchange is configured: nothing is sent"
    if count:
        to = "the exchange" if [*settings.destinations] == [EXCHANGE] else "their destinations"
        return f"{count} numbers are owed to {to} again; the daemon sends them within half a minute"
    exchange = settings_of(settings)
    how = "its destination" if exchange is None else exchange.dialect
    return (
        "nothing is sent: no asset's slot is complete by this, or the dialect "
        f"{how} has no way to date a number"
    )


def _slots_about(buffer: "Buffer", what: "Unallocated") -> "Iterator[Slot]":
    """All meters' slots that may have a part in that time: none is longer than a day."""
    return buffer.slots(what.from_ms // 1000 - 86_400, what.to_ms // 1000 + 1)


def _shares(buffer: "Buffer", record: "UnallocatedRecord", by: str) -> "list[Share]":
    """Raises CannotAllocate or Refused."""
    from gateway.energy import allocation

    what = record.what
    found = allocation.lacking(what, _slots_about(buffer, what))
    if by == "linear":
        return allocation.linear(found)
    if by in DAYS_BACK:
        return allocation.as_before(found, DAYS_BACK[by], partial(_energy_uwh, buffer, record))
    try:
        lines = Path(by).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{by}: is no profile: {error} — write linear, yesterday, last_week, or name a CSV file"
        ) from error
    return allocation.by_table(found, allocation.table(lines))


def _energy_uwh(buffer: "Buffer", record: "UnallocatedRecord", start_s: int) -> int | None:
    """What the meter's slot was that starts then, whichever series it was of; None where it was not
    wholly metered.
    """
    what = record.what
    known = [
        slot.energy_uwh
        for slot in buffer.slots_at(start_s)
        if (slot.device, slot.direction) == (what.device, what.direction) and slot.quality in KNOWN
    ]
    return known[0] if len(known) == 1 else None


def _is_of_a_gap(buffer: "Buffer", record: "UnallocatedRecord") -> bool:
    """Whether it is what the first step after a gap says of the gap's energy."""
    return any(
        replace(other.what, kind="start", begin_uwh=0, end_uwh=0)
        == replace(record.what, begin_uwh=0, end_uwh=0)
        for other in buffer.unallocated()
        if other.what.kind in ("gap", "clock")
    )


def _whole(buffer: "Buffer", record: "UnallocatedRecord", slot: "Slot") -> bool:
    """Whether a slot lacks nothing but this energy: no other record overlaps it, and its series
    goes on before and after it.
    """
    for other in buffer.unallocated():
        what = other.what
        mine = (what.device, what.serial_number, what.direction) == (
            slot.device,
            slot.serial_number,
            slot.direction,
        )
        overlaps = (
            what.from_ms < (slot.start_s + slot.length_s) * 1000
            and what.to_ms > slot.start_s * 1000
        )
        if (
            mine
            and overlaps
            and other.placed_s is None
            and other.number != record.number
            and what.kind in ("gap", "clock")
        ):
            return False
    before, after = (
        [
            (s.serial_number, s.length_s)
            for s in buffer.slots_at(start_s)
            if (s.device, s.direction) == (slot.device, slot.direction)
        ]
        for start_s in (slot.start_s - slot.length_s, slot.start_s + slot.length_s)
    )
    here = slot.serial_number, slot.length_s
    # The newest slot of all is followed by the one that is still open.
    return here in before and (here in after or not after)
