"""Intervals → slots: the energy between two readings is put into the slots it belongs to, or stated
as unallocated. Pure.

For every direction of a series, over any run of slots: Σ slot energy + Σ unallocated energy =
change of the counter, exactly.
"""

from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH, Beginning, Counter, begun
from gateway.energy.entries import Entries
from gateway.energy.interval import Interval, Part, split_at_boundaries
from gateway.energy.look_back import (
    goes_on,
    is_looked_back,
    left_alone,
    look_back,
    pass_boundary,
    settled,
)
from gateway.energy.provisional import keep, revised
from gateway.energy.register import Rules
from gateway.energy.slot import DirectionState, Edge, MeterRules, OpenSlot
from gateway.energy.uncertainty import bounds_of, inside, of_counter

MAX_MISSING = 3000
"""At most this many slots (31 days of 15 minutes) are written down as missing after one gap; the
event tells the whole of it.
"""

_MS_PER_HOUR = 3_600_000


def open_slot(
    counter: Counter, at_ms: int, rules: MeterRules, *, placed: bool, source: str = ""
) -> DirectionState:
    """Metering begins at a reading, at this UTC."""
    slot = OpenSlot(
        start_ms=at_ms - at_ms % rules.slot_ms,
        from_ms=at_ms,
        begin_uwh=counter.counter_uwh,
        begin_register_uwh=counter.register_uwh,
        samples=1,
        placed=placed,
        begin_uncertainty_uwh=bounds_of(counter),
    )
    return DirectionState(
        counter, slot, shift_ms=at_ms - counter.at_ms, placed=placed, source=source
    )


def book(interval: Interval, entries: Entries) -> DirectionState:
    """Put the energy of an interval into slots; but for a jump, which is in none. Returns the
    direction as of the later reading.
    """
    rules = entries.rules
    was_set = interval.set_forward_ms > rules.slot_ms or interval.set_back_ms > rules.slot_ms
    is_too_long = interval.since.power_unknown_ms > rules.max_gap_ms
    left = left_alone(interval.before) if interval.before.passed else ""
    if is_too_long or not goes_on(interval, entries):
        interval = settled(interval, entries)
    else:
        interval = look_back(interval, entries)
    if was_set:
        state = _skip(_begun_anew(interval, entries), "clock", entries, left)
    elif is_too_long and not _stood_still(interval, rules):
        state = _skip(_begun_anew(interval, entries), "gap", entries, left)
    else:
        if left and abs(interval.set_forward_ms) > rules.stale_ms:
            entries.tell(interval.at_ms, "clock", f"{_clock_was_set(interval)}{left}")
        state = _fill(interval, entries)
        if interval.begun_uwh:
            state = _with_begin(state, interval, entries)

    if interval.jump_uwh:
        state = _with_jump(state, interval, entries)
    return state


def _begun_anew(interval: Interval, entries: Entries) -> Interval:
    """The interval, after which metering begins anew: where nobody saw how the register moved, it
    is not known either how far into its step it is.
    """
    counter = interval.counter
    counter = replace(counter, counter_uwh=counter.counter_uwh + interval.begun_uwh)
    has_moved = counter.register_uwh > interval.before.counter.register_uwh
    register = entries.register
    if has_moved and interval.since.power_unknown_ms and not interval.jump_uwh and register:
        stood_uwh = interval.before.counter.counter_uwh
        beginning = Beginning(None, interval.begin_ms, interval.at_ms)
        counter = begun(replace(counter, counter_uwh=stood_uwh), register, beginning)
    return replace(interval, counter=later_in_series(counter), begun_uwh=0)


def later_in_series(counter: Counter) -> Counter:
    """The counter once something of the series is booked: its first step does not say any more
    where the series begins.
    """
    beginning = counter.beginning
    if beginning is None or beginning.series_ms is None:
        return counter
    return replace(counter, beginning=replace(beginning, series_ms=None))


def leave_out(interval: Interval, entries: Entries) -> DirectionState:
    """State all of an interval's energy as unallocated: it passed, and cannot be believed. Returns
    the direction as of the later reading.
    """
    left = left_alone(interval.before)
    return _skip(settled(interval, entries), "jump", entries, left)


def _stood_still(interval: Interval, rules: MeterRules) -> bool:
    """A register that has not moved tells that nothing passed, however long nobody read it: an
    inverter sleeps at night.
    """
    before = interval.before.counter
    has_moved = interval.counter.register_uwh != before.register_uwh
    return not has_moved and interval.passed_ms <= MAX_MISSING * rules.slot_ms


