"""The laws, checked after a run: what the gateway wrote and what the exchange holds, beside what
truly happened.
"""

import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.energy.assets import Direction, Formula
from gateway.energy.counter import UWH_PER_WH
from tests.simulation.books import Booked, Books, wh_text
from tests.simulation.fee_laws import broken_by_fees
from tests.simulation.fleet_law import stored
from tests.simulation.forecast_law import foretold, kept_forecasts
from tests.simulation.home import ASSETS
from tests.simulation.result import RunResult
from tests.simulation.scenario import Must, Scenario

_GRACE_SLOTS = 3
"""The newest slots of a run may still be on their way."""
MAX_TOLD = 20


@dataclass(slots=True)
class Verdict:
    """What the judge found."""

    scenario: Scenario
    violations: list[str] = field(default_factory=list)
    qualities: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    fees: Counter[str] = field(default_factory=Counter)
    """A grid operator's, of every market and slot."""
    felt: Counter[str] = field(default_factory=Counter)
    """As `FaultLog.felt`."""
    unallocated_wh: float = 0.0
    starts: int = 0
    digest: str = ""
    """Of all slots and deliveries: two runs of a scenario have the same."""


def judge(run: RunResult) -> Verdict:
    """Every law over the result of a run."""
    verdict = Verdict(run.scenario, felt=run.faults.felt, starts=run.starts)
    try:
        books = Books(run)
    except sqlite3.Error as error:
        verdict.violations.append(f"the database cannot be read: {error}")
        return verdict
    verdict.qualities.update(slot.quality for slot in books.slots)
    verdict.events.update(kind for kind, _ in books.events)
    # Of a slot that was revised the newest number counts.
    newest = {(row["asset"], row["slot_s"], row["kind"]): row["state"] for row in books.outbox}
    verdict.deliveries.update(newest.values())
    verdict.fees.update(row["state"] for row in books.fees if row["state"] != "observed")
    verdict.unallocated_wh = (
        sum(
            row["end_uwh"] - row["begin_uwh"]
            for row in books.unallocated
            if row["placed_s"] is None and row["kind"] != "start"
        )
        / UWH_PER_WH
    )
    laws = (
        _alive,
        _sound,
        _chained,
        _true,
        _flowed,
        _dated,
        _booked,
        _kept,
        _itself,
        _ordered,
        _complete,
        foretold,
        _fair,
        _expected,
        _lawful_fees,
        stored,
    )
    verdict.violations += [
        f"{law.__name__.lstrip('_')}: {text}" for law in laws for text in _few(law(books, verdict))
    ]
    what = (
        books.slots,
        [(row["slot_s"], row["asset"], row["energy_uwh"], row["state"]) for row in books.outbox],
    )
    verdict.digest = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    return verdict


def _few(texts: Iterator[str]) -> Iterator[str]:
    for n, text in enumerate(texts):
        if n == MAX_TOLD:
            yield "… and more of this kind"
            return
        yield text


def _lawful_fees(books: Books, _: Verdict) -> Iterator[str]:
    """Those that arrived at the engine, and what is kept of them."""
    yield from broken_by_fees(books)


def _alive(books: Books, _: Verdict) -> Iterator[str]:
    """The daemon never dies of what a line, a server, a disk or a file does."""
    yield from books.run.crashes


def _sound(books: Books, _: Verdict) -> Iterator[str]:
    if books.integrity != "ok":
        yield books.integrity


