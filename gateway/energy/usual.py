"""Usual readings: in the slot that is open, soon after the one before, of a register that is
believed without a word. Pure.

Nearly all readings are such. Nothing waits, is doubted, told or closed with them, and most of what
`fold.advance_direction` asks step by step has but one answer. This is what is left of it, in few
steps, and comes to the very same state (a property test compares both).

Of import and export one is quiet at most times: no power in this direction, before or now, and a
register that stands still. Then not even the counter moves.
"""

from msgspec.structs import replace

from gateway.energy.belief import is_plain, pauses
from gateway.energy.counter import CONFIRMATIONS, Counter, Since, confirmed, integrate
from gateway.energy.look_back import deadline_ms, refined
from gateway.energy.reading import Reading
from gateway.energy.refinement import Refinement
from gateway.energy.register import Rules
from gateway.energy.slot import DirectionState, MeterRules

_NOTHING = Since()


def as_usual(
    before: DirectionState, reading: Reading, rules: MeterRules, register: Rules
) -> tuple[Counter, Since] | None:
    """The counter as of a usual reading, and what power says of the time since it was last
    confirmed. None: the reading is not usual.
    """
    counter, raw_uwh = before.counter, reading.raw_uwh
    if raw_uwh is None or counter.suspects or before.former or before.marks:
        return None
    if before.placed or reading.placed or reading.widened or before.provisional_ms:
        return None
    if before.source != register.source or counter.agreed != CONFIRMATIONS:
        return None
    before_ms = counter.at_ms + before.shift_ms
    if not before_ms < reading.at_ms < before.slot.start_ms + rules.slot_ms:
        return None
    elapsed_ms = reading.steady_ms - counter.at_ms
    if elapsed_ms > rules.stale_ms or reading.at_ms - before_ms > rules.stale_ms:
        return None
    moved_uwh = raw_uwh + counter.offset_uwh - counter.register_uwh
    if moved_uwh < 0 or (moved_uwh == 0 and elapsed_ms < register.refresh_ms):
        return None
    passed = before.passed
    if passed is not None and reading.steady_ms >= deadline_ms(passed, rules):
        return None

    has_power = reading.power_w != 0 or counter.power_w != 0
    if not (moved_uwh or has_power) and _is_quiet(counter, register, elapsed_ms):
        return replace(counter, at_ms=reading.steady_ms, pace_w=0.0), _NOTHING
    if counter.beginning is not None:
        return None
    seen = integrate(
        counter,
        register,
        at_ms=reading.steady_ms,
        power_w=reading.power_w,
        stale_ms=rules.stale_ms,
    )
    since = seen.since
    if since.power_unknown_ms or not is_plain(seen, register, moved_uwh, raw_uwh):
        return None
    after = confirmed(seen, register, moved_uwh)
    return None if after.still_uwh < 0 else (after, since)


def _is_quiet(counter: Counter, register: Rules, elapsed_ms: int) -> bool:
    """Whether a register that stands still, without power, leaves the counter as it is: the last
    sample confirmed the counter, and its bounds lie in the register's step.
    """
    was_confirmed = counter.seen_ms is None and counter.power_ms is None
    low_uwh, high_uwh = counter.low_uwh, counter.high_uwh
    if not was_confirmed or counter.since != _NOTHING or low_uwh is None or high_uwh is None:
        return False
    begin_uwh = counter.register_uwh
    end_uwh = begin_uwh + register.step_uwh(begin_uwh - counter.offset_uwh)
    if not begin_uwh <= low_uwh <= high_uwh <= end_uwh:
        return False
    # Where the register has not moved yet, the counter does not move to their middle.
    if counter.beginning is None and counter.counter_uwh < (low_uwh + high_uwh) // 2:
        return False
    return not pauses(counter, register, elapsed_ms)


def after_usual(
    before: DirectionState,
    counter: Counter,
    since: Since,
    reading: Reading,
    refinement: Refinement | None,
    register: Rules,
) -> DirectionState | None:
    """The direction after such a reading, with the counter as of it, and what is known of
    boundaries then. None: the reading is not usual, since with it the end of the slot before is
    known for good.
    """
    shift_ms = before.shift_ms
    passed = before.passed
    if passed is not None:
        one = passed.boundary
        boundary = refined(one, passed.slot, refinement, shift_ms, counter, has_gap=False)
        if boundary.is_known:
            return None
        passed = replace(passed, boundary=boundary)

    slot, at_ms, steady_ms = before.slot, reading.at_ms, reading.steady_ms
    elapsed_ms = steady_ms - before.counter.at_ms
    by_clock_ms = at_ms - before.counter.at_ms - shift_ms
    gap_ms = max(elapsed_ms, by_clock_ms, slot.largest_gap_ms)
    surprise = before.surprise
    if since is not _NOTHING:
        surprise = surprise.after(before.counter, since, counter, register)
    return DirectionState(
        counter=counter,
        slot=replace(slot, samples=slot.samples + 1, largest_gap_ms=gap_ms),
        shift_ms=at_ms - steady_ms,
        source=before.source,
        surprise=surprise,
        refinement=refinement,
        passed=passed,
    )