def _fill(interval: Interval, entries: Entries) -> DirectionState:
    """Put the energy into slots, as power was, and evenly where it is not known."""
    before = interval.before
    slot = before.slot
    passed = before.passed
    counter = interval.counter
    for part in split_at_boundaries(interval, entries.rules):
        slot = _with_part(slot, part, interval)
        if part.ends_slot:
            end = _end_of(part, interval, entries.register)
            if not interval.begun_uwh and is_looked_back(part, interval, entries):
                passed = pass_boundary(slot, end, interval, entries)
                end = passed.end
                counter_uwh = max(counter.counter_uwh, end.counter_uwh)
                counter = replace(counter, counter_uwh=counter_uwh)
                passed = None if passed.boundary.is_known else passed
            else:
                entries.close(slot, end)
            slot = OpenSlot.after(end)

    until_ms = interval.until_ms
    provisional_ms = before.provisional_ms
    return DirectionState(
        counter=counter,
        slot=slot,
        shift_ms=until_ms - interval.counter.at_ms,
        placed=interval.placed,
        provisional_ms=provisional_ms if provisional_ms > until_ms else 0,
        source=before.source,
        surprise=before.surprise.after(
            before.counter, interval.since, interval.counter, entries.register
        ),
        passed=passed,
    )


def _end_of(part: Part, interval: Interval, register: Rules | None) -> Edge:
    """The edge at which a part of an interval ends its slot."""
    before = interval.before
    surprise_uwh = before.surprise.energy_uwh
    counter = interval.counter
    left_out_uwh = interval.jump_uwh + interval.begun_uwh
    with_all = replace(counter, counter_uwh=counter.counter_uwh + left_out_uwh)
    uncertainty_uwh = of_counter(with_all, register, surprise_uwh)
    if part.until_ms < interval.until_ms:
        uncertainty_uwh = inside(
            of_counter(before.counter, register, surprise_uwh),
            uncertainty_uwh,
            from_uwh=part.end_uwh - before.counter.counter_uwh,
            to_uwh=counter.counter_uwh - part.end_uwh,
            since=interval.since,
            part=(part.until_ms - interval.begin_ms) / (interval.until_ms - interval.begin_ms),
        )
    return Edge(part.until_ms, part.end_uwh, part.end_register_uwh, uncertainty_uwh)


def _with_part(slot: OpenSlot, part: Part, interval: Interval) -> OpenSlot:
    """The slot after what of the interval lies in it."""
    before = interval.before
    is_power_unknown = interval.since.power_unknown_ms > 0
    was_provisional = part.ends_slot and part.until_ms <= before.provisional_ms
    slot = slot.doubted(part.doubts)
    return replace(
        slot,
        # The later reading lies in the last part.
        samples=slot.samples if part.ends_slot else slot.samples + 1,
        largest_gap_ms=max(slot.largest_gap_ms, interval.gap_ms if part.counts else 0),
        uncovered_ms=slot.uncovered_ms + part.uncovered_ms,
        contradicted_uwh=slot.contradicted_uwh + part.contradicted_uwh,
        register_only=slot.register_only or (part.counts and is_power_unknown),
        placed=slot.placed or before.placed or interval.placed,
        revision=slot.revision + 1 if was_provisional else slot.revision,
    )


def _with_begin(state: DirectionState, interval: Interval, entries: Entries) -> DirectionState:
    """The open slot begins where the register's first step says that it did: from slot to slot the
    counter goes on, but for what is on record. In the first slot of a series this is where the
    series begins.
    """
    counter = state.counter
    begin_uwh = state.slot.begin_uwh
    end_uwh = begin_uwh + interval.begun_uwh
    beginning = interval.before.counter.beginning
    from_ms, to_ms = interval.begin_ms, interval.at_ms
    if beginning and beginning.from_ms is not None and beginning.to_ms is not None:
        from_ms, to_ms = beginning.from_ms, beginning.to_ms
    is_first = beginning is not None and beginning.series_ms == state.slot.from_ms
    is_rest = beginning is not None and beginning.to_ms == state.slot.from_ms
    if not is_first:
        ends_uwh = begin_uwh, end_uwh
        entries.leave_unallocated("start", from_ms, to_ms, *ends_uwh, is_rest=is_rest)
    return replace(
        state,
        counter=replace(counter, counter_uwh=counter.counter_uwh + interval.begun_uwh),
        slot=replace(state.slot, begin_uwh=end_uwh),
    )