def _chained(books: Books, _: Verdict) -> Iterator[str]:
    """Σ slots + unallocated = change of the counter, exactly."""
    free: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for row in books.unallocated:
        if row["placed_s"] is None:
            free[row["device"], row["serial_number"], row["direction"]].append(
                (row["begin_uwh"], row["end_uwh"])
            )
    last: dict[tuple[str, str, str], Booked] = {}
    # In the order of the counter: where the clock was set, that is not the order of time.
    for slot in sorted(books.slots, key=lambda slot: (slot.begin_uwh, slot.end_uwh, slot.start_s)):
        if slot.energy_uwh is not None and slot.energy_uwh != slot.end_uwh - slot.begin_uwh:
            yield f"{slot}: its energy is not the difference of its ends"
        if slot.end_uwh < slot.begin_uwh:
            yield f"{slot}: the counter runs backwards"
        key = slot.device, slot.serial_number, slot.direction
        before = last.get(key)
        last[key] = slot
        if before is None or before.end_uwh == slot.begin_uwh:
            continue
        between = sum(
            end - begin
            for begin, end in free[key]
            if before.end_uwh <= begin and end <= slot.begin_uwh
        )
        # Of what was written before the database was damaged, some may be gone.
        if between != slot.begin_uwh - before.end_uwh and before.start_s > books.lost_s:
            yield (
                f"{wh_text(slot.begin_uwh - before.end_uwh)} between {before} and {slot}, of which "
                f"{wh_text(between)} are stated as unallocated"
            )


def _true(books: Books, _: Verdict) -> Iterator[str]:
    """Each slot is what flowed in it; the counter stays inside the register's step."""
    for slot in books.slots:
        if slot.energy_uwh is None or slot.quality == "partial":
            continue
        if slot.clock == "placed" and slot.quality == "measured":
            yield f"{slot}: nobody knows when its samples were taken"
        off_uwh = abs(slot.energy_uwh - books.true_uwh(slot))
        if off_uwh > (allowed_uwh := books.tolerance_uwh(slot)):
            yield (
                f"{slot}: {wh_text(books.true_uwh(slot))} flowed, so it is off by "
                f"{wh_text(off_uwh)}, where {wh_text(allowed_uwh)} are allowed"
            )
    seen: set[tuple[str, str, int]] = set()
    for slot in books.slots:
        key = slot.device, slot.direction, slot.start_s
        if slot.quality in ("measured", "estimated") and key in seen:
            yield f"{slot}: there is another one of this time"
        if slot.quality in ("measured", "estimated"):
            seen.add(key)


def _flowed(books: Books, _: Verdict) -> Iterator[str]:
    """Nothing is booked, nor stated as unallocated, that did not flow."""
    stated: Counter[tuple[str, Direction]] = Counter()
    for slot in books.slots:
        stated[slot.device, slot.direction] += slot.energy_uwh or 0
    for row in books.unallocated:
        if row["placed_s"] is None:
            stated[row["device"], row["direction"]] += row["end_uwh"] - row["begin_uwh"]
    for (device, direction), stated_uwh in stated.items():
        flowed_uwh, allowed_uwh = books.flowed_uwh(device, direction)
        if stated_uwh > flowed_uwh + allowed_uwh:
            yield (
                f"{device} {direction}: {wh_text(stated_uwh)} are booked or unallocated, and "
                f"{wh_text(flowed_uwh)} flowed, where {wh_text(allowed_uwh)} are allowed"
            )


def _dated(books: Books, _: Verdict) -> Iterator[str]:
    """Nothing is dated by a clock that was wrong."""
    if books.run.trusted_ms is None:
        yield from (f"{slot}: no clock was ever right" for slot in books.slots)
    boots: Mapping[str, Any] = books.run.boots
    for row in books.samples:
        if row["utc_ms"] is None or row["placed"]:
            continue
        if row["boot_id"] not in boots:
            # Where the row of a boot was lost with a damaged file, nobody can say when the boot
            # began.
            if not row["boot_id"].startswith("lost-"):
                yield f"a sample is of boot {row['boot_id']!r}, which never was"
            continue
        true_ms = boots[row["boot_id"]].booted_ms + row["boottime_ms"]
        if abs(row["utc_ms"] - true_ms) > books.wrong_ms + 2:
            yield (
                f"a sample of {true_ms} ms is dated {row['utc_ms']} ms, "
                f"{(row['utc_ms'] - true_ms) / 1000:.3f} s off"
            )


