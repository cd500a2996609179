"""Readings that bring nothing new: no power in this direction, before or now, and a register that
stands still. Pure.

Of import and export one is quiet at most times. There the counter stays where it is, and all that
`fold.advance_direction` would find out step by step is that time has passed. This is that in one
step, and comes to the very same state (a property test compares both).
"""

from msgspec.structs import replace

from gateway.energy.belief import pauses
from gateway.energy.counter import CONFIRMATIONS, Counter, Since
from gateway.energy.reading import Reading
from gateway.energy.refinement import Refinement
from gateway.energy.register import Rules
from gateway.energy.slot import DirectionState, MeterRules

_NOTHING = Since()


def is_quiet(before: DirectionState, reading: Reading, rules: MeterRules, register: Rules) -> bool:
    """Whether a reading brings nothing new: nothing waits, is doubted, or ends with it."""
    counter = before.counter
    if reading.power_w != 0 or counter.power_w != 0 or reading.raw_uwh != counter.shown_uwh:
        return False
    if counter.suspects or before.passed or before.former or before.marks:
        return False
    if before.placed or reading.placed or reading.widened or before.provisional_ms:
        return False
    is_in_slot = before.at_ms < reading.at_ms < before.slot.start_ms + rules.slot_ms
    elapsed_ms = reading.steady_ms - counter.at_ms
    is_in_time = register.refresh_ms <= elapsed_ms and _gap_ms(before, reading) <= rules.stale_ms
    if not is_in_slot or not is_in_time or before.source != register.source:
        return False
    return _is_settled(counter, register) and not pauses(counter, register, elapsed_ms)


def _is_settled(counter: Counter, register: Rules) -> bool:
    """Whether the last sample confirmed the counter, and its bounds lie in the register's step."""
    was_confirmed = counter.seen_ms is None and counter.power_ms is None
    if not was_confirmed or counter.since != _NOTHING or counter.agreed != CONFIRMATIONS:
        return False
    low_uwh, high_uwh = counter.low_uwh, counter.high_uwh
    if low_uwh is None or high_uwh is None:
        return False
    begin_uwh = counter.register_uwh
    end_uwh = begin_uwh + register.step_uwh(counter.shown_uwh)
    if not begin_uwh <= low_uwh <= high_uwh <= end_uwh:
        return False
    # Where the register has not moved yet, the counter does not move to their middle.
    return counter.beginning is not None or counter.counter_uwh >= (low_uwh + high_uwh) // 2


def _gap_ms(before: DirectionState, reading: Reading) -> int:
    return max(reading.at_ms - before.at_ms, reading.steady_ms - before.counter.at_ms)


def after_quiet(
    before: DirectionState, counter: Counter, reading: Reading, refinement: Refinement | None
) -> DirectionState:
    """The direction after such a reading, with the counter as of it, and what is known of
    boundaries then.
    """
    slot = before.slot
    gap_ms = max(slot.largest_gap_ms, _gap_ms(before, reading))
    return replace(
        before,
        counter=counter,
        slot=replace(slot, samples=slot.samples + 1, largest_gap_ms=gap_ms),
        shift_ms=reading.at_ms - reading.steady_ms,
        refinement=refinement,
    )