def _with_jump(state: DirectionState, interval: Interval, entries: Entries) -> DirectionState:
    """As if the jump came before all else in the slot that is open: from slot to slot the counter
    goes on, but for what is on record.
    """
    jump_uwh = interval.jump_uwh
    counter = state.counter
    begin_uwh = state.slot.begin_uwh
    end_uwh = begin_uwh + jump_uwh
    entries.leave_unallocated("jump", interval.begin_ms, interval.at_ms, begin_uwh, end_uwh)
    return replace(
        state,
        counter=replace(counter, counter_uwh=counter.counter_uwh + jump_uwh),
        slot=replace(state.slot.doubted({"register jumped"}), begin_uwh=end_uwh),
    )


def _clock_was_set(interval: Interval) -> str:
    way = "back" if interval.set_forward_ms < 0 else "forward"
    return f"the clock was set {way} by {abs(interval.set_forward_ms) / _MS_PER_HOUR:.2f} h"


def _skip(interval: Interval, kind: str, entries: Entries, also: str) -> DirectionState:
    """Where the energy between two readings has no place: a partial slot before, missing ones
    inside, a partial one after. `also` is added to the event.
    """
    counter, at_ms = interval.counter, interval.at_ms
    old = keep(interval.before, entries, most_uwh=counter.counter_uwh)
    before, before_ms = old.counter, old.at_ms
    after = open_slot(counter, at_ms, entries.rules, placed=interval.placed, source=old.source)
    missing = _end_before(old, after, entries)

    record = entries.leave_unallocated(
        kind, before_ms, at_ms, before.counter_uwh, counter.counter_uwh
    )
    if kind == "clock":
        what = _clock_was_set(interval)
    elif kind == "jump":
        what = "the register moves by more than the main fuse (max_power) carries"
    else:
        what = f"no reading for {(at_ms - before_ms) / _MS_PER_HOUR:.1f} h"
    unallocated = f"{record.energy_uwh / UWH_PER_WH:.3f} Wh unallocated"
    text = f"{what}, {missing} slots missing, {unallocated}{also}"
    entries.tell(at_ms, kind, text, record.energy_uwh)
    return after


def end_of_metering(state: DirectionState, register: Rules | None) -> Edge:
    """The edge of a slot that ends early, where the counter was last confirmed."""
    counter = state.counter
    uncertainty_uwh = of_counter(counter, register, state.surprise.energy_uwh)
    return Edge(state.at_ms, counter.counter_uwh, counter.register_uwh, uncertainty_uwh)


def _end_before(old: DirectionState, after: DirectionState, entries: Entries) -> int:
    """End what is open where metering begins anew in another slot: a partial slot, and missing ones
    up to there. Returns how many are missing.
    """
    rules = entries.rules
    before, before_ms, at_ms = old.counter, old.at_ms, after.at_ms

    slot = revised(old, rules)
    has_metered = slot.from_ms < before_ms or before.counter_uwh > slot.begin_uwh
    if has_metered or at_ms > before_ms or slot.revision or slot.missed_from_ms:
        entries.close(slot, end_of_metering(old, entries.register))

    first_ms = old.slot.start_ms + rules.slot_ms
    missing = range(first_ms, after.slot.start_ms, rules.slot_ms)
    for start_ms in missing[:MAX_MISSING]:
        was_provisional = start_ms + rules.slot_ms <= old.provisional_ms
        entries.miss(start_ms, before, gap_ms=at_ms - before_ms, revision=int(was_provisional))
    entries.withdraw(old, max(first_ms, missing.stop))
    return len(missing)


def change_register(
    old: DirectionState, counter: Counter, at_ms: int, entries: Entries, *, placed: bool
) -> DirectionState:
    """Metering goes on at `at_ms` (UTC) with another register of the meter. `counter` is as of
    there, and stands where it stood. Of the old state nothing is left to be confirmed (`keep`).

    What passed since the reading before belongs to no slot, and is not known. So the slot in which
    that was is partial: it is metered for so much less.
    """
    rules = entries.rules
    source = rules.registers[entries.direction].source
    until_ms = max(at_ms, old.at_ms)
    was_set_back = until_ms - at_ms > rules.slot_ms
    if was_set_back or until_ms >= old.slot.start_ms + rules.slot_ms:
        after = open_slot(counter, at_ms, rules, placed=placed, source=source)
        _end_before(old, after, entries)
        return after

    hole_ms = max(until_ms - old.at_ms, 1)
    slot = replace(
        old.slot,
        from_ms=old.slot.from_ms + hole_ms,
        samples=old.slot.samples + 1,
        largest_gap_ms=max(old.slot.largest_gap_ms, hole_ms),
        placed=old.slot.placed or placed,
    )
    return DirectionState(
        counter, slot, shift_ms=until_ms - counter.at_ms, placed=placed, source=source
    )