def _booked(books: Books, _: Verdict) -> Iterator[str]:
    """What the exchange holds is what was owed, in the slot it belongs to, and true."""
    owed: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for row in books.outbox:
        owed[row["asset"], row["slot_s"]].append(row)
    slots = {
        (slot.device, slot.direction, slot.start_s): slot
        for slot in books.slots
        if slot.quality in ("measured", "estimated")
    }
    held = books.held()
    for asset, values in held.items():
        name = books.names[str(asset)]
        for held_s, uwh in values.items():
            start_s = held_s - books.held_later_s
            near = [owed.get((str(asset), each), []) for each in _mistakable(books, start_s)]
            if any(row["energy_uwh"] == uwh for rows in near for row in rows):
                continue
            rows = owed.get((str(asset), start_s), [])
            # An answer that was lost leaves open which of the later revisions arrived.
            known = [row["energy_uwh"] for row in rows]
            accepted = max(
                (n for n, row in enumerate(rows) if row["state"] == "accepted"), default=0
            )
            if not rows and start_s > books.lost_s:
                said = f"{wh_text(uwh)} for {start_s}"
                yield f"{name}: the exchange holds {said}, which was never owed"
            elif rows and uwh not in known[accepted:] and start_s > books.lost_s:
                yield (
                    f"{name}: the exchange holds {wh_text(uwh)} for {start_s}; owed were "
                    f"{[dict(row) for row in rows]}"
                )
            terms = Formula.parse(ASSETS[name][1]).terms
            parts = [
                slots[key]
                for term in terms
                if (key := (term.device, term.direction, start_s)) in slots
            ]
            if rows and len(parts) == len(terms):
                true_uwh = sum(
                    term.sign * books.true_uwh(part)
                    for term, part in zip(terms, parts, strict=True)
                )
                allowed_uwh = sum(books.tolerance_uwh(part) for part in parts)
                if abs(uwh - max(true_uwh, 0)) > allowed_uwh:
                    yield (
                        f"{name}: the exchange holds {wh_text(uwh)} for {start_s}; true are "
                        f"{wh_text(true_uwh)} ± {wh_text(allowed_uwh)}"
                    )
            elif rows and start_s > books.lost_s:
                yield f"{name}: {start_s} was delivered, but not every meter has that slot"
    yield from _really_held(books, owed, held)


def _mistakable(books: Books, start_s: int) -> range:
    """The slots for which a number may be taken that is sent without its time, where the clock was
    wrong and nobody could tell.
    """
    off_s = books.wrong_ms // 1000
    if books.run.scenario.dialect == "sdk" or off_s < books.slot_s:
        return range(0)
    return range(start_s - off_s - books.slot_s, start_s + off_s + books.slot_s, books.slot_s)


def _really_held(
    books: Books, owed: Mapping[tuple[str, int], list[Any]], held: Mapping[Any, Mapping[int, int]]
) -> Iterator[str]:
    """What is said to be accepted."""
    end_s = books.run.end_ms / 1000 - _GRACE_SLOTS * books.slot_s
    for (text, start_s), rows in owed.items():
        asset = next(uuid for uuid in held if str(uuid) == text)
        # What was sent too early because the clock was ahead is found out by asking; what stays so
        # is shown to a person.
        disputed = any(row["disagreements"] > 1 for row in rows)
        accepted = any(row["state"] == "accepted" for row in rows) and start_s < end_s
        if not accepted or disputed or _assumed(books, rows):
            continue
        said_uwh = {row["energy_uwh"] for row in rows}
        near_s = [each + books.held_later_s for each in _mistakable(books, start_s)]
        if any(held[asset].get(each) in said_uwh for each in near_s):
            continue
        if start_s + books.held_later_s not in held[asset]:
            yield (
                f"{books.names[text]}: {start_s} is said to be accepted, and the exchange does "
                "not hold it"
            )


def _assumed(books: Books, rows: list[Any]) -> bool:
    """Whether it only counts as accepted, and says so: the database was lost meanwhile."""
    return all(row["attempts"] == 0 and row["slot_s"] <= books.lost_s for row in rows)


