"""A slot that has ended, and stays open while readings say more of where its end was. Pure.

Its end and the beginning of the slot after it move together, so that nothing is booked twice or
lost. Where numbers are delivered at once (`MeterRules.says_at_once`) the slot is closed when it
ends, and comes again as a revision where its end is found to have been elsewhere by more than that
is uncertain by, as it is known then.
"""

from msgspec.structs import replace

from gateway.energy.counter import UWH_PER_WH, Counter
from gateway.energy.entries import Entries
from gateway.energy.interval import Interval, Part
from gateway.energy.refinement import Refinement, at
from gateway.energy.slot import Boundary, DirectionState, Edge, MeterRules, OpenSlot, Passed
from gateway.energy.uncertainty import WIDTH, with_jitter


def is_looked_back(part: Part, interval: Interval, entries: Entries) -> bool:
    """Whether the slot that a part ends is still looked back at after the interval."""
    if not goes_on(interval, entries):
        return False
    look_back_ms = entries.rules.look_back_ms
    return entries.register is not None and part.until_ms + look_back_ms > interval.until_ms


def goes_on(interval: Interval, entries: Entries) -> bool:
    """Whether what is read after an interval says anything of the time before it: neither did the
    register move by something else than energy, nor say where it began, nor was the clock set.
    """
    was_set = abs(interval.set_forward_ms) > entries.rules.stale_ms
    return not (was_set or interval.jump_uwh or interval.begun_uwh or interval.doubts)


def pass_boundary(slot: OpenSlot, end: Edge, interval: Interval, entries: Entries) -> Passed:
    """The slot has ended there, in the interval. Where no later reading says more of it, or numbers
    are delivered at once, it is closed.
    """
    before = interval.before
    at_ms = end.at_ms - before.shift_ms
    boundary = Boundary(at_ms, end.counter_uwh, end.uncertainty_uwh or 0)
    boundary = _refined(boundary, slot, before, interval)
    one = Passed(slot=slot, end_ms=end.at_ms, register_uwh=end.register_uwh, boundary=boundary)
    if not (entries.rules.says_at_once or boundary.is_known):
        return one
    said = one.end
    entries.close(slot, said)
    return replace(
        one,
        slot=replace(slot, missed_from_ms=0),
        said_uwh=said.counter_uwh,
        said_uncertainty_uwh=boundary.uncertainty_uwh,
    )


def look_back(interval: Interval, entries: Entries) -> Interval:
    """The interval, before which the end of a slot is known better, and for good where the time is
    over, or where the slot after it ends as well.
    """
    before = interval.before
    one = before.passed
    if one is None:
        return interval
    boundary = _refined(one.boundary, one.slot, before, interval)
    interval = replace(interval, before=replace(before, passed=replace(one, boundary=boundary)))
    is_over = interval.counter.at_ms >= deadline_ms(one, entries.rules)
    next_end_ms = before.slot.start_ms + entries.rules.slot_ms
    if boundary.is_known or is_over or interval.until_ms >= next_end_ms:
        return settled(interval, entries)
    return interval


def settled(interval: Interval, entries: Entries) -> Interval:
    """The interval, before which no slot is looked back at any more."""
    if interval.before.passed is None:
        return interval
    before, counter = settle(interval.before, entries), interval.counter
    counter_uwh = max(counter.counter_uwh, before.counter.counter_uwh)
    return replace(interval, before=before, counter=replace(counter, counter_uwh=counter_uwh))


def left_alone(*states: DirectionState) -> str:
    """What is added to the event that ends looking back early in one of these directions; empty
    where nothing is looked back at.
    """
    if all(each.passed is None for each in states):
        return ""
    return "; the slot before is not looked back at any longer, and ends where it was known to end"


def refined(
    boundary: Boundary,
    slot: OpenSlot,
    refinement: Refinement | None,
    shift_ms: int,
    counter: Counter,
    *,
    has_gap: bool,
) -> Boundary:
    """The boundary that ends the slot as the estimate has it, after a reading that the counter has
    seen. `shift_ms` is UTC − steady time at the reading before.

    Where power is read and was missed for a while (`has_gap`), nobody knows how it was meanwhile:
    then the counter has it, evenly. So it is where metering has just begun, and nobody knows where
    in its step the register was: the counter moves by power from there.
    """
    if boundary.is_known:
        return boundary
    if refinement is None or counter.beginning is not None or has_gap:
        return replace(boundary, is_known=True)
    if refinement.estimate.idle > 1:
        # Nothing has passed since it was looked at: there is no news of it.
        return boundary
    has_all = not (slot.uncovered_ms or slot.register_only)
    begin_ms = slot.from_ms - shift_ms
    found = at(
        refinement, boundary.at_ms, begin_ms, slot.begin_uwh, boundary.began, has_all=has_all
    )
    if found is None:
        # It may come to be known: where power is late, a boundary is reached late.
        return replace(boundary, is_known=False)
    low_wh, high_wh = refinement.estimate.register
    step_uwh = round((high_wh - low_wh) * UWH_PER_WH)
    return Boundary(
        boundary.at_ms,
        found.counter_uwh,
        # An edge of a slot is made wider by that again, because most edges are bounds.
        with_jitter(round(found.uncertainty_uwh / WIDTH), counter, step_uwh),
        found.is_known,
        round(found.late_uwh / WIDTH),
        None if counter.jitters else found.passed_uwh,
        found.off_uwh,
        found.began,
    )


def _refined(
    boundary: Boundary, slot: OpenSlot, state: DirectionState, interval: Interval
) -> Boundary:
    """The same after the interval."""
    counter = interval.counter
    has_gap = interval.since.power_unknown_ms > 0 and counter.power_w is not None
    return refined(boundary, slot, state.refinement, state.shift_ms, counter, has_gap=has_gap)


def is_overdue(state: DirectionState, at_ms: int, entries: Entries) -> bool:
    """Whether the time to look back is over at this steady time."""
    return state.passed is not None and at_ms > deadline_ms(state.passed, entries.rules)


def settle(state: DirectionState, entries: Entries) -> DirectionState:
    """The slot is closed with what is known of its end now, and the next one begins there."""
    one = state.passed
    if one is None:
        return state

    end = one.end
    if one.said_uwh is None:
        entries.close(one.slot, end)
    elif abs(end.counter_uwh - one.said_uwh) > _worth_uwh(one):
        entries.close(replace(one.slot, revision=one.slot.revision + 1), end)
    else:
        return replace(state, passed=None)
    return begin_at(replace(state, passed=None), end)


def _worth_uwh(one: Passed) -> int:
    """By how much the end must have been elsewhere for a revision: by more than it is known now to
    be uncertain by, which is mostly less than was said of it at first.
    """
    return min(one.said_uncertainty_uwh, one.boundary.uncertainty_uwh)


def begin_at(state: DirectionState, end: Edge) -> DirectionState:
    """The state, whose open slot begins where the one before it ended."""
    slot = replace(
        state.slot,
        begin_uwh=end.counter_uwh,
        begin_uncertainty_uwh=end.uncertainty_uwh,
        begin_late_uwh=end.late_uwh,
    )
    counter_uwh = max(state.counter.counter_uwh, end.counter_uwh)
    return replace(state, slot=slot, counter=replace(state.counter, counter_uwh=counter_uwh))


def deadline_ms(one: Passed, rules: MeterRules) -> int:
    """When no later reading is asked any more, in steady time."""
    return one.boundary.at_ms + rules.look_back_ms