def _kept(books: Books, _: Verdict) -> Iterator[str]:
    """What was accepted gets no other number from a database that does not know of it: one that was
    deleted, or put back from before.
    """
    restored_s = [(of / 1000, at / 1000) for of, at in books.run.faults.restored_ms]
    accepted: dict[tuple[Any, int], tuple[float, int]] = {}
    for number, booking in enumerate(books.run.exchange.books.history):
        if booking.what == "forecast":
            continue
        key = books.here(booking.asset), booking.slot_s
        before_s, before_uwh = accepted.get(key, (booking.at_s, booking.energy_uwh))
        lost = any(of_s < before_s <= at_s < booking.at_s for of_s, at_s in restored_s)
        if lost and booking.energy_uwh != before_uwh:
            yield (
                f"{books.names[str(key[0])]}: {booking.slot_s} was accepted with "
                f"{wh_text(before_uwh)}, and sent again with {wh_text(booking.energy_uwh)} from a "
                "database that did not know of it"
            )
        if number in books.run.faults.acknowledged:
            accepted[key] = booking.at_s, booking.energy_uwh


def _itself(books: Books, _: Verdict) -> Iterator[str]:
    """Nothing is ever sent as something else: each measurement that arrived was owed, of that asset
    and slot.
    """
    if books.run.scenario.dialect != "sdk" or books.lost_s >= 0:
        return
    owed: dict[tuple[str, int], set[int]] = defaultdict(set)
    for row in books.outbox:
        owed[row["asset"], row["slot_s"]].add(row["energy_uwh"])
    for booking in books.run.exchange.books.history:
        asset = str(books.here(booking.asset))
        if booking.what == "measurement" and booking.energy_uwh not in owed[asset, booking.slot_s]:
            yield (
                f"{books.names[asset]}: {wh_text(booking.energy_uwh)} arrived for "
                f"{booking.slot_s}, and were never owed of it"
            )


def _ordered(books: Books, _: Verdict) -> Iterator[str]:
    """No number of a slot arrives after a newer one of it whose receipt the gateway has."""
    if books.run.scenario.dialect != "sdk" or books.lost_s >= 0:
        return
    revisions: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    for row in books.outbox:
        revisions[row["asset"], row["slot_s"]][row["energy_uwh"]] = row["revision"]
    newest: Counter[tuple[str, int]] = Counter()
    for number, booking in enumerate(books.run.exchange.books.history):
        key = str(books.here(booking.asset)), booking.slot_s
        revision = revisions[key].get(booking.energy_uwh)
        if booking.what != "measurement" or revision is None:
            continue
        if revision < newest[key]:
            yield (
                f"{books.names[key[0]]}: {wh_text(booking.energy_uwh)} arrived for "
                f"{booking.slot_s}, after revision {newest[key]} of it was taken"
            )
        if number in books.run.faults.acknowledged:
            newest[key] = max(newest[key], revision)


def _complete(books: Books, _: Verdict) -> Iterator[str]:
    """Every slot of every asset is accepted, rejected with a reason, or missed with ours; what was
    whole is delivered.
    """
    trusted_ms, end_s = books.run.trusted_ms, books.run.end_ms // 1000
    if trusted_ms is None:
        return
    dated = books.run.scenario.dialect == "sdk"
    rows = {
        (row["asset"], row["slot_s"]): row for row in books.outbox
    }  # the newest revision of each
    for row in books.outbox:
        if row["state"] in ("rejected", "missed") and not row["reason"]:
            yield f"{books.names[row['asset']]}: {row['slot_s']} is {row['state']} without a reason"
    for row in rows.values():
        # The revision that replaced it may have been in a part of the file that was damaged since.
        is_lost = row["reason"].startswith("replaced by") and row["decided_s"] <= books.lost_s
        if dated and row["state"] == "missed" and row["energy_uwh"] is not None and not is_lost:
            yield (
                f"{books.names[row['asset']]}: {row['slot_s']} was whole, and was missed: "
                f"{row['reason']}"
            )
    last_s = (end_s - _GRACE_SLOTS * books.slot_s) // books.slot_s * books.slot_s
    for asset, name in books.names.items():
        first_s = min((start_s for each, start_s in rows if each == asset), default=None)
        if first_s is None:
            yield f"{name}: not a single slot is owed"
            continue
        if books.lost_s < 0 and first_s > trusted_ms / 1000 + 3 * books.slot_s:
            yield f"{name}: the first slot is {first_s}, long after the clock could be trusted"
        zero_since_s, untold_s = books.zero_since_s(name), list(books.untold_s(name))
        for start_s in books.starts_s(first_s, last_s):
            row = rows.get((asset, start_s))
            is_untold = any(start_s in each for each in untold_s)
            is_untold |= start_s + books.slot_s > zero_since_s
            if row is None and start_s > books.lost_s and not is_untold:
                yield f"{name}: {start_s} is nowhere"
            elif row is not None and row["state"] == "pending":
                yield f"{name}: {start_s} still waits"


def _fair(books: Books, _: Verdict) -> Iterator[str]:
    """Nothing is rejected but what the exchange refused while it took others: no run lasts so long
    that refusals of everything are final.
    """
    for row in books.outbox:
        if row["state"] != "rejected":
            continue
        decided_ms = row["decided_s"] * 1000
        refused_ms = books.run.faults.refused_ms.get(books.names[row["asset"]], ())
        if not any(
            begin_ms - books.wrong_ms <= decided_ms <= end_ms + books.wrong_ms + 60_000
            for begin_ms, end_ms in refused_ms
        ):
            yield (
                f"{books.names[row['asset']]}: {row['slot_s']} was rejected by an exchange that "
                f"only had a fault: {row['reason']}"
            )


def _expected(books: Books, verdict: Verdict) -> Iterator[str]:
    """What this scenario asks for."""
    must: Must = verdict.scenario.must
    if must.measured is not None and verdict.qualities["measured"] < must.measured:
        yield (
            f"{verdict.qualities['measured']} slots are measured, at least {must.measured} must be"
        )
    lost = verdict.qualities["partial"] + verdict.qualities["missing"]
    for name, most, count in (
        ("estimated", must.estimated, verdict.qualities["estimated"]),
        ("partial or missing", must.lost, lost),
        ("missed", must.missed, verdict.deliveries["missed"]),
        ("rejected", must.rejected, verdict.deliveries["rejected"]),
        ("Wh unallocated", must.unallocated_wh, verdict.unallocated_wh),
    ):
        if most is not None and count > most:
            yield f"{count:g} {name}, at most {most:g} may be"
    if must.foretold is not None and (count := len(kept_forecasts(books))) < must.foretold:
        yield f"{count} slots were foretold, at least {must.foretold} must be"
    if must.starts is not None and verdict.starts != must.starts:
        yield f"the daemon was started {verdict.starts} times, where {must.starts} must be"
    if must.events is not None and must.events != verdict.events:
        yield f"events {dict(verdict.events)} are noted, where {dict(must.events)} must be"
    for fault, least in (must.felt or {}).items():
        if verdict.felt[fault] < least:
            yield f"{fault} was felt {verdict.felt[fault]} times, at least {least} must be"
    if must.off_wh is not None:
        for slot in books.slots:
            if slot.quality == "measured" and slot.energy_uwh is not None:
                off_uwh = abs(slot.energy_uwh - books.true_uwh(slot))
                if off_uwh > must.off_wh * UWH_PER_WH:
                    yield (
                        f"{slot}: it is called measured and off by {wh_text(off_uwh)}, where "
                        f"{must.off_wh:g} Wh may be"
                    )
    if must.within is not None:
        late = [text for text, after_s in _first_accepted(books) if after_s > must.within]
        if len(late) > must.late:
            yield (
                f"{len(late)} numbers came later than {must.within:g} s, at most {must.late} "
                f"may: {'; '.join(late[:5])}"
            )


def _first_accepted(books: Books) -> Iterator[tuple[str, float]]:
    """Each number that the exchange holds, and how long after its slot's end (s) it was first
    there.
    """
    seen: set[tuple[Any, int]] = set()
    for booking in books.run.exchange.books.history:
        key = books.here(booking.asset), booking.slot_s
        if booking.what != "forecast" and key not in seen:
            seen.add(key)
            start_s = booking.slot_s - books.held_later_s
            after_s = booking.at_s - start_s - books.slot_s
            yield f"{books.names[str(key[0])]} {start_s} after {after_s:.1f} s", after_s
